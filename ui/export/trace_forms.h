/* trace_forms.h - the functions of each form, for the table in trace_file.c. */
#ifndef UI_EXPORT_TRACE_FORMS_H
#define UI_EXPORT_TRACE_FORMS_H

#include "ui/export/trace_format.h"

void *rows_open(struct trace_target *t, const struct machine *m, const char *name, const uint64_t *wanted);
void *csv_open(struct trace_target *t, const struct machine *m, const char *name, const uint64_t *wanted);
void *vcd_open(struct trace_target *t, const struct machine *m, const char *name, const uint64_t *wanted);
void *perfetto_open(struct trace_target *t, const struct machine *m, const char *name, const uint64_t *wanted);
trace_sink text_record, jsonl_record, csv_record, vcd_record, perfetto_record;
void text_close(void *who), jsonl_close(void *who), csv_close(void *who), vcd_close(void *who), perfetto_close(void *who);
void perfetto_end(struct trace_target *t);

extern const char vcd_events[], perfetto_events[];

#endif
