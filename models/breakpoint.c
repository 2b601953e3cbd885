/* breakpoint.c - see breakpoint.h. */
#include "models/breakpoint.h"

uint32_t breakpoint_add(struct breakpoints *b, uint64_t lin, int cpu)
{
	if (b->n == BREAKPOINTS_MAX)
		return 0;
	b->at[b->n++] = (struct breakpoint){ lin, ++b->next_id, cpu };
	return b->next_id;
}

bool breakpoint_remove(struct breakpoints *b, uint32_t id)
{
	for (unsigned i = 0; i < b->n; i++) {
		if (b->at[i].id != id)
			continue;
		for (b->n--; i < b->n; i++)
			b->at[i] = b->at[i + 1];
		return true;
	}
	return false;
}

bool breakpoint_hit(void *who, struct cpu *c, uint64_t lin)
{
	struct breakpoints *b = who;
	for (unsigned i = 0; i < b->n; i++) {
		const struct breakpoint *p = &b->at[i];
		if (p->lin != lin || (p->cpu >= 0 && p->cpu != c->number))
			continue;
		if (b->hit_id == p->id && b->hit_cpu == c->number && b->hit_icount == c->s.icount)
			continue;       /* it stopped us here already */
		b->hit_id = p->id;
		b->hit_cpu = c->number;
		b->hit_icount = c->s.icount;
		return true;
	}
	return false;
}
