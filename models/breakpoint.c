/* breakpoint.c - see breakpoint.h. */
#include "models/breakpoint.h"

#include <string.h>

#include "models/cpu/block.h"
#include "models/machine.h"

uint32_t breakpoint_add(struct breakpoints *b, uint64_t lin, int cpu)
{
	if (b->n == BREAKPOINTS_MAX)
		return 0;
	b->at[b->n++] = (struct breakpoint){ .lin = lin, .id = ++b->next_id, .cpu = cpu };
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

static struct break_position position(const struct cpu *c, uint64_t lin)
{
	return (struct break_position){ true, lin, c->s.icount, c->ledger.now };
}

void breakpoints_pass(struct breakpoints *b)
{
	for (unsigned i = 0; i < b->m->config.cpus; i++)
		b->passed[i] = position(b->m->cpu[i], block_linear(b->m->cpu[i]));
}

void breakpoints_forget(struct breakpoints *b)
{
	b->hit_id = 0;
	memset(b->passed, 0, sizeof b->passed);
}

static bool hit(struct breakpoints *b, struct cpu *c, uint64_t lin)
{
	for (unsigned i = 0; i < b->n; i++) {
		const struct breakpoint *p = &b->at[i];
		if (p->lin != lin || (p->cpu >= 0 && p->cpu != c->number) || (p->vm && p->vm != machine_vm_on(b->m, c)))
			continue;
		b->hit_id = p->id;
		return true;
	}
	b->hit_id = 0;
	return b->insn && b->insn(b->insn_who, c, lin);
}

bool breakpoint_hit(void *who, struct cpu *c, uint64_t lin)
{
	struct breakpoints *b = who;
	const struct break_position *was = &b->passed[c->number], now = position(c, lin);
	if (b->quiet || c->s.flags & RFLAGS_RF)
		return false;
	if (was->set && was->lin == now.lin && was->icount == now.icount && was->now == now.now)
		return false;
	bool begins;
	lin = machine_linear(b->m, c, lin, &begins);
	if (!begins || !hit(b, c, lin))
		return false;
	b->hit_cpu = c->number;
	b->passed[c->number] = now;
	return true;
}
