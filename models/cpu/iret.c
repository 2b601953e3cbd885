/* iret.c - IRET, IRETD, IRETQ: to the same level, outwards, to virtual-8086 mode, to the previous
 * task.
 * Source: SDM Vol. 2A, "IRET/IRETD/IRETQ"; Vol. 3A, "Returning from an Exception- or
 * Interrupt-Handler Procedure"; Vol. 3B, "8086 Emulation" for virtual-8086 mode with CR4.VME.
 * "Executing IRET removes blocking by NMI", even when it faults. */
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/access.h"
#include "models/cpu/cet.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

static uint64_t slot(struct cpu *c, unsigned i, unsigned size)
{
	uint64_t lin = stack_linear(c, c->s.r[R_RSP] + (uint64_t)i * size, size, false);
	return size == 8 ? cpu_load64(c, NULL, lin) :
	       size == 4 ? cpu_load32(c, NULL, lin) :
	                   cpu_load16(c, NULL, lin);
}

static void add_sp(struct cpu *c, uint64_t n)
{
	uint64_t mask = MASK(stack_size(c) * 8);
	c->s.r[R_RSP] = (c->s.r[R_RSP] & ~mask) | ((c->s.r[R_RSP] + n) & mask);
}

/* A RF that IRET loads covers the next instruction, whatever was in force before. */
static void load_flags(struct cpu *c, uint64_t image, uint64_t mask)
{
	cpu_set_rflags(c, image, mask);
	c->s.mark &= ~(unsigned)MARK_RF;
	flags_changed(c);
}

static void done(struct cpu *c, uint64_t rip)
{
	c->next_rip = rip;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_IRET, rip, c->s.seg[SEG_CS].sel, 0, 0);
}

static uint64_t iret_mask(const struct cpu *c, unsigned osz)
{
	uint64_t m = popf_mask(c, osz);
	return osz == 2 ? m : m | RFLAGS_RF;
}

static void iret_real(struct cpu *c, unsigned n)
{
	uint64_t rip = slot(c, 0, n), sel = slot(c, 1, n), fl = slot(c, 2, n);
	if (rip > c->s.seg[SEG_CS].limit)
		cpu_gp0(c);
	add_sp(c, 3 * n);
	seg_load_real(c, SEG_CS, (uint16_t)sel);
	load_flags(c, fl, iret_mask(c, n));
	cpu_mode_changed(c);
	done(c, rip);
}

/* From virtual-8086 mode without leaving it. */
static void iret_v86(struct cpu *c, unsigned n)
{
	bool vme = cpu_iopl(c) < 3;
	if (vme && !(c->s.cr4 & CR4_VME && n == 2))
		cpu_gp0(c);
	uint64_t rip = slot(c, 0, n), sel = slot(c, 1, n), fl = slot(c, 2, n);
	if (rip > c->s.seg[SEG_CS].limit)
		cpu_gp0(c);
	uint64_t mask =
		iret_mask(c, n) & ~(uint64_t)(RFLAGS_IOPL | RFLAGS_VM | RFLAGS_VIF | RFLAGS_VIP);
	if (vme) {
		/* "If VIP = 1 and the IF image is 1, or the TF image is 1": #GP; else VIF takes
		 * IF's place */
		if ((fl & RFLAGS_IF && c->s.flags & RFLAGS_VIP) || fl & RFLAGS_TF)
			cpu_gp0(c);
		fl = (fl & ~(uint64_t)RFLAGS_VIF) | (fl & RFLAGS_IF ? RFLAGS_VIF : 0);
		mask = (mask & ~(uint64_t)RFLAGS_IF) | RFLAGS_VIF;
	}
	add_sp(c, 3 * n);
	seg_load_real(c, SEG_CS, (uint16_t)sel);
	load_flags(c, fl, mask);
	done(c, rip);
}

/* From ring 0 to virtual-8086 mode: the frame holds every segment. */
static void iret_to_v86(struct cpu *c, uint64_t rip, uint16_t cs, uint64_t fl)
{
	static const enum seg_reg order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	uint64_t sp = slot(c, 3, 4), sel[5];
	struct cet_plan shadow = { 0 };
	for (unsigned i = 0; i < 5; i++)
		sel[i] = slot(c, 4 + i, 4);
	if (rip > 0xffff)
		cpu_gp0(c);
	cet_return(c, 3, cs, 0, rip, false, false, &shadow);
	load_flags(c, fl,
	           iret_mask(c, 4) | RFLAGS_VM | RFLAGS_VIF | RFLAGS_VIP | RFLAGS_IOPL | RFLAGS_IF);
	seg_set_v86(c, SEG_CS, cs);
	for (unsigned i = 0; i < 5; i++)
		seg_set_v86(c, order[i], (uint16_t)sel[i]);
	c->s.r[R_RSP] = (uint32_t)sp;
	cpu_mode_changed(c);
	cet_commit(c, &shadow);
	done(c, rip);
}

/* NT = 1: to the task whose TSS the back link names. */
static void iret_task(struct cpu *c)
{
	struct desc d;
	if (cpu_lma(c))
		cpu_gp0(c);
	uint16_t sel = (uint16_t)cpu_sys_load(c, c->s.seg[SEG_TR].base & 0xffffffff, 2);
	if (sel & 4)
		cpu_raise_ec(c, VEC_TS, sel_error(sel));
	desc_need(c, sel, VEC_TS, &d);
	int type = desc_system(&d);
	if (type != DESC_TSS16_BUSY && type != DESC_TSS32_BUSY)
		cpu_raise_ec(c, VEC_TS, sel_error(sel));
	if (!(d.attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
	task_switch(c, sel, &d, TASK_IRET, c->next_rip, false, 0);
}

/* In a guest whose NMIs exit, blocking is the virtual NMIs', if there are such. */
static void unblock_nmi(struct cpu *c)
{
	if (c->vmx.guest && vmx_on(c, NMI_EXITING) && !vmx_on(c, VIRTUAL_NMIS))
		return;
	c->iret_unblocked = c->s.nmi_blocked;
	c->s.nmi_blocked = 0;
}

static void iret(struct cpu *c, const struct uop *u)
{
	unsigned n = u->osz;
	struct desc d, ssd;
	struct cet_plan shadow = { 0 };
	if (c->s.mode <= MODE_REAL32) {
		iret_real(c, n);
		return;
	}
	if (cpu_v86(c)) {
		iret_v86(c, n);
		return;
	}
	if (c->s.flags & RFLAGS_NT) {
		iret_task(c);
		return;
	}
	uint64_t rip = slot(c, 0, n), fl = slot(c, 2, n);
	uint16_t sel = (uint16_t)slot(c, 1, n);
	if (fl & RFLAGS_VM && c->s.cpl == 0 && n == 4 && !cpu_lma(c)) {
		iret_to_v86(c, rip, sel, fl);
		return;
	}
	if (sel_null(sel))
		cpu_gp0(c);
	desc_need(c, sel, VEC_GP, &d);
	unsigned rpl = sel & 3;
	if (!desc_is_code(&d) || rpl < c->s.cpl ||
	    (cpu_lma(c) && d.attr & SEG_L && d.attr & SEG_DB))
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (d.attr & TYPE_CONFORMING ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl)
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (!(d.attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
	uint64_t mask = iret_mask(c, n);
	if (c->s.cpl == 0 && n != 2)
		mask |= RFLAGS_VIF | RFLAGS_VIP;
	bool outer = rpl > c->s.cpl, to64 = cpu_lma(c) && d.attr & SEG_L;
	if (!outer && !cpu_long64(c)) {
		cs_check_offset(c, &d, rip);
		desc_accessed(c, &d);
		cet_return(c, rpl, sel, d.base, rip, to64, cpu_lma(c), &shadow);
		add_sp(c, 3 * n);
		load_flags(c, fl, mask);
		cs_load(c, sel, &d, c->s.cpl);
		cet_commit(c, &shadow);
		done(c, rip);
		return;
	}
	/* SS:RSP too: to an outer level, and always from 64-bit mode */
	uint64_t sp = slot(c, 3, n);
	uint16_t ss = (uint16_t)slot(c, 4, n);
	bool null_ss = sel_null(ss);
	if (null_ss && !(cpu_long64(c) && d.attr & SEG_L && rpl != 3))
		cpu_gp0(c);
	if (null_ss && (ss & 3) != rpl)
		cpu_gp0(c);
	if (!null_ss)
		seg_check_stack(c, ss, rpl, VEC_GP, &ssd);
	cs_check_offset(c, &d, rip);
	desc_accessed(c, &d);
	if (!null_ss)
		desc_accessed(c, &ssd);
	cet_return(c, rpl, sel, d.base, rip, to64, cpu_lma(c), &shadow);
	load_flags(c, fl, mask);
	cs_load(c, sel, &d, rpl);
	if (null_ss)
		seg_set_null(c, SEG_SS, ss);
	else
		seg_set(c, SEG_SS, ss, &ssd);
	uint64_t keep = MASK(stack_size(c) * 8);
	c->s.r[R_RSP] = (c->s.r[R_RSP] & ~keep) | (sp & keep);
	if (outer)
		seg_drop_inner(c);
	cet_commit(c, &shadow);
	done(c, rip);
}

/* A function of its own so that setjmp meets no live local. */
static bool attempt(struct cpu *c, unsigned size)
{
	const struct uop u = { .osz = (uint8_t)size };
	if (setjmp(c->fault_exit))
		return false;
	iret(c, &u);
	return true;
}

bool cpu_root_iret(struct cpu *c, unsigned size)
{
	jmp_buf outer;
	memcpy(&outer, &c->fault_exit, sizeof outer);
	c->ledger.acct = ACCT_HARDWARE;
	c->block = NULL;
	block_forget(c);        /* where code of another address space was interrupted */
	cpu_unmark(c);
	ledger_charge(&c->ledger, WHY_EXECUTE, c->profile->cost[COST_IRET]);
	bool done = attempt(c, size);
	memcpy(&c->fault_exit, &outer, sizeof outer);
	c->ledger.acct = ACCT_GUEST;
	if (done)
		c->s.rip = c->next_rip;
	cpu_mode_changed(c);
	cpu_attention(c);
	return done;
}

void insn_iret(struct cpu *c, const struct uop *u)
{
	unblock_nmi(c);
	cpu_attention(c);
	iret(c, u);
	c->iret_unblocked = 0;
}
