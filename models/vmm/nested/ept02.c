/* ept02.c - EPT on EPT: the tables L2 really runs on.
 *
 *   L1's EPT (ept12)   guest-physical of L2 -> guest-physical of L1        in L1's memory
 *   L0's EPT (ept01)   guest-physical of L1 -> host-physical
 *   EPT02              guest-physical of L2 -> host-physical               L0 makes it, entry by entry, at EPT violations
 *
 * An entry has the smaller of the two pages, and the rights of ept12 (L0 gives all). What ept12 does not map, denies or has
 * misconfigured is L1's affair: the violation is reflected. What is no RAM of the VM's stays unmapped: L0's device models. Without EPT of
 * L1's the first step is the identity.
 * Nothing watches L1's tables: a change that must be seen takes INVEPT on a processor, too, and INVEPT drops EPT02. Trees of NESTED_ROOTS
 * EPT pointers are kept.
 * Source: SDM Vol. 3C, "The Extended Page Table Mechanism (EPT)", "EPT Violations", "EPT Misconfigurations", "INVEPT"; Turtles, section 3.3.2.
 * Timing: EPT_LEVEL and a reference for each level of both walks; EPT_MAP; EPT_TABLE and 64 references for a new table. */
#include "models/vmm/nested/nested.h"

#include "models/cpu/cpuid.h"

#define EPT_RWX  7ull
#define EPT_WB   (6ull << 3)
#define EPT_PS   BIT(7)
#define ADDRESS  (MASK(52) & PAGE_MASK)
#define EPTP02   (3ull << 3 | 6)        /* four levels, write-back */
#define IDENTITY 0                      /* for "no EPT of L1's": no EPT pointer is 0 with a walk length */

/* ---- L1's dimension ---- */

static bool misconfigured(const struct vcpu *v, uint64_t e, unsigned level, bool leaf)
{
	const uint64_t cap = vmx_ept_vpid_cap(v->model);
	uint64_t reserved = MASK(52) & ~MASK((unsigned)v->model->profile->phys_bits);
	static const uint8_t types = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6;
	if ((e & 2 && !(e & 1)) || (!(e & 1) && e & 4 && !(cap & EPT_CAP_EXECUTE_ONLY)))
		return true;
	if (!leaf)
		reserved |= 0x78 | (level >= 4 || e & EPT_PS ? EPT_PS : 0);
	else if (level > 1)
		reserved |= MASK(12 + 9 * (level - 1)) & ~MASK(12);
	return e & reserved || (leaf && !(types >> (e >> 3 & 7) & 1));
}

static bool is_leaf(const struct vcpu *v, uint64_t e, unsigned level)
{
	const uint64_t cap = vmx_ept_vpid_cap(v->model);
	return level == 1 || (e & EPT_PS && ((level == 2 && cap & EPT_CAP_2M) || (level == 3 && cap & EPT_CAP_1G)));
}

static void walk(struct vcpu *v, uint64_t eptp, uint64_t gpa, struct nested_walk *w)
{
	uint64_t table = eptp & ADDRESS, e;
	*w = (struct nested_walk){ .end = WALK12_VIOLATION, .rights = EPT_RWX };
	for (unsigned level = 4;; level--) {
		unsigned shift = 12 + 9 * (level - 1);
		vmm_cost(v->cpu, VMM_COST_EPT_LEVEL);
		l1_read(v, table + (gpa >> shift & 511) * 8, 8, &e);
		bool leaf = is_leaf(v, e, level);
		if (!(e & EPT_RWX)) {
			w->rights = 0;
			return;
		}
		if (misconfigured(v, e, level, leaf)) {
			w->end = WALK12_MISCONFIG;
			return;
		}
		w->rights &= e;
		table = e & ADDRESS;
		if (!leaf)
			continue;
		w->shift = shift;
		w->gpa = (table & ~MASK(shift)) | (gpa & MASK(shift));
		w->end = WALK12_MAPPED;
		return;
	}
}

static bool l1_has_ept(struct vcpu *v) { return vmcs12_on(v, VMX_ENABLE_EPT); }

void nested_walk12(struct vcpu *v, uint64_t gpa, struct nested_walk *w)
{
	if (l1_has_ept(v))
		walk(v, vmcs12_get(v, VMCS_EPTP), gpa, w);
	else
		*w = (struct nested_walk){ .end = WALK12_MAPPED, .rights = EPT_RWX, .gpa = gpa, .shift = 30 };
}

bool nested_gpa(struct vcpu *v, gpa_t gpa, gpa_t *vm_gpa)
{
	struct nested_walk w;
	*vm_gpa = gpa;
	if (!nested_running(v) || !l1_has_ept(v))
		return true;
	nested_walk12(v, gpa.v, &w);
	*vm_gpa = GPA(w.gpa);
	return w.end == WALK12_MAPPED;
}

/* ---- tables ---- */

static void put(struct vcpu *v, uint64_t at, uint64_t x) { mmu_phys_write(&v->cpu->mmu, HPA(at), 8, x, WHY_EXIT_SERVICE); }
static uint64_t get(struct vcpu *v, uint64_t at)
{
	vmm_cost(v->cpu, VMM_COST_EPT_LEVEL);
	return mmu_phys_read(&v->cpu->mmu, HPA(at), 8, WHY_EXIT_SERVICE);
}

static uint64_t new_table(struct vcpu *v, unsigned root)
{
	struct nested_state *n = &v->nested->s;
	unsigned i = 0;
	while (i < n->pages && n->owner[i])
		i++;
	if (i == n->pages) {
		hpa_t page = n->pages < NESTED_TABLES ? vmm_page(v->vm->vmm) : HPA(0);
		if (!page.v)
			return 0;
		n->page[n->pages++] = (uint32_t)(page.v >> PAGE_SHIFT);
	}
	n->owner[i] = (uint8_t)(root + 1);
	uint64_t at = (uint64_t)n->page[i] << PAGE_SHIFT;
	vmm_cost(v->cpu, VMM_COST_EPT_TABLE);
	for (unsigned k = 0; k < PAGE_SIZE; k += 64)
		put(v, at + k, 0);
	for (unsigned k = 0; k < PAGE_SIZE; k += 8)     /* the rest of each line: no further reference */
		mem_write64(v->vm->vmm->p.mem, HPA(at + k), 0);
	return at;
}

static void drop(struct vcpu *v, unsigned root)
{
	struct nested_state *n = &v->nested->s;
	if (n->root[root].eptp12 == VMCS_NONE)
		return;
	for (unsigned i = 0; i < n->pages; i++)
		if (n->owner[i] == root + 1)
			n->owner[i] = 0;
	n->root[root].eptp12 = VMCS_NONE;
	v->nested->stat[NESTED_STAT_DROPS]++;
	vmx_root_invept(v->cpu, INVEPT_SINGLE, n->root[root].table | EPTP02);
}

void nested_invept(struct vcpu *v, uint64_t eptp12, bool all)
{
	for (unsigned i = 0; i < NESTED_ROOTS; i++)
		if (all || v->nested->s.root[i].eptp12 == eptp12)
			drop(v, i);
}

/* The tree for an EPT pointer of L1's; -1: no memory. */
static int root_of(struct vcpu *v, uint64_t eptp12)
{
	struct nested_state *n = &v->nested->s;
	unsigned oldest = 0;
	for (unsigned i = 0; i < NESTED_ROOTS; i++) {
		if (n->root[i].eptp12 == eptp12) {
			n->root[i].used = ++n->clock;
			return (int)i;
		}
		uint64_t age = n->root[i].eptp12 == VMCS_NONE ? 0 : n->root[i].used;
		if (age < (n->root[oldest].eptp12 == VMCS_NONE ? 0 : n->root[oldest].used))
			oldest = i;
	}
	drop(v, oldest);
	uint64_t table = new_table(v, oldest);
	if (!table) {
		nested_invept(v, 0, true);
		table = new_table(v, oldest);
	}
	if (!table)
		return -1;
	n->root[oldest].eptp12 = eptp12;
	n->root[oldest].table = table;
	n->root[oldest].used = ++n->clock;
	return (int)oldest;
}

static int root_now(struct vcpu *v)
{
	return root_of(v, l1_has_ept(v) ? vmcs12_get(v, VMCS_EPTP) : IDENTITY);
}

uint64_t nested_eptp02(struct vcpu *v)
{
	int r = root_now(v);
	return r < 0 ? 0 : v->nested->s.root[r].table | EPTP02;
}

/* ---- filling ---- */

static bool map(struct vcpu *v, unsigned root, uint64_t gpa2, const struct nested_walk *w, hpa_t hpa)
{
	unsigned shift = ept_largest(v, w->gpa);
	uint64_t table = v->nested->s.root[root].table;
	shift = w->shift < shift ? w->shift : shift;
	vmm_cost(v->cpu, VMM_COST_EPT_MAP);
	for (unsigned s = 39; s > shift; s -= 9) {
		uint64_t at = table + (gpa2 >> s & 511) * 8, e = get(v, at);
		if (!(e & EPT_RWX) || e & EPT_PS) {     /* nothing, or what L1 has mapped with a larger page before */
			uint64_t new = new_table(v, root);
			if (!new)
				return false;
			e = new | EPT_RWX;
			put(v, at, e);
		}
		table = e & ADDRESS;
	}
	put(v, table + (gpa2 >> shift & 511) * 8, (hpa.v & ~MASK(shift)) | w->rights | EPT_WB | (shift > 12 ? EPT_PS : 0));
	v->nested->stat[NESTED_STAT_FILLS]++;
	trace(v->cpu->trace, v->cpu->ledger.now, v->cpu->number, VMM_TRACE_NESTED_MAP, v->vm->number, gpa2, w->gpa, 1ull << shift);
	return true;
}

/* reflects_ept() has made the walk. */
enum paged nested_ept_violation(struct vcpu *v, gpa_t gpa)
{
	const struct nested_walk *w = &v->nested->walk;
	hpa_t hpa;
	if (!vm_gpa_to_hpa(v->vm, GPA(w->gpa), &hpa))
		return PAGED_EMULATE;
	int root = root_now(v);
	if (root >= 0 && map(v, (unsigned)root, gpa.v, w, hpa))
		return PAGED_FIXED;
	nested_invept(v, 0, true);              /* no room: all trees begin anew */
	root = root_now(v);
	if (root < 0 || !map(v, (unsigned)root, gpa.v, w, hpa)) {
		vcpu_refuse(v, "the VMM's memory is used up: give the machine more");
		return PAGED_FIXED;
	}
	vcpu_set(v, VMCS_EPTP, v->nested->s.root[root].table | EPTP02);
	return PAGED_FIXED;
}
