/* guide.h - pages of text that lead a person through a run: what a scenario's guide{} made. The stepping screen shows
 * them; everybody else runs the scenario without. */
#ifndef UI_SESSION_GUIDE_H
#define UI_SESSION_GUIDE_H

#include "sim/base.h"

struct guide {
	struct guide_page {
		char *title, *text;
		char *show;                     /* a pane to look at meanwhile, or NULL */
		bool task;                      /* there is something to do before the next page */
	} *page;
	size_t n;
	size_t at;                      /* the page that is up to now */
	bool (*done)(void *who, size_t page);   /* has its task been done? asked after each key */
	void *who;
};

struct guide_page *guide_add(struct guide *g, const char *title, const char *text, const char *show);
/* Is the task of the page being looked at done? Then the one behind it is up. */
bool guide_look(struct guide *g, size_t page);
void guide_free(struct guide *g);

#endif
