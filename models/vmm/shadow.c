/* shadow.c - the shadow pagers: what happens at each exit. docs/shadow.md tells the story and the costs.
 *
 * The hardware never sees the guest's page tables. It walks shadow tables, which the VMM builds from them at page faults:
 * every #PF exits, and is either the guest's own (true: injected) or the shadow's (hidden: an entry is made). The four
 * variants differ in how a shadow entry stops being right:
 *
 *   flush    all are dropped at each CR3 load; INVLPG drops one        } the guest's duty to invalidate TLBs is what
 *   vtlb     the same, but global translations outlive a CR3 load      } the VMM relies on, as the hardware's TLB does
 *   wp       tables are kept, found by guest table and role; guest tables that have shadows are guarded against writes,
 *            a write to one is carried out by the emulator and the shadow entry follows
 *   unsync   as wp, but a guest table of the lowest level becomes writable at the first write and goes out of step until
 *            the next INVLPG or CR3 load
 *
 * A guest beside the VMM (ring/ring.h) has the VMM's corner in every root, and on Intel 64, where its kernel and its user are both
 * in ring 3, a root for each: shadow_privilege() changes between them.
 *
 * Exits: all #PF, MOV to and from CR3, MOV to CR0 and CR4 (bits that matter); INVLPG but under wp, where the hardware's own
 * effect is enough.
 * Source: SDM Vol. 3C, "Memory Virtualization": "Virtual TLB Scheme" gives flush and vtlb; Adams & Agesen 2006 on tracing
 * guest tables; KVM's shadow pager for roles, reverse maps and tables out of step.
 * Timing: phases SHADOW_* of cost.def, and every reference to guest and shadow tables, to reverse maps and to table heads.
 * Simplified: another CPU that runs the same VM is made to flush by one phase, SHADOW_REMOTE, not by a real interrupt.
 * Protection keys, PCIDs and shadow stacks are not offered to such guests. */
#include "models/vmm/shadow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/cpuid.h"
#include "models/mmu/pte.h"

#define NOWHERE      (~0ull)
#define RESTARTS_MAX 16         /* of one instruction, before it is given up */
#define CR0_MODE (CR0_PG | CR0_WP)
#define CR4_MODE (CR4_PSE | CR4_PAE | CR4_PGE | CR4_LA57 | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_PCIDE | CR4_VMXE)

static bool ring(const struct vcpu *v) { return v->vm->virt->ring; }

/* Is EFER.NXE always set for the hardware, whatever the guest asked for? */
static bool has_efer(const struct vcpu *v) { return ring(v) ? cpu_has(v->cpu, FEATURE_NX) : vcpu_has(v, VMCS_GUEST_EFER); }

/* ---- one operation ---- */

static struct shadow *begin(struct vcpu *v, enum why why)
{
	struct shadow *s = v->vm->paging;
	s->c = v->cpu;
	s->why = why;
	s->nx = has_efer(v);
	return s;
}

/* The tag is read from where it is kept. */
static void flush(struct vcpu *v, enum invvpid_type type, uint64_t lin)
{
	if (v->vm->config.tags && vcpu_has(v, VMCS_VPID))
		(void)vcpu_get(v, VMCS_VPID);
	vcpu_invalidate(v, type, lin);
}

/* A root that was zapped while in use is empty: get another. */
static void unpin(struct shadow *s, uint32_t page)
{
	uint64_t pins = HEAD(s, page, pins) - 1;
	SET_HEAD(s, page, pins, pins);
	if (!pins && (HEAD(s, page, obsolete) || HEAD(s, page, role) & ROLE_PRIVATE))
		shadow_zap(s, page);
}

static void take_root(struct shadow *s, struct vcpu *v, const struct guest_regs *r)
{
	const bool wide = r->g.levels >= 4, keyed = s->policy & SHADOW_KEYED;
	uint32_t old = (uint32_t)VCPU(s, v->number, root), page;
	uint32_t role = (wide ? r->g.levels : 3u) | shadow_mode_role(r) | ROLE_W | ROLE_U | ROLE_X;
	if (shadow_split(s, r) && !VCPU(s, v->number, user))
		role |= ROLE_KERNEL;
	uint64_t gfn = (r->cr3 & MASK(52)) >> PAGE_SHIFT;
	vmm_cost(s->c, VMM_COST_SHADOW_ROOT);
	if (!keyed || !wide || shadow_frame_of(s, gfn << PAGE_SHIFT) < 0)
		role |= ROLE_PRIVATE;
	if (old && keyed && !wide && HEAD(s, old - 1, role) & ROLE_PRIVATE && ROLE_LEVEL(HEAD(s, old - 1, role)) == 3 &&
	    !HEAD(s, old - 1, obsolete)) {
		/* one page-directory-pointer table for each vCPU, filled anew */
		for (unsigned i = 0; i < 4; i++)
			shadow_drop_entry(s, (old - 1) * 512 + i, 3);
		SET_HEAD(s, old - 1, role, role);
		return;
	}
	if (old)
		SET_VCPU(s, v->number, root, 0);
	if (old && !keyed)
		unpin(s, old - 1);      /* the tree goes: there must be room for the next one */
	shadow_make_room(s, 8);
	uint32_t found = role & ROLE_PRIVATE ? 0 : shadow_find(s, gfn, role);
	s->vm->stat[found ? VMM_STAT_SHADOW_ROOT_HITS : VMM_STAT_SHADOW_ROOT_MISSES]++;
	page = found ? found - 1 : shadow_new(s, gfn, role);
	if (found)
		shadow_used(s, page);
	SET_HEAD(s, page, pins, HEAD(s, page, pins) + 1);
	if (old && keyed)
		unpin(s, old - 1);
	SET_VCPU(s, v->number, root, page + 1);
	vcpu_set(v, VMCS_GUEST_CR3, shadow_page_pa(s, page));
}

/* Beside the VMM: the one of the other privilege is not this address space's any more. */
static void forget_other(struct shadow *s, struct vcpu *v)
{
	uint32_t other = (uint32_t)VCPU(s, v->number, other);
	if (!other)
		return;
	SET_VCPU(s, v->number, other, 0);
	unpin(s, other - 1);
}

static void load_root(struct shadow *s, struct vcpu *v, const struct guest_regs *r)
{
	if (s->ring)
		forget_other(s, v);
	take_root(s, v, r);
}

/* The root of the other privilege too, if there is one: plus one, or 0. */
static uint32_t other_root(struct shadow *s, const struct vcpu *v)
{
	uint32_t other = s->ring ? (uint32_t)VCPU(s, v->number, other) : 0;
	return other && !HEAD(s, other - 1, obsolete) ? other : 0;
}

static void ensure_root(struct shadow *s, struct vcpu *v)
{
	uint32_t root = (uint32_t)VCPU(s, v->number, root);
	if (root && !HEAD(s, root - 1, obsolete))
		return;
	struct guest_regs r;
	guest_regs_get(v, &r);
	take_root(s, v, &r);
}

/* Before the guest may run again: a root that is one, and no CPU with translations of tables that are gone. */
static void finish(struct shadow *s, struct vcpu *v)
{
	ensure_root(s, v);
	for (unsigned i = 0; i < s->vm->config.vcpus; i++) {
		struct vcpu *other = s->vm->vcpu[i];
		if (!other || !other->cpu || !VCPU(s, i, stale))
			continue;       /* one that is not running looks before it is entered */
		SET_VCPU(s, i, stale, 0);
		if (other == v) {
			flush(v, INVVPID_SINGLE, 0);
			continue;
		}
		vmm_cost(s->c, VMM_COST_SHADOW_REMOTE);
		mmu_flush_all(&other->cpu->mmu);
		/* PAE paging: its PDPTEs are in registers, until it loads CR3 again */
		if (v->vm->virt->in_guest(other) && other->cpu->mmu.paging.levels == 3)
			(void)mmu_set_cr3(&other->cpu->mmu, other->cpu->mmu.cr3);
		else if (s->ring)
			flush(other, INVVPID_SINGLE, 0);
	}
}

/* ---- registers ---- */

/* What the hardware gets: paging is always on, WP always set, PAE or IA-32e paging always. */
static void load_cr0(struct vcpu *v)
{
	uint64_t x = (v->s.cr0 | CR0_PG | CR0_PE | CR0_WP) & ~(uint64_t)(CR0_CD | CR0_NW);
	vcpu_set(v, VMCS_GUEST_CR0, ring(v) ? x | CR0_NE : (x | vmx_cr0_fixed0(v->cpu)) & vmx_cr0_fixed1(v->cpu));
}

static void load_cr4(struct vcpu *v)
{
	uint64_t x = (v->s.cr4 | CR4_PAE) & ~(uint64_t)(CR4_PCIDE | CR4_PKE);
	if (ring(v)) {                  /* the corner is global; the guest's entries are only when it says so */
		vcpu_set(v, VMCS_GUEST_CR4, x | CR4_PGE);
		return;
	}
	x |= vmx_cr4_fixed0(v->cpu);
	if (!(v->s.cr0 & CR0_PG))
		x &= ~(uint64_t)(CR4_SMEP | CR4_SMAP);  /* without paging every page is everybody's */
	vcpu_set(v, VMCS_GUEST_CR4, x & vmx_cr4_fixed1(v->cpu));
}

/* IA-32e mode follows CR0.PG and EFER.LME. The hardware's LME is set with LMA only: its PG is set before the guest's. */
static void load_efer(struct vcpu *v)
{
	bool lma = v->s.cr0 & CR0_PG && v->s.efer & EFER_LME;
	uint64_t controls = vcpu_get(v, VMCS_ENTRY_CONTROLS), now = controls & ~VMX_CTL(ENTRY_GUEST_64);
	v->s.efer = (v->s.efer & ~(uint64_t)EFER_LMA) | (lma ? EFER_LMA : 0);
	now |= lma ? VMX_CTL(ENTRY_GUEST_64) : 0;
	if (now != controls)
		vcpu_set(v, VMCS_ENTRY_CONTROLS, now);
	/* NXE always: the error code then tells a fetch from a load, whatever the guest uses */
	if (has_efer(v) || ring(v))
		vcpu_set(v, VMCS_GUEST_EFER, (has_efer(v) ? EFER_NXE : 0) | (lma ? v->s.efer : v->s.efer & ~(uint64_t)EFER_LME));
}

static bool uses_pdptes(const struct vcpu *v)
{
	return v->s.cr0 & CR0_PG && v->s.cr4 & CR4_PAE && !(v->s.efer & EFER_LME);
}

static bool load_pdptes(struct vcpu *v)
{
	uint64_t pdpte[4];
	if (!uses_pdptes(v))
		return true;
	if (!guest_pdptes(v, v->s.cr3, pdpte))
		return false;
	memcpy(v->s.pdpte, pdpte, sizeof pdpte);
	return true;
}

/* Another address space, or other rules for the same. */
static void new_space(struct shadow *s, struct vcpu *v, bool only_cr3)
{
	struct guest_regs r;
	guest_regs_get(v, &r);
	if (s->policy & SHADOW_UNSYNC)
		shadow_sync_all(s, &r);
	uint32_t root = (uint32_t)VCPU(s, v->number, root);
	if (only_cr3 && s->policy & SHADOW_GLOBAL && r.g.pge && root && !HEAD(s, root - 1, obsolete)) {
		vmm_cost(s->c, VMM_COST_SHADOW_ROOT);
		shadow_drop_not_global(s, root - 1);
		if ((root = other_root(s, v)))
			shadow_drop_not_global(s, root - 1);
	} else {
		load_root(s, v, &r);
	}
	if (only_cr3)
		flush(v, INVVPID_SINGLE_NOT_GLOBAL, 0);
	else
		shadow_stale(s);
	s->vm->stat[VMM_STAT_SHADOW_SPACES]++;
}

static bool shadow_cr_written(struct vcpu *v, unsigned cr, uint64_t old, uint64_t now)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	const uint64_t changed = old ^ now;
	switch (cr) {
	case 0:
		if (changed & (CR0_PG | CR0_CD | CR0_NW) && !load_pdptes(v))
			return false;
		load_cr0(v);
		if (changed & CR0_PG) {
			load_efer(v);
			load_cr4(v);
		}
		if (changed & CR0_MODE)
			new_space(s, v, false);
		break;
	case 3:
		if (!load_pdptes(v))
			return false;
		if (v->s.cr0 & CR0_PG)
			new_space(s, v, true);
		break;
	case 4:
		if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) && !load_pdptes(v))
			return false;
		load_cr4(v);
		if (changed & CR4_MODE)
			new_space(s, v, false);
		break;
	default:
		load_efer(v);
		if (changed & EFER_NXE)
			new_space(s, v, false);
		break;
	}
	finish(s, v);
	return true;
}

/* The guest's virtual CPL has become 0, or another. */
static void shadow_privilege(struct vcpu *v, bool kernel)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	if (!s->ring || VCPU(s, v->number, user) != kernel)
		return;
	SET_VCPU(s, v->number, user, !kernel);
	if (!(v->s.efer & EFER_LMA) || !(v->s.cr0 & CR0_PG))
		return;
	vmm_cost(s->c, VMM_COST_SHADOW_SWITCH);
	uint32_t root = (uint32_t)VCPU(s, v->number, root), other = (uint32_t)VCPU(s, v->number, other);
	SET_VCPU(s, v->number, root, other);
	SET_VCPU(s, v->number, other, root);
	if (other && !HEAD(s, other - 1, obsolete)) {
		vcpu_set(v, VMCS_GUEST_CR3, shadow_page_pa(s, other - 1));
		return;
	}
	struct guest_regs r;
	guest_regs_get(v, &r);
	if (s->policy & SHADOW_UNSYNC)
		shadow_sync_all(s, &r);         /* no INVLPG has reached it */
	take_root(s, v, &r);
	finish(s, v);
}

/* ---- faults ---- */

/* An exit in the middle of an event's delivery has no instruction to emulate. */
static bool delivering(struct vcpu *v)
{
	return vcpu_get(v, VMCS_IDT_VECTORING) >> 31 & 1;
}

enum paged shadow_inject(struct vcpu *v, uint64_t lin, uint32_t error)
{
	v->cpu->s.cr2 = lin;
	v->vm->stat[VMM_STAT_SHADOW_TRUE]++;
	vcpu_inject(v, VEC_PF, true, error);
	return PAGED_INJECT;
}

/* Its own tables map what the VMM is in the way of. */
static void refuse_corner(struct vcpu *v, uint64_t lin)
{
	char what[96];
	snprintf(what, sizeof what, "the guest uses the VMM's part of the address space, at %#llx", (unsigned long long)lin);
	vcpu_refuse(v, what);
}

static enum paged shadow_page_fault(struct vcpu *v, uint64_t lin, uint32_t error, gpa_t *gpa)
{
	struct shadow *s = begin(v, WHY_SHADOW_FILL);
	struct guest_regs r;
	struct guest_walk w;
	bool same;
	unsigned access = (error & PFEC_WR ? ACC_WRITE : 0) | (error & PFEC_US ? ACC_USER : 0) | (error & PFEC_ID ? ACC_EXEC : 0);
	vmm_cost(v->cpu, VMM_COST_SHADOW_FAULT);
	ensure_root(s, v);
	guest_regs_get(v, &r);
	if (r.g.smap && !(error & PFEC_US) && SEG_DPL(vcpu_get(v, VMCS_GUEST_SS_ACCESS)) == 3)
		access |= ACC_IMPLICIT;
	if (!guest_walk(v, &r, lin, access, WHY_SHADOW_FILL, &w))
		return shadow_inject(v, lin, w.error);
	*gpa = GPA(w.gpa);
	if (s->ring && ring_corner_has(v, lin)) {
		refuse_corner(v, lin);
		return PAGED_FIXED;
	}
	SET_VCPU(s, v->number, fault_gpa, NOWHERE);
	if (shadow_frame_of(s, w.gpa) < 0)
		return PAGED_EMULATE;
	shadow_make_room(s, 8);
	ensure_root(s, v);
	enum paged p = shadow_fill(s, v, &r, &w, lin, access, &same);
	if (p == PAGED_EMULATE) {
		v->vm->stat[VMM_STAT_SHADOW_TRAPS]++;
		SET_VCPU(s, v->number, fault_gpa, w.gpa);
		if (delivering(v) && !(s->ring && shadow_traced(s, (uint64_t)shadow_frame_of(s, w.gpa)))) {
			shadow_unguard(s, (uint64_t)shadow_frame_of(s, w.gpa));
			p = PAGED_FIXED;        /* the fault comes again, and is filled */
		}
	} else {
		v->vm->stat[VMM_STAT_SHADOW_HIDDEN]++;
		/* Nothing to fix, and the hardware still refuses: an access of the CPU's own that EFLAGS.AC does not lift SMAP for. */
		if (same && error & PFEC_P && !(error & PFEC_US) && r.g.smap && w.u)
			p = shadow_inject(v, lin, error);
	}
	finish(s, v);
	return p;
}

static bool shadow_restart(struct vcpu *v)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	uint64_t gpa = VCPU(s, v->number, fault_gpa), rip = vcpu_get(v, VMCS_GUEST_RIP) ^ gpa >> PAGE_SHIFT << 40;      /* and page */
	int64_t frame = shadow_frame_of(s, gpa);
	uint64_t n = VCPU(s, v->number, restart_rip) == rip ? VCPU(s, v->number, restarts) + 1 : 1;
	SET_VCPU(s, v->number, restart_rip, rip);
	SET_VCPU(s, v->number, restarts, n);
	if (gpa == NOWHERE || frame < 0 || n > RESTARTS_MAX)
		return false;
	const bool was_table = shadow_unguard(s, (uint64_t)frame), was_traced = s->ring && shadow_untrace(s, (uint64_t)frame);
	if (!was_table && !was_traced)
		return false;
	finish(s, v);
	if (was_traced && v->vm->virt->written)
		v->vm->virt->written(v, GPA(gpa & PAGE_MASK), PAGE_SIZE);
	return true;
}

static bool shadow_write(struct vcpu *v, gpa_t gpa, const void *bytes, unsigned n)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	struct guest_regs r;
	(void)bytes;
	int64_t frame = shadow_frame_of(s, gpa.v);
	if (!(s->policy & SHADOW_KEYED || s->ring) || frame < 0)
		return false;
	const bool traced = s->ring && shadow_traced(s, (uint64_t)frame), table = s->policy & SHADOW_KEYED && shadow_tables(s, (uint64_t)frame);
	if (table) {
		guest_regs_get(v, &r);
		v->vm->stat[VMM_STAT_SHADOW_WRITES]++;
		shadow_written(s, &r, gpa.v, n);
		finish(s, v);
	}
	if (traced && v->vm->virt->written)
		v->vm->virt->written(v, gpa, n);
	return traced || table;
}

/* Beside the VMM: a page with something of the guest's that the VMM keeps a copy of, descriptors or code. */
static void shadow_page_trace(struct vcpu *v, uint64_t page, bool on)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	int64_t frame = shadow_frame_of(s, page << PAGE_SHIFT);
	if (!s->ring || frame < 0)
		return;
	shadow_trace(s, (uint64_t)frame, on);
	finish(s, v);
}

/* ---- invalidation ---- */

static void shadow_invlpg(struct vcpu *v, uint64_t lin)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	vmm_cost(v->cpu, VMM_COST_SHADOW_INVLPG);
	ensure_root(s, v);
	shadow_drop_linear(s, (uint32_t)VCPU(s, v->number, root) - 1, lin);
	uint32_t other = other_root(s, v);
	if (other)
		shadow_drop_linear(s, other - 1, lin);
	flush(v, INVVPID_ADDRESS, lin);
	finish(s, v);
}

/* Not offered, as PCIDs are not; yet what it would do with PCID 0 is done. */
static void shadow_invpcid(struct vcpu *v, unsigned type, unsigned pcid, uint64_t lin)
{
	(void)pcid;
	if (type == INVPCID_ADDRESS) {
		shadow_invlpg(v, lin);
		return;
	}
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	new_space(s, v, false);
	finish(s, v);
}

static void shadow_entering(struct vcpu *v)
{
	struct shadow *s = begin(v, WHY_SHADOW_SYNC);
	if (VCPU(s, v->number, cpu) != v->cpu->number + 1u) {   /* translations of its last stay on this CPU may be old */
		SET_VCPU(s, v->number, cpu, v->cpu->number + 1u);
		SET_VCPU(s, v->number, stale, 1);
	}
	finish(s, v);
}

/* ---- life ---- */

static uint64_t shadow_needs(const struct vm_config *c)
{
	struct shadow s;
	return shadow_layout(&s, c, 0);
}

static void shadow_fini(struct vm *vm)
{
	free(vm->paging);
	vm->paging = NULL;
}

static int shadow_vm_init(struct vm *vm, unsigned policy, struct err *e)
{
	struct shadow *s = xcalloc(1, sizeof *s);
	uint64_t n = shadow_layout(s, &vm->config, vm->tables.v);
	if (vm->tables.v + n > BIT(32)) {
		free(s);
		return err_set(e, vm->config.name, "use less memory", "shadow tables must lie below 4 GB: PAE paging's CR3 has 32 bits");
	}
	s->vm = vm;
	s->policy = policy;
	s->ring = vm->virt->ring;
	vm->paging = s;
	if (s->ring && ring_corner_make(vm, e)) {
		shadow_fini(vm);
		return -1;
	}
	return 0;
}

static void shadow_vcpu_init(struct vcpu *v)
{
	struct shadow *s = begin(v, WHY_SHADOW_FILL);
	uint64_t on = VMX_CTL(CR3_LOAD_EXITING) | VMX_CTL(CR3_STORE_EXITING), off = VMX_CTL(INVLPG_EXITING);
	if (!CONTROL(s, free) && !CONTROL(s, newest))
		shadow_pool_init(s);
	if (s->policy & SHADOW_UNSYNC || !(s->policy & SHADOW_KEYED))
		on |= VMX_CTL(INVLPG_EXITING), off = 0;
	vcpu_set(v, VMCS_PROC_CONTROLS, (vcpu_get(v, VMCS_PROC_CONTROLS) & ~off) | on);
	vcpu_set(v, VMCS_EXCEPTION_BITMAP, vcpu_get(v, VMCS_EXCEPTION_BITMAP) | BIT(VEC_PF));
	vcpu_set(v, VMCS_PFEC_MASK, 0);
	vcpu_set(v, VMCS_PFEC_MATCH, 0);
	vcpu_set(v, VMCS_CR0_MASK, vcpu_get(v, VMCS_CR0_MASK) | CR0_PG | CR0_PE | CR0_WP | CR0_CD | CR0_NW | CR0_NE);
	vcpu_set(v, VMCS_CR4_MASK, vcpu_get(v, VMCS_CR4_MASK) | CR4_MODE);
	vcpu_set(v, VMCS_CR0_SHADOW, v->s.cr0);
	vcpu_set(v, VMCS_CR4_SHADOW, v->s.cr4);
	load_efer(v);
	load_cr0(v);
	load_cr4(v);
	(void)load_pdptes(v);
	ensure_root(s, v);
}

static uint64_t shadow_memory(const struct vm *vm)
{
	return vm->stat[VMM_STAT_SHADOW_BYTES];
}

#define PAGER(variant, policy) \
	static int variant##_vm_init(struct vm *vm, struct err *e) { return shadow_vm_init(vm, policy, e); } \
	const struct pager pager_shadow_##variant = { \
		.name = "shadow." #variant, .needs = shadow_needs, .vm_init = variant##_vm_init, .vcpu_init = shadow_vcpu_init, \
		.fini = shadow_fini, .page_fault = shadow_page_fault, .cr_written = shadow_cr_written, .invlpg = shadow_invlpg, \
		.invpcid = shadow_invpcid, .restart = shadow_restart, .write = shadow_write, .entering = shadow_entering, \
		.memory = shadow_memory, .shadow = true, .privilege = shadow_privilege, .trace = shadow_page_trace, \
	};
PAGER(flush, 0)
PAGER(vtlb, SHADOW_GLOBAL)
PAGER(wp, SHADOW_KEYED)
PAGER(unsync, SHADOW_KEYED | SHADOW_UNSYNC)
