/* rig.h - a bare MMU on a bench: RAM, caches, a ledger, up to four CPUs, and a builder of page tables. */
#ifndef TEST_MMU_RIG_H
#define TEST_MMU_RIG_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/mmu/cache.h"
#include "models/mmu/mmu.h"
#include "models/mmu/pte.h"
#include "models/mmu/tlb.h"
#include "sim/rng.h"

#define RIG_RAM  (64ull << 20)
#define RIG_ROOT 0x100000ull            /* top-level table; the rest follows */
#define RIG_DATA 0x2000000ull           /* pages for data start here */

struct rig {
	struct profile profile;
	struct mem mem;
	struct ledger ledger[4];
	struct trace trace;
	struct cache_hier *caches;
	struct mmu *m[4];
	unsigned cpus;
	uint64_t next_table;
};

static inline void rig_start_with(struct rig *r, unsigned cpus)
{
	struct err e = { "" };
	r->cpus = cpus;
	r->next_table = RIG_ROOT + PAGE_SIZE;
	cr_assert(eq(int, mem_init(&r->mem, RIG_RAM, &e), 0));
	trace_init(&r->trace, 1024);
	r->caches = caches_new(&r->profile, cpus, &e);
	cr_assert(r->caches != NULL, "%s", e.text);
	for (unsigned i = 0; i < cpus; i++) {
		r->m[i] = aligned_alloc(64, (sizeof *r->m[i] + 63) & ~63ull);
		cr_assert(eq(int, mmu_init(r->m[i], i, &r->mem, &r->ledger[i], &r->profile, r->caches, &r->trace, &e), 0), "%s", e.text);
	}
}
static inline struct rig *rig_new(unsigned cpus)
{
	struct rig *r = calloc(1, sizeof *r);
	profile_defaults(&r->profile);
	rig_start_with(r, cpus);
	return r;
}
static inline void rig_free(struct rig *r)
{
	for (unsigned i = 0; i < r->cpus; i++) {
		mmu_fini(r->m[i]);
		free(r->m[i]);
	}
	caches_free(r->caches);
	trace_fini(&r->trace);
	mem_fini(&r->mem);
	free(r);
}

enum rig_mode { RIG_OFF, RIG_LEGACY, RIG_PAE, RIG_LONG4, RIG_LONG5 };

/* Switch paging on at RIG_ROOT. cr0, cr4, efer: bits beyond what the mode needs. */
static inline void rig_paging(struct mmu *m, enum rig_mode mode, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	if (mode >= RIG_PAE)
		cr4 |= CR4_PAE;
	if (mode >= RIG_LONG4)
		efer |= EFER_LMA;
	if (mode == RIG_LONG5)
		cr4 |= CR4_LA57;
	m->cr3 = RIG_ROOT;
	cr_assert(eq(int, mmu_set_paging(m, cr0 | (mode ? CR0_PG : 0), cr4, efer), 0));
}

static inline unsigned rig_levels(enum rig_mode mode) { return mode == RIG_LEGACY ? 2 : mode == RIG_PAE ? 3 : mode == RIG_LONG4 ? 4 : 5; }

static inline uint64_t rig_get(struct rig *r, enum rig_mode mode, uint64_t at)
{
	return mode == RIG_LEGACY ? mem_read32(&r->mem, HPA(at)) : mem_read64(&r->mem, HPA(at));
}
static inline void rig_put(struct rig *r, enum rig_mode mode, uint64_t at, uint64_t entry)
{
	if (mode == RIG_LEGACY)
		mem_write32(&r->mem, HPA(at), (uint32_t)entry);
	else
		mem_write64(&r->mem, HPA(at), entry);
}

/* Address of lin's entry at `level`; tables on the way are made, with all rights. */
static inline uint64_t rig_entry(struct rig *r, enum rig_mode mode, uint64_t root, uint64_t lin, unsigned level)
{
	unsigned width = mode == RIG_LEGACY ? 10 : 9, bytes = mode == RIG_LEGACY ? 4 : 8;
	uint64_t table = root;
	for (unsigned l = rig_levels(mode);; l--) {
		unsigned index = (lin >> (12 + width * (l - 1))) & ((1u << (mode == RIG_PAE && l == 3 ? 2 : width)) - 1);
		uint64_t at = table + index * bytes;
		if (l == level)
			return at;
		uint64_t e = rig_get(r, mode, at);
		if (!(e & PTE_P)) {
			e = r->next_table | PTE_P | (mode == RIG_PAE && l == 3 ? 0 : PTE_RW | PTE_US);
			r->next_table += PAGE_SIZE;
			rig_put(r, mode, at, e);
		}
		table = e & 0xffffffffff000ull;
	}
}

/* Map lin at a level (1: 4 KB) to pa with flags; returns the entry's address. */
static inline uint64_t rig_map(struct rig *r, enum rig_mode mode, uint64_t lin, unsigned level, uint64_t pa, uint64_t flags)
{
	uint64_t at = rig_entry(r, mode, RIG_ROOT, lin, level);
	rig_put(r, mode, at, pa | flags | (level > 1 ? PTE_PS : 0));
	return at;
}

static inline uint32_t rig_load(struct mmu *m, uint64_t lin, unsigned access, struct mmu_fault *f)
{
	uint32_t v = 0;
	*f = (struct mmu_fault){ 0 };
	return mmu_read(m, lin, &v, 4, access, f) ? 0xdeadbeef : v;
}

#define RWU (PTE_P | PTE_RW | PTE_US)
#define RWUAD (RWU | PTE_A | PTE_D)

#endif
