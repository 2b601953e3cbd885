/* history.c - see history.h. */
#include "ui/session/history.h"

#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "models/vmm/vmm.h"

#define EVENTS_MAX 65536        /* the last so many are kept */
#define BUCKETS    4096         /* of time; their width doubles when they are used up */
#define GRAIN      16           /* their first width in cycles */
#define COPIES     32           /* of VMCS fields, for each CPU and direction */

struct bucket { uint32_t spent[OWNERS]; uint16_t exits, interrupts, exceptions, pad; };
struct track {                  /* one CPU */
	struct bucket *bucket;
	cycle_t known;                  /* what came before is in the buckets */
	cycle_t spent[OWNERS];          /* by the ledger, then */
	uint64_t open_exit;             /* the last VM exit, as counted from the first event; ~0: none without its entry */
};
struct branch_history {
	struct happening *event;        /* a ring */
	uint64_t count;
	unsigned shift;                 /* bucket width: GRAIN << shift */
	struct track track[CPUS_MAX];
};
struct copy { cycle_t cycle; uint64_t f[VMCS_N]; };
struct copies { struct copy *c[2]; unsigned n[2]; };    /* by direction: exits, entries */

struct history {
	struct run *r;
	struct timeline *t;
	struct branch_history **branch;
	size_t branches;
	struct copies copies[CPUS_MAX];
	unsigned cpus;
};

static void ledger_owners(const struct cpu *c, cycle_t spent[OWNERS])
{
	memset(spent, 0, OWNERS * sizeof *spent);
	for (unsigned a = 0; a < ACCT_N; a++) {
		unsigned vm = a >= ACCT_GUEST ? (a - ACCT_GUEST) / 2 : 0;
		unsigned owner = a == ACCT_IDLE ? OWNER_IDLE : a == ACCT_VMM ? OWNER_VMM : a == ACCT_HARDWARE ? OWNER_HARDWARE :
		                 OWNER_GUEST + 2 * (vm < OWNER_VMS ? vm : OWNER_VMS - 1) + (a - ACCT_GUEST) % 2;
		for (unsigned w = 0; w < WHY_N; w++)
			spent[owner] += c->ledger.spent[a][w];
	}
}

/* ---- branches ---- */

static struct branch_history *blank(const struct history *h)
{
	struct branch_history *b = xcalloc(1, sizeof *b);
	b->event = xcalloc(EVENTS_MAX, sizeof *b->event);
	for (unsigned i = 0; i < h->cpus; i++) {
		b->track[i].bucket = xcalloc(BUCKETS, sizeof *b->track[i].bucket);
		b->track[i].open_exit = ~0ull;
	}
	return b;
}

static struct happening *event_at(const struct branch_history *b, uint64_t i)
{
	return &b->event[i % EVENTS_MAX];
}

static bool later(const struct happening *e, struct moment at)
{
	return e->at.step > at.step || (e->at.step == at.step && e->r.cycle > at.cycle);
}

static uint64_t oldest(const struct branch_history *b)
{
	return b->count > EVENTS_MAX ? b->count - EVENTS_MAX : 0;
}

static cycle_t width(const struct branch_history *b) { return (cycle_t)GRAIN << b->shift; }

/* A branch begins as its parent was up to the fork. */
static struct branch_history *fork_of(const struct history *h, const struct branch_history *parent, struct moment at)
{
	struct branch_history *b = blank(h);
	memcpy(b->event, parent->event, EVENTS_MAX * sizeof *b->event);
	b->count = parent->count;
	b->shift = parent->shift;
	while (b->count > oldest(b) && later(event_at(b, b->count - 1), at))
		b->count--;
	for (unsigned i = 0; i < h->cpus; i++) {
		struct track *t = &b->track[i];
		size_t keep = at.cycle / width(b);
		memcpy(t->bucket, parent->track[i].bucket, (keep < BUCKETS ? keep : BUCKETS) * sizeof *t->bucket);
		t->known = (keep < BUCKETS ? keep : BUCKETS) * width(b);
		t->spent[0] = NEVER;            /* what the ledger said there is not known: the first look tells */
		if (moment_compare(timeline_now(h->t), at) == 0) {
			t->known = h->r->m->cpu[i]->ledger.now;
			ledger_owners(h->r->m->cpu[i], t->spent);
		}
	}
	return b;
}

static struct branch_history *present(struct history *h)
{
	size_t now = timeline_present(h->t);
	while (h->branches <= now) {
		h->branch = xrealloc(h->branch, (h->branches + 1) * sizeof *h->branch);
		struct timeline_branch br = timeline_branch(h->t, h->branches);
		h->branch[h->branches] = br.parent < 0 ? blank(h) : fork_of(h, h->branch[br.parent], br.fork);
		h->branches++;
	}
	return h->branch[now];
}

/* ---- who has the CPU ---- */

/* Buckets twice as wide. */
static void widen(const struct history *h, struct branch_history *b)
{
	for (unsigned i = 0; i < h->cpus; i++) {
		struct bucket *k = b->track[i].bucket;
		for (size_t n = 0; n < BUCKETS / 2; n++) {
			struct bucket sum = k[2 * n];
			const struct bucket *other = &k[2 * n + 1];
			for (unsigned o = 0; o < OWNERS; o++)
				sum.spent[o] += other->spent[o];
			sum.exits += other->exits;
			sum.interrupts += other->interrupts;
			sum.exceptions += other->exceptions;
			k[n] = sum;
		}
		memset(k + BUCKETS / 2, 0, BUCKETS / 2 * sizeof *k);
	}
	b->shift++;
}

static struct bucket *bucket_at(const struct history *h, struct branch_history *b, unsigned cpu, cycle_t at)
{
	while (at / width(b) >= BUCKETS)
		widen(h, b);
	return &b->track[cpu].bucket[at / width(b)];
}

/* The time since the last look, spread over its buckets in proportion. */
static void look(struct history *h, struct branch_history *b, unsigned cpu)
{
	const struct cpu *c = h->r->m->cpu[cpu];
	struct track *t = &b->track[cpu];
	cycle_t now = c->ledger.now, spent[OWNERS], from = t->known, left = now - from;
	if (now <= from || (now / width(b) == from / width(b) && t->spent[0] != NEVER))
		return;
	(void)bucket_at(h, b, cpu, now);
	ledger_owners(c, spent);
	if (t->spent[0] != NEVER) {
		cycle_t rest[OWNERS];
		for (unsigned o = 0; o < OWNERS; o++)
			rest[o] = spent[o] > t->spent[o] ? spent[o] - t->spent[o] : 0;
		while (left) {
			cycle_t end = (from / width(b) + 1) * width(b), part = end < now ? end - from : now - from;
			struct bucket *k = bucket_at(h, b, cpu, from);
			for (unsigned o = 0; o < OWNERS; o++) {
				cycle_t here = (cycle_t)((unsigned __int128)rest[o] * part / left);
				k->spent[o] += (uint32_t)here;
				rest[o] -= here;
			}
			from += part;
			left -= part;
		}
	}
	memcpy(t->spent, spent, sizeof spent);
	t->known = now;
}

/* ---- listening ---- */

static void keep_vmcs(struct history *h, const struct cpu *c, bool entry)
{
	struct copies *k = &h->copies[c->number];
	if (!c->vmcs)
		return;
	if (!k->c[entry])
		k->c[entry] = xcalloc(COPIES, sizeof *k->c[entry]);
	struct copy *to = &k->c[entry][k->n[entry]++ % COPIES];
	to->cycle = c->ledger.now;
	memcpy(to->f, c->vmcs->f, sizeof to->f);
}

static bool same(const struct happening *e, const struct trace_record *r)
{
	return e->r.event == r->event && e->r.component == r->component && e->r.cycle == r->cycle && memcmp(e->r.a, r->a, sizeof r->a) == 0;
}

/* Executed again: it was there before. */
static bool known(const struct branch_history *b, const struct trace_record *r, uint64_t step)
{
	if (b->count && step < event_at(b, b->count - 1)->at.step)
		return true;
	for (uint64_t i = b->count; i-- > oldest(b) && event_at(b, i)->at.step == step;)
		if (same(event_at(b, i), r))
			return true;
	return false;
}

/* Beside a guest in rings no VMCS tells what event the exit is: the one delivered before it. */
static uint32_t event_before(const struct branch_history *b, unsigned cpu)
{
	for (uint64_t i = b->count; i-- > oldest(b) && b->count - i < 12;) {
		const struct trace_record *r = &event_at(b, i)->r;
		if (r->component != cpu || r->event == VMM_TRACE_SWITCH_STEP)
			continue;
		return r->event == CPU_TRACE_EXCEPTION ? (uint32_t)(BIT(31) | 3 << 8 | (r->a[0] & 0xff)) :
		       r->event == CPU_TRACE_INTERRUPT ? (uint32_t)(BIT(31) | (r->a[0] & 0xff)) : 0;
	}
	return 0;
}

static void on_event(void *who, const struct trace_record *r)
{
	struct history *h = who;
	struct branch_history *b = present(h);
	uint64_t step = machine_icount(h->r->m);
	const struct cpu *c = r->component < h->cpus ? h->r->m->cpu[r->component] : NULL;
	if (!c)
		return;
	struct track *t = &b->track[r->component];
	if (r->event == CPU_TRACE_PHASE) {
		if (r->a[0] != FLOW_VM_EXIT || r->a[1] != PHASE_VM_EXIT_LOAD)
			return;
		keep_vmcs(h, c, false);
		if (t->open_exit != ~0ull && t->open_exit >= oldest(b) && c->vmcs) {
			struct happening *e = event_at(b, t->open_exit);
			e->gpa = c->vmcs->f[VMCS_GUEST_PHYSICAL];
			e->intr_info = (uint32_t)c->vmcs->f[VMCS_EXIT_INTR_INFO];
		}
		return;
	}
	if (r->event == CPU_TRACE_VM_ENTRY)
		keep_vmcs(h, c, true);
	look(h, b, r->component);
	if (r->event == CPU_TRACE_CPL || known(b, r, step))
		return;
	struct bucket *k = bucket_at(h, b, r->component, r->cycle);
	k->exits += r->event == CPU_TRACE_VM_EXIT && k->exits < UINT16_MAX;
	k->interrupts += (r->event == CPU_TRACE_INTERRUPT || r->event == CPU_TRACE_NMI) && k->interrupts < UINT16_MAX;
	k->exceptions += r->event == CPU_TRACE_EXCEPTION && k->exceptions < UINT16_MAX;
	if (r->event == CPU_TRACE_VM_ENTRY && t->open_exit != ~0ull) {
		if (t->open_exit >= oldest(b))
			event_at(b, t->open_exit)->took = r->cycle - event_at(b, t->open_exit)->r.cycle;
		t->open_exit = ~0ull;
	}
	struct happening new = { .at = { step, r->cycle + 1 }, .r = *r };
	if (r->event == CPU_TRACE_VM_EXIT) {
		t->open_exit = b->count;
		if (c->vmx.deprivileged)
			new.intr_info = event_before(b, r->component);
	}
	*event_at(b, b->count++) = new;
}

struct history *history_open(struct run *r, struct timeline *t, struct err *e)
{
	struct history *h = xcalloc(1, sizeof *h);
	h->r = r;
	h->t = t;
	h->cpus = r->m->config.cpus;
	(void)present(h);
	if (trace_listen_apart(&r->m->trace, "exception,interrupt,soft_int,nmi,cr,halt,wake,shutdown,reset,sipi,ipi,task,cpl,phase,vm_exit,vm_entry,vm_check,"
	                       "switch_step,pv_bounce,nested_entry,nested_exit,bt_translate,bt_chain,bt_callout,bt_adapt,bt_rewritten,bt_flush",
	                       on_event, h, e) == 0)
		return h;
	history_close(h);
	return NULL;
}

void history_close(struct history *h)
{
	if (!h)
		return;
	trace_unlisten(&h->r->m->trace, on_event, h);
	for (size_t i = 0; i < h->branches; i++) {
		for (unsigned k = 0; k < h->cpus; k++)
			free(h->branch[i]->track[k].bucket);
		free(h->branch[i]->event);
		free(h->branch[i]);
	}
	for (unsigned k = 0; k < h->cpus; k++) {
		free(h->copies[k].c[0]);
		free(h->copies[k].c[1]);
	}
	free(h->branch);
	free(h);
}

/* ---- looking ---- */

/* The clock may be ahead on some CPU: what it did has happened. */
static struct moment so_far(const struct history *h)
{
	struct moment now = timeline_now(h->t);
	for (unsigned i = 0; i < h->cpus; i++)
		if (h->r->m->cpu[i]->ledger.now > now.cycle)
			now.cycle = h->r->m->cpu[i]->ledger.now;
	return now;
}

size_t history_count(struct history *h)
{
	const struct branch_history *b = present(h);
	struct moment now = so_far(h);
	uint64_t lo = oldest(b), hi = b->count;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (later(event_at(b, mid), now))
			hi = mid;
		else
			lo = mid + 1;
	}
	return (size_t)(lo - oldest(b));
}

const struct happening *history_at(struct history *h, size_t i)
{
	const struct branch_history *b = present(h);
	return event_at(b, oldest(b) + i);
}

uint64_t history_forgotten(struct history *h) { return oldest(present(h)); }

cycle_t history_grain(struct history *h) { return width(present(h)); }

void history_lane(struct history *h, unsigned cpu, cycle_t from, cycle_t to, struct lane *l)
{
	struct branch_history *b = present(h);
	memset(l, 0, sizeof *l);
	for (unsigned i = 0; i < h->cpus; i++)
		look(h, b, i);
	for (size_t i = from / width(b); i < BUCKETS && (cycle_t)i * width(b) < to; i++) {
		const struct bucket *k = &b->track[cpu].bucket[i];
		for (unsigned o = 0; o < OWNERS; o++)
			l->spent[o] += k->spent[o];
		l->exits += k->exits;
		l->interrupts += k->interrupts;
		l->exceptions += k->exceptions;
	}
}

const uint64_t *history_vmcs(struct history *h, unsigned cpu, bool entry)
{
	const struct copies *k = &h->copies[cpu];
	const struct copy *best = NULL;
	cycle_t now = h->r->m->cpu[cpu]->ledger.now;
	for (unsigned i = 0; k->c[entry] && i < COPIES && i < k->n[entry]; i++)
		if (k->c[entry][i].cycle <= now && (!best || k->c[entry][i].cycle > best->cycle))
			best = &k->c[entry][i];
	return best ? best->f : NULL;
}
