/* mmu.c - one CPU's memory-management unit: its registers, what VM entry installs, life and snapshots.
 *
 *   access.c      an access: soft TLB, modelled TLBs, walk; bytes, timed
 *   soft.c        the soft TLB and its contexts
 *   invalidate.c  translations that go
 *
 * Source: SDM Vol. 3A, "Translation Lookaside Buffers (TLBs)", "Process-Context Identifiers (PCIDs)", "PDPTE Registers". */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "models/mmu/cache.h"
#include "models/mmu/invalidate.h"
#include "models/mmu/pte.h"
#include "models/mmu/walk.h"

/* ---- registers ---- */

/* The PDPTEs are loaded into the CPU by one reference of 32 bytes. */
static int load_pdptes(struct mmu *m, uint64_t cr3, uint64_t pdpte[4])
{
	hpa_t at;
	m->load_fault = (struct mmu_fault){ 0 };
	if (mmu_gpa(m, GPA(cr3 & 0xffffffe0), ACC_READ, &at, &m->load_fault) || !paging_load_pdptes(m, at, pdpte))
		return -1;
	mem_before_read(m->mem, at, 32, MEM_BY_WALKER);
	if (m->detailed && mem_offset(m->mem, at) >= 0) {
		bool present;
		ledger_charge(m->ledger, WHY_WALK_GUEST, m->caches->latency[cache_data(m->caches, m->cpu, at.v >> 6, false, &present)]);
	}
	return 0;
}

int mmu_set_cr3(struct mmu *m, uint64_t cr3)
{
	const struct paging *g = &m->paging;
	const bool pcide = m->cr4 & CR4_PCIDE, keep = pcide && cr3 & CR3_KEEP;
	uint64_t pdpte[4];
	if (pcide)
		cr3 &= ~CR3_KEEP;
	if (g->levels == 3) {
		if (load_pdptes(m, cr3, pdpte))
			return -1;
		memcpy(m->pdpte, pdpte, sizeof pdpte);
	}
	m->cr3 = cr3;
	if (!g->levels)
		return 0;
	m->paging.pcid = pcide ? cr3 & 0xfff : 0;
	context_choose(m);
	if (!keep)
		flush(m, FLUSH_PCID, m->paging.pcid);
	return 0;
}

int mmu_set_paging(struct mmu *m, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	const uint64_t d0 = cr0 ^ m->cr0, d4 = cr4 ^ m->cr4, de = efer ^ m->efer;
	const bool pae = cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
	const bool was_on = m->cr0 & CR0_PG;
	/* "If PAE paging would be in use following an execution of MOV to CR0 or MOV to CR4 and the instruction is modifying any
	 * of CR0.CD, CR0.NW, CR0.PG, CR4.PAE, CR4.PGE, CR4.PSE, or CR4.SMEP; then the PDPTEs are loaded" */
	if (pae && (d0 & (CR0_CD | CR0_NW | CR0_PG) || d4 & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP))) {
		uint64_t pdpte[4];
		if (load_pdptes(m, m->cr3, pdpte))
			return -1;
		memcpy(m->pdpte, pdpte, sizeof pdpte);
	}
	const unsigned pcid = m->paging.pcid;
	m->cr0 = cr0;
	m->cr4 = cr4;
	m->efer = efer;
	paging_update(m);
	context_choose(m);
	/* All: what the SDM says (PG cleared, PGE changed, PCIDE cleared), and whatever changes the meaning of an entry. */
	if (d0 & CR0_PG || (was_on && (d4 & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_LA57) || d4 & ~cr4 & CR4_PCIDE || de & (EFER_NXE | EFER_LMA))))
		flush(m, FLUSH_ALL, pcid);
	else if (was_on && d4 & cr4 & CR4_SMEP)
		flush(m, FLUSH_PCID_GLOBAL, pcid);
	soft_choose(m);
	return 0;
}

int mmu_load_paging(struct mmu *m, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer, const uint64_t pdpte[4])
{
	uint64_t read[4];
	if (cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA)) {
		if (!pdpte && load_pdptes(m, cr3, read))
			return -1;
		memcpy(m->pdpte, pdpte ? pdpte : read, sizeof m->pdpte);
	}
	m->cr0 = cr0;
	m->cr3 = cr3;
	m->cr4 = cr4;
	m->efer = efer;
	paging_update(m);
	context_choose(m);
	soft_choose(m);
	return 0;
}

void mmu_set_cpl(struct mmu *m, bool user, bool ac, bool align_check)
{
	m->user = user;
	m->ac = ac;
	m->align_check = align_check;
	soft_choose(m);
}

void mmu_tell(struct mmu *m, bool on)
{
	m->tells = on;
	soft_choose(m);
}

void mmu_set_pkru(struct mmu *m, uint32_t pkru)
{
	if (m->pkru == pkru)
		return;
	m->pkru = pkru;
	context_choose(m);
}

void mmu_set_guest(struct mmu *m, const struct mmu_guest *g)
{
	static const struct mmu_guest root = { .apic_access = MMU_NO_PAGE };
	const bool crosses = (g != NULL) != m->in_guest, untagged = !(g ? g->vpid : m->guest.vpid);
	m->guest = g ? *g : root;
	m->in_guest = g != NULL;
	m->context = (uint64_t)m->guest.vpid | (m->guest.ept ? ep4ta_of(m->guest.eptp) : 0);
	context_choose(m);
	/* "If the 'enable VPID' VM-execution control is 0, VM entries and VM exits invalidate linear mappings and combined mappings
	 * associated with VPID 0000H (for all PCIDs) ... for all EP4TA values." */
	if (crosses && untagged)
		flush_of(m, FLUSH_ALL, 0, 0);
}

/* ---- life ---- */

void mmu_set_detailed(struct mmu *m, bool on)
{
	if (m->detailed == on)
		return;
	m->detailed = on;
	memset(m->tlbs->state, 0, m->tlbs->state_size);
	tlb_restored(m->tlbs);
	cache_drop_all(m->caches, m->cpu);
	m->dtlb_mru = m->itlb_mru = 0;
	mmu_drop_soft(m);
}

int mmu_init(struct mmu *m, unsigned cpu, struct mem *mem, struct ledger *l, const struct profile *p,
             struct cache_hier *caches, struct trace *t, struct err *e)
{
	memset(m, 0, sizeof *m);
	m->cpu = cpu;
	m->mem = mem;
	m->ledger = l;
	m->profile = p;
	m->caches = caches;
	m->trace = t;
	m->guest.apic_access = MMU_NO_PAGE;
	m->ept_cap = ~0ull;
	m->tlbs = tlb_new(p, e);
	if (!m->tlbs)
		return -1;
	m->tlb_stamp = m->tlbs->stamp;
	m->detailed = 1;
	struct cache_core *core = &caches->core[cpu];
	core->stat = m->stat;
	m->l1d_mru = core->l1d_mru;
	m->l1d_mru_dirty = core->l1d_mru_dirty;
	m->l1d_set_mask = core->l1d.mask;
	m->l1i_mru = core->l1i_mru;
	m->l1i_set_mask = core->l1i.mask;
	for (unsigned level = LEVEL_L2; level <= LEVEL_MEM; level++) {
		uint32_t latency = caches->latency[level], l1 = caches->latency[LEVEL_L1];
		m->load_stall[level] = latency > l1 ? latency - l1 : 0;
		m->store_stall[level] = (uint32_t)(m->load_stall[level] * p->store_miss / 100);
	}
	soft_init(m);
	paging_update(m);
	mmu_drop_soft(m);
	soft_choose(m);
	return 0;
}

void mmu_fini(struct mmu *m)
{
	tlb_free(m->tlbs);
	soft_fini(m);
	m->tlbs = NULL;
}

/* From a snapshot file: the entries used last are entries. Registers are the CPU's again when it is restored. */
static bool registers_valid(void *who, const void *state)
{
	const struct mmu *m = who;
	const char *p = state;
	uint32_t dtlb, itlb;
	memcpy(&dtlb, p, sizeof dtlb);
	memcpy(&itlb, p + offsetof(struct mmu, itlb_mru) - offsetof(struct mmu, dtlb_mru), sizeof itlb);
	struct mmu_guest g;
	memcpy(&g, p + offsetof(struct mmu, guest) - offsetof(struct mmu, dtlb_mru), sizeof g);
	uint64_t walk_length = BITS(g.eptp, 5, 3);
	return dtlb < m->tlbs->n && itlb < m->tlbs->n && (!g.ept || walk_length == 3 || walk_length == 4) && !(g.pml & 0xfff);
}

void mmu_sections(struct mmu *m, struct snaps *s)
{
	char name[32];
	snprintf(name, sizeof name, "cpu%u.mmu", m->cpu);
	snaps_section(s, name, 1, &m->dtlb_mru, offsetof(struct mmu, ledger) - offsetof(struct mmu, dtlb_mru));
	snaps_valid(s, name, registers_valid, m);
	snprintf(name, sizeof name, "cpu%u.tlb", m->cpu);
	snaps_section(s, name, 1, m->tlbs->state, m->tlbs->state_size);
	snaps_valid(s, name, tlb_valid, m->tlbs);
}

void mmu_restored(struct mmu *m)
{
	m->context = (uint64_t)m->guest.vpid | (m->guest.ept ? ep4ta_of(m->guest.eptp) : 0);
	tlb_restored(m->tlbs);
	paging_update(m);
	soft_choose(m);
	cache_restored(m->caches, m->cpu);
	mmu_drop_soft(m);
}
