/* fixture.c - see fixture.h. */
#include "tests/unit/cpu/fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "sim/err.h"

enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, GDT = 0x5000, TSS = 0x5800, IDT = 0x6000, STUBS = 0x8000, RING0_STACK = 0x7f00 };
enum { PTE_ALL = 7 /* present, writable, user */, PTE_LARGE = 0x80 };

static void sink(void *who, const struct trace_record *r)
{
	struct fixture *f = who;
	if (r->event != CPU_TRACE_EXCEPTION)
		return;
	f->vector = (int)r->a[0];
	f->error = (uint32_t)r->a[1];
	f->fault_rip = r->a[2];
}

static void code_written(void *who, hpa_t pa, unsigned len)
{
	struct fixture *f = who;
	cpu_code_written(f->cpu, pa, len);
}

static void monitored(void *who, hpa_t pa, unsigned len)
{
	struct fixture *f = who;
	cpu_monitor_written(f->cpu, pa, len);
}

static void drop_writable(void *who, hpa_t page)
{
	struct fixture *f = who;
	mmu_drop_writable(&f->cpu->mmu, page);
}

static void put64(struct fixture *f, uint64_t pa, uint64_t v)
{
	memcpy(fixture_at(f, pa), &v, sizeof v);
}

static void tables(struct fixture *f, bool is64)
{
	static const uint64_t gdt[] = {
		0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x000f9b000000ffff,
		0x00affb000000ffff, 0x00cff3000000ffff, 0x00cffb000000ffff,
	};
	memcpy(fixture_at(f, GDT), gdt, sizeof gdt);
	for (unsigned v = 0; v < 32; v++) {
		uint64_t at = STUBS + 16 * v;
		*(uint8_t *)fixture_at(f, at) = 0xf4;
		uint64_t gate = (at & 0xffff) | (is64 ? 0x08ull : 0x18ull) << 16 | 0x8e00ull << 32 | (at >> 16) << 48;
		put64(f, IDT + v * (is64 ? 16 : 8), gate);
	}
	if (is64) {
		put64(f, TSS + 4, RING0_STACK);
	} else {
		put64(f, TSS + 4, RING0_STACK | 0x10ull << 32);
	}
	put64(f, PML4, PDPT | PTE_ALL);
	put64(f, PDPT, PD | PTE_ALL);
	for (uint64_t i = 0; i < FIXTURE_RAM >> 21; i++)
		put64(f, PD + 8 * i, i << 21 | PTE_ALL | PTE_LARGE);
}

static void protected_mode(struct fixture *f, bool is64)
{
	struct cpu_state *s = &f->cpu->s;
	const struct seg data = { .sel = 0x10, .limit = 0xffffffff, .attr = SEG_G | SEG_DB | SEG_P | SEG_S | 3 };
	tables(f, is64);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s->seg[i] = data;
	s->seg[SEG_CS].sel = is64 ? 0x08 : 0x18;
	s->seg[SEG_CS].attr = SEG_G | (is64 ? SEG_L : SEG_DB) | SEG_P | SEG_S | 11;
	s->seg[SEG_TR] = (struct seg){ .sel = 0x40, .base = TSS, .limit = 0x67, .attr = SEG_P | 11 };
	s->gdtr = (struct dtr){ .base = GDT, .limit = 0x3f };
	s->idtr = (struct dtr){ .base = IDT, .limit = 32 * (is64 ? 16 : 8) - 1 };
	s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_MP | (is64 ? CR0_PG | CR0_WP : 0);
	s->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | (is64 ? CR4_PAE : 0);
	if (is64) {
		s->cr3 = PML4;
		s->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	}
	s->r[R_RSP] = FIXTURE_STACK;
}

static void real_mode(struct fixture *f)
{
	struct cpu_state *s = &f->cpu->s;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s->seg[i] = (struct seg){ .limit = 0xffff, .attr = SEG_P | SEG_S | 3 };
	s->seg[SEG_CS].sel = FIXTURE_CODE >> 4;
	s->seg[SEG_CS].base = FIXTURE_CODE;
	s->idtr = (struct dtr){ .base = 0, .limit = 0x3ff };
	for (unsigned v = 0; v < 32; v++) {
		*(uint8_t *)fixture_at(f, STUBS + 16 * v) = 0xf4;
		uint32_t vector = STUBS + 16 * v;       /* segment 0 */
		memcpy(fixture_at(f, 4 * v), &vector, 4);
	}
	s->cr0 = CR0_ET;
	s->r[R_RSP] = 0xfff0;
}

struct fixture *fixture_new(enum fixture_mode mode)
{
	struct err e = { "" };
	struct fixture *f = xcalloc(1, sizeof *f);
	profile_defaults(&f->profile);
	trace_init(&f->trace, 1024);
	trace_component(&f->trace, "cpu0");
	trace_rows(&f->trace, TRACE_CPU, cpu_trace_rows, cpu_trace_rows_n);
	cr_assert_eq(mem_init(&f->mem, FIXTURE_RAM, &e), 0, "%s", e.text);
	f->caches = caches_new(&f->profile, 1, &e);
	cr_assert_not_null(f->caches, "%s", e.text);
	f->cpu = cpu_new(0, &f->mem, &f->profile, f->caches, &f->trace, &f->evq, &e);
	cr_assert_not_null(f->cpu, "%s", e.text);
	f->cpu->lapic = lapic_new(f->cpu, &f->evq, &f->cpu->apic);
	f->mem.code_written = code_written;
	f->mem.monitored = monitored;
	f->mem.drop_writable = drop_writable;
	f->mem.who = f;
	cpu_reset(f->cpu, false);
	if (mode == FIXTURE_REAL16)
		real_mode(f);
	else
		protected_mode(f, mode == FIXTURE_LONG64);
	f->cpu->s.rip = mode == FIXTURE_REAL16 ? 0 : FIXTURE_CODE;
	cpu_restored(f->cpu);
	cr_assert_eq(trace_listen(&f->trace, "exception", sink, f, &e), 0, "%s", e.text);
	f->vector = -1;
	return f;
}

void fixture_free(struct fixture *f)
{
	lapic_free(f->cpu->lapic);
	cpu_free(f->cpu);
	caches_free(f->caches);
	mem_fini(&f->mem);
	trace_fini(&f->trace);
	free(f);
}

void fixture_code(struct fixture *f, const void *bytes, unsigned n)
{
	mem_write(&f->mem, HPA(FIXTURE_CODE), bytes, n);
	f->cpu->s.rip = f->cpu->s.mode == MODE_REAL16 ? 0 : FIXTURE_CODE;
	f->cpu->s.activity = ACTIVITY_ACTIVE;
	block_forget(f->cpu);
}

void fixture_ring3(struct fixture *f)
{
	struct cpu_state *s = &f->cpu->s;
	bool is64 = s->mode == MODE_LONG64;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		s->seg[i].attr |= 3 << 5;
		s->seg[i].sel = 0x33;
	}
	s->seg[SEG_CS].sel = is64 ? 0x2b : 0x3b;
	s->cpl = 3;
	cpu_restored(f->cpu);
}

int fixture_run(struct fixture *f, uint64_t n)
{
	f->vector = -1;
	cpu_run(f->cpu, NEVER, n);
	return f->vector;
}
