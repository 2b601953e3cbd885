/* guide.c - see guide.h. */
#include "ui/session/guide.h"

#include "sim/err.h"

#include <stdlib.h>
#include <string.h>

struct guide_page *guide_add(struct guide *g, const char *title, const char *text, const char *show)
{
	g->page = xrealloc(g->page, (g->n + 1) * sizeof *g->page);
	struct guide_page *p = &g->page[g->n++];
	*p = (struct guide_page){ .title = xstrdup(title), .text = xstrdup(text), .show = show ? xstrdup(show) : NULL };
	return p;
}

bool guide_look(struct guide *g, size_t page)
{
	if (page < g->at || page + 1 >= g->n || !g->page[page].task || !g->done(g->who, page))
		return false;
	g->at = page + 1;
	return true;
}

void guide_free(struct guide *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free(g->page[i].title);
		free(g->page[i].text);
		free(g->page[i].show);
	}
	free(g->page);
	memset(g, 0, sizeof *g);
}
