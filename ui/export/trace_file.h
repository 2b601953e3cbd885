/* trace_file.h - --trace FILE[:EVENTS]: records as they come, in the form the file's ending asks for (exports.def).
 *
 * Streaming, in bounded memory; whoever listens changes no cycle, statistic or state. A run that goes back in time is
 * written once: what it lives through again is not. */
#ifndef UI_EXPORT_TRACE_FILE_H
#define UI_EXPORT_TRACE_FILE_H

#include "ui/session/session.h"

struct trace_export;
/* spec: FILE or FILE:event,event,... ; without events, all but the three that tell of every instruction. */
struct trace_export *trace_export_new(const char *spec, struct err *e);
int trace_export_listen(struct trace_export *x, struct run *r, struct err *e);
int trace_export_close(struct trace_export *x, struct err *e);  /* writes what is left, and closes the file */
void trace_export_free(struct trace_export *x);

#endif
