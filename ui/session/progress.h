/* progress.h - one line on a terminal's stderr while a run is long: simulated time, speed, the
 * guest's last line. */
#ifndef UI_SESSION_PROGRESS_H
#define UI_SESSION_PROGRESS_H

#include "ui/session/session.h"

struct progress;
struct progress *progress_new(bool quiet);      /* NULL when nobody would see it */
void progress_free(struct progress *p);
void progress_show(struct progress *p, const struct run *r);
void progress_clear(struct progress *p);        /* before anything else is printed */

#endif
