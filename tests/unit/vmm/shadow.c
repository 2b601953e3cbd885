/* shadow.c - random guests under each shadow pager, and under agile paging, see what a plain walk of their own tables says.
 *
 * The guest lives in a window on host memory; the simulated MMU walks the shadow tables; its faults go to the pager, as
 * exits would. Beside it a copy of the guest's memory is read by the second walker of tests/unit/mmu/ref.h. After every
 * access: same outcome, same error code, same address; now and then: same memory, accessed and dirty flags included. The
 * guest keeps the architecture's rules: it invalidates what it changed before it relies on it. Under agile paging the MMU walks shadow
 * tables, then the guest's own through EPT, and the guest's own page faults do not exit.
 * A guest beside the VMM ("ring") has no VMX: its fields are a record; on Intel 64 its kernel's accesses are a user's for the
 * hardware, in the kernel's root. Every root has the VMM's corner at every step; a page whose writes are traced is never written unseen. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/mmu/pte.h"
#include "models/vmm/ring/corner.h"
#include "models/vmm/shadow.h"
#include "sim/rng.h"
#include "tests/unit/cpu/fixture.h"
#include "tests/unit/mmu/ref.h"
#include "tests/unit/vmm/standin.h"

#define BASE   0x200000u        /* of the guest's memory in the host's */
#define MEMORY 0x400000u
#define TABLES 0x700000u        /* the pager's */
#define HEAP   0xb00000u        /* the VMM's */

struct rig {
	struct fixture *f;
	struct standin s;
	struct mem ref;                 /* the copy */
	struct rng r;
	unsigned mode;                  /* levels; 0: paging is off */
	bool narrow, ac, agile, ring;
	struct vmm vmm;                 /* agile, ring: whose memory EPT, or the corner, is in */
	unsigned faults;
	uint8_t traced[MEMORY / PAGE_SIZE];     /* ring: how often */
	uint64_t told, told_n;          /* what was written, as the technique heard */
	unsigned traps;
	bool kernel;                    /* ring, Intel 64: which of its roots it is on */
};

/* Frames that hold guest tables, by level; the last of each leads to the direct map. */
static const struct { unsigned first, n; } tables_of[6] = { { 0, 0 }, { 32, 12 }, { 24, 7 }, { 20, 4 }, { 16, 3 }, { 12, 3 } };
enum { DIRECT_L1 = 62, DIRECT_L2 = 61, DIRECT_L3 = 60, DIRECT_L4 = 59 };

static unsigned index_bits(const struct rig *g) { return g->mode == 2 ? 10 : 9; }
static unsigned shift_of(const struct rig *g, unsigned level) { return 12 + (level - 1) * index_bits(g); }

static void put_both(struct rig *g, uint64_t gpa, uint64_t v)
{
	unsigned n = g->mode == 2 ? 4 : 8;
	mem_write(&g->f->mem, HPA(BASE + gpa), &v, n);
	mem_write(&g->ref, HPA(gpa), &v, n);
}

/* Linear address of the direct map of guest memory. */
static uint64_t direct(const struct rig *g, uint64_t gpa)
{
	switch (g->mode) {
	case 0: return gpa;
	case 2: case 3: return (g->ring ? 0xff800000 : 0xffc00000) + gpa;       /* at the end: not in the VMM's corner */
	case 4: return 0xffffffffffc00000 + gpa;
	default: return 0xffffffffffc00000 + gpa;
	}
}

static void direct_map(struct rig *g)
{
	const uint64_t bits = PTE_P | PTE_RW | PTE_A | PTE_D;
	unsigned n = g->mode == 2 ? 4 : 8, per = PAGE_SIZE / n;
	for (unsigned i = 0; i < MEMORY / PAGE_SIZE; i++)
		put_both(g, (DIRECT_L1 + i / per) * PAGE_SIZE + i % per * n, i * PAGE_SIZE | bits | PTE_G);
	if (g->mode == 2) {
		for (unsigned i = 0; i < 3; i++)
			put_both(g, (tables_of[2].first + i) * PAGE_SIZE + (direct(g, 0) >> 22) * 4, DIRECT_L1 * PAGE_SIZE | bits);
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		put_both(g, DIRECT_L2 * PAGE_SIZE + (BITS(direct(g, 0), 29, 21) + i) * 8, (DIRECT_L1 + i) * PAGE_SIZE | bits);
	if (g->mode == 3) {
		for (unsigned i = 0; i < 3; i++)
			put_both(g, tables_of[4].first * PAGE_SIZE + i * 32 + 3 * 8, DIRECT_L2 * PAGE_SIZE | PTE_P);
		return;
	}
	put_both(g, DIRECT_L3 * PAGE_SIZE + 511 * 8, DIRECT_L2 * PAGE_SIZE | bits);
	put_both(g, DIRECT_L4 * PAGE_SIZE + 511 * 8, DIRECT_L3 * PAGE_SIZE | bits);
	for (unsigned i = 0; i < 3; i++)
		put_both(g, (tables_of[g->mode].first + i) * PAGE_SIZE + 511 * 8,
		         (uint64_t)(g->mode == 4 ? DIRECT_L3 : DIRECT_L4) * PAGE_SIZE | bits);
}

/* ---- the hardware ---- */

/* The VMM finds its pages through the present root, and a user cannot reach them. */
static void corner_is_there(struct rig *g)
{
	static const unsigned pages[] = { RING_STUBS, RING_IDT, RING_CPU + 3, RING_GDT + 15, RING_SHARED };
	const struct vm *vm = &g->s.vm;
	bool wide = g->mode >= 4;
	for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
		uint64_t lin = (wide ? RING_CORNER_64 : RING_CORNER_32) + pages[i] * PAGE_SIZE;
		bool own = pages[i] >= RING_SHARED, reached = wide && own && g->kernel;
		struct walk_record rec;
		cr_assert(mmu_peek_access(&g->f->cpu->mmu, lin, ACC_WRITE, &rec), "the VMM's page %u is gone", pages[i]);
		cr_assert(eq(u64, rec.hpa.v, ring_page_hpa(vm, pages[i]).v));
		cr_assert(eq(int, mmu_peek_access(&g->f->cpu->mmu, lin, ACC_USER, &rec), reached), "page %u", pages[i]);
	}
}

/* What a VM entry without tags does. */
static void enter(struct rig *g)
{
	struct cpu *c = g->f->cpu;
	const uint64_t *f = c->vmcs->f;
	if (g->agile) {
		const bool on = g->s.vm.pager->agile(&g->s.vcpu) && f[VMCS_ENTRY_CONTROLS] & VMX_CTL(ENTRY_GUEST_64);
		const struct mmu_guest guest = { .apic_access = MMU_NO_PAGE, .ept = 1, .eptp = f[VMCS_EPTP], .agile = on };
		mmu_set_guest(&c->mmu, &guest);
		cr_assert(eq(int, mmu_load_paging(&c->mmu, f[VMCS_GUEST_CR0], f[VMCS_GUEST_CR3], f[VMCS_GUEST_CR4], f[VMCS_GUEST_EFER],
		                                  &f[VMCS_GUEST_PDPTE0]), 0));
		mmu_flush_all(&c->mmu);
		c->mmu.ac = g->ac;
		c->vmcs->f[VMCS_GUEST_RFLAGS] = g->ac ? RFLAGS_AC : 0;
		return;
	}
	c->mmu.cr3 = f[VMCS_GUEST_CR3];
	cr_assert(eq(int, mmu_set_paging(&c->mmu, f[VMCS_GUEST_CR0], f[VMCS_GUEST_CR4], f[VMCS_GUEST_EFER]), 0));
	cr_assert(eq(int, mmu_set_cr3(&c->mmu, f[VMCS_GUEST_CR3]), 0));
	mmu_flush_all(&c->mmu);
	c->mmu.ac = g->ac;
	c->vmcs->f[VMCS_GUEST_RFLAGS] = g->ac ? RFLAGS_AC : 0;
	if (g->ring)
		corner_is_there(g);
}

enum outcome { DONE, FAULTED, EMULATE };

static enum outcome access_hw(struct rig *g, uint64_t lin, unsigned access, uint64_t *gpa, uint32_t *error)
{
	struct vcpu *v = &g->s.vcpu;
	const unsigned wanted = access & ACC_USER;
	if (g->ring && g->mode >= 4 && g->kernel == !!wanted) {
		g->kernel = !wanted;
		v->vm->pager->privilege(v, g->kernel);
		enter(g);
	}
	access |= g->ring && g->mode >= 4 ? ACC_USER : 0;       /* both are ring 3 */
	for (unsigned tries = 0; tries < 20; tries++) {
		g->f->cpu->vmcs->f[VMCS_GUEST_SS_ACCESS] = access & ACC_USER ? 0x60 : 0;
		struct mmu_fault f = { 0 };
		if (!mmu_probe(&g->f->cpu->mmu, lin, 1, access, &f)) {
			struct walk_record rec;
			cr_assert(mmu_peek(&g->f->cpu->mmu, lin, &rec));
			*gpa = g->agile ? rec.gpa.v : rec.hpa.v - BASE;
			cr_assert(eq(u64, rec.hpa.v, *gpa + BASE));
			return DONE;
		}
		bool violation = g->agile && f.kind == MMU_EPT_VIOLATION;
		cr_assert(violation || f.kind == MMU_PF);
		g->faults++;
		v->s.pending_event = 0;
		if (g->agile && !violation && !(g->f->cpu->mmu.guest.agile && f.qualification)) {
			*error = f.error_code;          /* struck in the guest's own tables: no exit */
			return FAULTED;
		}
		gpa_t at = f.gpa;
		enum paged p = violation ? g->s.vm.pager->ept_violation(v, f.gpa, f.qualification)
		                         : g->s.vm.pager->page_fault(v, lin, (f.error_code & ~(unsigned)PFEC_US) | (wanted ? PFEC_US : 0), &at);
		enter(g);
		switch (p) {
		case PAGED_INJECT:
			cr_assert(eq(int, standin_injected(&g->s, error), VEC_PF));
			cr_assert(eq(u64, g->f->cpu->s.cr2, lin));
			return FAULTED;
		case PAGED_EMULATE:
			*gpa = at.v;
			return EMULATE;
		default:
			break;
		}
	}
	cr_assert(false, "an access to %#lx (%u) is never satisfied", lin, access);
	return FAULTED;
}

static struct ref_regs ref_regs(const struct rig *g)
{
	const struct vcpu_state *s = &g->s.vcpu.s;
	struct ref_regs r = { .mode = (int)g->mode, .wp = s->cr0 & CR0_WP, .pse = s->cr4 & CR4_PSE, .smep = s->cr4 & CR4_SMEP,
	                      .smap = s->cr4 & CR4_SMAP, .nxe = s->efer & EFER_NXE, .ac = g->ac,
	                      .phys_bits = (unsigned)g->f->profile.phys_bits, .cr3 = s->cr3 };
	memcpy(r.pdpte, s->pdpte, sizeof r.pdpte);
	return r;
}

/* One access by both; the same. */
static enum outcome access_both(struct rig *g, uint64_t lin, unsigned access, unsigned number)
{
	struct ref_regs r = ref_regs(g);
	struct ref_out o = { .pa = lin };
	uint64_t gpa = 0;
	uint32_t error = 0;
	if (g->mode)
		o = ref_translate(&g->ref, &r, lin, access);
	enum outcome got = access_hw(g, lin, access, &gpa, &error);
	cr_assert(eq(int, got == FAULTED, o.fault), "step %u: lin %#lx access %u: outcome %d, error %x, expected %x gpa %#lx", number, lin,
	          access, got, error, o.code, o.pa);
	if (g->mode)
		ref_commit(&g->ref, &r, &o);    /* accessed flags of upper levels are set on the way to a fault too */
	if (o.fault) {
		cr_assert(eq(u32, error, o.code), "step %u: lin %#lx access %u", number, lin, access);
		return got;
	}
	cr_assert(eq(u64, gpa, o.pa), "step %u: lin %#lx access %u", number, lin, access);
	if (g->ring && access & ACC_WRITE && gpa < MEMORY)
		cr_assert(not(got == DONE && g->traced[gpa >> PAGE_SHIFT]), "step %u: page %#lx is traced", number, gpa);
	return got;
}

/* The guest writes its memory through the direct map. */
static void store(struct rig *g, uint64_t gpa, uint64_t x, unsigned number)
{
	unsigned n = g->mode == 2 ? 4 : 8;
	enum outcome o = access_both(g, direct(g, gpa), ACC_WRITE, number);
	mem_write(&g->ref, HPA(gpa), &x, n);
	const bool traced = g->ring && g->traced[gpa >> PAGE_SHIFT];
	g->told_n = 0;
	if (traced && rng_below(&g->r, 8) == 0) {       /* an instruction the emulator does not know, that writes there */
		if (g->s.vm.pager->restart(&g->s.vcpu)) {
			cr_assert(eq(u64, g->told, gpa & PAGE_MASK));
			cr_assert(eq(u64, g->told_n, PAGE_SIZE));
			cr_assert(eq(int, g->traced[gpa >> PAGE_SHIFT], 0));
			enter(g);
			o = access_both(g, direct(g, gpa), ACC_WRITE, number);
			cr_assert(o == DONE || gpa < 64 * PAGE_SIZE, "a page of data is written by the guest itself");
		}
	}
	if (o == EMULATE) {
		cr_assert(eq(int, vcpu_write_gpa(&g->s.vcpu, GPA(gpa), &x, n), WRITTEN_WATCHED));
		enter(g);
		if (traced && g->traced[gpa >> PAGE_SHIFT]) {
			cr_assert(eq(u64, g->told, gpa));
			cr_assert(eq(u64, g->told_n, n));
			g->traps++;
		}
	} else {
		mem_write(&g->f->mem, HPA(BASE + gpa), &x, n);
	}
}

static bool exits_on_invlpg(struct rig *g)
{
	return g->f->cpu->vmcs->f[VMCS_PROC_CONTROLS] & VMX_CTL(INVLPG_EXITING);
}

static void invlpg(struct rig *g, uint64_t lin)
{
	if (exits_on_invlpg(g))
		g->s.vm.pager->invlpg(&g->s.vcpu, lin);
	else
		mmu_invlpg(&g->f->cpu->mmu, lin);
	enter(g);
}

static void set_cr(struct rig *g, unsigned cr, uint64_t now)
{
	struct vcpu_state *s = &g->s.vcpu.s;
	uint64_t *at = cr == 0 ? &s->cr0 : cr == 3 ? &s->cr3 : cr == 4 ? &s->cr4 : &s->efer, old = *at;
	*at = now;
	cr_assert(g->s.vm.pager->cr_written(&g->s.vcpu, cr, old, now));
	enter(g);
}

/* ---- the random guest ---- */

static uint64_t random_lin(struct rig *g)
{
	uint64_t lin = rng_below(&g->r, PAGE_SIZE);
	if (g->mode == 0)
		return rng_below(&g->r, MEMORY);
	unsigned top = g->mode == 3 ? 3 : g->mode;
	for (unsigned level = 1; level <= top; level++) {
		uint64_t i = rng_below(&g->r, 3);
		if (g->mode == 2)
			i = level == 1 ? i + rng_below(&g->r, 2) * 511 : i + rng_below(&g->r, 2) * 255;
		lin |= i << shift_of(g, level);
	}
	return lin;
}

static uint64_t random_entry(struct rig *g, unsigned level)
{
	uint64_t e = rng_u64(&g->r) & (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_G);
	if (g->s.vm.pager == &pager_shadow_vtlb)
		e &= ~(uint64_t)PTE_G;  /* what is global must be the same in every address space: the direct map alone */
	if (rng_below(&g->r, 4))
		e |= PTE_P | PTE_US;
	if (rng_below(&g->r, 3))
		e |= PTE_RW;
	if (g->mode > 2 && rng_below(&g->r, 6) == 0)
		e |= PTE_XD;
	if (level > 1 && rng_below(&g->r, 5) == 0 && level <= (g->mode >= 4 ? 3u : 2u))
		return e | PTE_PS | (level == 2 && g->mode != 2 ? rng_below(&g->r, 2) << 21 : 0);
	if (rng_below(&g->r, 25) == 0)
		e |= g->mode == 2 ? 0 : BIT(51);        /* reserved */
	if (level > 1)
		return e | (tables_of[level - 1].first + rng_below(&g->r, tables_of[level - 1].n)) * PAGE_SIZE;
	unsigned frame = rng_below(&g->r, 8) ? 64 + (unsigned)rng_below(&g->r, 64) : tables_of[1].first + (unsigned)rng_below(&g->r, 12);
	return e | frame * PAGE_SIZE;
}

/* Change an entry of the lowest `levels` levels, then invalidate what it served. */
static void change(struct rig *g, unsigned number)
{
	unsigned top = g->mode == 3 ? 2 : g->mode, level = rng_below(&g->r, 3) ? 1 : 1 + (unsigned)rng_below(&g->r, top);
	unsigned bytes = g->mode == 2 ? 4 : 8, i = (unsigned)rng_below(&g->r, 3);
	uint64_t frame = tables_of[level].first + rng_below(&g->r, level == top && g->mode != 3 ? 3 : tables_of[level].n);
	if (g->mode == 2)
		i += (unsigned)rng_below(&g->r, 2) * (level == 1 ? 511 : 255);
	store(g, frame * PAGE_SIZE + i * bytes, random_entry(g, level), number);
	if (rng_below(&g->r, 3) == 0) {
		set_cr(g, 4, g->s.vcpu.s.cr4 ^ CR4_PGE);        /* everything */
		set_cr(g, 4, g->s.vcpu.s.cr4 ^ CR4_PGE);
		return;
	}
	for (unsigned k = 0; k < 243; k++) {
		uint64_t lin = 0;
		unsigned x = k;
		for (unsigned l = 1; l <= g->mode; l++, x /= 3)
			lin |= (uint64_t)(x % 3) << shift_of(g, l);
		if (x)
			break;
		if (g->mode != 2) {
			if (BITS(lin, shift_of(g, level) + 8, shift_of(g, level)) == i)
				invlpg(g, lin);
			continue;
		}
		for (unsigned q = 0; q < 4; q++) {
			uint64_t l2 = lin + ((q & 1) * 511ull << 12) + ((q >> 1) * 255ull << 22);
			if (BITS(l2, level == 1 ? 21 : 31, level == 1 ? 12 : 22) == i)
				invlpg(g, l2);
		}
	}
}

static uint64_t a_root(struct rig *g)
{
	unsigned n = (unsigned)rng_below(&g->r, 3);
	return g->mode == 3 ? tables_of[4].first * PAGE_SIZE + 32 * n : (tables_of[g->mode].first + n) * (uint64_t)PAGE_SIZE;
}

static void registers(struct rig *g)
{
	struct vcpu_state *s = &g->s.vcpu.s;
	switch (rng_below(&g->r, 6)) {  /* not offered beside the VMM: 1, 2 */
	case 0:
		if (!(s->cr4 & CR4_SMAP))
			set_cr(g, 0, s->cr0 ^ CR0_WP);
		break;
	case 1:
		if (!g->ring)
			set_cr(g, 4, s->cr4 ^ CR4_SMEP);
		break;
	case 2:
		if (s->cr0 & CR0_WP && !g->ring)
			set_cr(g, 4, s->cr4 ^ CR4_SMAP);
		break;
	case 3:
		if (g->mode == 2)
			set_cr(g, 4, s->cr4 ^ CR4_PSE);
		break;
	case 4:
		if (g->mode != 2)
			set_cr(g, PAGER_EFER, s->efer ^ EFER_NXE);
		break;
	default:
		g->ac = !g->ac;
		enter(g);
	}
}

static void compare_memory(struct rig *g, unsigned number)
{
	for (uint64_t i = 0; i < 0x100; i++)
		cr_assert(memcmp(g->f->mem.ram + BASE + i * PAGE_SIZE, g->ref.ram + i * PAGE_SIZE, PAGE_SIZE) == 0,
		          "step %u: guest page %#lx differs", number, i);
}

static uint64_t ept_entry(struct rig *g, uint64_t frame)
{
	uint64_t entry = g->f->cpu->vmcs->f[VMCS_EPTP];
	for (unsigned level = 4; level && (level == 4 || entry & 7); level--)
		entry = mem_read64(&g->f->mem, HPA((entry & MASK(52) & PAGE_MASK) + (frame << 12 >> (3 + 9 * level) & 511) * 8));
	return entry;
}

/* No leaf of the shadow maps a guarded table writable, and every chain is whole. */
static void invariants(struct rig *g, unsigned number)
{
	struct shadow *s = g->s.vm.paging;
	struct mem *mem = &g->f->mem;
	unsigned live = 0;
	s->c = g->f->cpu;
	for (uint64_t frame = 0; g->agile && frame < MEMORY >> PAGE_SHIFT; frame++)
		cr_assert(not(shadow_guarded(s, frame) && ept_entry(g, frame) & 2), "step %u: guarded table %lx is writable", number, frame);
	for (uint32_t p = 0; p < s->pages; p++) {
		struct shadow_head h;
		mem_peek(mem, HPA(s->head + p * sizeof h), &h, sizeof h);
		live += h.live;
		if (!h.live)
			continue;
		for (unsigned i = 0; i < 512; i++) {
			uint64_t e = mem_read64(mem, HPA(shadow_slot_pa(s, p * 512 + i)));
			if (e & PTE_P && shadow_is_corner(s, e))
				cr_assert(h.role & ROLE_CORNER || ROLE_LEVEL(h.role) > 2, "step %u: a way to the corner in role %x", number, h.role);
			if (!(e & PTE_P) || ROLE_LEVEL(h.role) > 1 || g->agile)
				continue;
			if (g->ring && g->mode >= 4)    /* no translation of the kernel's is ever met by a user, or by itself with the user's rights */
				cr_assert(eq(u64, e & (PTE_G | PTE_US), PTE_US), "step %u: a leaf %#lx in role %x", number, e, h.role);
			uint64_t frame = ((e & MASK(52) & PAGE_MASK) - BASE) >> PAGE_SHIFT;
			cr_assert(lt(u64, frame, MEMORY >> PAGE_SHIFT), "step %u: a shadow entry leads out of the guest's memory, role %x entry %u %lx", number, h.role, i, e);
			if (e & PTE_RW && s->policy & SHADOW_KEYED)
				cr_assert(not(shadow_guarded(s, frame)), "step %u: guarded table %lx is writable", number, frame);
			bool found = false;
			uint32_t at = mem_read32(mem, HPA(s->frame + frame * 8));
			for (; at && !found; at = mem_read32(mem, HPA(s->link + (at - 1) * 8ull)))
				found = at - 1 == p * 512 + i;
			cr_assert(found, "step %u: a leaf is not in its reverse map", number);
		}
	}
	cr_assert(eq(u64, live * (uint64_t)PAGE_SIZE, g->s.vm.stat[VMM_STAT_SHADOW_BYTES]), "step %u", number);
}

/* The memory EPT, or the VMM's corner, is built in. */
static void give_heap(struct rig *g)
{
	struct vmm *m = &g->vmm;
	m->p = (struct vmm_parts){ .mem = &g->f->mem, .cpu = &g->f->cpu, .cpus = 1, .snaps = snaps_new() };
	m->s.heap = HEAP;
	m->s.low = g->f->mem.low_size;
	for (unsigned i = 0; i < VMM_COSTS; i++)
		m->cost[i] = vmm_cost_rows[i].cycles;
	g->s.vm.vmm = m;
}

/* A record in place of a VMCS. */
static uint64_t record_get(struct vcpu *v, enum vmcs_field f) { return v->cpu->vmcs->f[f]; }
static void record_set(struct vcpu *v, enum vmcs_field f, uint64_t x) { v->cpu->vmcs->f[f] = x; }
static uint64_t record_peek(const struct vcpu *v, enum vmcs_field f) { return v->cpu->vmcs->f[f]; }
static bool record_has(const struct vcpu *v, enum vmcs_field f) { return (void)v, (void)f, true; }
static void record_flush(struct vcpu *v, enum invvpid_type type, uint64_t lin) { (void)v, (void)type, (void)lin; }
static void record_written(struct vcpu *v, gpa_t gpa, unsigned n)
{
	struct rig *g = (struct rig *)((char *)v->vm - offsetof(struct rig, s.vm));
	g->told = gpa.v;
	g->told_n = n;
	if (n == PAGE_SIZE)
		g->traced[gpa.v >> PAGE_SHIFT] = 0;
}
static const struct virt record = { .name = "record", .ring = true, .get = record_get, .set = record_set, .peek = record_peek,
                                    .has = record_has, .flush = record_flush, .written = record_written };

/* Pages of data and of tables are traced, more than once too, and not any more. */
static void trace_some(struct rig *g)
{
	uint64_t page = tables_of[5].first + rng_below(&g->r, 128 - tables_of[5].first);
	bool on = !g->traced[page] || rng_below(&g->r, 3) == 0;
	g->traced[page] = (uint8_t)(g->traced[page] + (on ? 1 : -1));
	(g->s.vm.pager->trace)(&g->s.vcpu, page, on);
	enter(g);
}

static void property(const struct pager *pager, unsigned mode, unsigned page_shift, uint64_t limit, uint64_t seed, bool ring)
{
	static const char *const modes[] = { "", "", "32", "pae", "4", "5" };
	struct rig *g = calloc(1, sizeof *g);
	struct err e = { "" };
	g->f = fixture_new(FIXTURE_LONG64);
	g->mode = mode;
	rng_init(&g->r, seed, modes[mode]);
	cr_assert(eq(int, mem_init(&g->ref, MEMORY, &e), 0));
	standin_init(&g->s, g->f->cpu);
	struct vm *vm = &g->s.vm;
	vm->pager = pager;
	g->agile = pager == &pager_agile;
	g->ring = ring;
	g->kernel = true;
	if (g->agile || ring)
		give_heap(g);
	if (ring)
		vm->virt = &record;
	vm->base = HPA(BASE);
	vm->tables = HPA(TABLES);
	vm->mem.ram = g->f->mem.ram + BASE;
	vm->mem.ram_size = vm->mem.low_size = MEMORY;
	vm->config.ram = MEMORY;
	vm->config.page_shift = page_shift;
	vm->config.shadow_limit = limit;
	for (unsigned level = 1; mode && level <= (mode == 3 ? 2 : mode); level++)
		for (unsigned i = 0; i < tables_of[level].n * 16; i++) {
			unsigned at = (unsigned)rng_below(&g->r, 3);
			if (mode == 2)
				at += (unsigned)rng_below(&g->r, 2) * (level == 1 ? 511 : 255);
			put_both(g, (tables_of[level].first + i / 16) * PAGE_SIZE + at * (mode == 2 ? 4 : 8), random_entry(g, level));
		}
	if (mode == 3)
		for (unsigned i = 0; i < 9; i++)
			put_both(g, tables_of[4].first * PAGE_SIZE + i / 3 * 32 + i % 3 * 8,
			         (tables_of[2].first + rng_below(&g->r, 7)) * PAGE_SIZE | PTE_P);
	struct vcpu_state *s = &g->s.vcpu.s;
	if (mode)
		direct_map(g);
	s->cr0 = CR0_PE | CR0_WP | (mode ? CR0_PG : 0);
	s->cr4 = (mode >= 3 ? CR4_PAE : 0) | (mode == 5 ? CR4_LA57 : 0) | CR4_PGE | CR4_PSE;
	s->efer = EFER_NXE | (mode >= 4 ? EFER_LME | (g->agile || ring ? EFER_LMA : 0) : 0);
	if (mode == 2)
		s->efer = 0;
	s->cr3 = mode ? a_root(g) : 0;
	cr_assert(eq(int, pager->vm_init(vm, &e), 0), "%s", e.text);
	g->s.cpu->vmcs->f[VMCS_GUEST_RFLAGS] = 0;
	if (ring)
		cr_assert(eq(int, ring_page_add(vm, RING_SHARED), 0));
	pager->vcpu_init(&g->s.vcpu);
	enter(g);
	for (unsigned i = 0; i < 6000; i++) {
		unsigned what = (unsigned)rng_below(&g->r, 100);
		if (what < 65 || !mode) {
			unsigned access = rng_below(&g->r, 3) == 0 ? ACC_EXEC : (unsigned)rng_below(&g->r, 2);
			access |= rng_below(&g->r, 2) ? ACC_USER : 0;
			/* the VMM's part, which the guest does not map: its own fault; IA-32's ring 1 is kept out by segments */
			bool corner = ring && mode && rng_below(&g->r, 10) == 0;
			if (corner && mode < 4)
				access |= ACC_USER;
			uint64_t in_corner = (mode >= 4 ? RING_CORNER_64 : RING_CORNER_32) + rng_below(&g->r, RING_SHARED * PAGE_SIZE);
			access_both(g, corner ? in_corner : rng_below(&g->r, 10) ? random_lin(g) : direct(g, rng_below(&g->r, 0xa0000)), access, i);
		} else if (what < 82) {
			change(g, i);
		} else if (ring && what < 86) {
			trace_some(g);
			store(g, (64 + rng_below(&g->r, 64)) * PAGE_SIZE, rng_u64(&g->r), i);
		} else if (what < 93) {
			set_cr(g, 3, a_root(g));
		} else {
			registers(g);
		}
		if (i % 100 == 0) {
			compare_memory(g, i);
			invariants(g, i);
		}
	}
	compare_memory(g, ~0u);
	cr_expect(lt(u32, 100, g->faults));
	if (ring && mode)
		cr_expect(lt(u32, 50, g->traps), "%u", g->traps);
	if (g->agile && mode >= 4)
		cr_expect(lt(u64, 100, vm->stat[VMM_STAT_SHADOW_FILLS]), "shadow tables were walked");
	pager->fini(vm);
	if (g->agile || ring)
		snaps_free(g->vmm.p.snaps);
	mem_fini(&g->ref);
	fixture_free(g->f);
	free(g);
}

#define SMALL (64 * PAGE_SIZE)
#define VARIANT(name) \
	Test(shadow, name##_is_right_for_32_bit_paging) { property(&pager_shadow_##name, 2, 12, 0, 1, false); } \
	Test(shadow, name##_is_right_for_pae_paging) { property(&pager_shadow_##name, 3, 12, 0, 2, false); } \
	Test(shadow, name##_is_right_for_4_levels) { property(&pager_shadow_##name, 4, 12, 0, 3, false); } \
	Test(shadow, name##_is_right_for_5_levels) { property(&pager_shadow_##name, 5, 12, 0, 4, false); } \
	Test(shadow, name##_is_right_without_paging) { property(&pager_shadow_##name, 0, 12, 0, 5, false); } \
	Test(shadow, name##_is_right_with_large_pages_of_32_bits) { property(&pager_shadow_##name, 2, 21, 0, 6, false); } \
	Test(shadow, name##_is_right_with_large_pages_of_4_levels) { property(&pager_shadow_##name, 4, 21, 0, 7, false); } \
	Test(shadow, name##_is_right_when_there_is_little_room) { property(&pager_shadow_##name, 2, 21, SMALL, 36, false); }
VARIANT(flush)
VARIANT(vtlb)
VARIANT(wp)
VARIANT(unsync)

#define BESIDE(name) \
	Test(shadow, name##_beside_the_vmm_is_right_for_32_bit_paging) { property(&pager_shadow_##name, 2, 12, 0, 11, true); } \
	Test(shadow, name##_beside_the_vmm_is_right_for_pae_paging) { property(&pager_shadow_##name, 3, 12, 0, 12, true); } \
	Test(shadow, name##_beside_the_vmm_is_right_for_4_levels) { property(&pager_shadow_##name, 4, 12, 0, 13, true); } \
	Test(shadow, name##_beside_the_vmm_is_right_for_4_levels_and_little_room) { property(&pager_shadow_##name, 4, 21, SMALL, 14, true); } \
	Test(shadow, name##_beside_the_vmm_is_right_without_paging) { property(&pager_shadow_##name, 0, 12, 0, 15, true); } \
	Test(shadow, name##_beside_the_vmm_is_right_with_large_pages) { property(&pager_shadow_##name, 2, 21, 0, 16, true); } \
	Test(shadow, name##_beside_the_vmm_is_right_when_there_is_little_room) { property(&pager_shadow_##name, 3, 21, SMALL, 17, true); }
BESIDE(flush)
BESIDE(vtlb)
BESIDE(wp)
BESIDE(unsync)

Test(shadow, agile_is_right_for_32_bit_paging) { property(&pager_agile, 2, 12, 0, 1, false); }
Test(shadow, agile_is_right_for_pae_paging) { property(&pager_agile, 3, 12, 0, 2, false); }
Test(shadow, agile_is_right_for_4_levels) { property(&pager_agile, 4, 12, 0, 3, false); }
Test(shadow, agile_is_right_for_5_levels) { property(&pager_agile, 5, 12, 0, 4, false); }
Test(shadow, agile_is_right_without_paging) { property(&pager_agile, 0, 12, 0, 5, false); }
Test(shadow, agile_is_right_when_there_is_little_room) { property(&pager_agile, 4, 12, SMALL, 36, false); }
