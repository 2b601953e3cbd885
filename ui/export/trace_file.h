/* trace_file.h - the trace as a file: text as the trace prints it, or JSON lines when the name ends
 * in .jsonl. */
#ifndef UI_EXPORT_TRACE_FILE_H
#define UI_EXPORT_TRACE_FILE_H

#include "models/machine.h"

struct trace_export;
/* spec: FILE or FILE:event,event,... ; without events, all but "insn" (every instruction). */
struct trace_export *trace_export_new(const char *spec, struct err *e);
int trace_export_listen(struct trace_export *x, struct machine *m, const char *name, struct err *e);
int trace_export_close(struct trace_export *x, struct err *e);  /* writes the closing lines: count and hash per machine */
void trace_export_free(struct trace_export *x);

/* One record as a JSON line. */
struct json;
void trace_json(struct json *j, const struct trace *t, const struct trace_record *r);

#endif
