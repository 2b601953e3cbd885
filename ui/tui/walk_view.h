/* walk_view.h - words about translations, shared by the panes of walks and tables. */
#ifndef UI_TUI_WALK_VIEW_H
#define UI_TUI_WALK_VIEW_H

#include "ui/session/micro.h"
#include "ui/tui/space.h"

#define WHY_LINES 4
#define WHY_WIDTH 240

/* Why a walk faulted, in sentences: which entry, which bit, whose fault. Returns how many. */
unsigned walk_why(const struct tui *t, const struct micro_walk *w, char line[WHY_LINES][WHY_WIDTH]);
const char *table_name(enum walk_dim dim, unsigned level);     /* "PDPT", "EPT PD" */
/* Bits of an entry by name: "P RW US A D PS"; narrow: one character each, "PWUAD-x". */
const char *entry_bits(const struct walk_ref *r, bool narrow, char *buf, size_t n);
const char *access_text(unsigned access, char *buf, size_t n);  /* "user write" */
const char *page_text(unsigned shift);                          /* "4 KB" */
/* From a walk that was only looked at. */
void walk_of_peek(struct micro_walk *w, const struct walk_record *rec, const struct mmu *m);

#endif
