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
#include "sim/field.h"
#include "sim/ledger.h"
#include "sim/snap.h"
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
	ACC_SS       = 64,      /* to a shadow stack */
};

/* #PF error code, SDM Vol. 3A "Page-Fault Exceptions". */
enum { PFEC_P = 1, PFEC_WR = 2, PFEC_US = 4, PFEC_RSVD = 8, PFEC_ID = 16, PFEC_PK = 32, PFEC_SS = 64 };

enum mmu_fault_kind { MMU_OK, MMU_PF, MMU_NONCANONICAL, MMU_EPT_VIOLATION, MMU_EPT_MISCONFIG, MMU_PML_FULL,
                      MMU_APIC_ACCESS /* a guest paging structure lies on the APIC-access page */ };
struct mmu_fault {
	uint32_t kind;          /* enum mmu_fault_kind */
	uint32_t error_code;    /* #PF */
	uint64_t lin;           /* the linear address of the first byte that faulted */
	gpa_t gpa;              /* EPT faults */
	uint64_t qualification; /* EPT violations: as the exit qualification, bits 14:13, 11:0; lin is valid when bit 7 is set */
	uint64_t suppress_ve;   /* EPT violations: bit 63 of the entry that decided; 0: it may become a virtualization exception */
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
#define WALK_FILLS_MAX 32
struct walk_record {
	uint64_t lin;
	uint32_t access;        /* ACC_* */
	uint32_t n;             /* rows; those served by a paging-structure cache or the nested TLB are no references */
	struct walk_ref ref[WALK_REFS_MAX];
	struct mmu_fault fault;
	gpa_t gpa;
	hpa_t hpa;
	uint32_t page_shift, cycles;
};

/* ---- soft TLB ---- */
#define SOFT_TLB_BITS 11
#define SOFT_TLB_N    (1u << SOFT_TLB_BITS)
struct soft_tlb_entry {        /* 32 bytes: never across a host cache line */
	uint64_t tag_r, tag_w;  /* linear page | generation; a tag that cannot match: ~0 */
	uintptr_t host;         /* host address of the page minus its linear address */
	uint64_t pa_slot;       /* host-physical page | entry number in the modelled L1 data TLB (0: none, paging is off) */
};
#define SOFT_SLOT(e) ((uint32_t)((e)->pa_slot & 0xfff))
#define SOFT_PA(e)   ((e)->pa_slot & PAGE_MASK)

/* The same for instruction fetch: mmu_fetch() looks here first. One table for supervisor, one for user code. */
#define SOFT_FETCH_N 64
struct soft_fetch_entry {
	uint64_t tag;           /* linear page | generation */
	uint64_t pa;            /* host-physical page */
	uint64_t slot;          /* detailed: entry number in the modelled L1 instruction TLB */
};
/* One table per way of looking at page permissions; `soft` points at the one in force. */
enum { SOFT_SUPER, SOFT_SUPER_AC, SOFT_USER, SOFT_SLOW, SOFT_TABLES };  /* SOFT_SLOW stays empty: alignment checks on */

enum mmu_stat {
#define STAT(NAME, name, unit, sentence) MMU_STAT_##NAME,
#include "models/mmu/mmu_stat.def"
	MMU_STAT_N
};

enum mmu_trace {
	MMU_TRACE_BASE_ = TRACE_MMU - 1,
#define EVENT(NAME, name, args, sentence) MMU_TRACE_##NAME,
#include "models/mmu/mmu_trace.def"
	MMU_TRACE_END_
};

struct cache_hier;              /* cache.h: every CPU's L1I, L1D, L2 and the shared L3 */
struct tlb_set;                 /* tlb.h: this CPU's TLBs and paging-structure caches */
struct soft_list;               /* soft.h: which soft entries hang on a modelled large-page entry */

struct mmu {
	/* hot: what the inline paths touch */
	struct soft_tlb_entry *soft;
	uint64_t generation;            /* 0..4094: soft entries of another one are not this context's, or void */
	uint64_t *l1d_mru;              /* per set: line number of the most recently used line, ~0 none */
	uint64_t *l1d_mru_dirty;        /* the same when that line is modified, else ~0 */
	uint64_t l1d_set_mask;
	uint64_t *tlb_stamp;            /* per modelled entry: when it was used last; [0] is the clock of that */
	uint8_t detailed;               /* caches and TLBs are timed */
	uint8_t pad[3];
	/* ---- from here to `ledger`: state; a snapshot takes it as it is ---- */
	uint32_t dtlb_mru;              /* the L1 data TLB entry used last */
	uint64_t cr0, cr3, cr4, efer, pkru;     /* registers the MMU obeys */
	uint64_t pdpte[4];              /* PAE: loaded with CR3 */
	uint64_t context;               /* what translations are tagged with beyond the PCID: VPID | EP4TA (tlb.h) */
	struct mmu_guest {              /* what VM entry installed; all zero in root operation (apic_access: NO_PAGE) */
		uint64_t eptp;                  /* EPT pointer as in the VMCS; meaningless without `ept` */
		uint64_t apic_access;           /* host-physical page whose accesses go to mmu->apic_access, or MMU_NO_PAGE */
		uint64_t pml;                   /* page-modification log, when pml_on */
		uint16_t pml_index;             /* as the VMCS field, moves as entries are logged */
		uint16_t vpid;                  /* 0: untagged */
		uint8_t ept, mode_execute, pml_on;
		uint8_t agile;                  /* no silicon has it: CR3 leads to shadow tables, host-physical, until an
		                                 * entry with PTE_SWITCH leads to a guest table, walked with EPT (docs/shadow.md) */
	} guest;
	uint32_t itlb_mru;              /* the L1 instruction TLB entry used last */
	uint8_t user, ac;               /* CPL 3; EFLAGS.AC */
	uint8_t align_check;            /* every data access is to take the slow way */
	uint8_t in_guest;               /* between mmu_set_guest(g) and mmu_set_guest(NULL) */
	uint8_t shadow, pad2[7];        /* shadow: outside VMX too CR3 leads to a VMM's shadow tables */
	uint64_t stat[MMU_STAT_N];

	struct ledger *ledger;
	uint64_t epoch;                 /* code translations changed: block links made under another one are void */
	uint64_t epoch_clock;           /* epochs given out */
	uint64_t links;                 /* changes when links made in any context are void */
	struct soft_context *context_now, *contexts;    /* soft.c: generation and epoch of each context left, to come back to */
	uint64_t context_clock, generation_clock;
	bool tells;                     /* every data access takes the slow way and is traced: mmu_tell() */
	uint64_t ept_cap;               /* IA32_VMX_EPT_VPID_CAP: the CPU narrows it from all ones, ept.h */
	struct mmu_fault load_fault;    /* why loading PDPTEs failed: kind MMU_OK, reserved bits; else EPT's */
	uint64_t *l1i_mru;              /* per set, as l1d_mru */
	uint64_t l1i_set_mask;
	struct mem *mem;
	const struct profile *profile;
	struct trace *trace;
	unsigned cpu;                   /* number, trace component */
	/* An access whose host-physical page is guest.apic_access: never cached in a soft TLB. Serves it or does not return. */
	void (*apic_access)(void *who, uint64_t lin, gpa_t gpa, unsigned off, void *buf, unsigned size, unsigned access);
	void *apic_who;
	/* Not NULL: told of every piece of data in RAM, before it is read (from NULL) or written; no soft TLB hides any. */
	void (*seen)(void *who, hpa_t pa, unsigned size, const void *from);
	void *seen_who;
	/* Somebody watches linear or guest-physical addresses (models/watch.h). Asked of a page before it gets a soft entry: is any
	 * of it watched? Told of each access that came the slow way, writes before the bytes change. NULL: nobody does. */
	bool (*watches_page)(void *who, const struct mmu *m, uint64_t lin);
	void (*watch_seen)(void *who, const struct mmu *m, uint64_t lin, hpa_t pa, unsigned size, bool write);
	void (*watch_walk)(void *who, const struct mmu *m, gpa_t gpa, unsigned size, bool write);       /* a walk's, under EPT */
	void *watch_who;
	struct cache_hier *caches;
	struct tlb_set *tlbs;
	struct soft_list *lists;
	uint8_t *views;         /* per entry of a data TLB of 4 KB pages: the soft tables that may hold what hangs on it */
	/* derived from the registers: walk.c */
	struct paging {
		uint8_t levels;         /* 0: paging is off; 2, 3 (PAE), 4, 5 */
		uint8_t index_bits, entry_bytes;
		uint8_t large;          /* bit per level: an entry with PS set maps a page */
		uint8_t canonical;      /* 64 - width of a linear address in IA-32e mode, else 0 */
		uint8_t nx, smep, smap, wp, pke, pge, cet;
		uint16_t pcid;
		uint64_t reserved[6][2];/* by level and whether it maps a large page: bits that must be 0 */
		uint64_t address[6][2]; /* likewise: the address bits */
	} paging;
	uint32_t load_stall[LEVEL_MEM + 1], store_stall[LEVEL_MEM + 1];         /* by level, beyond L1 */
	struct ept_fill { uint64_t info, tag, gpa; uint8_t id, shift, size; } fill[WALK_FILLS_MAX];      /* of the walk under way */
	struct walk_record last_walk;   /* the most recent translation that walked */
	struct soft_fetch_entry fetch[2][SOFT_FETCH_N];         /* supervisor, user */
	struct soft_tlb_entry (*table)[SOFT_TLB_N];             /* SOFT_TABLES of them, aligned to host cache lines */
	void *table_block;
};

/* What a reference is, where `write` is asked for (false a load, true a store). A store's wait is mostly hidden by the
 * store buffer; that of a read-modify-write's load is not, though it too must find its page and line writable. */
enum touch { TOUCH_LOAD, TOUCH_STORE, TOUCH_RMW };

/* Blocks of code are gone: links to them are void in every context. */
static inline void mmu_void_links(struct mmu *m)
{
	m->epoch = ++m->epoch_clock;
	m->links++;
}

/* Slow halves, access.c. */
void mmu_touch_slow(struct mmu *m, uint64_t line, enum touch write);       /* L1D beyond the MRU way: hit, or stall and fill */
void mmu_fetch_slow(struct mmu *m, uint64_t line);                   /* the same for L1I */

/* LRU of the modelled L1 data TLB. Using the same entry twice in a row changes nothing, so it may be skipped. */
static inline void mmu_dtlb_touch(struct mmu *m, uint32_t slot)
{
	uint64_t now = m->tlb_stamp[0] + 1;
	m->dtlb_mru = slot;
	m->tlb_stamp[0] = m->tlb_stamp[slot] = now;
}

/* Time one data reference of at most 64 bytes at a RAM address, within a page. */
static inline void mmu_touch(struct mmu *m, uint64_t pa, unsigned size, enum touch write)
{
	uint64_t line = pa >> 6;
	if (unlikely((write ? m->l1d_mru_dirty : m->l1d_mru)[line & m->l1d_set_mask] != line))
		mmu_touch_slow(m, line, write);
	if (unlikely((pa & 63) + size > 64))
		mmu_touch_slow(m, line + 1, write);
}

/* Host pointer for an access inside one page that hits the soft TLB, timed; NULL: take the slow way. */
static inline void *mmu_fast(struct mmu *m, uint64_t lin, unsigned size, enum touch write)
{
	const struct soft_tlb_entry *e = &m->soft[(lin >> PAGE_SHIFT) & (SOFT_TLB_N - 1)];
	/* the last byte's page is looked for in the first byte's slot: crossing a page never matches */
	if (unlikely((write ? e->tag_w : e->tag_r) != (((lin + size - 1) & PAGE_MASK) | m->generation)))
		return NULL;
	if (m->detailed) {
		if (unlikely(SOFT_SLOT(e) != m->dtlb_mru))
			mmu_dtlb_touch(m, SOFT_SLOT(e));
		mmu_touch(m, SOFT_PA(e) | (lin & 0xfff), size, write);
	}
	return (void *)(e->host + lin);
}

/* Time the fetch of one line of code at a physical address. Call it when execution enters the line, in program
 * order with the data accesses: then stepping and running through leave the same caches behind. */
static inline void mmu_fetch_touch(struct mmu *m, uint64_t line)
{
	if (m->detailed && unlikely(m->l1i_mru[line & m->l1i_set_mask] != line))
		mmu_fetch_slow(m, line);
}

/* The caches of one machine: every CPU's private levels and the shared one (cache.h). */
struct cache_hier *caches_new(const struct profile *p, unsigned cpus, struct err *e);
void caches_free(struct cache_hier *h);

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

/* Somebody wants every access traced: data accesses take the slow way, which costs what the fast one does. Not state. */
void mmu_tell(struct mmu *m, bool on);

/* Instruction fetch: translate lin (timed: instruction TLB, walk) for the present CPL. A few ns when the ITLB holds
 * the page. Call it whenever execution comes to another page than the last call's, also along a block link: the ITLB's
 * LRU is then exact. Within that page, and while `epoch` stays, calling it again changes nothing. */
int mmu_fetch(struct mmu *m, uint64_t lin, hpa_t *pa, struct mmu_fault *f);
/* Physical access by the CPU itself, timed (VMCS, virtual-APIC page; also for accesses with paging off: no). */
uint64_t mmu_phys_read(struct mmu *m, hpa_t pa, unsigned size, enum why why);
void mmu_phys_write(struct mmu *m, hpa_t pa, unsigned size, uint64_t v, enum why why);

/* Register writes. The CPU has validated them; these load, flush what the SDM says must be flushed,
 * and switch the soft TLB in force. When the result is PAE paging, both load the PDPTEs where the SDM says so:
 * -1 when that fails and nothing changed: load_fault is EPT's fault, or of kind MMU_OK when a PDPTE has reserved bits set
 * (the caller raises #GP). */
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

/* ---- VMX: a guest's memory (ept.c) ----
 * Entering or leaving a guest changes what translations are tagged with; what the SDM says VM entries and exits flush is
 * flushed by these too: everything of VPID 0000H when the guest is untagged, nothing else. g NULL: root operation; from guest
 * to guest (VMFUNC, a control changed by hand) nothing is flushed.
 * CR0, CR3, CR4 and EFER are loaded by mmu_load_paging(), which flushes nothing and does not read PDPTEs from memory
 * unless `pdpte` is NULL (then -1 as above). */
#define MMU_NO_PAGE (~0ull)
void mmu_set_guest(struct mmu *m, const struct mmu_guest *g);
int mmu_load_paging(struct mmu *m, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer, const uint64_t pdpte[4]);
enum invept_type { INVEPT_SINGLE = 1, INVEPT_ALL = 2 };
enum invvpid_type { INVVPID_ADDRESS, INVVPID_SINGLE, INVVPID_ALL, INVVPID_SINGLE_NOT_GLOBAL };
void mmu_invept(struct mmu *m, enum invept_type type, uint64_t eptp);
void mmu_invvpid(struct mmu *m, enum invvpid_type type, unsigned vpid, uint64_t lin);
/* A guest-physical access by the CPU for itself through EPT, if on (PDPTEs, task state): 0, or -1 with *f. */
int mmu_gpa(struct mmu *m, gpa_t gpa, unsigned access, hpa_t *hpa, struct mmu_fault *f);
/* Looking: where EPT puts a guest-physical address now; false: nowhere. Records the references in *out when not NULL. */
bool mmu_peek_gpa(const struct mmu *m, gpa_t gpa, hpa_t *hpa, struct walk_record *out);

/* What a snapshot must hold so that timing goes on exactly: cache and TLB contents, the MMU's registers, its statistics.
 * mmu_restored rebuilds what is derived after that was overwritten, the CPU's caches included; the registers came back
 * with the section, so it is to be called instead of mmu_set_paging and mmu_set_cr3, which would flush. */
void caches_sections(struct cache_hier *h, struct snaps *s);
void mmu_sections(struct mmu *m, struct snaps *s);
void mmu_restored(struct mmu *m);

/* Looking: what a translation would yield now, from memory alone; no fill, no A/D, no statistic, no cycle. */
bool mmu_peek(const struct mmu *m, uint64_t lin, struct walk_record *out);
/* The same for an access that may be denied: the fault it would end in is in out->fault. */
bool mmu_peek_access(const struct mmu *m, uint64_t lin, unsigned access, struct walk_record *out);
/* Does a TLB hold a translation for it now? Its level (1, 2), or 0; where to. */
unsigned mmu_peek_tlb(const struct mmu *m, uint64_t lin, bool fetch, hpa_t *pa);
/* An MMU to look through that is none: memory and registers of someone who does not run now. eptp 0: one dimension.
 * For mmu_peek and mmu_peek_access alone; nothing is to be freed. */
struct mmu_regs { uint64_t cr0, cr3, cr4, efer, pdpte[4], eptp; uint32_t pkru; bool ac, shadow /* the tables are a VMM's shadow */, agile, mode_execute; };
void mmu_lens(struct mmu *lens, const struct mmu *like, struct mem *mem, const struct mmu_regs *r);
bool mmu_peek_bytes(const struct mmu *m, uint64_t lin, void *buf, size_t n);

extern const struct stat_row mmu_stat_rows[MMU_STAT_N];
extern const struct trace_row mmu_trace_rows[];         /* at TRACE_MMU */
extern const size_t mmu_trace_rows_n;
extern const struct field_row mmu_fields[];             /* of struct mmu */
extern const size_t mmu_fields_n;

#endif
