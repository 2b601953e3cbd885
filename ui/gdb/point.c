/* point.c - gdb's break- and watchpoints.
 *
 * Nothing is written into the guest's code: software and hardware breakpoints are the same here. */
#include <stdio.h>
#include <string.h>

#include "models/breakpoint.h"
#include "models/cpu/block.h"
#include "models/vmm/vmm.h"
#include "ui/gdb/stub.h"

static struct point *find(struct gdb *g, enum point_type type, uint64_t address, uint32_t length)
{
	for (unsigned i = 0; i < g->points; i++)
		if (g->point[i].type == type && g->point[i].address == address && (type <= POINT_HARDWARE || g->point[i].length == length))
			return &g->point[i];
	return NULL;
}

static void count(struct gdb *g, int change)
{
	for (unsigned i = 0; i < g->r->m->config.cpus; i++)
		g->r->m->cpu[i]->breakpoints = (uint8_t)(g->r->m->cpu[i]->breakpoints + change);
}

int point_set(struct gdb *g, enum point_type type, uint64_t address, uint32_t length, struct err *e)
{
	if (type > POINT_HARDWARE)
		return 0;
	if (find(g, type, address, length))
		return 1;
	if (g->points == 200)
		return err_set(e, NULL, NULL, "there are %u break- and watchpoints already", g->points);
	uint32_t id = breakpoint_add(g->r->m->breakpoints, address, -1);
	if (!id)
		return err_set(e, NULL, NULL, "no room for another breakpoint");
	count(g, 1);
	g->point[g->points++] = (struct point){ .type = (uint8_t)type, .vm = (uint8_t)g->view.vm, .length = length, .id = id,
	                                        .address = address };
	return 1;
}

static void drop(struct gdb *g, struct point *p)
{
	breakpoint_remove(g->r->m->breakpoints, p->id);
	count(g, -1);
	*p = g->point[--g->points];
}

void point_unset(struct gdb *g, enum point_type type, uint64_t address, uint32_t length)
{
	struct point *p = find(g, type, address, length);
	if (p)
		drop(g, p);
}

void points_clear(struct gdb *g)
{
	while (g->points)
		drop(g, &g->point[g->points - 1]);
}

bool points_watch(const struct gdb *g)
{
	for (unsigned i = 0; i < g->points; i++)
		if (g->point[i].type > POINT_HARDWARE)
			return true;
	return false;
}

bool point_hit(struct gdb *g, struct point_hit *h)
{
	const struct breakpoints *b = g->r->m->breakpoints;
	memset(h, 0, sizeof *h);
	h->cpu = b->hit_id ? b->hit_cpu : g->r->m->s.running;   /* 0: time has been travelled since */
	for (unsigned i = 0; i < g->points; i++)
		if (b->hit_id ? g->point[i].id == b->hit_id : g->point[i].address == block_linear(g->r->m->cpu[h->cpu]))
			h->point = &g->point[i];
	const struct cpu *c = g->r->m->cpu[h->cpu];
	return !h->point || !h->point->vm || (c->vmx.guest && c->vmx.vm == h->point->vm);
}
