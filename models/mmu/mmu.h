/* mmu.h - one CPU's memory-management unit: from a linear address to bytes, timed.
 *
 * Layers, fast to slow:
 *   soft TLB   host-side table: linear page -> host pointer. No model of anything; an entry may exist only
 *              while the translation is in the modelled L1 TLB (detailed speed), so hitting it IS a modelled hit.
 *   tlb.c      the modelled TLBs, tagged and sized as the profile says
 *   walk.c     the page walk with paging-structure caches; each reference goes through
 *   cache.c    the modelled cache hierarchy
 *   mem.c      RAM and the way out to devices
 *
 * Fast speed keeps the soft TLB and the walker and skips cache and TLB timing: outcome equal, time coarser.
 * Errors are guest faults (struct mmu_fault): the caller raises them.
 * Source: SDM Vol. 3A, "Paging". */
#ifndef MMU_MMU_H
#define MMU_MMU_H

#include "models/mmu/mem.h"
#include "models/profile.h"
#include "sim/base.h"
#include "sim/ledger.h"
#include "sim/stat.h"
#include "sim/trace.h"

/* What an access is. USER and SUPERVISOR-implicit come from the CPU's mode. */
enum {
	ACC_READ     = 0,
	ACC_WRITE    = 1,
	ACC_EXEC     = 2,
	ACC_USER     = 4,       /* CPL 3 and not an implicit system access */
	ACC_IMPLICIT = 8,       /* supervisor access by the CPU itself (descriptor tables, TSS): EFLAGS.AC does not lift SMAP */
	ACC_LOCKED   = 16,
	ACC_RMW      = 32,      /* read of a read-modify-write: needs write permission */
};

/* #PF error code, SDM Vol. 3A "Page-Fault Exceptions". */
enum { PFEC_P = 1, PFEC_WR = 2, PFEC_US = 4, PFEC_RSVD = 8, PFEC_ID = 16, PFEC_PK = 32 };

enum mmu_fault_kind { MMU_OK, MMU_PF, MMU_NONCANONICAL, MMU_EPT_VIOLATION, MMU_EPT_MISCONFIG };
struct mmu_fault {
	uint32_t kind;          /* enum mmu_fault_kind */
	uint32_t error_code;    /* #PF */
	uint64_t lin;           /* the linear address of the first byte that faulted */
	gpa_t gpa;              /* EPT faults */
	uint64_t qualification;
};

/* ---- the record of a walk: enough to draw each reference ---- */
enum walk_dim { WALK_GUEST, WALK_EPT, WALK_SHADOW };
enum mem_level { LEVEL_L1, LEVEL_L2, LEVEL_L3, LEVEL_MEM, LEVEL_PSC, LEVEL_NTLB, LEVEL_NONE };
struct walk_ref {
	uint8_t dim;            /* enum walk_dim */
	uint8_t level;          /* of the table: 5..1; 4 = PML4 */
	uint8_t for_level;      /* EPT references: the guest level whose table is being located; 0: the final address */
	uint8_t served;         /* enum mem_level */
	uint16_t index;         /* in the table */
	uint16_t cycles;
	uint64_t table, entry_pa, entry;        /* table base, address and value of the entry */
};
#define WALK_REFS_MAX 48
struct walk_record {
	uint64_t lin;
	uint32_t access;        /* ACC_* */
	uint32_t n;
	struct walk_ref ref[WALK_REFS_MAX];
	struct mmu_fault fault;
	gpa_t gpa;
	hpa_t hpa;
	uint32_t page_shift, cycles;
};

/* ---- soft TLB ---- */
#define SOFT_TLB_BITS 9
#define SOFT_TLB_N    (1u << SOFT_TLB_BITS)
struct soft_tlb_entry {
	uint64_t tag_r, tag_w;  /* linear page | generation; a tag that cannot match: ~0 */
	uintptr_t host;         /* host address of the page minus its linear address */
	uint64_t pa;            /* host-physical page */
	uint32_t slot;          /* detailed: entry number in the modelled L1 data TLB */
	uint32_t pad;
};
/* One table per way of looking at page permissions; `soft` points at the one in force. */
enum { SOFT_SUPER, SOFT_SUPER_AC, SOFT_USER, SOFT_SLOW, SOFT_TABLES };  /* SOFT_SLOW stays empty: alignment checks on */

enum mmu_stat {
#define STAT(NAME, name, unit, sentence) MMU_STAT_##NAME,
#include "models/mmu/mmu_stat.def"
	MMU_STAT_N
};

struct cache_hier;              /* cache.c: this CPU's L1I, L1D, L2 and the shared L3 */
struct tlb_set;                 /* tlb.c: this CPU's TLBs and paging-structure caches */

struct mmu {
	/* hot: what the inline paths touch */
	struct soft_tlb_entry *soft;
	uint64_t generation;            /* 0..4094: changes when everything cached becomes invalid */
	uint64_t *l1d_mru;              /* per set: line number of the most recently used line, ~0 none */
	uint64_t *l1d_mru_dirty;        /* the same when that line is modified, else ~0 */
	uint64_t l1d_set_mask;
	uint32_t dtlb_mru;              /* the L1 data TLB entry used last */
	uint8_t detailed;               /* caches and TLBs are timed */
	uint8_t pad[3];
	uint64_t epoch;                 /* code translations changed: block links made before are void */

	/* registers the MMU obeys; set by mmu_mode() and mmu_set_cr3() */
	uint64_t cr0, cr3, cr4, efer, pkru;
	uint64_t pdpte[4];              /* PAE: loaded with CR3 */
	uint8_t user, ac;               /* CPL 3; EFLAGS.AC */

	struct ledger *ledger;
	struct mem *mem;
	const struct profile *profile;
	struct trace *trace;
	unsigned cpu;                   /* number, trace component */
	struct cache_hier *caches;
	struct tlb_set *tlbs;
	uint64_t stat[MMU_STAT_N];
	struct walk_record last_walk;   /* the most recent translation that walked */
	struct soft_tlb_entry table[SOFT_TABLES][SOFT_TLB_N];
};

/* Slow halves, mmu.c. */
void mmu_touch_slow(struct mmu *m, uint64_t line, bool write);       /* L1D beyond the MRU way: hit, or stall and fill */
void mmu_dtlb_touch(struct mmu *m, uint32_t slot);                   /* LRU of the modelled L1 data TLB */

/* Time one data reference of at most 8 aligned-within-line bytes (or 16) at a RAM address. */
static inline void mmu_touch(struct mmu *m, uint64_t pa, unsigned size, bool write)
{
	uint64_t line = pa >> 6;
	if (unlikely((write ? m->l1d_mru_dirty : m->l1d_mru)[line & m->l1d_set_mask] != line))
		mmu_touch_slow(m, line, write);
	if (unlikely((pa + size - 1) >> 6 != line))
		mmu_touch_slow(m, line + 1, write);
}

/* Host pointer for an access inside one page that hits the soft TLB, timed; NULL: take the slow way. */
static inline void *mmu_fast(struct mmu *m, uint64_t lin, unsigned size, bool write)
{
	const struct soft_tlb_entry *e = &m->soft[(lin >> PAGE_SHIFT) & (SOFT_TLB_N - 1)];
	/* the last byte's page is looked for in the first byte's slot: crossing a page never matches */
	if (unlikely((write ? e->tag_w : e->tag_r) != (((lin + size - 1) & PAGE_MASK) | m->generation)))
		return NULL;
	if (m->detailed) {
		if (unlikely(e->slot != m->dtlb_mru))
			mmu_dtlb_touch(m, e->slot);
		mmu_touch(m, e->pa | (lin & 0xfff), size, write);
	}
	return (void *)(e->host + lin);
}

/* The caches of one machine: every CPU's private levels and the shared one (cache.h). */
struct cache_hier *caches_new(const struct profile *p, unsigned cpus, struct err *e);
void caches_free(struct cache_hier *h);
/* What a snapshot must hold so that timing goes on exactly: cache and TLB contents, the MMU's registers. */
void caches_sections(struct cache_hier *h, struct snaps *s);
void mmu_sections(struct mmu *m, struct snaps *s);
extern const struct stat_row mmu_stat_rows[];

int mmu_init(struct mmu *m, unsigned cpu, struct mem *mem, struct ledger *l, const struct profile *p,
             struct cache_hier *caches, struct trace *t, struct err *e);
void mmu_fini(struct mmu *m);
void mmu_set_detailed(struct mmu *m, bool on);  /* changing speed drops all cached timing state */

/* The slow, complete way: any address, any size up to 64, may cross pages, may be I/O.
 * 0, or -1 with *f filled and nothing changed (all pages are checked before a byte is written). */
int mmu_read(struct mmu *m, uint64_t lin, void *buf, unsigned size, unsigned access, struct mmu_fault *f);
int mmu_write(struct mmu *m, uint64_t lin, const void *buf, unsigned size, unsigned access, struct mmu_fault *f);
/* Check an access without making it (TLB fills and A/D updates happen as the access would make them). */
int mmu_probe(struct mmu *m, uint64_t lin, unsigned size, unsigned access, struct mmu_fault *f);

/* Instruction fetch: translate (timed: instruction TLB, walk); and charge the cache lines of one block. */
int mmu_fetch(struct mmu *m, uint64_t lin, hpa_t *pa, struct mmu_fault *f);
void mmu_fetch_slow(struct mmu *m, uint64_t line);
/* Physical access by the CPU itself, timed (VMCS, virtual-APIC page; also for accesses with paging off: no). */
uint64_t mmu_phys_read(struct mmu *m, hpa_t pa, unsigned size, enum why why);
void mmu_phys_write(struct mmu *m, hpa_t pa, unsigned size, uint64_t v, enum why why);

/* Register writes. The CPU has validated them; these load, flush what the SDM says must be flushed,
 * and switch the soft TLB in force. mmu_set_cr3 with PAE paging loads the PDPTEs: -1 when one has reserved
 * bits set (the caller raises #GP and nothing changed). */
int mmu_set_cr3(struct mmu *m, uint64_t cr3);           /* bit 63 = keep translations of this PCID */
int mmu_set_paging(struct mmu *m, uint64_t cr0, uint64_t cr4, uint64_t efer);
void mmu_set_cpl(struct mmu *m, bool user, bool ac, bool align_check);
void mmu_set_pkru(struct mmu *m, uint32_t pkru);

void mmu_invlpg(struct mmu *m, uint64_t lin);
enum invpcid_type { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL_GLOBAL, INVPCID_ALL };
void mmu_invpcid(struct mmu *m, enum invpcid_type type, unsigned pcid, uint64_t lin);
void mmu_flush_all(struct mmu *m);                      /* reset */
void mmu_flush_caches(struct mmu *m);                   /* WBINVD */
void mmu_drop_soft(struct mmu *m);                      /* host-side only: after a snapshot, a restore, a page becoming code */
void mmu_drop_writable(struct mmu *m, hpa_t page);

/* Looking: what a translation would yield now, from memory alone; no fill, no A/D, no statistic, no cycle. */
bool mmu_peek(const struct mmu *m, uint64_t lin, struct walk_record *out);
bool mmu_peek_bytes(const struct mmu *m, uint64_t lin, void *buf, size_t n);

#endif
