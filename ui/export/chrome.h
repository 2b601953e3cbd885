/* chrome.h - the trace event format of Chrome's tracing and Perfetto, as JSON written while it happens.
 *
 * Source: "Trace Event Format" (Google). Phases used: B and E (a slice that begins and ends), X (a whole slice), i (an instant),
 * C (counters), s and f (an arrow between slices), M (names). A track is one thread of one process.
 * On one track times never go back: what comes too early is moved to the last time written, so slices always nest. */
#ifndef UI_EXPORT_CHROME_H
#define UI_EXPORT_CHROME_H

#include "ui/export/trace_format.h"

struct track {
	uint32_t pid, tid;              /* tid 0: nothing was written on it */
	unsigned depth;                 /* slices that have begun and not ended */
	uint64_t start, end;            /* ns: the last slice begun; the last end of any */
};

struct chrome { struct trace_target *t; };

/* The first use of a track names it, and its process when that is new. */
void chrome_track(struct chrome *c, struct track *t, uint32_t pid, const char *process, const char *thread, unsigned order);

/* Each begins one event and leaves it open for arguments; chrome_done() ends it. */
void chrome_begin(struct chrome *c, struct track *t, uint64_t ns, const char *name);
void chrome_slice(struct chrome *c, struct track *t, uint64_t from, uint64_t to, const char *name);
void chrome_instant(struct chrome *c, struct track *t, uint64_t ns, const char *name);
void chrome_counter(struct chrome *c, uint32_t pid, uint64_t ns, const char *name);
void chrome_arg(struct chrome *c, const char *name, uint64_t value, bool decimal);
void chrome_done(struct chrome *c);

void chrome_end(struct chrome *c, struct track *t, uint64_t ns);
/* An arrow: from where a slice is at `from` on one track to the slice at `to` on the other. */
void chrome_arrow(struct chrome *c, const char *name, uint32_t from_pid, uint32_t from_tid, uint64_t from, const struct track *to, uint64_t at);

#endif
