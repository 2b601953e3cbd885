/* exit_cr.c - MOV to and from control registers, CLTS and LMSW that exit.
 *
 * With EPT the guest owns its CR3, and CR0 and CR4 but for a few bits: an exit means that PE, PG or a cache bit changes, or that
 * CR4.VMXE is tried. With shadow paging every write exits, is checked as a CPU would, and goes to the pager.
 * EPT without unrestricted guest lies between (identity.c): v->s has CR0 and EFER, and CR3 while paging is off.
 * Exit qualification: 3:0 register | 5:4 to, from, CLTS, LMSW | 6 LMSW from memory | 11:8 general register | 31:16 LMSW's source
 * Source: SDM Vol. 3A, "Control Registers", "IA-32e Mode Initialization"; Vol. 3C, "Exit Qualification for Control-Register Accesses". */
#include "models/vmm/exit.h"
#include "models/vmm/nested/nested.h"

#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/vmm/guest_walk.h"

static bool owned(const struct vcpu *v) { return v->vm->pager->page_fault != NULL; }

/* ---- CR0 ---- */

/* EFER.LMA as CR0.PG and LME make it; false: #GP(0). */
static bool long_mode(struct vcpu *v, uint64_t old, uint64_t x, uint64_t cr4, uint64_t *efer)
{
	uint32_t cs = (uint32_t)vcpu_get(v, VMCS_GUEST_CS_ACCESS);
	if (x & CR0_PG && !(old & CR0_PG) && *efer & EFER_LME) {
		if (!(cr4 & CR4_PAE) || cs & SEG_L || SEG_TYPE(vcpu_get(v, VMCS_GUEST_TR_ACCESS)) == 3)
			return false;
		*efer |= EFER_LMA;
	}
	if (!(x & CR0_PG) && old & CR0_PG) {
		if ((*efer & EFER_LMA && cs & SEG_L) || cr4 & CR4_PCIDE)
			return false;
		*efer &= ~(uint64_t)EFER_LMA;
	}
	return true;
}

/* The hardware loads PDPTEs at the guest's own MOVs; at one the VMM makes for it, the VMM does. */
static bool load_pdptes(struct vcpu *v, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
	uint64_t pdpte[4];
	if (!(cr4 & CR4_PAE) || efer & EFER_LMA)
		return true;
	if (!guest_pdptes(v, cr3, pdpte))
		return false;
	for (unsigned i = 0; i < 4; i++)
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i), pdpte[i]);
	return true;
}

static bool cr0_hardware(struct vcpu *v, uint64_t old, uint64_t x)
{
	uint64_t cr4 = vcpu_get(v, VMCS_GUEST_CR4), efer = vcpu_get(v, VMCS_GUEST_EFER), was = efer;
	if (!long_mode(v, old, x, cr4, &efer))
		return false;
	if (x & CR0_PG && !(old & CR0_PG) && !load_pdptes(v, vcpu_get(v, VMCS_GUEST_CR3), cr4, efer))
		return false;
	if (efer != was) {
		uint64_t entry = vcpu_get(v, VMCS_ENTRY_CONTROLS) & ~VMX_CTL(ENTRY_GUEST_64);
		vcpu_set(v, VMCS_GUEST_EFER, efer);
		vcpu_set(v, VMCS_ENTRY_CONTROLS, entry | (efer & EFER_LMA ? VMX_CTL(ENTRY_GUEST_64) : 0));
	}
	vcpu_set(v, VMCS_GUEST_CR0, x | CR0_NE);
	vcpu_set(v, VMCS_CR0_SHADOW, x);
	if ((x ^ old) & CR0_PG)
		vcpu_flush(v);
	return true;
}

static bool restricted(const struct vcpu *v) { return vm_restricted(v->vm, v->cpu); }

/* What the guest believes CR4 to be. */
static uint64_t cr4_now(struct vcpu *v)
{
	uint64_t mask = vcpu_get(v, VMCS_CR4_MASK);
	return (vcpu_get(v, VMCS_GUEST_CR4) & ~mask) | (vcpu_get(v, VMCS_CR4_SHADOW) & mask);
}

static bool cr0_restricted(struct vcpu *v, uint64_t old, uint64_t x)
{
	uint64_t cr4 = cr4_now(v), efer = v->s.efer, cr3 = old & CR0_PG ? vcpu_get(v, VMCS_GUEST_CR3) : v->s.cr3;
	if (!long_mode(v, old, x, cr4, &efer))
		return false;
	if (x & CR0_PG && !(old & CR0_PG) && !load_pdptes(v, cr3, cr4, efer))
		return false;
	v->s.cr0 = x;
	v->s.cr3 = cr3;
	v->s.cr4 = cr4;
	v->s.efer = efer;
	identity_load(v);
	if (!(x & CR0_PE))
		v->s.interpreting = INTERPRET_WANTED;
	if ((x ^ old) & CR0_PG)
		vcpu_flush(v);
	return true;
}

static bool cr4_restricted(struct vcpu *v, uint64_t x)
{
	const uint64_t changed = (x ^ cr4_now(v)) & (CR4_PAE | CR4_PSE | CR4_PGE);
	bool paging = v->s.cr0 & CR0_PG, lma = v->s.efer & EFER_LMA;
	if (lma && !(x & CR4_PAE))
		return false;
	if (paging && changed && !load_pdptes(v, vcpu_get(v, VMCS_GUEST_CR3), x, v->s.efer))
		return false;
	v->s.cr4 = x;
	vcpu_set(v, VMCS_CR4_SHADOW, x);
	vcpu_set(v, VMCS_GUEST_CR4, (paging ? x : (x & ~(uint64_t)CR4_PAE) | CR4_PSE) | CR4_VMXE);
	if (paging && changed)
		vcpu_flush(v);
	return true;
}

static bool cr4_hardware(struct vcpu *v, uint64_t x)
{
	const uint64_t old = cr4_now(v), changed = x ^ old, cr0 = vcpu_get(v, VMCS_GUEST_CR0), efer = vcpu_get(v, VMCS_GUEST_EFER);
	bool lma = efer & EFER_LMA;
	if (nested_cr_fixed(v, 4, x) || (lma && (!(x & CR4_PAE) || changed & CR4_LA57)))
		return false;
	if (x & ~old & CR4_PCIDE && (!lma || vcpu_get(v, VMCS_GUEST_CR3) & 0xfff))
		return false;
	if (cr0 & CR0_PG && changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP) &&
	    !load_pdptes(v, vcpu_get(v, VMCS_GUEST_CR3), x, efer))
		return false;
	vcpu_set(v, VMCS_CR4_SHADOW, x);
	vcpu_set(v, VMCS_GUEST_CR4, x | CR4_VMXE);
	if (cr0 & CR0_PG && (changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP) || old & ~x & CR4_PCIDE))
		vcpu_flush(v);
	return true;
}

static bool cr0_owned(struct vcpu *v, uint64_t old, uint64_t x)
{
	uint64_t efer = v->s.efer, was = efer;
	if (!long_mode(v, old, x, v->s.cr4, &efer))
		return false;
	v->s.cr0 = x;
	v->s.efer = efer;
	vcpu_set(v, VMCS_CR0_SHADOW, x);
	if (v->vm->pager->cr_written(v, 0, old, x)) {
		if (!(x & CR0_PE) && v->vm->pager != &pager_agile)
			v->s.interpreting = INTERPRET_WANTED;
		return true;
	}
	v->s.cr0 = old;
	v->s.efer = was;
	vcpu_set(v, VMCS_CR0_SHADOW, old);
	return false;
}

/* What the guest believes CR0 to be. */
static uint64_t cr0_now(struct vcpu *v)
{
	if (owned(v))
		return v->s.cr0;
	uint64_t mask = vcpu_get(v, VMCS_CR0_MASK);
	return (vcpu_get(v, VMCS_GUEST_CR0) & ~mask) | (vcpu_get(v, VMCS_CR0_SHADOW) & mask);
}

static bool write_cr0(struct vcpu *v, uint64_t x)
{
	uint64_t old = cr0_now(v);
	if (x >> 32)
		return false;
	x = (x & (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)) | CR0_ET;
	if ((x & CR0_PG && !(x & CR0_PE)) || (x & CR0_NW && !(x & CR0_CD)) || nested_cr_fixed(v, 0, x))
		return false;
	return owned(v) ? cr0_owned(v, old, x) : restricted(v) ? cr0_restricted(v, old, x) : cr0_hardware(v, old, x);
}

/* ---- CR3, CR4, CR8 ---- */

static bool write_cr3(struct vcpu *v, uint64_t x)
{
	uint64_t old = v->s.cr3;
	bool lma = v->s.efer & EFER_LMA;
	if (lma && x & ~MASK((unsigned)v->cpu->profile->phys_bits))
		return false;
	v->s.cr3 = lma ? x : x & 0xffffffff;
	if (restricted(v) || v->vm->pager->cr_written(v, 3, old, v->s.cr3))
		return true;
	v->s.cr3 = old;
	return false;
}

static bool write_cr4(struct vcpu *v, uint64_t x)
{
	uint64_t old = v->s.cr4;
	bool lma = v->s.efer & EFER_LMA;
	if (x & ~cr4_valid_bits(v->model))
		return false;
	if (restricted(v))
		return cr4_restricted(v, x);
	if (!owned(v))                  /* the guest's VMXE, and bits that L1 of a nested guest owns */
		return cr4_hardware(v, x);
	if (lma && (!(x & CR4_PAE) || (x ^ old) & CR4_LA57))
		return false;
	v->s.cr4 = x;
	vcpu_set(v, VMCS_CR4_SHADOW, x);
	if (v->vm->pager->cr_written(v, 4, old, x))
		return true;
	v->s.cr4 = old;
	vcpu_set(v, VMCS_CR4_SHADOW, old);
	return false;
}

static bool write_cr8(struct vcpu *v, uint64_t x)
{
	if (x >> 4)
		return false;
	vcpu_now(v);
	lapic_set_cr8(v->model->lapic, (unsigned)x);
	return true;
}

/* ---- the exit ---- */

static bool to(struct vcpu *v, unsigned cr, uint64_t x)
{
	switch (cr) {
	case 0: return write_cr0(v, x);
	case 2: v->cpu->s.cr2 = x; return true;
	case 3: return write_cr3(v, x);
	case 4: return write_cr4(v, x);
	default: return write_cr8(v, x);
	}
}

static uint64_t from(struct vcpu *v, unsigned cr)
{
	switch (cr) {
	case 0: return cr0_now(v);
	case 2: return v->cpu->s.cr2;
	case 3: return v->s.cr3;
	case 4: return v->s.cr4;
	default: return lapic_cr8(v->model->lapic);
	}
}

void serve_cr(struct vcpu *v)
{
	uint64_t q = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	unsigned cr = q & 15, reg = q >> 8 & 15;
	bool ok = true;
	vmm_cost(v->cpu, VMM_COST_CR);
	switch (q >> 4 & 3) {
	case 0: {
		uint64_t x = vcpu_reg(v, reg);
		ok = to(v, cr, vcpu_long64(v) ? x : x & 0xffffffff);
		break;
	}
	case 1:
		vcpu_reg_set(v, reg, from(v, cr));
		break;
	case 2:
		ok = write_cr0(v, cr0_now(v) & ~(uint64_t)CR0_TS);
		break;
	default: {
		uint64_t now = cr0_now(v);
		ok = write_cr0(v, (now & ~0xeull) | (q >> 16 & 15));
	}
	}
	if (ok && (q >> 4 & 3) != 1)
		nested_cr_written(v, (q >> 4 & 3) ? 0 : cr);
	if (ok)
		vcpu_skip(v);
	else
		vcpu_gp0(v);
}
