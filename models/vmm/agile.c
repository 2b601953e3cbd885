/* agile.c - the pager "agile": upper levels of the guest's tables shadowed, the rest nested.
 *
 * It needs a walker that no processor has (mmu.h, struct mmu_guest.agile): the walk begins in shadow tables and goes on in
 * the guest's own, with EPT, below an entry with the switching bit. With 4 levels and page tables switched to, a walk that
 * finds nothing cached makes 3 + 4 + 1 + 4 = 12 references instead of 24; and the guest changes its page tables (not its
 * directories), takes its page faults and executes INVLPG without an exit.
 *
 * Switching policy: a guest table is shadowed when the walk reaches it, unless
 *   - it is a page table (lowest level), or a table with a large page in it: leaves are always the guest's own;
 *   - it was written three times with no fill between, or by something that is not emulated, within the last NESTED_FOR
 *     changes of the address space: then everything from it down is nested.
 * Shadowed tables are guarded by EPT's write permission; a trapped write is emulated and the shadow entry dropped.
 * Outside IA-32e mode all is nested, as under the pager "ept", whose tables these are.
 *
 * Source: Gandhi, Hill, Swift, "Agile Paging: Exceeding the Best of Nested and Shadow Paging", ISCA 2016.
 * Timing: the phases SHADOW_* of cost.def and the references made.
 * Simplified: EPT maps 4-KByte pages only, so that single tables can be guarded. CR0 and CR4 exit as under shadow paging. */
#include "models/vmm/shadow.h"

#include <stdlib.h>
#include <string.h>

#include "models/mmu/pte.h"

#define NOWHERE      (~0ull)
#define NESTED_FOR   256
#define EPT_W        BIT(1)

struct agile {
	struct shadow s;                /* first: what shadow_page.c and shadow_fill.c see as vm->paging */
	void *ept;                      /* what pager_ept sees */
};

static struct shadow *begin(struct vcpu *v, enum why why)
{
	struct shadow *s = v->vm->paging;
	s->c = v->cpu;
	s->why = why;
	return s;
}

static void flush(struct vcpu *v, enum invvpid_type type)
{
	if (v->vm->config.tags && vmcs_exists(v->cpu, VMCS_VPID))
		vmx_root_invvpid(v->cpu, type, (unsigned)vcpu_get(v, VMCS_VPID), 0);
}

/* ---- nested and guarded guest tables ---- */

static uint64_t mark_at(const struct shadow *s, uint64_t frame) { return s->frame + frame * sizeof(struct shadow_frame); }

static bool nested(struct shadow *s, int64_t frame)
{
	uint32_t mark = frame < 0 ? 0 : (uint32_t)shadow_ref(s, mark_at(s, (uint64_t)frame), 4);
	return frame < 0 || (mark && (uint32_t)s->vm->stat[VMM_STAT_SHADOW_SPACES] - (mark - 1) < NESTED_FOR);
}

void agile_nest(struct shadow *s, uint64_t frame)
{
	shadow_put(s, mark_at(s, frame), 4, (uint32_t)s->vm->stat[VMM_STAT_SHADOW_SPACES] + 1);
	s->vm->stat[VMM_STAT_SHADOW_UNSYNCS]++;
}

/* Set or clear the right to write a guest page in EPT. */
void agile_guard(struct shadow *s, uint64_t frame, bool on)
{
	const uint64_t eptp = vmx_get(s->c, EPTP), off = frame << PAGE_SHIFT, low = s->vm->mem.low_size;
	const uint64_t gpa = off < low ? off : MEM_HIGH + off - low;
	uint64_t table = eptp & MASK(52) & PAGE_MASK;
	for (unsigned shift = 39;; shift -= 9) {
		uint64_t at = table + (gpa >> shift & 511) * 8, entry = shadow_ref(s, at, 8), now;
		if (!(entry & 7))
			return;
		if (shift > 12) {
			table = entry & MASK(52) & PAGE_MASK;
			continue;
		}
		now = on ? entry & ~EPT_W : entry | EPT_W;
		if (now == entry)
			return;
		shadow_put(s, at, 8, now);
		if (on)
			vmx_root_invept(s->c, INVEPT_SINGLE, eptp);
		return;
	}
}

/* ---- the root ---- */

static void unpin(struct shadow *s, uint32_t page)
{
	uint64_t pins = HEAD(s, page, pins) - 1;
	SET_HEAD(s, page, pins, pins);
	if (!pins && HEAD(s, page, obsolete))
		shadow_zap(s, page);
}

static uint32_t role_of(const struct vcpu *v, unsigned level)
{
	uint32_t levels = v->s.cr4 & CR4_LA57 ? 5 : 4;
	return level | levels << 16 | ROLE_W | ROLE_U | ROLE_X;
}

static void load_root(struct shadow *s, struct vcpu *v)
{
	const uint64_t gfn = (v->s.cr3 & MASK(52)) >> PAGE_SHIFT;
	const int64_t frame = shadow_frame_of(s, gfn << PAGE_SHIFT);
	uint32_t old = (uint32_t)VCPU(s, v->number, root), role = role_of(v, v->s.cr4 & CR4_LA57 ? 5 : 4);
	vmm_cost(s->c, VMM_COST_SHADOW_ROOT);
	SET_VCPU(s, v->number, root, 0);
	if (!(v->s.efer & EFER_LMA) || nested(s, frame)) {
		vcpu_set(v, VMCS_GUEST_CR3, v->s.cr3);
	} else {
		shadow_make_room(s, 8);
		uint32_t found = shadow_find(s, gfn, role), page = found ? found - 1 : shadow_new(s, gfn, role);
		s->vm->stat[found ? VMM_STAT_SHADOW_ROOT_HITS : VMM_STAT_SHADOW_ROOT_MISSES]++;
		if (found)
			shadow_used(s, page);
		SET_HEAD(s, page, pins, HEAD(s, page, pins) + 1);
		SET_VCPU(s, v->number, root, page + 1);
		vcpu_set(v, VMCS_GUEST_CR3, shadow_page_pa(s, page));
	}
	if (old)
		unpin(s, old - 1);
}

static void finish(struct shadow *s, struct vcpu *v)
{
	uint32_t root = (uint32_t)VCPU(s, v->number, root);
	if (root && HEAD(s, root - 1, obsolete))
		load_root(s, v);
	for (unsigned i = 0; i < s->vm->config.vcpus; i++) {
		struct vcpu *other = s->vm->vcpu[i];
		if (!other || !other->cpu || !VCPU(s, i, stale))
			continue;
		SET_VCPU(s, i, stale, 0);
		if (other == v) {
			flush(v, INVVPID_SINGLE);
			continue;
		}
		vmm_cost(s->c, VMM_COST_SHADOW_REMOTE);
		mmu_flush_all(&other->cpu->mmu);
	}
}

static bool agile_on(const struct vcpu *v)
{
	const struct shadow *s = v->vm->paging;
	return mem_read32(v->cpu->mmu.mem, HPA(VCPU_AT(s, v->number, root))) != 0;
}

/* ---- registers: the hardware has the guest's own, but for CR3 ---- */

static void load_registers(struct vcpu *v)
{
	uint64_t entry = vcpu_get(v, VMCS_ENTRY_CONTROLS) & ~VMX_CTL(ENTRY_GUEST_64);
	vcpu_set(v, VMCS_GUEST_CR0, v->s.cr0 | CR0_NE);
	vcpu_set(v, VMCS_GUEST_CR4, v->s.cr4 | CR4_VMXE);
	vcpu_set(v, VMCS_GUEST_EFER, v->s.efer);
	vcpu_set(v, VMCS_ENTRY_CONTROLS, entry | (v->s.efer & EFER_LMA ? VMX_CTL(ENTRY_GUEST_64) : 0));
}

static bool load_pdptes(struct vcpu *v)
{
	uint64_t pdpte[4];
	if (!(v->s.cr0 & CR0_PG) || !(v->s.cr4 & CR4_PAE) || v->s.efer & EFER_LMA)
		return true;
	if (!guest_pdptes(v, v->s.cr3, pdpte))
		return false;
	memcpy(v->s.pdpte, pdpte, sizeof pdpte);
	for (unsigned i = 0; i < 4; i++)
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i), pdpte[i]);
	return true;
}

static bool agile_cr_written(struct vcpu *v, unsigned cr, uint64_t old, uint64_t now)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	if (cr != PAGER_EFER && old != now && !load_pdptes(v))
		return false;
	if (cr == 3 && !load_pdptes(v))
		return false;
	if (cr != 3)
		load_registers(v);
	if (cr == 3 || (cr == 0 && (old ^ now) & CR0_PG) || cr == 4) {
		load_root(s, v);
		s->vm->stat[VMM_STAT_SHADOW_SPACES]++;
	}
	flush(v, cr == 3 ? INVVPID_SINGLE_NOT_GLOBAL : INVVPID_SINGLE);
	finish(s, v);
	return true;
}

/* ---- faults ---- */

/* A large page where tables were expected: this guest table is nested from now on. */
static void give_up(struct shadow *s, struct vcpu *v, uint64_t table)
{
	int64_t frame = shadow_frame_of(s, table);
	agile_nest(s, (uint64_t)frame);
	shadow_unguard(s, (uint64_t)frame);
	load_root(s, v);
}

static void fill(struct shadow *s, struct vcpu *v, const struct guest_walk *w, uint64_t lin)
{
	uint32_t root = (uint32_t)VCPU(s, v->number, root);
	uint32_t page = root - 1;
	for (unsigned level = w->top; root && level > 1; level--) {
		uint32_t slot = page * 512 + (uint32_t)BITS(lin, 12 + 9 * level - 1, 12 + 9 * (level - 1));
		uint64_t entry = shadow_ref(s, shadow_slot_pa(s, slot), 8), guest = w->level[level].entry;
		uint64_t bits = PTE_P | PTE_A | (guest & (PTE_RW | PTE_US | PTE_XD));
		if (HEAD(s, page, writes))
			SET_HEAD(s, page, writes, 0);
		if (entry & PTE_P && entry & PTE_SWITCH)
			return;
		if (entry & PTE_P) {
			page = shadow_page_of(s, entry);
			continue;
		}
		if (w->leaf == level) {
			give_up(s, v, w->level[level].at);
			return;         /* the fault comes again */
		}
		uint64_t gfn = w->level[level - 1].at >> PAGE_SHIFT;
		vmm_cost(s->c, VMM_COST_SHADOW_FILL);
		s->vm->stat[VMM_STAT_SHADOW_FILLS]++;
		if (level == 2 || w->leaf == level - 1 || nested(s, shadow_frame_of(s, gfn << PAGE_SHIFT))) {
			shadow_put(s, shadow_slot_pa(s, slot), 8, gfn << PAGE_SHIFT | bits | PTE_SWITCH);
			return;
		}
		uint32_t found = shadow_find(s, gfn, role_of(v, level - 1));
		page = found ? found - 1 : shadow_new(s, gfn, role_of(v, level - 1));
		shadow_set_table(s, slot, page);
		shadow_put(s, shadow_slot_pa(s, slot), 8, shadow_page_pa(s, page) | bits);
	}
}

static enum paged agile_page_fault(struct vcpu *v, uint64_t lin, uint32_t error, gpa_t *gpa)
{
	struct shadow *s = begin(v, WHY_SHADOW_FILL);
	struct guest_regs r;
	struct guest_walk w;
	unsigned access = (error & PFEC_WR ? ACC_WRITE : 0) | (error & PFEC_US ? ACC_USER : 0) | (error & PFEC_ID ? ACC_EXEC : 0);
	vmm_cost(v->cpu, VMM_COST_SHADOW_FAULT);
	guest_regs_get(v, &r);
	*gpa = GPA(0);
	/* Rights are the hardware's to find wanting, at the guest's own leaf: it knows whether a supervisor's access is a fetch, which
	 * SMAP does not forbid and an error code tells under NX or SMEP alone. */
	if (!guest_walk(v, &r, lin, access, WHY_SHADOW_FILL, &w) && (w.error & (PFEC_P | PFEC_RSVD)) != PFEC_P)
		return shadow_inject(v, lin, w.error);
	shadow_make_room(s, 8);
	finish(s, v);
	s->why = WHY_SHADOW_FILL;
	fill(s, v, &w, lin);
	v->vm->stat[VMM_STAT_SHADOW_HIDDEN]++;
	finish(s, v);
	return PAGED_FIXED;
}

/* Qualification: 1 a write | 5:3 what EPT allows | 7 linear address valid, 8 not a reference of the walk itself */
static enum paged agile_violation(struct vcpu *v, gpa_t gpa, uint64_t q)
{
	struct agile *a = v->vm->paging;
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	int64_t frame = shadow_frame_of(s, gpa.v);
	bool guarded = frame >= 0 && shadow_guarded(s, (uint64_t)frame);
	SET_VCPU(s, v->number, fault_gpa, NOWHERE);
	if (guarded && q & 2 && q & 8) {
		s->vm->stat[VMM_STAT_SHADOW_TRAPS]++;
		if (q & 0x100 && !(vcpu_get(v, VMCS_IDT_VECTORING) >> 31 & 1)) {
			SET_VCPU(s, v->number, fault_gpa, gpa.v);
			return PAGED_EMULATE;
		}
		agile_nest(s, (uint64_t)frame);         /* the walk's own flags, or an event being delivered */
		shadow_unguard(s, (uint64_t)frame);
		finish(s, v);
		return PAGED_FIXED;
	}
	v->vm->paging = a->ept;
	enum paged p = pager_ept.ept_violation(v, gpa, q);
	v->vm->paging = a;
	if (guarded)
		agile_guard(s, (uint64_t)frame, true);
	return p;
}

static bool agile_restart(struct vcpu *v)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	uint64_t gpa = VCPU(s, v->number, fault_gpa);
	int64_t frame = shadow_frame_of(s, gpa);
	if (gpa == NOWHERE || frame < 0)
		return false;
	agile_nest(s, (uint64_t)frame);
	if (!shadow_unguard(s, (uint64_t)frame))
		return false;
	SET_VCPU(s, v->number, fault_gpa, NOWHERE);
	finish(s, v);
	return true;
}

static bool agile_write(struct vcpu *v, gpa_t gpa, const void *bytes, unsigned n)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	int64_t frame = shadow_frame_of(s, gpa.v);
	(void)bytes;
	if (frame < 0 || !shadow_guarded(s, (uint64_t)frame))
		return false;
	v->vm->stat[VMM_STAT_SHADOW_WRITES]++;
	shadow_written(s, NULL, gpa.v, n);
	finish(s, v);
	return true;
}

static void agile_entering(struct vcpu *v)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	if (VCPU(s, v->number, cpu) != v->cpu->number + 1u) {
		SET_VCPU(s, v->number, cpu, v->cpu->number + 1u);
		SET_VCPU(s, v->number, stale, 1);
	}
	finish(s, v);
}

/* ---- life ---- */

static uint64_t agile_needs(const struct vm_config *c)
{
	struct shadow s;
	return shadow_layout(&s, c, 0);
}

static int agile_vm_init(struct vm *vm, struct err *e)
{
	struct agile *a;
	vm->config.page_shift = PAGE_SHIFT;
	if (pager_ept.vm_init(vm, e))
		return -1;
	a = xcalloc(1, sizeof *a);
	a->ept = vm->paging;
	shadow_layout(&a->s, &vm->config, vm->tables.v);
	a->s.vm = vm;
	a->s.policy = SHADOW_KEYED | SHADOW_AGILE;
	vm->paging = a;
	return 0;
}

static void agile_fini(struct vm *vm)
{
	struct agile *a = vm->paging;
	vm->paging = a->ept;
	pager_ept.fini(vm);
	free(a);
}

static void agile_vcpu_init(struct vcpu *v)
{
	struct agile *a = v->vm->paging;
	struct shadow *s = begin(v, WHY_SHADOW_FILL);
	v->vm->paging = a->ept;
	pager_ept.vcpu_init(v);
	v->vm->paging = a;
	if (!CONTROL(s, free) && !CONTROL(s, newest))
		shadow_pool_init(s);
	vcpu_set(v, VMCS_PROC_CONTROLS, (vcpu_get(v, VMCS_PROC_CONTROLS) & ~VMX_CTL(INVLPG_EXITING)) | VMX_CTL(CR3_LOAD_EXITING) |
	         VMX_CTL(CR3_STORE_EXITING));
	load_registers(v);
	(void)load_pdptes(v);
	load_root(s, v);
}

static uint64_t agile_memory(const struct vm *vm)
{
	return vm->stat[VMM_STAT_SHADOW_BYTES] + vm->stat[VMM_STAT_EPT_BYTES];
}

const struct pager pager_agile = {
	.name = "agile", .needs = agile_needs, .vm_init = agile_vm_init, .vcpu_init = agile_vcpu_init, .fini = agile_fini,
	.page_fault = agile_page_fault, .ept_violation = agile_violation, .cr_written = agile_cr_written, .restart = agile_restart,
	.write = agile_write, .entering = agile_entering, .memory = agile_memory, .agile = agile_on,
};
