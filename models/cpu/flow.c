/* flow.c - charging and tracing a transition phase by phase. The table is flow.def. */
#include <string.h>

#include "models/cpu/sys.h"

static const struct { size_t cycles; enum why why; uint16_t first, last; } flows[FLOW_N] = {
#define FLOW(NAME, name, row, w, sentence) [FLOW_##NAME] = { .cycles = offsetof(struct profile, row), .why = w },
#define PHASE(FLOW, NAME, name, share, sentence)
#include "models/cpu/flow.def"
};
static const uint8_t shares[PHASE_N] = {
#define FLOW(NAME, name, row, w, sentence)
#define PHASE(FLOW, NAME, name, share, sentence) [PHASE_##FLOW##_##NAME] = share,
#include "models/cpu/flow.def"
};
const struct flow_row flow_rows[FLOW_N] = {
#define FLOW(NAME, name, row, w, sentence) [FLOW_##NAME] = { name, sentence },
#define PHASE(FLOW, NAME, name, share, sentence)
#include "models/cpu/flow.def"
};
const struct flow_row phase_rows[PHASE_N] = {
#define FLOW(NAME, name, row, w, sentence)
#define PHASE(FLOW, NAME, name, share, sentence) [PHASE_##FLOW##_##NAME] = { name, sentence },
#include "models/cpu/flow.def"
};

void flow_begin(struct cpu *c, struct flow *f, enum flow_id id)
{
	memset(f, 0, sizeof *f);
	f->id = id;
	f->total = *(const uint64_t *)((const char *)c->profile + flows[id].cycles);
}

static void close_phase(struct cpu *c, struct flow *f)
{
	if (f->open)
		trace(c->trace, c->ledger.now, c->number, CPU_TRACE_PHASE, f->id, f->phase,
		      c->ledger.now - f->began, f->own);
	f->open = false;
}

void flow_phase(struct cpu *c, struct flow *f, enum flow_phase p)
{
	close_phase(c, f);
	f->open = true;
	f->phase = p;
	f->began = c->ledger.now;
	cycle_t n = f->total * shares[p] / 100;
	f->charged += n;
	f->own = n;
	ledger_charge(&c->ledger, flows[f->id].why, n);
}

void flow_extra(struct cpu *c, struct flow *f, cycle_t cycles)
{
	f->own += cycles;
	ledger_charge(&c->ledger, flows[f->id].why, cycles);
}

/* What rounding left over belongs to the last phase: a flow that ran to its end costs exactly its
 * total. */
void flow_end(struct cpu *c, struct flow *f)
{
	f->own += f->total - f->charged;
	ledger_charge(&c->ledger, flows[f->id].why, f->total - f->charged);
	close_phase(c, f);
}

void flow_tell(struct cpu *c, enum flow_id id)
{
	static const uint8_t flow_of[PHASE_N] = {
#define FLOW(NAME, name, row, w, sentence)
#define PHASE(FLOW, NAME, name, share, sentence) [PHASE_##FLOW##_##NAME] = FLOW_##FLOW,
#include "models/cpu/flow.def"
	};
	const uint64_t total = *(const uint64_t *)((const char *)c->profile + flows[id].cycles);
	if (!trace_on(c->trace, CPU_TRACE_PHASE))
		return;
	uint64_t told = 0;
	unsigned share = 0;
	for (unsigned p = 0; p < PHASE_N; p++)
		if (flow_of[p] == id) {
			share += shares[p];
			uint64_t upto = total * share / 100;
			trace_write(c->trace, c->ledger.now, c->number, CPU_TRACE_PHASE, id, p, upto - told, upto - told);
			told = upto;
		}
}
