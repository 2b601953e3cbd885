/* micro.c - see micro.h. The record is made of trace events, heard apart while one instruction is run. */
#include "ui/session/micro.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmcs.h"
#include "models/mmu/tlb.h"
#include "models/vmm/vmm.h"

#define RECORDS_MAX 16384       /* steps kept of one instruction: a string instruction or a service can be long */

/* Everything a CPU, its MMU and a VMM do; not what only repeats it (a walk's end, its cache misses) or is a device's own. */
static const char events[] =
	"insn,exception,interrupt,soft_int,nmi,iret,phase,cr,msr,task,port_in,port_out,halt,wake,shutdown,reset,sipi,ipi,vm_check,vm_exit,"
	"vm_entry,vmread,vmwrite,walk,walk_begin,walk_skip,walk_again,walk_ref,walk_ad,ept_walk,ept_ref,shadow_ref,tlb_fill,tlb_hit,"
	"page_fault,ept_fault,flush,invlpg,invept,invvpid,pml,access,phys_access,cache_miss,fetch_miss,mmio_read,mmio_write,"
	"emulate,emulate_refused,exit_served,inject,vcpu_halt,world_switch,ept_map,refused,vmm_phase";

struct micro {
	struct travel *v;
	struct run *r;
	struct trace_record *rec;
	size_t n, cursor;
	bool valid, cut;
	struct moment to;               /* the record ends here, on this branch */
	size_t branch;
	cycle_t from, until;            /* clock of the CPU that ran */
	unsigned cpu;
	struct micro_tlb tlb[CPUS_MAX];
	uint64_t *tlb_copy[CPUS_MAX];
};

static void hear(void *who, const struct trace_record *r)
{
	struct micro *u = who;
	if (u->n == RECORDS_MAX)
		u->cut = true;
	else
		u->rec[u->n++] = *r;
}

static void copy_tlbs(struct micro *u)
{
	for (unsigned i = 0; i < u->r->m->config.cpus; i++) {
		const struct tlb_set *s = u->r->m->cpu[i]->mmu.tlbs;
		u->tlb_copy[i] = xrealloc(u->tlb_copy[i], 2 * (size_t)s->n * sizeof(uint64_t));
		memcpy(u->tlb_copy[i], s->tag, s->n * sizeof(uint64_t));
		memcpy(u->tlb_copy[i] + s->n, s->context, s->n * sizeof(uint64_t));
		u->tlb[i] = (struct micro_tlb){ u->tlb_copy[i], u->tlb_copy[i] + s->n, s->n };
	}
}

void micro_begin(struct micro *u)
{
	struct machine *m = u->r->m;
	struct err e = { "" };
	u->n = u->cursor = 0;
	u->valid = u->cut = false;
	u->cpu = m->s.running;
	u->from = m->cpu[u->cpu]->ledger.now;
	copy_tlbs(u);
	if (trace_listen_apart(&m->trace, events, hear, u, &e) != 0)
		BUG("micro-steps: %s", e.text);
}

void micro_end(struct micro *u)
{
	trace_unlisten(&u->r->m->trace, hear, u);
	u->until = u->r->m->cpu[u->cpu]->ledger.now;
	u->cursor = u->n;
	u->valid = true;
	if (!u->v)
		return;
	struct timeline *t = travel_timeline(u->v);
	u->to = timeline_now(t);
	u->branch = timeline_present(t);
}

bool micro_valid(const struct micro *u)
{
	if (!u->v)
		return u->valid;
	struct timeline *t = travel_timeline(u->v);
	return u->valid && moment_compare(u->to, timeline_now(t)) == 0 && u->branch == timeline_present(t);
}

enum travelled micro_run(struct micro *u)
{
	micro_begin(u);
	enum travelled how = u->v ? travel_step(u->v, 1) : run_until(u->r, NEVER, 1) == MACHINE_STOP_ICOUNT ? TRAVEL_DONE : TRAVEL_STOPPED;
	micro_end(u);
	return how;
}

enum travelled micro_step(struct micro *u)
{
	if (micro_valid(u) && u->cursor < u->n) {
		u->cursor++;
		return TRAVEL_DONE;
	}
	enum travelled how = micro_run(u);
	u->cursor = u->n != 0;
	return how;
}

bool micro_renew(struct micro *u)
{
	if (!u->v)
		return u->valid;
	struct timeline *t = travel_timeline(u->v);
	const struct moment now = timeline_now(t), first = timeline_begin(t);
	if (micro_valid(u))
		return true;
	if (moment_compare(now, first) <= 0)
		return false;
	const enum machine_stop last = u->r->last;
	const size_t branch = timeline_present(t);
	travel_quietly(u->v, true);
	/* now may be in the middle of an instruction, at an event: its beginning is the first moment with as many completed */
	timeline_goto(t, (struct moment){ now.step, 0 });
	const bool inside = moment_compare(timeline_now(t), now) < 0;
	if (!inside)
		timeline_goto(t, now.step > first.step ? (struct moment){ now.step - 1, 0 } : first);
	micro_begin(u);
	timeline_run(t, inside ? now.cycle : NEVER, inside ? 0 : 1);
	micro_end(u);
	if (moment_compare(timeline_now(t), now) != 0 || timeline_present(t) != branch) {
		timeline_switch(t, branch, now);
		u->valid = false;
	}
	travel_quietly(u->v, false);
	u->r->last = last;
	return u->valid;
}

enum travelled micro_back(struct micro *u)
{
	if (!micro_renew(u))
		return TRAVEL_NONE;
	if (u->cursor > 1) {
		u->cursor--;
		return TRAVEL_DONE;
	}
	enum travelled how = u->v ? travel_back(u->v, 1) : TRAVEL_NONE;
	if (how == TRAVEL_DONE)
		micro_renew(u);
	return how;
}

void micro_goto(struct micro *u, size_t cursor)
{
	if (micro_valid(u))
		u->cursor = cursor < u->n ? cursor : u->n;
}

size_t micro_count(const struct micro *u) { return micro_valid(u) ? u->n : 0; }
size_t micro_cursor(const struct micro *u) { return micro_valid(u) ? u->cursor : 0; }
const struct trace_record *micro_at(const struct micro *u, size_t i) { return &u->rec[i]; }
cycle_t micro_total(const struct micro *u) { return micro_valid(u) ? u->until - u->from : 0; }
bool micro_cut(const struct micro *u) { return micro_valid(u) && u->cut; }

cycle_t micro_cycles(const struct micro *u, size_t i)
{
	const struct trace_record *r = &u->rec[i];
	for (size_t k = i; k-- > 0;)
		if (u->rec[k].component == r->component)
			return r->cycle - u->rec[k].cycle;
	return r->component == u->cpu ? r->cycle - u->from : 0;
}

const struct micro_tlb *micro_tlb(const struct micro *u, unsigned cpu)
{
	return micro_valid(u) && u->tlb[cpu].n ? &u->tlb[cpu] : NULL;
}

/* ---- words ---- */

const char *micro_name(const struct micro *u, size_t i)
{
	return u->r->m->trace.rows[u->rec[i].event].name;
}

static const char *const served_by[] = { "L1", "L2", "L3", "memory", "walk cache", "nested TLB", "untimed" };
static const char *served(uint64_t level) { return served_by[level < ARRAY_LEN(served_by) ? level : LEVEL_NONE]; }
static const char *guest_table(uint64_t level)
{
	static const char *const names[] = { "address", "PT", "PD", "PDPT", "PML4", "PML5" };
	return names[level < ARRAY_LEN(names) ? level : 0];
}
static const char *kind_of(uint64_t access)
{
	return access & ACC_EXEC ? "fetch" : access & (ACC_WRITE | ACC_RMW) ? "write" : "read";
}
static const char *field_name(uint64_t encoding, char *buf, size_t n)
{
	int f = encoding >> 15 ? -1 : vmcs_find((uint32_t)encoding);
	if (f >= 0)
		return vmcs_rows[f].name;
	snprintf(buf, n, "field %#" PRIx64, encoding);
	return buf;
}

int micro_text(const struct micro *u, size_t i, char *buf, size_t n)
{
	const struct trace_record *r = &u->rec[i];
	const uint64_t *a = r->a;
	char name[40], line[256];
	switch (r->event) {
	case CPU_TRACE_INSN:
		return snprintf(buf, n, "the instruction at %#" PRIx64 " begins", a[0]);
	case CPU_TRACE_PHASE:
		if (a[0] < FLOW_N && a[1] < PHASE_N)
			return snprintf(buf, n, "%s: %s, %" PRIu64 " cycles", flow_rows[a[0]].name, phase_rows[a[1]].name, a[2]);
		break;
	case VMM_TRACE_PHASE:
		if (a[0] < VMM_COSTS)
			return snprintf(buf, n, "VMM: %s, %" PRIu64 " cycles", vmm_cost_rows[a[0]].name, a[1]);
		break;
	case CPU_TRACE_VMREAD:
		return snprintf(buf, n, "VMREAD %s = %#" PRIx64, field_name(a[0], name, sizeof name), a[1]);
	case CPU_TRACE_VMWRITE:
		return snprintf(buf, n, "VMWRITE %s = %#" PRIx64 ", was %#" PRIx64, field_name(a[0], name, sizeof name), a[1], a[2]);
	case MMU_TRACE_WALK_BEGIN:
		return snprintf(buf, n, "walk for a %s of %#" PRIx64 " begins, tables at %#" PRIx64, kind_of(a[1]), a[0], a[3]);
	case MMU_TRACE_WALK:
		return snprintf(buf, n, "walk of %#" PRIx64 " ends, %" PRIu64 " cycles", a[0], a[3]);
	case MMU_TRACE_WALK_SKIP:
		if (a[2] == LEVEL_NTLB)
			return snprintf(buf, n, "EPT: the nested TLB knows the page, at %#" PRIx64, a[3]);
		return snprintf(buf, n, "%s: a walk cache holds the %s entry, which leads to %#" PRIx64,
		                a[0] == WALK_EPT ? "EPT" : a[0] == WALK_SHADOW ? "shadow" : "guest", guest_table(a[1]), a[3]);
	case MMU_TRACE_WALK_AGAIN:
		return snprintf(buf, n, "denied by what was cached: %s begins anew from the root", a[0] == WALK_EPT ? "the EPT walk" : "the walk");
	case MMU_TRACE_EPT_WALK:
		return a[1] ? snprintf(buf, n, "EPT: where is guest-physical %#" PRIx64 ", of the guest's %s?", a[0], guest_table(a[1])) :
		              snprintf(buf, n, "EPT: where is guest-physical %#" PRIx64 ", the final address?", a[0]);
	case MMU_TRACE_WALK_REF:
	case MMU_TRACE_SHADOW_REF:
	case MMU_TRACE_EPT_REF:
		return snprintf(buf, n, "%s %s entry at %#" PRIx64 " = %#" PRIx64 ", from %s",
		                r->event == MMU_TRACE_EPT_REF ? "EPT" : r->event == MMU_TRACE_SHADOW_REF ? "shadow" : "guest", guest_table(a[0]), a[1], a[2],
		                served(a[3]));
	case MMU_TRACE_WALK_AD:
		return snprintf(buf, n, "accessed and dirty flags set in the entry at %#" PRIx64 ": %#" PRIx64, a[1], a[2]);
	case MMU_TRACE_TLB_FILL:
		return snprintf(buf, n, "TLB filled: %#" PRIx64 " leads to %#" PRIx64 ", %s", a[0], a[1],
		                a[2] >> 30 ? "1 GB" : a[2] >> 21 ? "2 MB" : "4 KB");
	case MMU_TRACE_TLB_HIT:
		return snprintf(buf, n, "%s TLB hit for a %s: %#" PRIx64 " leads to %#" PRIx64, a[2] == 1 ? "first-level" : "second-level", kind_of(a[3]), a[0],
		                a[1]);
	case MMU_TRACE_ACCESS:
		return snprintf(buf, n, "%s of %" PRIu64 " bytes at %#" PRIx64 ", physical %#" PRIx64, a[3] ? "write" : "read", a[2], a[0], a[1]);
	case MMU_TRACE_PHYS:
		return snprintf(buf, n, "%s of %" PRIu64 " bytes at physical %#" PRIx64 ": %#" PRIx64, a[2] ? "write" : "read", a[1], a[0], a[3]);
	case MMU_TRACE_MISS:
		return snprintf(buf, n, "the line of %#" PRIx64 " comes from %s", a[0], served(a[1]));
	case MMU_TRACE_FETCH_MISS:
		return snprintf(buf, n, "the code line at %#" PRIx64 " comes from %s", a[0], served(a[1]));
	default:
		break;
	}
	/* as the trace has it, without the time and the component */
	trace_format(&u->r->m->trace, r, line, sizeof line);
	const char *text = line + strspn(line, " ");
	for (unsigned k = 0; k < 2; k++) {
		text += strcspn(text, " ");
		text += *text == ' ';
	}
	return snprintf(buf, n, "%s", text);
}

/* ---- life ---- */

struct micro *micro_open(struct travel *v, struct run *r)
{
	struct micro *u = xcalloc(1, sizeof *u);
	u->v = v;
	u->r = r;
	u->rec = xcalloc(RECORDS_MAX, sizeof *u->rec);
	return u;
}

void micro_close(struct micro *u)
{
	if (!u)
		return;
	for (unsigned i = 0; i < CPUS_MAX; i++)
		free(u->tlb_copy[i]);
	free(u->rec);
	free(u);
}
