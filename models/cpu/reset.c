/* reset.c - what RESET and INIT leave behind.
 *
 * INIT keeps the FPU, the caches, the MSRs (but EFER's mode bits: it ends IA-32e mode) and CR0's CD
 * and NW; it invalidates the TLBs. An application processor waits for a start-up IPI after either.
 * Source: SDM Vol. 3A, "Processor State After Reset", "Initialization Overview". */
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/fpstate.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

static bool is_bsp(const struct cpu *c)
{
	return c->lapic ? c->lapic->s.base & BIT(8) : c->number == 0;
}

static void segment(struct cpu *c, enum seg_reg i, uint16_t sel, uint64_t base, uint32_t attr)
{
	struct seg *s = &c->s.seg[i];
	memset(s, 0, sizeof *s);
	s->sel = sel;
	s->base = base;
	s->limit = 0xffff;
	s->attr = attr;
}

void cpu_reset(struct cpu *c, bool init)
{
	uint64_t cache_bits = c->s.cr0 & (CR0_CD | CR0_NW);
	memset(c->s.gpr, 0, sizeof c->s.gpr);
	if (!init)
		cpuid_init(c);
	uint32_t id[4];
	cpuid_leaf(c, 1, 0, id);
	c->s.r[R_RDX] = id[CPUID_EAX];
	c->s.rip = 0xfff0;
	c->s.flags = 2;
	flags_set_status(c, 0);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		segment(c, (enum seg_reg)i, 0, 0, SEG_P | SEG_S | TYPE_WRITE | TYPE_ACCESSED);
	c->s.seg[SEG_CS].sel = 0xf000;
	c->s.seg[SEG_CS].base = 0xffff0000;
	segment(c, SEG_LDTR, 0, 0, SEG_P | DESC_LDT);
	segment(c, SEG_TR, 0, 0, SEG_P | DESC_TSS32_BUSY);
	c->s.gdtr = c->s.idtr = (struct dtr){ .limit = 0xffff };
	c->s.cr0 = CR0_ET | (init ? cache_bits : CR0_CD | CR0_NW);
	c->s.cr2 = c->s.cr3 = c->s.cr4 = 0;
	c->s.efer = 0;
	memset(c->s.dr, 0, sizeof c->s.dr);
	c->s.dr[6] = 0xffff0ff0;
	c->s.dr[7] = 0x400;
	if (!init) {
		msr_reset(c);
		fpu_reset(c);
		c->s.tsc_offset = 0 - c->ledger.now;
		random_reset(c);
		c->s.ssp = 0;
		pmu_reset(c);
	}
	if (c->lapic)
		lapic_reset(c->lapic, init);
	c->s.activity = is_bsp(c) ? ACTIVITY_ACTIVE : ACTIVITY_WAIT_SIPI;
	c->s.cpl = 0;
	c->s.shadow = 0;
	c->s.nmi_blocked = c->s.nmi_pending = c->s.init_pending = c->s.sipi_pending = 0;
	c->s.in_delivery = 0;
	cpu_unmark(c);
	c->s.pending_dbg = 0;
	c->s.mwait = MWAIT_NOT;
	monitor_off(c);
	c->block = NULL;
	block_forget(c);
	c->ext = 0;
	c->delivering = NULL;
	if (!init || c->vmx.vmxon != VMCS_NONE)
		vmx_reset(c);
	mmu_set_paging(&c->mmu, c->s.cr0, c->s.cr4, c->s.efer);
	mmu_set_cr3(&c->mmu, 0);
	mmu_set_pkru(&c->mmu, c->s.pkru);
	mmu_flush_all(&c->mmu);
	if (!init)
		mmu_flush_caches(&c->mmu);
	cpu_mode_changed(c);
	for (unsigned i = SEG_ES; i <= SEG_TR; i++)
		seg_derive(c, (enum seg_reg)i);
	debug_changed(c);
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_RESET, init, 0, 0, 0);
	cpu_attention(c);
}
