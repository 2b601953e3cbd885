/* event_vmx.c - exceptions, NMIs, triple faults and EPT faults of a guest: which exit, and what they tell.
 *
 * An exception exits by the exception bitmap; a page fault by bit 14 of it and the error code's mask and match. The event is
 * not delivered then: CR2, DR6 and DR7 stay, the exit qualification has what they would have got.
 * Source: SDM Vol. 3C, "Other Causes of VM Exits", "Information for VM Exits Due to Vectored Events", "Basic VM-Exit
 * Information", "EPT-Induced VM Exits", "Virtualization Exceptions". */
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

/* "If bit 14 of the exception bitmap is 1, [a page fault] exits if PFEC & PFEC_MASK = PFEC_MATCH; if it is 0, the meaning is
 * reversed". */
static bool bitmap_exits(const struct cpu *c, const struct cpu_event *ev)
{
	bool bit = vmx_get(c, EXCEPTION_BITMAP) >> (ev->vector & 31) & 1;
	if (ev->type != EVENT_HARDWARE || ev->vector != VEC_PF)
		return bit;
	if (c->mmu.guest.agile)         /* the guest's own tables were reached: its own fault */
		return c->mmu.last_walk.fault.qualification;
	return bit == ((ev->error & vmx_get(c, PFEC_MASK)) == vmx_get(c, PFEC_MATCH));
}

bool vmx_event_exits(struct cpu *c, const struct cpu_event *ev, struct vmx_exit *x)
{
	if (!c->vmx.guest)
		return false;
	*x = (struct vmx_exit){ .reason = EXIT_EXCEPTION, .intr_info = vmx_event_info(ev), .intr_error = ev->error };
	switch (ev->type) {
	case EVENT_HARDWARE:
		if (!bitmap_exits(c, ev))
			return false;
		if (ev->vector == VEC_PF)
			x->qualification = ev->cr2;
		if (ev->vector == VEC_DB)
			x->qualification = ev->dr6;
		/* "NMI unblocking due to IRET": undefined for double faults and where delivery was under way */
		if (c->iret_unblocked && ev->vector != VEC_DF && !c->delivering)
			x->intr_info |= 1u << 12;
		return true;
	case EVENT_PRIV_SOFTWARE:
	case EVENT_SOFT_EXC:
		x->qualification = ev->dr6;
		x->insn_length = ev->len;
		return bitmap_exits(c, ev);
	case EVENT_NMI:
		return vmx_on(c, NMI_EXITING);
	default:
		return false;   /* INT n; external interrupts were looked at before they were acknowledged */
	}
}

bool vmx_triple_fault(struct cpu *c)
{
	if (!c->vmx.guest)
		return false;
	vmx_leave(c, &(struct vmx_exit){ .reason = EXIT_TRIPLE_FAULT });
	return true;
}

/* ---- EPT ---- */

/* Virtualization-exception information area:
 *   0 exit reason (48) | 4 FFFFFFFFH: busy | 8 qualification | 16 guest-linear | 24 guest-physical | 32 EPTP index */
enum { VE_REASON = 0, VE_BUSY = 4, VE_QUALIFICATION = 8, VE_LINEAR = 16, VE_PHYSICAL = 24, VE_INDEX = 32 };

static void ve_put(struct cpu *c, unsigned off, unsigned size, uint64_t v)
{
	mmu_phys_write(&c->mmu, HPA(vmx_get(c, VE_INFO_ADDR) + off), size, v, WHY_EXCEPTION);
}

/* "convertible": the entry does not suppress it. "A convertible EPT violation instead causes a virtualization exception if
 * CR0.PE = 1; the logical processor is not in the process of delivering an event through the IDT; and the 32 bits at offset 4
 * in the virtualization-exception information area are all 0." */
static bool becomes_ve(struct cpu *c, const struct mmu_fault *f)
{
	return vmx_on(c, EPT_VE) && !f->suppress_ve && c->s.cr0 & CR0_PE && !c->delivering &&
	       mmu_phys_read(&c->mmu, HPA(vmx_get(c, VE_INFO_ADDR) + VE_BUSY), 4, WHY_EXCEPTION) == 0;
}

static void raise_ve(struct cpu *c, const struct mmu_fault *f, uint64_t linear) NORETURN;
static void raise_ve(struct cpu *c, const struct mmu_fault *f, uint64_t linear)
{
	ve_put(c, VE_REASON, 4, EXIT_EPT_VIOLATION);
	ve_put(c, VE_BUSY, 4, 0xffffffff);
	ve_put(c, VE_QUALIFICATION, 8, f->qualification);
	ve_put(c, VE_LINEAR, 8, linear);
	ve_put(c, VE_PHYSICAL, 8, f->gpa.v);
	ve_put(c, VE_INDEX, 2, vmx_get(c, EPTP_INDEX));
	cpu_raise(c, VEC_VE);
}

void vmx_raise_ept(struct cpu *c, const struct mmu_fault *f)
{
	struct vmx_exit x = { .physical = f->gpa.v };
	uint64_t unblocked = c->iret_unblocked && !c->delivering ? BIT(12) : 0;
	switch (f->kind) {
	case MMU_EPT_VIOLATION:
		x.reason = EXIT_EPT_VIOLATION;
		x.qualification = f->qualification | unblocked;
		x.linear = f->qualification & BIT(7) ? f->lin : 0;
		if (becomes_ve(c, f))
			raise_ve(c, f, x.linear);
		break;
	case MMU_EPT_MISCONFIG:
		x.reason = EXIT_EPT_MISCONFIG;
		break;
	case MMU_APIC_ACCESS:           /* the offset is undefined; "guest-physical access for an event delivery", or for the rest */
		x.reason = EXIT_APIC_ACCESS;
		x.qualification = c->delivering ? 10 << 12 : 15 << 12;
		break;
	default:
		x.reason = EXIT_PML_FULL;
		x.qualification = unblocked;
		break;
	}
	vmx_exit(c, &x);
}
