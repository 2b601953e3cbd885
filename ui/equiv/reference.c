/* reference.c - see reference.h. All its pages are watched (models/watch.h), so that every access takes the way on which somebody
 * is told; nothing else is different from a bare machine in `fast` speed. */
#include "ui/equiv/reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/decode.h"
#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/mmu/pte.h"

#define ACCESSED_DIRTY (PTE_A | PTE_D)

void spans_add(struct spans *s, uint64_t gpa, uint32_t len, uint64_t value)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 64;
		s->at = xrealloc(s->at, s->room * sizeof *s->at);
	}
	s->at[s->n++] = (struct span){ gpa, value, len };
}

void accesses_add(struct accesses *s, const struct access *a)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 64;
		s->at = xrealloc(s->at, s->room * sizeof *s->at);
	}
	s->at[s->n++] = *a;
}

/* ---- entries of page tables ---- */

static bool in_table(const struct reference *r, uint64_t gpa)
{
	int64_t off = mem_offset(&r->m->mem, HPA(gpa));
	return off >= 0 && r->tables[off >> 5] >> (off >> 2 & 7) & 1;
}

void reference_table(struct reference *r, uint64_t gpa)
{
	int64_t off = mem_offset(&r->m->mem, HPA(gpa));
	if (off >= 0)
		r->tables[off >> 5] |= (uint8_t)(1u << (off >> 2 & 7));
}

/* The guest reads its tables: it is to find the flags that the run under test found. */
static void same_flags(struct reference *r, uint64_t gpa, unsigned len)
{
	for (uint64_t at = gpa & ~3ull; at < gpa + len; at += 4) {
		uint8_t *mine = mem_ptr(&r->m->mem, HPA(at));
		if (!mine || !in_table(r, at))
			continue;
		for (size_t i = r->test_reads.n; i-- > 0;) {
			const struct span *s = &r->test_reads.at[i];
			if (at < s->gpa || at >= s->gpa + s->len)
				continue;
			uint8_t found = (uint8_t)(s->value >> 8 * (at - s->gpa));
			if (!((*mine ^ found) & ~ACCESSED_DIRTY))
				*mine = found;
			break;
		}
	}
}

/* ---- hooks ---- */

static void remember(struct reference *r, hpa_t pa, unsigned len)
{
	if (r->old_n + len > r->old_room) {
		r->old_room = 2 * (r->old_n + len) + 4096;
		r->old = xrealloc(r->old, r->old_room);
	}
	memcpy(r->old + r->old_n, mem_ptr(&r->m->mem, pa), len);
	r->old_n += len;
}

/* Writes before the bytes change. */
static void on_memory(void *who, hpa_t pa, unsigned len, bool write, enum mem_by by)
{
	struct reference *r = ((struct machine *)who)->look_who;
	if (r->quiet)
		return;
	if (write) {
		remember(r, pa, len);
		spans_add(&r->writes, pa.v, len, by == MEM_BY_WALKER);
	} else if (by == MEM_BY_WALKER) {
		reference_table(r, pa.v);
	} else {
		same_flags(r, pa.v, len);
	}
}

static void otherwise(struct reference *r, const char *what, uint64_t addr, uint64_t mine, uint64_t tests)
{
	if (r->other)
		return;
	r->other = true;
	snprintf(r->other_name, sizeof r->other_name, "%s %#" PRIx64, what, addr);
	r->other_reference = mine;
	r->other_test = tests;
}

/* What the VM's devices saw next, if it is this kind of space. */
static struct access *next(struct reference *r, bool memory)
{
	while (r->seen.used < r->seen.n && r->seen.at[r->seen.used].memory != memory)
		r->seen.used++;
	return r->seen.used < r->seen.n ? &r->seen.at[r->seen.used] : NULL;
}

static bool is(const struct access *a, uint64_t addr, unsigned size, bool write)
{
	return a && a->addr == addr && a->size == size && a->write == write;
}

static uint64_t port_read(void *who, uint64_t addr, unsigned size, struct io_at *at)
{
	struct reference *r = who;
	struct access *a = next(r, false);
	(void)at;
	if (!is(a, addr, size, false)) {
		otherwise(r, "read of port", addr, size, a ? a->addr : 0);
		return ~0ull;
	}
	r->accesses++;
	r->seen.used++;
	return a->value;
}

static void port_write(void *who, uint64_t addr, unsigned size, uint64_t v, struct io_at *at)
{
	struct reference *r = who;
	struct access *a = next(r, false);
	(void)at;
	if (!is(a, addr, size, true) || ((a->value ^ v) & MASK(8 * size))) {
		otherwise(r, "write to port", addr, v, a ? a->value : 0);
		return;
	}
	r->accesses++;
	r->seen.used++;
}

/* Local APICs that the hardware virtualizes are not seen on the VM's wires. */
static uint64_t device_read(void *who, uint64_t addr, unsigned size, struct io_at *at)
{
	struct reference *r = who;
	struct access *a = next(r, true);
	(void)at;
	if (!is(a, addr, size, false)) {
		r->adopt = true;
		return 0;
	}
	r->accesses++;
	r->seen.used++;
	return a->value;
}

static void device_write(void *who, uint64_t addr, unsigned size, uint64_t v, struct io_at *at)
{
	struct reference *r = who;
	struct access *a = next(r, true);
	if (lapic_owns(r->c->lapic, addr) && (addr & 0xfff) == 0x80)
		lapic_mmio_write(r->c->lapic, 0x80, (uint32_t)v);       /* CR8 shows it */
	(void)at;
	if (!is(a, addr, size, true))
		return;
	if ((a->value ^ v) & MASK(8 * size))
		otherwise(r, "write to device memory", addr, v, a->value);
	r->accesses++;
	r->seen.used++;
}

/* ---- stepping ---- */

void reference_begin(struct reference *r)
{
	r->before = r->c->s;
	r->writes.n = r->old_n = r->seen.used = 0;
	r->adopt = r->other = false;
}

void reference_back(struct reference *r)
{
	size_t end = r->old_n;
	for (size_t i = r->writes.n; i-- > 0;) {
		const struct span *s = &r->writes.at[i];
		end -= s->len;
		r->quiet = true;
		mem_write(&r->m->mem, HPA(s->gpa), r->old + end, s->len);
		r->quiet = false;
	}
	r->c->s = r->before;
	cpu_restored(r->c);
	reference_begin(r);
}

bool reference_step(struct reference *r)
{
	struct cpu *c = r->c;
	c->stop_request = 0;
	c->look_at = 0;                 /* it comes back at each boundary */
	return cpu_run(c, NEVER, 0) != STOP_HALTED;
}

void reference_interrupt(struct reference *r, uint8_t vector, bool rf)
{
	struct cpu *c = r->c;
	if (c->attention) {             /* what ended with the instruction before ends now; a code breakpoint would come after the interrupt */
		const uint64_t breakpoints = c->s.dr[7] & 0xff;
		c->s.dr[7] ^= breakpoints;
		(void)cpu_service(c);
		c->s.dr[7] |= breakpoints;
	}
	cpu_wake(c);
	block_forget(c);
	c->s.flags |= rf ? RFLAGS_RF : 0;
	cpu_deliver(c, &(struct cpu_event){ .vector = vector, .type = EVENT_EXTERNAL });
}

void reference_adopt(struct reference *r, const struct seen *t)
{
	struct cpu *c = r->c;
	const uint8_t order[16] = { R_RAX, R_RBX, R_RCX, R_RDX, R_RSI, R_RDI, R_RBP, R_RSP, R_R8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14, R_R15 };
	for (unsigned i = 0; i < 16; i++)
		c->s.r[order[i]] = t->at[SEEN_RAX + i];
	cpu_set_rflags(c, t->at[SEEN_RFLAGS], RFLAGS_STATUS);
}

void reference_halves(struct reference *r, const struct cpu_state *test)
{
	for (unsigned i = 0; i < 16; i++)
		r->c->s.r[i] = i < 8 ? (r->c->s.r[i] & MASK(32)) | (test->r[i] & ~MASK(32)) : test->r[i];
}

void reference_done(struct reference *r)
{
	r->test_reads.n = r->test_writes.n = r->dma.n = r->seen.n = 0;
}

/* ---- memory ---- */

void reference_copy(struct reference *r, const struct spans *what, const struct mem *from)
{
	r->quiet = true;
	for (size_t i = 0; i < what->n; i++) {
		const uint8_t *p = mem_ptr(from, HPA(what->at[i].gpa));
		if (p)
			mem_write(&r->m->mem, HPA(what->at[i].gpa), p, what->at[i].len);
	}
	r->quiet = false;
}

/* Eight bytes at most, from the first that differs. */
static bool bytes_differ(const struct reference *r, const struct mem *test, uint64_t gpa, uint32_t len, uint64_t *at, uint64_t *mine, uint64_t *tests)
{
	const uint8_t *a = mem_ptr(&r->m->mem, HPA(gpa)), *b = mem_ptr(test, HPA(gpa));
	if (!a || !b || memcmp(a, b, len) == 0)
		return false;
	for (uint32_t i = 0; i < len; i++) {
		uint8_t x = a[i] ^ b[i];
		if (!x || (!(x & ~ACCESSED_DIRTY) && !((gpa + i) & 3) && in_table(r, gpa + i)))
			continue;
		*at = gpa + i;
		*mine = *tests = 0;
		for (uint32_t k = 0; k < 8 && i + k < len; k++) {
			*mine |= (uint64_t)a[i + k] << 8 * k;
			*tests |= (uint64_t)b[i + k] << 8 * k;
		}
		return true;
	}
	return false;
}

/* A VMM sets an accessed flag when it reads an entry for its own tables, before the guest's next fetch would have. */
static bool only_flags(const struct reference *r, const struct mem *test, const struct span *s)
{
	const uint8_t *a = mem_ptr(&r->m->mem, HPA(s->gpa)), *b = mem_ptr(test, HPA(s->gpa));
	return (s->len == 4 || s->len == 8) && !(s->gpa % s->len) && a && b && *a & PTE_P && !((*a ^ *b) & ~ACCESSED_DIRTY) &&
	       memcmp(a + 1, b + 1, s->len - 1) == 0;
}

bool reference_memory_differs(struct reference *r, const struct mem *test, uint64_t *gpa, uint64_t *mine, uint64_t *tests)
{
	for (size_t i = 0; i < r->writes.n; i++)
		if (bytes_differ(r, test, r->writes.at[i].gpa, r->writes.at[i].len, gpa, mine, tests))
			return true;
	for (size_t i = 0; i < r->test_writes.n; i++) {
		const struct span *s = &r->test_writes.at[i];
		if (!bytes_differ(r, test, s->gpa, s->len, gpa, mine, tests))
			continue;
		if (!only_flags(r, test, s))
			return true;
		reference_table(r, s->gpa);
	}
	return false;
}

bool reference_all_differs(const struct reference *r, const struct mem *test, uint64_t *gpa, uint64_t *mine, uint64_t *tests)
{
	const struct mem *m = &r->m->mem;
	for (uint64_t off = 0; off < m->ram_size; off += PAGE_SIZE) {
		uint64_t at = off < m->low_size ? off : off - m->low_size + MEM_HIGH;
		if (mem_ptr(m, HPA(at)) && bytes_differ(r, test, at, PAGE_SIZE, gpa, mine, tests))
			return true;
	}
	return false;
}

/* ---- life ---- */

struct reference *reference_new(const struct machine *guest, const struct cpu *model, const struct boot_image *image, struct err *e)
{
	struct machine_config k = guest->config;
	k.profile.trap_critical = k.profile.trap_umip = 0;      /* what the guest is to believe it runs on */
	k.fast = true;
	k.trace_ring = 16;
	struct machine *m = machine_new(&k, e);
	if (!m)
		return NULL;
	struct reference *r = xcalloc(1, sizeof *r);
	r->m = m;
	r->c = m->cpu[0];
	/* the virtual CPU does not have all of the real one */
	memcpy(r->c->hidden, model->hidden, sizeof r->c->hidden);
	cpuid_init(r->c);
	decoder_free(r->c->decoder);
	r->c->decoder = decoder_new(r->c);
	if (machine_boot(m, image, e) != 0) {
		reference_free(r);
		return NULL;
	}
	r->tables = xcalloc(1, k.ram / 32 + 1);
	m->look_who = r;
	m->mem.watched = on_memory;
	m->mem.watching = true;
	for (uint64_t page = 0; page < k.ram >> PAGE_SHIFT; page++)
		m->mem.flags[page] |= PAGE_WATCH;
	m->mem.mmio = (struct io_wire){ device_read, device_write, r };
	r->c->port = (struct io_wire){ port_read, port_write, r };
	return r;
}

void reference_free(struct reference *r)
{
	if (!r)
		return;
	machine_free(r->m);
	struct spans *spans[] = { &r->test_reads, &r->test_writes, &r->dma, &r->writes };
	for (size_t i = 0; i < ARRAY_LEN(spans); i++)
		free(spans[i]->at);
	free(r->seen.at);
	free(r->old);
	free(r->tables);
	free(r);
}
