/* task.c - hardware task switches, with 16- and 32-bit task-state segments.
 *
 *   check   the TSS descriptor, its limit, and that both TSSs' pages can be reached
 *   save    registers to the old TSS; busy bits and NT by the kind of switch
 *   load    TR, CR3, registers from the new TSS: the commit point. From here on a fault belongs to
 *           the new task
 *   segments  LDT, CS, SS, then data segments: #TS, #NP, #SS in the new task
 *
 *            old busy bit   new busy bit   NT in new EFLAGS   back link   NT in old image
 *   JMP      cleared        set            from TSS           -           -
 *   CALL,INT stays          set            set                old TR      -
 *   IRET     cleared        stays          from TSS           -           cleared
 *
 * Source: SDM Vol. 3A, "Task Management", "Task Switching". IA-32e mode has no task switches:
 * callers see to it. */
#include "models/cpu/access.h"
#include "models/cpu/cet.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

/* Where a TSS keeps what. SDM Vol. 3A, "Task-State Segment (TSS)", "16-Bit Task-State Segment
 * (TSS)". */
struct layout { uint8_t word, link, cr3, ip, flags, gpr, seg, ldt, segs, min_limit, trap; };
static const struct layout tss32 = { 4, 0, 28, 32, 36, 40, 72, 96, 6, 103, 100 };
static const struct layout tss16 = { 2, 0, 0, 14, 16, 18, 34, 42, 4, 43, 0 };

/* The shadow-stack pointer of the task, asked for while CR4.CET is 1: a 16-bit TSS has no place for it. */
enum { SSP_AT = 104, SSP_LIMIT = 0x6b };

/* General registers lie in the order of their numbers, segments as ES, CS, SS, DS, FS, GS. */
#define GPRS 8

static const struct layout *layout_of(uint32_t attr)
{
	return SEG_TYPE(attr) & 8 ? &tss32 : &tss16;
}

static uint64_t lin32(uint64_t a) { return a & 0xffffffff; }

static void probe(struct cpu *c, uint64_t base, unsigned first, unsigned last, unsigned access)
{
	struct mmu_fault f;
	if (mmu_probe(&c->mmu, lin32(base + first), last - first + 1, access | ACC_IMPLICIT, &f))
		cpu_raise_mmu(c, &f, SEG_DS);
}

static void set_busy(struct cpu *c, uint64_t lin, bool busy)
{
	uint32_t hi = (uint32_t)cpu_sys_load(c, lin32(lin + 4), 4);
	cpu_sys_store(c, lin32(lin + 4), 4, busy ? hi | BIT(9) : hi & ~BIT(9));
}

static void save(struct cpu *c, const struct layout *o, uint64_t base, uint64_t ip, uint64_t fl)
{
	cpu_sys_store(c, lin32(base + o->ip), o->word, ip);
	cpu_sys_store(c, lin32(base + o->flags), o->word, fl);
	for (unsigned i = 0; i < GPRS; i++)
		cpu_sys_store(c, lin32(base + o->gpr + i * o->word), o->word, c->s.r[i]);
	/* a 32-bit TSS's selectors lie in double words whose upper halves stay as they are */
	for (unsigned i = 0; i < o->segs; i++)
		cpu_sys_store(c, lin32(base + o->seg + i * o->word), 2, c->s.seg[i].sel);
}

struct image { uint64_t cr3, ip, fl; uint64_t gpr[GPRS]; uint16_t sel[6], ldt; bool trap; uint32_t ssp; };

static void read_image(struct cpu *c, const struct layout *n, uint64_t base, struct image *im)
{
	memset(im, 0, sizeof *im);
	if (n->cr3)
		im->cr3 = cpu_sys_load(c, lin32(base + n->cr3), 4);
	im->ip = cpu_sys_load(c, lin32(base + n->ip), n->word);
	im->fl = cpu_sys_load(c, lin32(base + n->flags), n->word);
	for (unsigned i = 0; i < GPRS; i++)
		im->gpr[i] = cpu_sys_load(c, lin32(base + n->gpr + i * n->word), n->word);
	for (unsigned i = 0; i < n->segs; i++)
		im->sel[i] = (uint16_t)cpu_sys_load(c, lin32(base + n->seg + i * n->word), 2);
	im->ldt = (uint16_t)cpu_sys_load(c, lin32(base + n->ldt), 2);
	if (n->trap)
		im->trap = cpu_sys_load(c, lin32(base + n->trap), 2) & 1;
}

/* ---- segments of the new task: faults are the new task's own ---- */

static void load_ldt(struct cpu *c, uint16_t sel)
{
	struct desc d;
	seg_set_null(c, SEG_LDTR, sel);
	if (sel_null(sel))
		return;
	if (sel & 4 || !desc_read(c, sel, &d) || desc_system(&d) != DESC_LDT || !(d.attr & SEG_P))
		cpu_raise_ec(c, VEC_TS, sel_error(sel));
	seg_set(c, SEG_LDTR, sel, &d);
}

static void load_cs(struct cpu *c, uint16_t sel)
{
	struct desc d;
	unsigned rpl = sel & 3;
	if (sel_null(sel))
		cpu_raise_ec(c, VEC_TS, sel_error(sel));
	desc_need(c, sel, VEC_TS, &d);
	if (!desc_is_code(&d) ||
	    (d.attr & TYPE_CONFORMING ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		cpu_raise_ec(c, VEC_TS, sel_error(sel));
	if (!(d.attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
	desc_accessed(c, &d);
	cs_load(c, sel, &d, rpl);
}

static void load_ss(struct cpu *c, uint16_t sel)
{
	struct desc d;
	seg_check_stack(c, sel, c->s.cpl, VEC_TS, &d);
	desc_accessed(c, &d);
	seg_set(c, SEG_SS, sel, &d);
}

static void load_data(struct cpu *c, enum seg_reg i, uint16_t sel)
{
	struct desc d;
	if (sel_null(sel))
		return;
	desc_need(c, sel, VEC_TS, &d);
	if (!desc_is_data(&d) && !(desc_is_code(&d) && d.attr & TYPE_READ))
		cpu_raise_ec(c, VEC_TS, sel_error(sel));
	if ((desc_is_data(&d) || !(d.attr & TYPE_CONFORMING)) &&
	    ((sel & 3) > desc_dpl(&d) || c->s.cpl > desc_dpl(&d)))
		cpu_raise_ec(c, VEC_TS, sel_error(sel));
	if (!(d.attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
	desc_accessed(c, &d);
	seg_set(c, i, sel, &d);
}

static void load_segments(struct cpu *c, const struct image *im)
{
	load_ldt(c, im->ldt);
	if (c->s.flags & RFLAGS_VM) {
		for (unsigned i = SEG_ES; i <= SEG_GS; i++)
			seg_set_v86(c, i, im->sel[i]);
		cpu_mode_changed(c);
		return;
	}
	load_cs(c, im->sel[SEG_CS]);
	load_ss(c, im->sel[SEG_SS]);
	load_data(c, SEG_ES, im->sel[SEG_ES]);
	load_data(c, SEG_DS, im->sel[SEG_DS]);
	load_data(c, SEG_FS, im->sel[SEG_FS]);
	load_data(c, SEG_GS, im->sel[SEG_GS]);
}

/* ---- the switch ---- */

void task_switch(struct cpu *c, uint16_t sel, struct desc *d, enum task_how how, uint64_t next,
                 bool has_error, uint32_t error)
{
	struct seg *tr = &c->s.seg[SEG_TR];
	const struct layout *o = layout_of(tr->attr), *n = layout_of(d->attr);
	uint16_t old_sel = tr->sel;
	uint64_t old_base = tr->base, old_desc = c->s.gdtr.base + (old_sel & 0xfff8);
	struct image im;
	struct cet_task shadow = { 0 };
	struct flow f;
	const bool cet = c->s.cr4 & CR4_CET;
	flow_begin(c, &f, FLOW_TASK);
	flow_phase(c, &f, PHASE_TASK_CHECK);
	if (d->limit < (cet ? SSP_LIMIT : n->min_limit) || (cet && n == &tss16))
		cpu_raise_ec(c, VEC_TS, sel_error(sel));
	if (tr->limit < o->min_limit)
		cpu_raise_ec(c, VEC_TS, sel_error(old_sel));
	static const uint8_t source[] = { [TASK_JMP] = VMX_TASK_JMP, [TASK_CALL] = VMX_TASK_CALL, [TASK_INT] = VMX_TASK_GATE,
		                          [TASK_IRET] = VMX_TASK_IRET };
	vmx_task_switch(c, sel, source[how]);
	probe(c, old_base, o->ip, o->ldt - 1u, ACC_WRITE);
	probe(c, d->base, 0, n->ldt + 1u,
	      how == TASK_CALL || how == TASK_INT ? ACC_WRITE : ACC_READ);
	read_image(c, n, d->base, &im);
	if (cet && how != TASK_IRET)
		im.ssp = (uint32_t)cpu_sys_load(c, lin32(d->base + SSP_AT), 4);
	if (how != TASK_IRET)
		probe(c, d->lin, 4, 7, ACC_WRITE);
	if (how == TASK_JMP || how == TASK_IRET)
		probe(c, lin32(old_desc), 4, 7, ACC_WRITE);

	flow_phase(c, &f, PHASE_TASK_SAVE);
	uint64_t fl =
		how == TASK_INT && c->delivering ? event_flags(c, c->delivering) : cpu_rflags(c);
	if (how == TASK_IRET)
		fl &= ~(uint64_t)RFLAGS_NT;
	if (how == TASK_JMP || how == TASK_IRET)
		set_busy(c, old_desc, false);
	save(c, o, old_base, next, fl);
	if (how == TASK_CALL || how == TASK_INT) {
		cpu_sys_store(c, lin32(d->base + n->link), 2, old_sel);
		im.fl |= RFLAGS_NT;
	}
	if (how != TASK_IRET)
		set_busy(c, d->lin, true);
	if (cet)
		cet_task_leave(c, how == TASK_CALL || how == TASK_INT, how == TASK_IRET,
		               im.fl & RFLAGS_VM ? 3 : im.sel[SEG_CS] & 3, next, &shadow);

	flow_phase(c, &f, PHASE_TASK_LOAD);
	d->attr |= 2;   /* busy, in the hidden part too */
	seg_set(c, SEG_TR, sel, d);
	c->stat[CPU_STAT_TASK_SWITCH]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_TASK, old_sel, sel, 0, 0);
	c->s.cr0 |= CR0_TS;
	mmu_set_paging(&c->mmu, c->s.cr0, c->s.cr4, c->s.efer);
	c->s.dr[7] &= ~0x155ull;        /* local breakpoints are the old task's */
	debug_changed(c);
	for (unsigned i = 0; i < GPRS; i++)
		c->s.r[i] = n->word == 4 ? im.gpr[i] : im.gpr[i] | 0xffff0000;
	cpu_set_rflags(c, im.fl,
	               n->word == 4 ? 0x3f7fd7 :
	                              0x7fd7 | RFLAGS_VM | RFLAGS_RF | RFLAGS_AC | RFLAGS_VIF |
	                                      RFLAGS_VIP | RFLAGS_ID);
	c->s.rip = c->next_rip = im.ip;
	c->s.shadow = 0;
	c->s.mark = 0;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		seg_set_null(c, i, im.sel[i]);
	c->s.cpl = im.sel[SEG_CS] & 3;
	/* CS stays usable for the mode's sake until its descriptor is read: a fault before is
	 * delivered to 32-bit code */
	c->s.seg[SEG_CS].attr =
		SEG_UNUSABLE | (n->word == 4 ? SEG_DB : 0) | (uint32_t)c->s.cpl << 5;
	if (im.trap)
		c->s.pending_dbg |= BIT(15);
	if (n->cr3 && c->s.cr0 & CR0_PG) {
		c->s.cr3 = im.cr3;
		c->stat[CPU_STAT_CR3_WRITE]++;
		if (mmu_set_cr3(&c->mmu, im.cr3))
			cpu_raise_ec(c, VEC_TS, sel_error(sel));
	}
	flags_changed(c);
	cpu_mode_changed(c);

	flow_phase(c, &f, PHASE_TASK_SEGMENTS);
	load_segments(c, &im);
	if (cet)
		cet_task_arrive(c, how == TASK_IRET, im.ssp, &shadow);
	if (has_error) {
		struct frame st = { .mask = MASK(stack_size(c) * 8), .cpl = c->s.cpl };
		st.sp = c->s.r[R_RSP] & st.mask;
		frame_push(c, &st, n->word, error);
		c->s.r[R_RSP] = (c->s.r[R_RSP] & ~st.mask) | st.sp;
	}
	if (im.ip > c->s.seg[SEG_CS].limit)
		cpu_gp0(c);
	flow_end(c, &f);
}

void task_gate(struct cpu *c, uint16_t sel, enum task_how how, uint64_t next, bool has_error,
               uint32_t error)
{
	struct desc d;
	if (sel & 4 || sel_null(sel))
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	desc_need(c, sel, VEC_GP, &d);
	int type = desc_system(&d);
	if (type != DESC_TSS16 && type != DESC_TSS32)
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (!(d.attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
	task_switch(c, sel, &d, how, next, has_error, error);
}
