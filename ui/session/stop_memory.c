/* stop_memory.c - stops at addresses: before an instruction, after an access. They hang on models/breakpoint and models/watch.
 *
 * A virtual machine's memory is one piece of the host's, so its gpa are watched as the hpa they are: whoever reaches them is
 * seen, the VMM and its device models too. Its gva are looked at as instructions use them, while it runs. */
#include <inttypes.h>
#include <string.h>

#include "models/breakpoint.h"
#include "models/watch.h"
#include "ui/session/stops_impl.h"

#define BYTES_MAX (1u << 24)

/* ---- break ---- */

bool stop_arm_break(struct stops *k, struct stopper *p, bool on, struct err *e)
{
	struct breakpoints *b = k->r->m->breakpoints;
	if (!on)
		return breakpoint_remove(b, p->model_id);
	p->model_id = breakpoint_add(b, p->lin, p->cpu);
	if (!p->model_id)
		return err_set(e, NULL, NULL, "there are %d breakpoints already: delete one", BREAKPOINTS_MAX) == 0;
	b->at[b->n - 1].vm = p->vm;
	return true;
}

int stop_break(struct stops *k, struct run *r, struct stopper *p, const char *operands, struct err *e)
{
	char word[96];
	(void)k;
	stop_word(&operands, word, sizeof word);
	if (*operands)
		return err_set(e, NULL, "as in: break main+4", "'%s': expected one address or symbol", operands);
	p->arm = stop_arm_break;
	return stop_address(r, word, &p->lin, e);
}

/* ---- watch ---- */

uint64_t stop_read(const struct machine *m, uint64_t pa, unsigned n)
{
	uint64_t v = 0;
	mem_peek(&m->mem, HPA(pa), &v, n);
	return v;
}

/* Guest-physical, of a host-physical address in its memory. */
static uint64_t to_guest(const struct machine *g, uint64_t hpa)
{
	uint64_t off = (uint64_t)(mem_offset(&g->host->mem, HPA(hpa)) - mem_offset(&g->host->mem, g->base));
	return off < g->mem.low_size ? off : off - g->mem.low_size + MEM_HIGH;
}

static void on_hit(void *who, const struct watch *w, const struct watch_access *a)
{
	static const char *const spaces[] = { "gva", "gpa", "hpa" };
	struct stops *k = who;
	struct machine *m = k->r->m;
	for (size_t i = 0; i < k->n; i++) {
		struct stopper *p = k->at[i];
		if (p->s.off || p->model_id != w->id || p->s.kind < STOP_KIND_WATCH || p->s.kind > STOP_KIND_AWATCH)
			continue;
		const struct machine *g = p->vm ? m->guest[p->vm - 1] : NULL;
		bool first = !k->any;
		struct walk_record rec;
		uint64_t pa = a->address;
		bool known = w->space == WATCH_HOST;
		if (w->space == WATCH_LINEAR || (w->space == WATCH_GUEST && m->cpu[a->cpu]->mmu.guest.ept)) {
			hpa_t hpa = HPA(0);
			known = w->space == WATCH_LINEAR ? mmu_peek(&m->cpu[a->cpu]->mmu, pa, &rec) :
			                                   mmu_peek_gpa(&m->cpu[a->cpu]->mmu, GPA(pa), &hpa, NULL);
			pa = w->space == WATCH_LINEAR ? rec.hpa.v : hpa.v;
		} else {
			known = true;
		}
		/* the object watched when it is small, else as much of it as the access began at */
		uint64_t begin = w->last - w->first < 8 && (w->first & PAGE_MASK) == (a->address & PAGE_MASK) ? w->first : a->address;
		unsigned n = w->last - begin < 8 ? (unsigned)(w->last - begin + 1) : 8;
		if (n > PAGE_SIZE - (begin & 0xfff))
			n = (unsigned)(PAGE_SIZE - (begin & 0xfff));
		pa -= a->address - begin;
		struct stop_hit h = { .cpu = a->cpu, .access = a->write ? STOP_WRITE : STOP_READ,
		                      .address = g && p->space == STOP_GPA ? to_guest(g, a->address) : a->address };
		h.before = known ? stop_read(m, pa, n) : 0;
		stop_sentence_of(&h, p, "%s %s %u byte%s at %s:%#" PRIx64, watch_by_text(a->by), a->write ? "wrote" : "read", a->size,
		                 a->size == 1 ? "" : "s", spaces[p->space], h.address);
		stop_note(k, p, &h);
		if (first && k->any && known) {
			k->value.known = true;
			k->value.pa = pa;
			k->value.n = n;
		}
	}
}

static bool arm_watch(struct stops *k, struct stopper *p, bool on, struct err *e)
{
	struct machine *m = k->r->m;
	const struct machine *g = p->vm ? m->guest[p->vm - 1] : NULL;
	if (!on)
		return watch_remove(m->watches, p->model_id);
	struct watch w = { .access = p->access, .first = p->address };
	w.space = p->space == STOP_GVA ? WATCH_LINEAR : p->space == STOP_HPA || g ? WATCH_HOST : WATCH_GUEST;
	if (p->space == STOP_GVA)
		w.vm = p->vm;
	else if (p->space == STOP_GPA && g)
		w.first = g->base.v + (uint64_t)mem_offset(&g->mem, HPA(p->address));
	w.last = w.first + p->n - 1;
	m->watches->hit = on_hit;
	m->watches->hit_who = k;
	p->model_id = watch_add(m->watches, &w);
	if (!p->model_id)
		return err_set(e, NULL, NULL, "there are %d watchpoints already: delete one", WATCHES_MAX) == 0;
	return true;
}

/* Physical addresses: RAM, in one piece. */
static int check_ram(const struct mem *m, const struct stopper *p, struct err *e)
{
	int64_t first = mem_offset(m, HPA(p->address)), last = mem_offset(m, HPA(p->address + p->n - 1));
	if (first >= 0 && last - first == (int64_t)p->n - 1)
		return 0;
	return err_set(e, NULL, "a device's registers: catch mmio_read, catch mmio_write, catch exit.ept_violation", "%u bytes at %s:%#" PRIx64 " are not RAM",
	               p->n, p->space == STOP_HPA ? "hpa" : "gpa", p->address);
}

int stop_set_memory(struct stops *k, struct run *r, struct stopper *p, struct err *e)
{
	p->arm = arm_watch;
	if (!p->n || p->n > BYTES_MAX)
		return err_set(e, NULL, NULL, "%u bytes: expected 1..%u", p->n, BYTES_MAX);
	if (p->address + p->n - 1 < p->address)
		return err_set(e, NULL, NULL, "%u bytes at %#" PRIx64 " go beyond the last address", p->n, p->address);
	if (p->space == STOP_GVA)
		return 0;
	return check_ram(p->space == STOP_HPA ? &k->r->m->mem : &r->m->mem, p, e);
}

int stop_watch(struct stops *k, struct run *r, struct stopper *p, const char *operands, struct err *e)
{
	static const char *const spaces[] = { "gva:", "gpa:", "hpa:" };
	char word[96], bytes[32];
	uint64_t n = 1;
	p->space = STOP_GVA;
	p->access = p->s.kind == STOP_KIND_WATCH ? STOP_WRITE : p->s.kind == STOP_KIND_RWATCH ? STOP_READ : STOP_READ | STOP_WRITE;
	stop_word(&operands, word, sizeof word);
	char *at = word;
	for (unsigned i = 0; i < ARRAY_LEN(spaces); i++)
		if (strncmp(word, spaces[i], 4) == 0) {
			p->space = (enum stop_space)i;
			at += 4;
			break;
		}
	if (at == word && strchr(word, ':'))
		return err_set(e, NULL, "gva: guest-virtual, gpa: guest-physical, hpa: host-physical", "'%s': no such space", word);
	stop_word(&operands, bytes, sizeof bytes);
	if (*operands || (*bytes && !parse_number(bytes, &n)) || n > BYTES_MAX)
		return err_set(e, NULL, "as in: watch gpa:0x1000 8", "'%s%s%s': expected a number of bytes, 1..%u", bytes, *operands ? " " : "", operands, BYTES_MAX);
	p->n = (uint32_t)n;
	if (stop_address(r, at, &p->address, e) != 0)
		return -1;
	return stop_set_memory(k, r, p, e);
}
