/* made_up.h - a comparison whose records are written by hand: what is said about them can be checked without running
 * anything, and under techniques that need not exist. */
#ifndef TESTS_UNIT_COMPARE_MADE_UP_H
#define TESTS_UNIT_COMPARE_MADE_UP_H

#include "ui/compare/compare.h"

/* native/native, vmx/shadow.wp, vmx/ept on gups (walks decide) and forkwait (exits decide); all records good. */
void made_up(struct comparison *c);
void made_up_number(struct case_record *r, const char *name, uint64_t whole, uint64_t region);
void made_up_page(struct case_record *r, uint64_t gpa, const char *bytes, size_t offset);
void made_up_console(struct case_record *r, const char *text);

bool says(const char *text, const char *what);    /* is it in there? */

#endif
