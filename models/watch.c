/* watch.c - see watch.h. */
#include "models/watch.h"

#include "models/machine.h"

/* ---- the set ---- */

/* Pages of RAM that some watch looks at have PAGE_WATCH, no others. */
static void mark_pages(struct watches *s, const struct watch *w, bool on)
{
	struct mem *mem = &s->m->mem;
	for (uint64_t page = w->first & PAGE_MASK; page <= w->last; page += PAGE_SIZE) {
		uint8_t *flags = mem_flags(mem, HPA(page));
		if (on)
			mem_flag_set(mem, HPA(page), PAGE_WATCH);
		else if (flags)
			*flags &= (uint8_t)~PAGE_WATCH;
	}
}

static void changed(struct watches *s)
{
	s->physical = s->linear = 0;
	for (unsigned i = 0; i < s->n; i++) {
		const struct watch *w = &s->at[i];
		s->physical += w->space != WATCH_LINEAR;
		s->linear += w->space != WATCH_HOST;
		if (w->space != WATCH_LINEAR)
			mark_pages(s, w, true);
	}
	for (unsigned i = 0; i < s->m->config.cpus; i++)
		mmu_drop_soft(&s->m->cpu[i]->mmu);
}

uint32_t watch_add(struct watches *s, const struct watch *w)
{
	if (s->n == WATCHES_MAX)
		return 0;
	s->at[s->n] = *w;
	s->at[s->n++].id = ++s->next_id;
	changed(s);
	return s->next_id;
}

bool watch_remove(struct watches *s, uint32_t id)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (s->at[i].id != id)
			continue;
		if (s->at[i].space != WATCH_LINEAR)
			mark_pages(s, &s->at[i], false);
		for (s->n--; i < s->n; i++)
			s->at[i] = s->at[i + 1];
		changed(s);
		return true;
	}
	return false;
}

const char *watch_by_text(enum watch_by by)
{
	static const char *const text[] = {
		[WATCH_BY_INSTRUCTION] = "an instruction", [WATCH_BY_WALK] = "a page walk", [WATCH_BY_DEVICE] = "a device",
		[WATCH_BY_VMM] = "the VMM", [WATCH_BY_CPU] = "the CPU itself",
	};
	return text[by];
}

/* ---- accesses ---- */

static void tell(struct watches *s, const struct watch *w, struct watch_access a)
{
	uint64_t last = a.address + a.size - 1;
	if (s->quiet || !s->hit || !s->m->in_run || !(w->access & (a.write ? WATCH_WRITE : WATCH_READ)) || a.address > w->last || last < w->first)
		return;
	if (a.address < w->first)
		a.address = w->first;
	a.size = (unsigned)((last < w->last ? last : w->last) - a.address + 1);
	s->hit(s->hit_who, w, &a);
}

void watch_physical(struct watches *s, hpa_t pa, unsigned len, bool write, enum mem_by by)
{
	const struct cpu *c = s->m->cpu[s->m->s.running];
	const struct watch_access a = {
		.cpu = c->number, .address = pa.v, .size = len, .write = write,
		.by = by == MEM_BY_CPU ? WATCH_BY_INSTRUCTION : by == MEM_BY_WALKER ? WATCH_BY_WALK : s->m->in_device ? WATCH_BY_DEVICE :
		      cpu_root_modelled(c) ? WATCH_BY_VMM : WATCH_BY_CPU,
	};
	for (unsigned i = 0; i < s->n; i++)
		if (s->at[i].space == WATCH_HOST || (s->at[i].space == WATCH_GUEST && !c->mmu.guest.ept))
			tell(s, &s->at[i], a);
}

bool watch_page(void *who, const struct mmu *m, uint64_t lin)
{
	const struct watches *s = who;
	const uint64_t page = lin & PAGE_MASK;
	for (unsigned i = 0; i < s->n; i++) {
		const struct watch *w = &s->at[i];
		if (w->space == WATCH_LINEAR ? page <= w->last && page + (PAGE_SIZE - 1) >= w->first : w->space == WATCH_GUEST && m->guest.ept)
			return true;
	}
	return false;
}

void watch_walk(void *who, const struct mmu *m, gpa_t gpa, unsigned size, bool write)
{
	struct watches *s = who;
	for (unsigned i = 0; i < s->n; i++)
		if (s->at[i].space == WATCH_GUEST)
			tell(s, &s->at[i], (struct watch_access){ .cpu = m->cpu, .address = gpa.v, .size = size, .write = write, .by = WATCH_BY_WALK });
}

void watch_linear(void *who, const struct mmu *m, uint64_t lin, hpa_t pa, unsigned size, bool write)
{
	struct watches *s = who;
	const struct watch_access a = { .cpu = m->cpu, .address = lin, .size = size, .write = write, .by = WATCH_BY_INSTRUCTION };
	(void)pa;
	for (unsigned i = 0; i < s->n; i++) {
		const struct watch *w = &s->at[i];
		struct walk_record rec;
		if (w->space == WATCH_LINEAR && (!w->vm || w->vm == machine_vm_on(s->m, s->m->cpu[m->cpu]))) {
			tell(s, w, a);
		} else if (w->space == WATCH_GUEST && m->guest.ept && mmu_peek(m, lin, &rec)) {
			struct watch_access there = a;
			there.address = rec.gpa.v;
			tell(s, w, there);
		}
	}
}
