/* point.c - gdb's break- and watchpoints.
 *
 * Nothing is written into the guest's code: software and hardware breakpoints are the same here. */
#include <stdio.h>
#include <string.h>

#include "ui/gdb/stub.h"
#include "ui/session/stops.h"

static struct point *find(struct gdb *g, enum point_type type, uint64_t address, uint32_t length)
{
	for (unsigned i = 0; i < g->points; i++)
		if (g->point[i].type == type && g->point[i].address == address && (type <= POINT_HARDWARE || g->point[i].length == length))
			return &g->point[i];
	return NULL;
}

int point_set(struct gdb *g, enum point_type type, uint64_t address, uint32_t length, struct err *e)
{
	static const unsigned access[POINT_TYPES] = { [POINT_WRITE] = STOP_WRITE, [POINT_READ] = STOP_READ, [POINT_ACCESS] = STOP_READ | STOP_WRITE };
	static const enum stop_space space[] = { [VIEW_LINEAR] = STOP_GVA, [VIEW_GUEST_PHYSICAL] = STOP_GPA, [VIEW_HOST_PHYSICAL] = STOP_HPA };
	struct run *r = view_run(&g->view);
	struct point p = { .type = (uint8_t)type, .length = length, .address = address };
	if (find(g, type, address, length))
		return 1;
	if (g->points == POINTS_MAX)
		return err_set(e, NULL, NULL, "there are %d break- and watchpoints already", POINTS_MAX);
	if (type <= POINT_HARDWARE)
		p.id = stops_add_break(r, address, -1, e);
	else
		p.id = stops_add_memory(r, space[g->memory], address, length, access[type], e);
	if (!p.id)
		return -1;
	g->point[g->points++] = p;
	return 1;
}

static void drop(struct gdb *g, struct point *p)
{
	stops_remove(g->r, p->id);
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
	const struct stop_hit *hit = stops_hit(g->r);
	memset(h, 0, sizeof *h);
	h->cpu = g->r->m->s.running;
	if (!hit)
		return false;
	h->cpu = hit->cpu;
	snprintf(h->why, sizeof h->why, "%s", hit->why);
	for (unsigned i = 0; i < g->points; i++)
		if (g->point[i].id == hit->id) {
			h->point = g->point[i];
			h->own = true;
		}
	return true;
}
