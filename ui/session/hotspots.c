/* hotspots.c - see hotspots.h. Distances between looks vary, so that none falls into step with a loop. */
#include "ui/session/hotspots.h"

#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "sim/rng.h"

static int by_place(const void *a, const void *b)
{
	const struct hotspot *x = a, *y = b;
	if (x->acct != y->acct)
		return x->acct < y->acct ? -1 : 1;
	return x->lin < y->lin ? -1 : x->lin > y->lin;
}

static void look(struct hotspots *h, const struct machine *m, cycle_t *last)
{
	for (unsigned i = 0; i < m->config.cpus; i++) {
		const struct cpu *c = m->cpu[i];
		cycle_t spent = c->ledger.now - last[i];
		last[i] = c->ledger.now;
		if (!spent)
			continue;
		bool placed = c->ledger.acct >= ACCT_GUEST && !cpu_root_modelled(c);
		h->at[h->n++] = (struct hotspot){ placed ? block_linear(c) : 0, c->ledger.acct, spent };
		h->total += spent;
	}
	h->looks++;
}

static void merge(struct hotspots *h)
{
	size_t kept = 0;
	qsort(h->at, h->n, sizeof *h->at, by_place);
	for (size_t i = 0; i < h->n; i++)
		if (kept && by_place(&h->at[kept - 1], &h->at[i]) == 0)
			h->at[kept - 1].cycles += h->at[i].cycles;
		else
			h->at[kept++] = h->at[i];
	h->n = kept;
}

/* Before a branch's fork its past is its parents'. */
static void go(struct timeline *t, size_t branch, struct moment at)
{
	if (timeline_present(t) == branch)
		timeline_goto(t, at);
	else
		timeline_switch(t, branch, at);
}

void hotspots_take(struct hotspots *h, const struct run *r, struct timeline *t, uint64_t insns, unsigned looks,
                   bool (*stop)(void *who), void *who)
{
	const struct moment now = timeline_now(t), begin = timeline_begin(t);
	const size_t branch = timeline_present(t);
	cycle_t last[CPUS_MAX];
	struct rng rng;
	hotspots_fini(h);
	h->from = (struct moment){ now.step - begin.step > insns ? now.step - insns : begin.step, 0 };
	uint64_t every = (now.step - h->from.step) / (looks ? looks : 1);
	h->at = xcalloc((size_t)(looks + looks / 2 + 64) * r->m->config.cpus, sizeof *h->at);
	rng_init(&rng, 1, "hotspots");
	go(t, branch, h->from);
	for (unsigned i = 0; i < r->m->config.cpus; i++)
		last[i] = r->m->cpu[i]->ledger.now;
	while (h->looks < looks + looks / 2 && !(stop && h->looks % 64 == 63 && stop(who))) {
		uint64_t by = every ? every / 2 + rng_u64(&rng) % (every + 1) : 1, at = timeline_now(t).step + (by ? by : 1);
		if (at > now.step)
			break;
		go(t, branch, (struct moment){ at, 0 });
		look(h, r->m, last);
	}
	h->to = timeline_now(t);
	timeline_switch(t, branch, now);
	merge(h);
}

void hotspots_fini(struct hotspots *h)
{
	free(h->at);
	memset(h, 0, sizeof *h);
}

cycle_t hotspots_at(const struct hotspots *h, unsigned acct, uint64_t from, uint64_t to)
{
	cycle_t sum = 0;
	for (size_t i = 0; i < h->n; i++)
		if (h->at[i].acct == acct && h->at[i].lin >= from && h->at[i].lin < to)
			sum += h->at[i].cycles;
	return sum;
}

const struct symtab *hotspots_symbols(const struct machine *m, unsigned acct)
{
	unsigned vm = acct >= ACCT_GUEST ? (acct - ACCT_GUEST) / 2 : 0;
	return vm && vm <= m->guests ? m->guest[vm - 1]->symbols : m->symbols;
}
