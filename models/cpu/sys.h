/* sys.h - what the files of the protected architecture share: descriptors, selectors, privileged helpers,
 * control-register and MSR access, and the bodies of instructions that share a mnemonic with ordinary ones. */
#ifndef CPU_SYS_H
#define CPU_SYS_H

#include "models/cpu/cpu.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/flags.h"

/* ---- bodies that insn_int.def's rows bind by operand form ---- */
uop_body insn_mov_from_seg, insn_mov_to_seg, insn_push_seg, insn_pop_seg;       /* OPK_SEG */
uop_body insn_mov_from_cr, insn_mov_to_cr, insn_mov_from_dr, insn_mov_to_dr;    /* OPK_CR, OPK_DR */
uop_body insn_jmp_far, insn_call_far, insn_ret_far;     /* direct: imm = selector << 32 | offset; indirect: OPK_MEM */

/* ---- descriptors: SDM Vol. 3A, "Segment Descriptors" ---- */
struct desc {
	uint64_t raw;           /* the first 8 bytes */
	uint64_t base;
	uint32_t limit;         /* bytes, granularity applied */
	uint32_t attr;          /* as in struct seg */
	uint64_t lin;           /* where it is, to set the accessed or busy bit */
};
/* System descriptor types, legacy; in IA-32e mode 2, 9, 11, 12, 14, 15 alone exist and mean the 64-bit ones. */
enum { DESC_TSS16 = 1, DESC_LDT = 2, DESC_TSS16_BUSY = 3, DESC_CALL16 = 4, DESC_TASK_GATE = 5, DESC_INT16 = 6, DESC_TRAP16 = 7,
       DESC_TSS32 = 9, DESC_TSS32_BUSY = 11, DESC_CALL32 = 12, DESC_INT32 = 14, DESC_TRAP32 = 15 };
/* Types of code and data segments, bits of the type field when S = 1 */
enum { TYPE_ACCESSED = 1, TYPE_WRITE = 2, TYPE_READ = 2, TYPE_DOWN = 4, TYPE_CONFORMING = 4, TYPE_CODE = 8 };

static inline bool sel_null(uint16_t sel) { return (sel & 0xfffc) == 0; }
static inline uint32_t sel_error(uint16_t sel) { return sel & 0xfffc; }
static inline bool desc_is_code(const struct desc *d) { return (d->attr & (SEG_S | TYPE_CODE)) == (SEG_S | TYPE_CODE); }
static inline bool desc_is_data(const struct desc *d) { return (d->attr & (SEG_S | TYPE_CODE)) == SEG_S; }
static inline unsigned desc_dpl(const struct desc *d) { return SEG_DPL(d->attr); }
/* Type of a system descriptor, or -1 for code and data. */
static inline int desc_system(const struct desc *d) { return d->attr & SEG_S ? -1 : (int)SEG_TYPE(d->attr); }

/* Read the descriptor sel names; false when it lies outside its table. Page faults are raised. */
bool desc_read(struct cpu *c, uint16_t sel, struct desc *d);
/* The same; outside its table raises v(sel). */
void desc_need(struct cpu *c, uint16_t sel, enum vector v, struct desc *d);
/* In IA-32e mode, the upper half of a 16-byte system descriptor: its base; v(sel) when it lies outside or its type is not 0. */
uint64_t desc_upper(struct cpu *c, uint16_t sel, const struct desc *d, enum vector v);
void desc_accessed(struct cpu *c, struct desc *d);      /* set the accessed bit in memory and in d */
void seg_set(struct cpu *c, enum seg_reg i, uint16_t sel, const struct desc *d);        /* load the hidden part; no checks */
void seg_set_null(struct cpu *c, enum seg_reg i, uint16_t sel);
void seg_set_v86(struct cpu *c, enum seg_reg i, uint16_t sel);
/* Checks of a stack segment for privilege level cpl, as interrupts, gates and far returns make them: errors are v(sel),
 * except not present: #SS(sel). */
void seg_check_stack(struct cpu *c, uint16_t sel, unsigned cpl, enum vector v, struct desc *d);
void seg_drop_inner(struct cpu *c);             /* after a return outwards: data segments the new CPL may not have become null */

/* ---- modes ---- */
static inline bool cpu_lma(const struct cpu *c) { return c->s.efer & EFER_LMA; }
static inline bool cpu_long64(const struct cpu *c) { return c->s.mode == MODE_LONG64; }
static inline bool cpu_v86(const struct cpu *c) { return c->s.mode == MODE_V86; }
static inline bool cpu_real(const struct cpu *c) { return c->s.mode <= MODE_REAL32; }
static inline unsigned cpu_iopl(const struct cpu *c) { return c->s.flags >> 12 & 3; }
/* Canonical for the widest linear address this CPU has (what WRMSR, LGDT, LTR and INVPCID check)... */
bool canonical_max(const struct cpu *c, uint64_t a);
/* ... and for the paging mode in force (what branches and data accesses check). */
bool canonical_now(const struct cpu *c, uint64_t a);
void cpu_set_cpl(struct cpu *c, unsigned cpl);  /* CPL alone; cpu_mode_changed() follows */

static inline void cpu_gp0(struct cpu *c) { cpu_raise_ec(c, VEC_GP, 0); }
static inline void need_cpl0(struct cpu *c) { if (c->s.cpl) cpu_raise_ec(c, VEC_GP, 0); }
/* "#GP(0) if CR4.UMIP = 1 and CPL > 0" */
static inline void need_umip(struct cpu *c) { if (c->s.cpl && (c->s.cr4 & CR4_UMIP || c->profile->trap_umip)) cpu_gp0(c); }
static inline void need_protected(struct cpu *c) { if (c->s.mode <= MODE_V86) cpu_raise(c, VEC_UD); }

/* ---- stacks that are not SS:ESP yet: an inner stack being built, a frame being read ---- */
struct frame {
	uint64_t base, sp;      /* linear base of the stack segment; offset, moves as words are pushed */
	uint64_t mask;          /* of sp: 0xffff, 0xffffffff, ~0 */
	const struct desc *seg; /* its limits are checked with v(error), or NULL: SS as it is */
	enum vector v;
	uint32_t error;
	unsigned cpl;           /* privilege of the accesses */
};
void frame_push(struct cpu *c, struct frame *f, unsigned size, uint64_t v);
/* A data access at a given privilege level, checked by paging alone. */
void sys_store_as(struct cpu *c, uint64_t lin, unsigned size, uint64_t v, unsigned cpl);
/* Stack pointer of level cpl (or IST entry, 64-bit) from the TSS. Raises #TS(TR). */
void tss_stack(struct cpu *c, unsigned cpl, uint16_t *ss, uint64_t *sp);
uint64_t tss_stack64(struct cpu *c, unsigned slot);     /* slot 0..2: RSPn; 4..10: IST1..7 (offset 4 + 8 * slot) */

/* ---- code segments ---- */
/* Load CS with d at privilege cpl; the new mode takes effect. */
void cs_load(struct cpu *c, uint16_t sel, const struct desc *d, unsigned cpl);
/* Is off a place CS as described by d can execute at? Else #GP(0). */
void cs_check_offset(struct cpu *c, const struct desc *d, uint64_t off);

/* ---- tasks (task.c) ---- */
enum task_how { TASK_JMP, TASK_CALL, TASK_INT, TASK_IRET };
/* Switch to the task of the TSS d (read through sel). next: EIP saved in the old TSS. error: pushed on the new stack. */
void task_switch(struct cpu *c, uint16_t sel, struct desc *d, enum task_how how, uint64_t next, bool has_error, uint32_t error);
/* Through a task gate's TSS selector: all checks. */
void task_gate(struct cpu *c, uint16_t tss_sel, enum task_how how, uint64_t next, bool has_error, uint32_t error);

/* ---- control registers (cr.c): validate and write; raise #GP(0) ---- */
void cr0_write(struct cpu *c, uint64_t v);
void cr3_write(struct cpu *c, uint64_t v);
void cr4_write(struct cpu *c, uint64_t v);
uint64_t efer_valid_bits(const struct cpu *c);
bool efer_valid(const struct cpu *c, uint64_t v);
bool efer_write(struct cpu *c, uint64_t v);      /* false: #GP(0) */
uint64_t cr4_valid_bits(const struct cpu *c);
uint64_t xcr0_valid_bits(const struct cpu *c);
uint64_t xss_valid_bits(const struct cpu *c);   /* IA32_XSS */

/* ---- MSRs (msr.c): false means #GP(0) ---- */
#define MISC_ENABLE_MONITOR BIT(18)
bool msr_read(struct cpu *c, uint32_t nr, uint64_t *v);
bool msr_write(struct cpu *c, uint32_t nr, uint64_t v);
bool msr_valid(const struct cpu *c, uint32_t nr, uint64_t v);   /* would msr_write() do it? */
void msr_reset(struct cpu *c);                  /* power-up values of msr.def */
void random_reset(struct cpu *c);               /* random.c */

/* ---- performance monitoring (pmu.c) ---- */
void pmu_reset(struct cpu *c);
void pmu_restored(struct cpu *c);
void pmu_changed(struct cpu *c);                /* count up to now; what counts from now on, and when to look for overflows */
void pmu_look(struct cpu *c);                   /* cpu->pmu_due has come */
uint64_t pmu_read(struct cpu *c, unsigned i);   /* counter i of s.pmu */
void pmu_write(struct cpu *c, unsigned i, uint64_t v);
unsigned pmu_general(const struct cpu *c);      /* general counters there are */
void pmu_set_global(struct cpu *c, uint64_t v);  /* IA32_PERF_GLOBAL_CTRL */
uint64_t pmu_global_valid(const struct cpu *c); /* bits of IA32_PERF_GLOBAL_CTRL */
void pmu_leaf(const struct cpu *c, uint32_t o[4]);      /* CPUID leaf 0AH */
struct msr_row { uint32_t nr, count; const char *name, *sentence; };
extern const struct msr_row msr_list[];         /* for `vmscope list msrs` */
extern const size_t msr_list_n;
uint64_t cpu_tsc(const struct cpu *c);

/* ---- flags ---- */
/* The bits of RFLAGS that POPF and IRET may change at this CPL and IOPL with an operand of osz bytes. */
uint64_t popf_mask(const struct cpu *c, unsigned osz);
void flags_changed(struct cpu *c);              /* after IF, TF, RF, AC, VM, IOPL may have changed */

/* ---- debugging (debug.c) ---- */
/* No instruction is under way, nor an iteration of REP: what was in force before counts no more. */
static inline void cpu_unmark(struct cpu *c)
{
	c->s.mark = 0;
	c->s.mark_icount = c->s.icount;
	c->s.mark_rcx = c->s.r[R_RCX];
}
void debug_changed(struct cpu *c);              /* DR7, CR4.DE or the state as a whole changed: c->watch */
void debug_io(struct cpu *c, uint16_t port, unsigned size);
uint64_t debug_fetch(struct cpu *c, uint64_t lin);      /* DR6 bits of instruction breakpoints at lin */
bool debug_fetch_armed(const struct cpu *c);
uint64_t debug_rip_behind(const struct cpu *c); /* RIP behind the instruction at s.rip */
enum { DEBUGCTL_LBR = 1, DEBUGCTL_BTF = 2 };
uint64_t dr_read(const struct cpu *c, unsigned i);
void dr_write(struct cpu *c, unsigned i, uint64_t v);   /* after all checks but reserved bits */

/* RFLAGS as the handler's frame (or the interrupted task's TSS) shows them: RF set by faults. */
uint64_t event_flags(const struct cpu *c, const struct cpu_event *ev);
void event_settle(struct cpu *c, uint64_t rip);         /* once the handler's state is loaded */

/* ---- maskable interrupts, from the local APIC or the 8259 pair ---- */
bool cpu_interrupt_pending(const struct cpu *c);        /* one that priorities let through; RFLAGS.IF is not asked */
bool cpu_interrupt_take(struct cpu *c, struct cpu_event *ev);   /* acknowledge it; false: it went away */

void cpu_wake(struct cpu *c);                   /* out of HLT, MWAIT or shutdown */
#define MONITOR_LINE 64                         /* bytes MONITOR watches */
void monitor_off(struct cpu *c);                /* nothing is watched */
bool mwait_over(const struct cpu *c);           /* in MWAIT, and nothing keeps it there */

/* ---- software events: leave the instruction as an event to deliver ---- */
void cpu_raise_event(struct cpu *c, const struct cpu_event *ev) NORETURN;

/* ---- flows: transitions as named phases (flow.def) ---- */
enum flow_id {
#define FLOW(NAME, name, cycles, why, sentence) FLOW_##NAME,
#define PHASE(FLOW, NAME, name, share, sentence)
#include "models/cpu/flow.def"
	FLOW_N
};
enum flow_phase {
#define FLOW(NAME, name, cycles, why, sentence)
#define PHASE(FLOW, NAME, name, share, sentence) PHASE_##FLOW##_##NAME,
#include "models/cpu/flow.def"
	PHASE_N
};
struct flow_row { const char *name, *sentence; };
extern const struct flow_row flow_rows[FLOW_N], phase_rows[PHASE_N];
struct flow { uint32_t id, phase; cycle_t total, charged, began, own; bool open; };
void flow_begin(struct cpu *c, struct flow *f, enum flow_id id);
void flow_phase(struct cpu *c, struct flow *f, enum flow_phase p);      /* ends the phase before, begins p and charges it */
void flow_extra(struct cpu *c, struct flow *f, cycle_t cycles);         /* beyond the flow's own total */
void flow_end(struct cpu *c, struct flow *f);
void flow_tell(struct cpu *c, enum flow_id id);                         /* its phases are traced; an instruction's cost covers them */

#endif
