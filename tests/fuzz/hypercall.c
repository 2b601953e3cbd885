/* Fuzz target: the hypercalls of a paravirtual guest under pv/direct, with hostile and nearly right arguments, beside another VM.
 *
 * Input: 4 bytes of choices; then records of 10 bytes each. A record is a hypercall or a store of the guest's kernel: byte 0 chooses which,
 * two bytes make each argument: the first says what kind (a number, a frame, an address, an entry ...), the second which.
 * The guest is a few instructions that go through the records; whatever faults is skipped.
 *
 * Afterwards: the counts of all frames equal a recount, no entry of a table leads outside the VM or maps a table writable, the VMM's
 * corner is as it was, no access of guest code lay outside its memory, the other VM's memory is its own, the ledger balances. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/boot/image.h"
#include "models/machine.h"
#include "models/mmu/pte.h"
#include "models/vmm/pv/pv.h"
#include "tests/fuzz/fuzz.h"

enum {
	RAM = 2 << 20, PAGES = RAM >> 12, TABLES = 0x10, START = 0x15, CODE = 0x20, STACK_TOP = 0x31000, REQUESTS = 0x40, LIST = 0x50, LIST_PAGES = 8,
	SPARE = 0x60, RECORD = 48, CYCLES = 3000000, SLICE = 20000,
};
#define BASE64 0xffffffff80000000ull
#define BASE32 0x80000000ull

struct input { const uint8_t *p; size_t n; };

static uint8_t byte(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

PRINTF(1, 2) static void finding(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

/* ---- the guest ---- */

static uint64_t linear(bool wide, uint64_t page) { return (wide ? BASE64 : BASE32) + (page << 12); }

/* rbx: the next record: number, four arguments, where to store. A number of 256 and more is a store. */
static const uint8_t code64[] = {
	0x48, 0x8b, 0x03,                               /* 1: mov (%rbx), %rax */
	0x48, 0x8b, 0x7b, 0x08, 0x48, 0x8b, 0x73, 0x10, /* mov 8(%rbx), %rdi; mov 16(%rbx), %rsi */
	0x48, 0x8b, 0x53, 0x18, 0x4c, 0x8b, 0x53, 0x20, /* mov 24(%rbx), %rdx; mov 32(%rbx), %r10 */
	0x48, 0x83, 0xc3, RECORD,                       /* add $RECORD, %rbx */
	0x3d, 0x00, 0x01, 0x00, 0x00,                   /* cmp $256, %eax */
	0x73, 0x04,                                     /* jae 2f */
	0x0f, 0x05,                                     /* syscall */
	0xeb, 0xde,                                     /* jmp 1b */
	0x48, 0x89, 0x37,                               /* 2: mov %rsi, (%rdi) */
	0xeb, 0xd9,                                     /* jmp 1b */
};
static const uint8_t code32[] = {
	0x8b, 0x45, 0x00,                               /* 1: mov (%ebp), %eax */
	0x8b, 0x5d, 0x08, 0x8b, 0x4d, 0x10,             /* mov 8(%ebp), %ebx; mov 16(%ebp), %ecx */
	0x8b, 0x55, 0x18, 0x8b, 0x75, 0x20,             /* mov 24(%ebp), %edx; mov 32(%ebp), %esi */
	0x83, 0xc5, RECORD,                             /* add $RECORD, %ebp */
	0x3d, 0x00, 0x01, 0x00, 0x00,                   /* cmp $256, %eax */
	0x73, 0x04,                                     /* jae 2f */
	0xcd, 0x82,                                     /* int $0x82 */
	0xeb, 0xe3,                                     /* jmp 1b */
	0x89, 0x0b,                                     /* 2: mov %ecx, (%ebx) */
	0xeb, 0xdf,                                     /* jmp 1b */
};
/* What traps: another stack pointer, and on. */
static const uint8_t trap64[] = { 0x48, 0xc7, 0xc4, 0, 0, 0, 0, 0xe9 };
static const uint8_t trap32[] = { 0xbc, 0, 0, 0, 0, 0xe9 };

struct world { struct machine *m; struct mem *ram; uint64_t base; bool wide; };

static uint64_t argument(const struct world *w, struct input *in)
{
	const uint8_t kind = byte(in), which = byte(in);
	const uint64_t page = which % 0x80, offset = (uint64_t)(which >> 4) * 8, base = w->base;
	switch (kind % 14) {
	case 0: return which;
	case 1: return base / PAGE_SIZE + page;                                 /* a frame of its own */
	case 2: return base / PAGE_SIZE + TABLES + which % 5;                   /* one that is a table */
	case 3: return linear(w->wide, page) + offset;
	case 4: return linear(w->wide, REQUESTS) + (uint64_t)(which & 63) * 16;
	case 5: return base + (page << 12) + 8 * (kind >> 4) + (which & 1);     /* where an entry may be */
	case 6: return base + ((uint64_t)(TABLES + which % 5) << 12) + 8 * ((uint64_t)kind * 13 % 512);
	case 7: return (base + (page << 12)) | (kind >> 4) | PTE_P;             /* an entry */
	case 8: return (base + (page << 12)) | PTE_P | PTE_RW | PTE_US;
	case 9: return ((uint64_t)which << 12) | PTE_P | PTE_RW | PTE_US;       /* not its own */
	case 10: return w->wide ? RING_CORNER_64 + ((uint64_t)which << 12) : RING_CORNER_32 + ((uint64_t)which << 12);
	case 11: return ~0ull >> which % 64;
	case 12: return 1ull << which % 64;
	default: return base + RAM + ((uint64_t)which << 12);
	}
}

static void put_tables(const struct world *w)
{
	struct mem *m = w->ram;
	const uint64_t table = PTE_P | PTE_RW | PTE_US | PTE_A, root = (uint64_t)TABLES << 12;
	uint64_t level = root;
	if (w->wide) {
		mem_write64(m, HPA(root + 511 * 8), (root + 0x1000) | table);
		mem_write64(m, HPA(root + 0x1000 + 510 * 8), (root + 0x2000) | table);
		level = root + 0x2000;
	} else {
		mem_write64(m, HPA(root + 2 * 8), (root + 0x1000) | PTE_P);
		mem_write64(m, HPA(root + 3 * 8), (root + 0x3000) | PTE_P);
		level = root + 0x1000;
	}
	mem_write64(m, HPA(level), (root + 0x4000) | table);
	for (uint64_t i = 0; i < PAGES; i++) {
		bool is_table = i >= TABLES && i < TABLES + 5;
		mem_write64(m, HPA(root + 0x4000 + 8 * i), i << 12 | PTE_P | PTE_A | PTE_D | (is_table ? 0 : PTE_RW));
	}
}

static void jump_back(struct mem *m, uint64_t at, uint64_t to) { mem_write32(m, HPA(at), (uint32_t)(to - (at + 4))); }

static void put_guest(const struct world *w, struct input *in)
{
	struct mem *m = w->ram;
	const uint64_t code = (uint64_t)CODE << 12, trap = code + 0x800, list = (uint64_t)LIST << 12, requests = (uint64_t)REQUESTS << 12;
	static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff };
	put_tables(w);
	mem_write(m, HPA(code), w->wide ? code64 : code32, w->wide ? sizeof code64 : sizeof code32);
	if (w->wide) {
		mem_write(m, HPA(trap), trap64, sizeof trap64);
		mem_write32(m, HPA(trap + 3), (uint32_t)linear(true, 0) + STACK_TOP);
		jump_back(m, trap + sizeof trap64, code);
	} else {
		mem_write(m, HPA(trap), trap32, sizeof trap32);
		mem_write32(m, HPA(trap + 1), (uint32_t)linear(false, 0) + STACK_TOP);
		jump_back(m, trap + sizeof trap32, code);
	}
	mem_write(m, HPA(0x2000), gdt, sizeof gdt);
	if (w->wide)
		mem_write64(m, HPA(0x2008), 0x00af9b000000ffff);
	/* the trap table of the first call */
	for (uint32_t v = 0; v < 32; v++) {
		struct pv_trap t = { v, v == 3 ? PV_TRAP_USER : 0, linear(w->wide, CODE) + 0x800 };
		mem_write(m, HPA(0x3000 + v * sizeof t), &t, sizeof t);
	}
	const uint64_t first[][6] = {
		{ PV_CALL_SET_TRAPS_, linear(w->wide, 3), 32 }, { PV_CALL_SET_GDT_, linear(w->wide, 2), sizeof gdt },
		{ PV_CALL_SET_CALLBACKS_, linear(w->wide, CODE) + 0x800, linear(w->wide, CODE) + 0x800 },
		{ PV_CALL_SET_SHARED_, linear(w->wide, 0x38) }, { PV_CALL_STACK_SWITCH, linear(w->wide, 0) + STACK_TOP },
	};
	mem_write(m, HPA(list), first, sizeof first);
	uint64_t at = list + sizeof first, end = list + ((uint64_t)LIST_PAGES << 12);
	for (unsigned i = 0; i < 64; i++) {
		uint64_t place = argument(w, in);
		if (place & 1)          /* the direct map's entry of a page: read-only, so that it may become a table; or not */
			place = w->base + ((uint64_t)(TABLES + 4) << 12) + 8 * (SPARE + (place >> 12) % 8);
		mem_write64(m, HPA(requests + 16 * i), (place & ~7ull) | (i % 8 == 0 ? i / 8 % 4 : 0));
		mem_write64(m, HPA(requests + 16 * i + 8), argument(w, in));
	}
	for (; at + RECORD <= end && in->n; at += RECORD) {
		/* those after which this guest does not get far are seldom */
		static const uint8_t often[] = { PV_CALL_MMU_UPDATE_, PV_CALL_PIN_, PV_CALL_MMU_UPDATE_, PV_CALL_UPDATE_VA, PV_CALL_UNPIN_,
		                                 PV_CALL_FLUSH_, PV_CALL_SET_SHARED_, PV_CALL_PIN_ };
		const uint8_t what = byte(in);
		uint64_t r[6] = { what >= 176 ? 256 : what >= 24 ? often[what % 8] : what };
		if (r[0] == PV_CALL_SHUTDOWN_)
			r[0] = PV_CALLS;
		for (unsigned k = 1; k < 5; k++)
			r[k] = argument(w, in);
		if (what >= 200) {      /* an entry of what may become a table */
			r[1] = linear(w->wide, SPARE + what % 8) + 8 * (uint64_t)(r[3] % 5 == 0 ? r[3] % 512 : r[3] % 4);
			r[2] = r[4] % 3 ? (w->base + ((SPARE + r[4] % 8) << 12)) | PTE_P | (r[4] >> 8 & 6) : r[2];
		} else if (r[0] == PV_CALL_PIN_) {
			r[1] = what & 64 ? w->base / PAGE_SIZE + SPARE + what % 8 : r[1];
			r[2] = r[2] % 8 ? 1 + r[2] % 4 : r[2];
		} else if (r[0] == PV_CALL_MMU_UPDATE_ && what & 64) {
			r[1] = linear(w->wide, REQUESTS) + 16 * (r[1] % 64);
			r[2] %= 66;
		}
		mem_write(m, HPA(at), r, sizeof r);
	}
	const uint64_t stop[6] = { PV_CALL_SHUTDOWN_, 0 };
	mem_write(m, HPA(end - RECORD), stop, sizeof stop);
}

static void start(const struct world *w, struct machine *g)
{
	struct cpu *c = g->cpu[0];
	if (w->wide) {
		entry_long64(c, linear(true, CODE), (uint64_t)TABLES << 12);
	} else {
		entry_protected32(c, (uint32_t)linear(false, CODE));
		c->s.cr4 = CR4_PAE;
		c->s.cr3 = (uint64_t)TABLES << 12;
	}
	mem_write64(w->ram, HPA(0xe0008), w->wide ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	mem_write64(w->ram, HPA(0xe0010), 0x00cf93000000ffff);
	for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++)
		c->s.seg[i].sel = i == SEG_CS ? 8 : 16;
	c->s.cr0 = CR0_PE | CR0_ET | CR0_WP | CR0_PG;
	c->s.r[R_RSI] = linear(w->wide, START);
	c->s.r[w->wide ? R_RBX : R_RBP] = linear(w->wide, LIST);
	c->s.r[R_RSP] = linear(w->wide, 0) + STACK_TOP;
	cpu_restored(c);
}

/* ---- the machine ---- */

static void victim(struct machine *m)
{
	static const uint8_t code[] = { 0xff, 0x05, 0x00, 0x80, 0, 0, 0xeb, 0xf8 };     /* 1: inc dword [0x8000]; jmp 1b */
	mem_write(&m->mem, HPA(0x20000), code, sizeof code);
	for (unsigned i = 0x40000; i < 0x60000; i += 8)
		mem_write64(&m->mem, HPA(i), 0x5ec7e75ec7e75000 + i);
	entry_protected32(m->cpu[0], 0x20000);
	cpu_restored(m->cpu[0]);
}

struct watch { struct machine *m; uint64_t base, lin, pa; unsigned foreign; };

static void seen(void *who, const struct trace_record *r)
{
	struct watch *w = who;
	const struct cpu *c = w->m->cpu[0];
	if (r->component != c->number || cpu_root_modelled(c) || machine_vm_on(w->m, c) != 1 || c->delivering)
		return;
	/* its own selectors are looked up in the VMM's copy of its descriptor table */
	if (r->a[0] - c->s.gdtr.base <= c->s.gdtr.limit)
		return;
	if ((r->a[1] < w->base || r->a[1] + r->a[2] > w->base + RAM) && !w->foreign++)
		w->lin = r->a[0], w->pa = r->a[1];
}

static struct machine *machine_of(struct fuzz_machine *f)
{
	static const char *const technique[2][2] = { { "pv", "direct" }, { "trap", "shadow.wp" } };
	struct machine_config k;
	struct err e = { "" };
	if (f->m) {
		snap_restore(f->m->snaps, f->fresh);
		return f->m;
	}
	machine_config_defaults(&k);
	k.ram = 32 << 20;
	k.trace_ring = 64;
	k.profile.l2_size = 65536;
	k.profile.l3_size = 262144;
	f->m = machine_new(&k, &e);
	for (unsigned i = 0; f->m && i < 2; i++) {
		struct vm_config v = { .cpu = technique[i][0], .mmu = technique[i][1], .vcpus = 1, .page_shift = 12, .shadow_limit = 1 << 20, .ram = RAM,
		                       .slice = SLICE };
		struct machine_config g = f->m->config;
		g.ram = RAM;
		g.cpus = 1;
		if (!machine_vm(f->m, &g, &v, &e))
			finding("%s", e.text);
	}
	if (!f->m)
		finding("%s", e.text);
	f->fresh = snap_take(f->m->snaps, "fresh");
	return f->m;
}

static void check_frames(const struct vm *vm)
{
	static uint32_t scratch[2 * PAGES];
	const struct pv_state *s = &pv_of(vm)->s;
	uint64_t roots[3], where;
	unsigned n = 0;
	roots[n++] = s->root;
	if (s->user_root != PV_NOWHERE)
		roots[n++] = s->user_root;
	if (s->shared != PV_NOWHERE)
		roots[n++] = s->shared >> PAGE_SHIFT;
	const char *wrong = frames_audit(direct_peek(vm), roots, n, scratch, &where);
	if (wrong)
		finding("%s: frame %#" PRIx64, wrong, where);
}

/* The corner's own tables: who may reach what of the VMM. */
static uint64_t corner_sum(const struct vm *vm)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < 5 * 512; i++)
		sum = sum * 31 + (mem_read64(vm->vmm->p.mem, HPA(vm->corner.v + 8 * i)) & ~(uint64_t)(PTE_A | PTE_D));
	return sum;
}

int fuzz_hypercall(const uint8_t *data, size_t n)
{
	static struct fuzz_machine fm;
	struct input in = { data, n };
	struct machine *m = machine_of(&fm), *bad = m->guest[0], *good = m->guest[1];
	const struct vm *vm = m->vmm->vm[0];
	struct world w = { m, &bad->mem, vm->base.v, byte(&in) & 1 };
	struct watch look = { .m = m, .base = w.base };
	struct err e = { "" };
	put_guest(&w, &in);
	start(&w, bad);
	victim(good);
	const uint64_t corner = corner_sum(vm);
	if (trace_listen_apart(&m->trace, "access", seen, &look, &e))
		finding("%s", e.text);
	machine_run(m, CYCLES, 0);
	trace_unlisten(&m->trace, seen, &look);
	if (look.foreign)
		finding("%u accesses outside, the first to %#" PRIx64 " at %#" PRIx64, look.foreign, look.lin, look.pa);
	if (!pv_of(vm)->stat[PV_CALL_SET_TRAPS_])
		finding("the guest did not begin: %s", vm->refused);
	check_frames(vm);
	if (corner_sum(vm) != corner)
		finding("the VMM's corner has changed");
	if (!ledger_audit(&m->cpu[0]->ledger))
		finding("the ledger does not balance");
	for (unsigned i = 0x40000; i < 0x60000; i += 8)
		if (mem_read64(&good->mem, HPA(i)) != 0x5ec7e75ec7e75000ull + i)
			finding("the other VM's memory at %#x has changed", i);
	if (!mem_read32(&good->mem, HPA(0x8000)))
		finding("the other VM did nothing");
	return 0;
}
