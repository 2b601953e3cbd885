/* input.h - what is typed to a guest: a file of lines, with waits.
 *
 *   text             sent with a newline after it
 *   @expect "text"   wait until the guest's console has shown text (after what earlier @expects saw)
 *   @send "text"     sent as it is, without a newline; \n \r \t \e \xNN \\ \" mean what they mean in C
 *   @wait N          wait N cycles of simulated time
 *   @exit N          end the run with exit status N
 *   @# anything      a comment
 *   @@text           the line "@text"
 * A script without @expect is sent at once; devices hold it until the guest reads. */
#ifndef UI_SESSION_INPUT_H
#define UI_SESSION_INPUT_H

#include "models/machine.h"

enum input_kind { INPUT_SEND, INPUT_EXPECT, INPUT_WAIT, INPUT_EXIT };
struct input_step { enum input_kind kind; char *bytes; size_t n; uint64_t value; };

struct input {
	struct input_step *step;
	size_t n, at;                   /* steps; the one due next */
	size_t seen;                    /* console bytes already consumed by @expect */
	size_t scanned;                 /* a match of the due @expect does not begin before here */
	cycle_t wake;                   /* INPUT_WAIT: until when; 0: not begun */
};

int input_parse(struct input *in, const char *text, size_t n, const char *where, struct err *e);
int input_load(struct input *in, const char *path, struct err *e);
void input_fini(struct input *in);

/* The next step that can happen now, or NULL. console: all the guest has printed. Consumes it. */
const struct input_step *input_next(struct input *in, const char *console, size_t n, cycle_t now);
/* Is the @expect that is due satisfied by the console as it is now? Looks at new bytes only. */
bool input_ready(struct input *in, const char *console, size_t n);
cycle_t input_wake(const struct input *in);             /* when an @wait ends, NEVER otherwise */

/* Scan codes, set 1, of keys for text on a US keyboard. */
size_t keys_for(const char *text, size_t n, uint8_t *codes, size_t room);

#endif
