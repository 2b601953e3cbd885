/* apicv.c - the virtual APIC: accesses to the APIC-access page and to x2APIC MSRs that reach the virtual-APIC page instead,
 * and the interrupts that come of them.
 *
 *   reads     of the registers a guest may see without its VMM: those of the virtual-APIC page
 *   writes    go to the virtual-APIC page; then TPR, EOI and self-IPIs are virtualized, the rest is an APIC-write exit
 *   VTPR      below the TPR threshold: an exit; under virtual-interrupt delivery the virtual PPR follows instead
 *   RVI, SVI  of the guest interrupt status: highest requested and highest in service, as VIRR and VISR have them
 * Exits after a write are trap-like: they wait until the instruction has completed (vmx.trap, boundary.c).
 * Source: SDM Vol. 3C, "APIC Virtualization and Virtual Interrupts".
 * Timing: each register touched is a reference to the virtual-APIC page. Delivery of a virtual interrupt is flow INTERRUPT.
 * Accesses of page walks to the APIC-access page, which are guest-physical ones, exit from the walk (event_vmx.c).
 * Simplified: not those that load PDPTEs. */
#include "models/cpu/access.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

enum {
	VAPIC_ID = 0x020, VAPIC_TPR = 0x080, VAPIC_PPR = 0x0a0, VAPIC_EOI = 0x0b0, VAPIC_ISR = 0x100, VAPIC_IRR = 0x200,
	VAPIC_ICR = 0x300, VAPIC_ICR2 = 0x310, VAPIC_SELF = 0x3f0,
};

static uint64_t vapic_read(struct cpu *c, unsigned off, unsigned size)
{
	return mmu_phys_read(&c->mmu, HPA(vmx_get(c, VIRTUAL_APIC_ADDR) + off), size, WHY_VMCS);
}

static void vapic_write(struct cpu *c, unsigned off, unsigned size, uint64_t v)
{
	mmu_phys_write(&c->mmu, HPA(vmx_get(c, VIRTUAL_APIC_ADDR) + off), size, v, WHY_VMCS);
}

/* ---- RVI and SVI; VIRR and VISR: 256 bits, 32 at each 16 bytes ---- */

static uint8_t rvi(const struct cpu *c) { return (uint8_t)vmx_get(c, GUEST_INTERRUPT_STATUS); }
static uint8_t svi(const struct cpu *c) { return (uint8_t)(vmx_get(c, GUEST_INTERRUPT_STATUS) >> 8); }
static void set_status(struct cpu *c, uint8_t r, uint8_t s) { vmx_put(c, GUEST_INTERRUPT_STATUS, (uint64_t)s << 8 | r); }

static unsigned word_of(unsigned base, unsigned vector) { return base + (vector >> 5) * 16; }

static void vector_set(struct cpu *c, unsigned base, unsigned vector, bool on)
{
	unsigned off = word_of(base, vector);
	uint32_t w = (uint32_t)vapic_read(c, off, 4), bit = 1u << (vector & 31);
	vapic_write(c, off, 4, on ? w | bit : w & ~bit);
}

static uint8_t highest(struct cpu *c, unsigned base)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t w = (uint32_t)vapic_read(c, base + 16 * (unsigned)i, 4);
		if (w)
			return (uint8_t)(i * 32 + 31 - __builtin_clz(w));
	}
	return 0;
}

/* ---- what follows from a change ---- */

static void trap(struct cpu *c, enum exit_reason reason, uint64_t qualification)
{
	c->vmx.trap = reason;
	c->vmx.trap_qualification = qualification;
	cpu_attention(c);
}

/* "IF “interrupt-window exiting” is 0 AND RVI[7:4] > VPPR[7:4] THEN recognize a pending virtual interrupt ELSE do not" */
static void evaluate(struct cpu *c)
{
	uint8_t vppr = (uint8_t)vapic_read(c, VAPIC_PPR, 4);
	c->vmx.virtual_pending = !vmx_on(c, INTERRUPT_WINDOW) && rvi(c) >> 4 > vppr >> 4;
	cpu_attention(c);
}

static void virtualize_ppr(struct cpu *c)
{
	uint8_t vtpr = (uint8_t)vapic_read(c, VAPIC_TPR, 4), s = svi(c);
	vapic_write(c, VAPIC_PPR, 4, vtpr >> 4 >= s >> 4 ? vtpr : s & 0xf0);
}

static void virtualize_tpr(struct cpu *c)
{
	if (vmx_on(c, VIRTUAL_INTERRUPTS)) {
		virtualize_ppr(c);
		evaluate(c);
	} else if ((vmx_get(c, TPR_THRESHOLD) & 15) > vapic_read(c, VAPIC_TPR, 4) >> 4) {
		trap(c, EXIT_TPR_BELOW, 0);
	}
}

static void virtualize_eoi(struct cpu *c)
{
	uint8_t vector = svi(c);
	vector_set(c, VAPIC_ISR, vector, false);
	set_status(c, rvi(c), highest(c, VAPIC_ISR));
	virtualize_ppr(c);
	if (c->vmcs->f[VMCS_EOI_EXIT_0 + vector / 64] >> (vector & 63) & 1)
		trap(c, EXIT_EOI, vector);
	else
		evaluate(c);
}

static void request(struct cpu *c, uint8_t vector)
{
	set_status(c, vector > rvi(c) ? vector : rvi(c), svi(c));
}

static void virtualize_self_ipi(struct cpu *c, uint8_t vector)
{
	vector_set(c, VAPIC_IRR, vector, true);
	request(c, vector);
	evaluate(c);
}

/* ---- delivery ---- */

void vmx_virtual_interrupt(struct cpu *c)
{
	uint8_t vector = rvi(c);
	vector_set(c, VAPIC_ISR, vector, true);
	vapic_write(c, VAPIC_PPR, 4, vector & 0xf0);
	vector_set(c, VAPIC_IRR, vector, false);
	set_status(c, highest(c, VAPIC_IRR), vector);
	c->vmx.virtual_pending = 0;
	cpu_wake(c);
	cpu_deliver(c, &(struct cpu_event){ .vector = vector, .type = EVENT_EXTERNAL });
}

/* "If the “use TPR shadow” and “virtualize APIC accesses” VM-execution controls are both 1 and the “virtual-interrupt
 * delivery” VM-execution control is 0, a VM exit occurs immediately after VM entry if the value of bits 3:0 of the TPR
 * threshold ... is greater than the value of bits 7:4 of VTPR." Under virtual-interrupt delivery entry evaluates. */
void vmx_apic_entered(struct cpu *c)
{
	c->vmx.virtual_pending = 0;
	if (!vmx_on(c, TPR_SHADOW))
		return;
	if (vmx_on(c, VIRTUAL_INTERRUPTS) || vmx_on(c, VIRTUALIZE_APIC))
		virtualize_tpr(c);
}

/* Posted-interrupt descriptor: 255:0 requests (PIR) | 256 outstanding notification. SDM Vol. 3C, "Posted-Interrupt
 * Processing". */
bool vmx_posted(struct cpu *c, uint8_t vector)
{
	if (!vmx_on(c, POSTED_INTERRUPTS) || vector != (uint8_t)vmx_get(c, POSTED_VECTOR))
		return false;
	uint64_t at = vmx_get(c, POSTED_DESC_ADDR);
	uint64_t on = mmu_phys_read(&c->mmu, HPA(at + 32), 8, WHY_INTERRUPT);
	mmu_phys_write(&c->mmu, HPA(at + 32), 8, on & ~1ull, WHY_INTERRUPT);
	lapic_mmio_write(c->lapic, VAPIC_EOI, 0);
	for (unsigned i = 0; i < 8; i++) {
		uint32_t pir = (uint32_t)mmu_phys_read(&c->mmu, HPA(at + 4 * i), 4, WHY_INTERRUPT);
		if (!pir)
			continue;
		mmu_phys_write(&c->mmu, HPA(at + 4 * i), 4, 0, WHY_INTERRUPT);
		vapic_write(c, VAPIC_IRR + 16 * i, 4, vapic_read(c, VAPIC_IRR + 16 * i, 4) | pir);
		request(c, (uint8_t)(i * 32 + 31 - __builtin_clz(pir)));
	}
	evaluate(c);
	return true;
}

/* ---- which accesses are virtualized ---- */

/* A bit per register, offset / 16: SDM Vol. 3C, "Virtualizing Reads from the APIC-Access Page", "Virtualizing Writes ...". */
#define REG(off) (1ull << ((off) >> 4))
#define LVTS     (REG(0x320) | REG(0x330) | REG(0x340) | REG(0x350) | REG(0x360) | REG(0x370))
#define VECTORS  (0xffull << 0x10 | 0xffull << 0x18 | 0xffull << 0x20)         /* ISR, TMR, IRR */
#define BOTH     (REG(0x020) | REG(0x080) | REG(0x0b0) | REG(0x0d0) | REG(0x0e0) | REG(0x0f0) | REG(0x280) | REG(0x300) | \
                  REG(0x310) | LVTS | REG(0x380) | REG(0x3e0))

static uint64_t readable(const struct cpu *c)
{
	return vmx_on(c, APIC_REGISTERS) ? BOTH | REG(0x030) | VECTORS : REG(VAPIC_TPR);
}

static uint64_t writable(const struct cpu *c)
{
	if (vmx_on(c, APIC_REGISTERS))
		return BOTH;
	return REG(VAPIC_TPR) | (vmx_on(c, VIRTUAL_INTERRUPTS) ? REG(VAPIC_EOI) | REG(VAPIC_ICR) : 0);
}

/* "the access is entirely contained within the low 4 bytes of a naturally aligned 16-byte region" of a virtualized register */
static bool virtualized(const struct cpu *c, unsigned off, unsigned size, unsigned access)
{
	if (!vmx_on(c, TPR_SHADOW) || access & ACC_EXEC || c->delivering || size > 4 || (off & 15) + size > 4 || off >= 0x400)
		return false;
	return (access & ACC_WRITE ? writable(c) : readable(c)) >> (off >> 4) & 1;
}

/* An ICR value that is a self-IPI without help: shorthand self, edge, fixed, idle, a legal vector, nothing reserved. */
static bool self_ipi(uint32_t icr)
{
	return (icr & 0xfff3b700) == 0 && (icr >> 18 & 3) == 1 && (icr & 0xf0);
}

/* After a write to the virtual-APIC page. SDM Vol. 3C, "APIC-Write Emulation". */
static void written(struct cpu *c, unsigned off)
{
	switch (off & ~15u) {
	case VAPIC_TPR:
		vapic_write(c, VAPIC_TPR, 4, vapic_read(c, VAPIC_TPR, 1));
		virtualize_tpr(c);
		return;
	case VAPIC_EOI:
		if (!vmx_on(c, VIRTUAL_INTERRUPTS))
			break;
		vapic_write(c, VAPIC_EOI, 4, 0);
		virtualize_eoi(c);
		return;
	case VAPIC_ICR: {
		uint32_t icr = (uint32_t)vapic_read(c, VAPIC_ICR, 4);
		if (!vmx_on(c, VIRTUAL_INTERRUPTS) || !self_ipi(icr))
			break;
		virtualize_self_ipi(c, (uint8_t)icr);
		return;
	}
	case VAPIC_ICR2:
		vapic_write(c, VAPIC_ICR2, 4, vapic_read(c, VAPIC_ICR2, 4) & 0xff000000);
		return;
	}
	trap(c, EXIT_APIC_WRITE, off & 0xff0);
}

/* ---- the APIC-access page ---- */

/* 11:0 offset | 15:12 0 read, 1 write, 2 fetch, 3 while an event is delivered */
static void page_exit(struct cpu *c, uint64_t lin, unsigned off, unsigned access) NORETURN;
static void page_exit(struct cpu *c, uint64_t lin, unsigned off, unsigned access)
{
	bool fetch = access & ACC_EXEC;
	unsigned type = c->delivering ? 3 : fetch ? 2 : access & (ACC_WRITE | ACC_RMW) ? 1 : 0;
	vmx_exit(c, &(struct vmx_exit){ .reason = EXIT_APIC_ACCESS, .qualification = off | type << 12, .linear = lin,
	                                .insn_length = fetch || c->delivering ? 0 : c->cur->len });
}

void vmx_apic_page(struct cpu *c, uint64_t lin, gpa_t gpa, unsigned off, void *buf, unsigned size, unsigned access)
{
	(void)gpa;
	if (!virtualized(c, off, size, access))
		page_exit(c, lin, off, access);
	if (access & ACC_WRITE) {
		uint32_t v = 0;
		memcpy(&v, buf, size);
		vapic_write(c, off, size, v);
		written(c, off);
	} else {
		uint64_t v = vapic_read(c, off, size);
		memcpy(buf, &v, size);
	}
}

/* ---- CR8 ---- */

bool vmx_tpr_read(struct cpu *c, uint64_t *cr8)
{
	if (!vmx_guest_with(c, vmx_on(c, TPR_SHADOW)))
		return false;
	*cr8 = vapic_read(c, VAPIC_TPR, 4) >> 4 & 15;
	return true;
}

bool vmx_tpr_write(struct cpu *c, const struct uop *u, uint64_t cr8)
{
	(void)u;
	if (!vmx_guest_with(c, vmx_on(c, TPR_SHADOW)))
		return false;
	vapic_write(c, VAPIC_TPR, 4, (cr8 & 15) << 4);
	virtualize_tpr(c);
	return true;
}

/* ---- x2APIC MSRs: 800H + offset / 16. SDM Vol. 3C, "Virtualizing MSR-Based APIC Accesses" ---- */

enum { X2APIC_FIRST = 0x800, X2APIC_TPR = 0x808, X2APIC_EOI = 0x80b, X2APIC_SELF = 0x83f };

bool vmx_x2apic_read(struct cpu *c, uint32_t msr, uint64_t *v)
{
	if (!vmx_guest_with(c, vmx_on(c, VIRTUALIZE_X2APIC)) || msr - X2APIC_FIRST > 0xff)
		return false;
	if (msr != X2APIC_TPR && !vmx_on(c, APIC_REGISTERS))
		return false;
	*v = vapic_read(c, (msr & 0xff) << 4, 8);
	return true;
}

bool vmx_x2apic_write(struct cpu *c, const struct uop *u, uint32_t msr, uint64_t v)
{
	(void)u;
	bool vid = vmx_on(c, VIRTUAL_INTERRUPTS);
	if (!vmx_guest_with(c, vmx_on(c, VIRTUALIZE_X2APIC)))
		return false;
	if (msr != X2APIC_TPR && !(vid && (msr == X2APIC_EOI || msr == X2APIC_SELF)))
		return false;
	if (msr == X2APIC_EOI ? v != 0 : v >> 8 != 0)
		cpu_gp0(c);
	vapic_write(c, (msr & 0xff) << 4, 8, v);
	if (msr == X2APIC_TPR)
		virtualize_tpr(c);
	else if (msr == X2APIC_EOI)
		virtualize_eoi(c);
	else if (v >> 4)
		virtualize_self_ipi(c, (uint8_t)v);
	else
		trap(c, EXIT_APIC_WRITE, VAPIC_SELF);
	return true;
}
