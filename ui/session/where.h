/* where.h - where a run stands, as a block of text: the moment, the CPU, the next instruction, the registers.
 * Why it stopped says stop_sentence(). */
#ifndef UI_SESSION_WHERE_H
#define UI_SESSION_WHERE_H

#include <stdio.h>

#include "ui/session/session.h"

void where_print(FILE *f, struct run *r);

#endif
