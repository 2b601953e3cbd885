/* cpu.h - one x86 CPU: architectural state, wiring, and what its files offer each other.
 *
 *   state    struct cpu_state: plain, copyable; snapshots, diffs and hashes take it as it is
 *   decode   decode.c turns bytes into uops (uop.h) by insn.def; block.c caches blocks and runs them
 *   exec     exec_*.c: what instructions do
 *   seg.c, event.c, far.c, task.c, control.c, msr.c, cpuid.c, debug.c: the protected architecture
 *   lapic.c  this CPU's local APIC
 *
 * Source: SDM Vol. 1 and 3A. Faults leave no trace of the faulting instruction: a body checks and reads
 * everything that can fault before it changes anything. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include <setjmp.h>

#include "models/cpu/pmu.h"
#include "models/cpu/uop.h"
#include "models/cpu/vmx/state.h"
#include "models/mmu/mmu.h"
#include "models/profile.h"
#include "sim/base.h"
#include "sim/evq.h"
#include "sim/field.h"
#include "sim/ledger.h"
#include "sim/rng.h"
#include "sim/snap.h"
#include "sim/stat.h"
#include "sim/trace.h"
#include "sim/wire.h"

enum { R_RAX, R_RCX, R_RDX, R_RBX, R_RSP, R_RBP, R_RSI, R_RDI, R_R8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14, R_R15,
       R_ZERO,          /* always 0: absent base or index */
       R_RIP,           /* the same storage as `rip`: base of RIP-relative addresses (disp counts from the block) */
       R_N };

enum seg_reg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_N };

/* Segment register with its hidden part. `attr` is the descriptor's access rights in the VMCS's format
 * (SDM Vol. 3C, "Guest Register State"):  bit 16 unusable
 *   15 G | 14 D/B | 13 L | 12 AVL | 11:8 0 | 7 P | 6:5 DPL | 4 S | 3:0 type */
struct seg {
	uint64_t base;
	uint64_t lim_r, lim_w;  /* derived by seg_derive(): an access of n bytes at offset o is inside when
	                         * o + n <= lim (data reads, data writes); 0: never, ask seg_check() for the fault */
	uint32_t limit;         /* in bytes, granularity applied */
	uint32_t attr;
	uint16_t sel;
	uint16_t pad;
	uint32_t desc_base;     /* ES, CS, SS, DS in 64-bit mode, where base is 0: the base the descriptor gave, in force again
	                         * in compatibility mode. Elsewhere meaningless. */
};
#define SEG_UNUSABLE  BIT(16)
#define SEG_G         BIT(15)
#define SEG_DB        BIT(14)
#define SEG_L         BIT(13)
#define SEG_P         BIT(7)
#define SEG_DPL(attr) ((attr) >> 5 & 3)
#define SEG_S         BIT(4)
#define SEG_TYPE(attr) ((attr) & 15)

struct dtr { uint64_t base; uint32_t limit, pad; };

enum activity { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_SIPI };  /* VMCS numbering */

struct x87_reg { uint64_t mant; uint16_t se; uint16_t pad[3]; };        /* sign and exponent in se */

struct cpu_state {
	union {
		uint64_t r[R_N];
		struct {
			uint64_t gpr[R_RIP];
			uint64_t rip;   /* of the block's first instruction while a block runs (cpu->block != NULL);
			                 * else of the present or next instruction. cpu_rip() always tells. */
		};
	};
	/* Lazy flags: CF is aux bit 63, OF is aux bit 63 ^ bit 62, AF is aux bit 3; ZF is zr == 0; SF is sp bit 63,
	 * PF is the parity of sp's low byte. Other bits live in `flags` (flags.h reads and writes all). */
	uint64_t cc_zr, cc_sp, cc_aux;
	uint64_t flags;         /* RFLAGS without the six status flags; bit 1 set */
	struct seg seg[SEG_N];
	struct dtr gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, xcr0;      /* CR8 is the local APIC's TPR */
	uint64_t dr[8];
	/* MSRs with a home in the CPU; msr.def maps numbers to these */
	uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base, tsc_aux, tsc_adjust, tsc_offset;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, misc_enable, feature_control, debugctl, mtrr_def_type, mtrr[32], mtrr_fixed[11], msr_misc[24];
	uint64_t u_cet, s_cet, ssp, pl_ssp[4], ssp_table;       /* control-flow enforcement: cet.h */
	uint32_t pkru, mxcsr;
	/* x87 */
	struct x87_reg st[8];   /* physical registers R0..R7; ST(i) is st[(top + i) & 7], top in fsw bits 13:11 */
	uint16_t fcw, fsw, ftw, fop;            /* ftw: two bits a register, as FSTENV stores it */
	uint16_t fcs, fds;
	uint32_t pad0;
	uint64_t fip, fdp;
	uint64_t xmm[16][2];
	/* between instructions */
	uint32_t activity;      /* enum activity */
	uint8_t cpl;
	uint8_t mode;           /* enum cpu_mode: follows CR0.PE, EFER.LMA, CS.L, CS.D, RFLAGS.VM; see cpu_mode_changed() */
	uint8_t shadow;         /* blocking by STI (1) or by MOV SS (2) until one instruction has completed */
	uint8_t nmi_blocked, nmi_pending, init_pending, sipi_pending, sipi_vector;
	uint8_t intr_line;      /* INTR from the 8259 pair as the LINT0 pin sees it */
	uint8_t in_delivery;    /* vector classes for #DF: 0 none, 1 benign, 2 contributory, 3 page fault, 4 double fault */
	uint8_t mark;           /* what was in force when the instruction began (enum cpu_mark): expires when it has completed */
	uint8_t mwait;          /* enum mwait: activity is HLT, but MWAIT's */
	uint64_t mark_icount, mark_rcx;         /* icount and RCX when `mark` was taken: RCX tells iterations of REP apart */
	uint64_t mark_next;     /* under IA32_DEBUGCTL.BTF: RIP behind that instruction; elsewhere, it branched */
	uint64_t pending_dbg;   /* DR6 bits of debug traps to deliver at the next boundary */
	uint64_t icount;        /* instructions completed */
	uint64_t monitor_pa;    /* MONITOR's line, while it is armed; else MONITOR_NONE */
	/* stopped inside a block of instructions that was fetched already (block.c): going on there is not charged again */
	uint64_t fetch_pa;      /* where the block begins; ~0: nowhere */
	uint64_t fetch_pa2;     /* the page its only instruction ends on, when that is another one; ~0: none */
	uint64_t fetch_rip;     /* RIP the CPU stopped at, fetch_off bytes into it */
	uint16_t fetch_off, fetch_len;
	uint32_t pad2;
	struct rng random;      /* what RDRAND and RDSEED draw from */
	struct pmu_state pmu;
};

enum mwait { MWAIT_NOT, MWAIT_OPEN /* interrupts end it when RFLAGS.IF lets them in */, MWAIT_MASKED /* when it does not, too */ };
#define MONITOR_NONE (~0ull)

enum cpu_mark { MARK_SHADOW = 1 /* blocking by STI or MOV SS */, MARK_RF = 2, MARK_TF = 4, MARK_MTF = 8 /* monitor trap flag */ };

enum cpu_mode { MODE_REAL16, MODE_REAL32 /* real mode, CS.D=1: "unreal" code */, MODE_V86, MODE_PROT16, MODE_PROT32, MODE_COMPAT16, MODE_COMPAT32, MODE_LONG64 };

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)
#define CR4_VME BIT(0)
#define CR4_PVI BIT(1)
#define CR4_TSD BIT(2)
#define CR4_DE BIT(3)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_MCE BIT(6)
#define CR4_PGE BIT(7)
#define CR4_PCE BIT(8)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP BIT(11)
#define CR4_LA57 BIT(12)
#define CR4_VMXE BIT(13)
#define CR4_FSGSBASE BIT(16)
#define CR4_PCIDE BIT(17)
#define CR4_OSXSAVE BIT(18)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define CR4_PKE BIT(22)
#define CR4_CET BIT(23)
#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)
#define RFLAGS_CF BIT(0)
#define RFLAGS_PF BIT(2)
#define RFLAGS_AF BIT(4)
#define RFLAGS_ZF BIT(6)
#define RFLAGS_SF BIT(7)
#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_DF BIT(10)
#define RFLAGS_OF BIT(11)
#define RFLAGS_IOPL (BIT(12) | BIT(13))
#define RFLAGS_NT BIT(14)
#define RFLAGS_RF BIT(16)
#define RFLAGS_VM BIT(17)
#define RFLAGS_AC BIT(18)
#define RFLAGS_VIF BIT(19)
#define RFLAGS_VIP BIT(20)
#define RFLAGS_ID BIT(21)
#define RFLAGS_STATUS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

enum vector { VEC_DE = 0, VEC_DB = 1, VEC_NMI = 2, VEC_BP = 3, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6, VEC_NM = 7, VEC_DF = 8,
              VEC_TS = 10, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_MF = 16, VEC_AC = 17, VEC_MC = 18, VEC_XM = 19, VEC_VE = 20,
              VEC_CP = 21 };

/* An exception about to be delivered (VMCS interruption types). */
enum event_type { EVENT_EXTERNAL = 0, EVENT_NONE = 1 /* leave the instruction, deliver nothing */, EVENT_NMI = 2, EVENT_HARDWARE = 3, EVENT_SOFTWARE = 4 /* INT n */, EVENT_PRIV_SOFTWARE = 5 /* INT1 */, EVENT_SOFT_EXC = 6 /* INT3, INTO */, EVENT_OTHER = 7 /* VM entries alone: vector 0 is a pending MTF exit */,
                  EVENT_VM_EXIT = 0x80 /* no event: cpu->exit leaves the guest */ };
struct cpu_event {
	uint8_t vector, type, has_error;
	uint8_t len;            /* software events: instruction length, so that the return address is after it */
	uint32_t error;
	uint64_t cr2;           /* #PF: loaded when delivery starts */
	uint64_t dr6;           /* #DB: bits to set */
};

enum cpu_stat {
#define STAT(NAME, name, unit, sentence) CPU_STAT_##NAME,
#include "models/cpu/cpu_stat.def"
	CPU_STAT_N
};
enum cpu_trace {
	CPU_TRACE_BASE_ = TRACE_CPU - 1,
#define EVENT(NAME, name, args, sentence) CPU_TRACE_##NAME,
#include "models/cpu/cpu_trace.def"
};

struct lapic;
struct block_cache;
struct decoder;

/* Software in VMX root operation that is modelled rather than executed. While some is installed, nothing is fetched in
 * root operation: run() is called when a VM exit has completed, event() when an interrupt or NMI arrives in root operation
 * (idle: the CPU's activity is HLT there). Both end by entering a guest (vmx_root_enter) or with the CPU halted.
 * Without VMX operation (vmx.deprivileged) it owns CPL 0 alone: run() is called when an exception, an interrupt or a fast
 * system call has brought the CPU there, and it enters a guest by IRET (cpu_root_iret). */
struct root_software {
	void (*run)(void *who, struct cpu *c);
	void (*event)(void *who, struct cpu *c, const struct cpu_event *ev);
	void *who;
};

/* Why cpu_run() came back. */
enum cpu_stop { STOP_DEADLINE /* the cycle limit given was reached */, STOP_ICOUNT, STOP_HALTED /* nothing to run: waits for an event */,
                STOP_SHUTDOWN /* triple fault */, STOP_BREAK /* a breakpoint: before the instruction at rip */, STOP_REQUEST /* cpu->stop_request was set, or somebody looks */ };

struct cpu {
	struct cpu_state s;
	struct mmu mmu;
	struct ledger ledger;           /* state too */
	/* hot wiring */
	cycle_t deadline;               /* leave the block when ledger.now reaches this; 0: at once; DEADLINE_INSN: after one instruction */
	cycle_t rep_deadline;           /* under DEADLINE_INSN: when a repeated string instruction is left in its midst */
	cycle_t pmu_due;                /* no counter can have overflowed before; derived from s.pmu (pmu.c) */
	uint64_t lin_mask;              /* 0xffffffff outside 64-bit mode (A20 is always open) */
	uint64_t fetch_page;            /* linear page of the last instruction fetch, ~0 none */
	const struct uop *cur;          /* the uop running, set on every slow path: faults need its off */
	struct block *block;            /* the block running; NULL: s.rip is exact */
	uint64_t next_rip;              /* bodies of block-ending instructions: where to go; preset to the next instruction */
	cycle_t until;                  /* what cpu_run() was asked for */
	uint64_t icount_end;
	cycle_t look_at;                /* from this clock on, come back to the scheduler at each boundary: somebody looks there */
	jmp_buf fault_exit;             /* cpu_raise() goes here; set by cpu_run() */
	struct cpu_event fault;         /* what was raised */
	uint8_t attention;              /* something to look at between instructions: set by cpu_attention(); or ATTENTION_RF */
	uint8_t stop_request;
	uint8_t dispatched;             /* where there are no tail calls: the uop that was returned is to be run (exec.h) */
	uint8_t breakpoints;            /* some are set: ask break_hit before each instruction */
	uint8_t number;                 /* CPU number; APIC ID too */
	uint8_t watch;                  /* data breakpoints enabled in DR7, a bit each: every access takes the slow way and asks debug_data() */
	uint16_t cet;                   /* control-flow enforcement in force at this CPL: KEY_SS, KEY_IBT, KEY_WAIT; cet_changed() */
	uint16_t trap_key;              /* KEY_TRAP on the what-if machine (profile: trap.critical), else 0 */
	uint8_t align_check;            /* CR0.AM, EFLAGS.AC and CPL 3: every access takes the slow way; misaligned ones are #AC(0) */
	uint8_t ext;                    /* delivering something external to the program: EXT in error codes */
	uint8_t seen_cpl, seen_mode;    /* as cpu_mode_changed() last saw them, for the trace */
	uint64_t features[4];           /* what CPUID advertises: cpuid.h */
	uint64_t hidden[4];             /* what it never does although modelled: a VMM's wish for a virtual CPU */
	struct { uint64_t control[2], misc, ept_vpid; } hidden_vmx;     /* likewise: by enum vmx_control; bits of 485H and of 48CH */
	uint64_t seed;                  /* of `random`, by the machine's */
	uint8_t iret_unblocked;         /* the IRET executing ended blocking by NMI */
	uint8_t injecting;              /* the event being delivered was injected by VM entry */
	const struct cpu_event *delivering;     /* the event being delivered: IDT-vectoring information when another one strikes */
	struct vmx_state vmx;           /* state too: VMX operation and the VMCSs on chip (vmx/) */
	struct vmcs *vmcs;              /* the current one, NULL: none */
	uint32_t ctl[VMX_WORDS];        /* the current VMCS's controls in force, by enum vmx_word: vmx_derive() */
	struct vmx_passed passed;       /* what the last VM entry that passed its checks looked like */
	struct vmx_failed failed;       /* checks the last VM entry failed */
	struct vmx_exit exit;           /* on its way while fault.type is EVENT_VM_EXIT */
	struct root_software root;      /* modelled root software, installed by the machine */
	struct { uint64_t lin; uint64_t bytes[8]; unsigned size; } rmw;         /* slow read-modify-write in flight */

	uint64_t stat[CPU_STAT_N];
	const struct profile *profile;
	struct trace *trace;
	struct evq *evq;
	struct lapic *lapic;
	struct block_cache *blocks;
	uint64_t blocks_built, blocks_dropped;  /* since the CPU was made: the host's work, not the model's */
	struct decoder *decoder;
	struct io_wire port;            /* port I/O space */
	struct apic_wire apic;          /* the interrupt bus */
	struct pic_wire pic;
	struct ferr_wire ferr;          /* x87 errors while CR0.NE = 0; unconnected but on the bootstrap processor */
	struct machine_wire machine;
	bool (*break_hit)(void *who, struct cpu *c, uint64_t lin);
	void *break_who;
};

/* ---- life ---- */
struct cpu *cpu_new(unsigned number, struct mem *mem, const struct profile *p, struct cache_hier *caches, struct trace *t,
                    struct evq *q, struct err *e);
void cpu_free(struct cpu *c);
void cpu_reset(struct cpu *c, bool init);       /* power-up RESET, or INIT (keeps caches, MSRs, FPU as the SDM says) */
void cpu_restored(struct cpu *c);               /* state was overwritten from outside: rebuild what is derived */

/* ---- running (run.c) ----
 * Runs until ledger.now >= until, or n more instructions completed, or another reason. A halted CPU returns STOP_HALTED
 * at once, time not advanced: the machine decides how far to idle (cpu_idle). */
enum cpu_stop cpu_run(struct cpu *c, cycle_t until, uint64_t n);
/* Decoded code in [pa, pa+len) was overwritten (mem->code_written): the very next instruction sees the new bytes. */
void cpu_code_written(struct cpu *c, hpa_t pa, unsigned len);
bool cpu_has_code(const struct cpu *c, hpa_t page);     /* decoded blocks with bytes on that page exist */
void cpu_idle(struct cpu *c, cycle_t until);    /* charge halted cycles up to `until` */
/* [pa, pa+len) is being stored to, by whomever: true when that wakes the CPU from MWAIT (monitor.c). */
bool cpu_monitor_written(struct cpu *c, hpa_t pa, unsigned len);
bool cpu_can_wake(struct cpu *c);               /* halted, and an event that would wake it is pending */
static inline bool cpu_root_modelled(const struct cpu *c)       /* modelled software has the CPU, or would if it were not halted */
{
	return c->root.run && !c->vmx.guest && !(c->vmx.deprivileged && c->s.cpl);
}
/* IRET by modelled software, from the frame at SS:RSP, operand size 4 or 8: the instruction's own operation and cost. False: it
 * faulted (c->fault), nothing has changed. */
bool cpu_root_iret(struct cpu *c, unsigned size);
/* It executes a guest's code: in VMX non-root operation, or in the rings that modelled software leaves to guests. */
static inline bool cpu_in_guest(const struct cpu *c) { return c->vmx.guest || (c->vmx.deprivileged && c->s.cpl); }
/* Of cpu->attention: nothing but RF, which ends with the instruction. No iteration of a repeated string instruction needs a look. */
#define ATTENTION_RF  2
#define DEADLINE_INSN 1
static inline void cpu_attention(struct cpu *c) { c->attention = 1; c->deadline = 0; }

/* ---- faults (event.c) ---- */
void cpu_raise(struct cpu *c, enum vector v) NORETURN;                          /* no error code */
void cpu_raise_ec(struct cpu *c, enum vector v, uint32_t error) NORETURN;
void cpu_raise_mmu(struct cpu *c, const struct mmu_fault *f, enum seg_reg seg) NORETURN; /* #PF; #GP/#SS for non-canonical */
/* Between instructions: INIT, SIPI, debug traps, NMI, interrupts, in the SDM's priority order. Called by cpu_run when
 * `attention` is set or something changed. Clears attention when nothing is left that could happen before the next change.
 * True: to be called again before an instruction executes. */
bool cpu_service(struct cpu *c);
/* Deliver an event through the IDT or IVT at the present rip; nested faults become #DF, then shutdown. Never longjmps out. */
void cpu_deliver(struct cpu *c, const struct cpu_event *ev);
void cpu_inject(struct cpu *c, const struct cpu_event *ev);     /* the same for VM entry: the event itself causes no exit */
void cpu_mode_loaded(struct cpu *c);            /* the same after all segments and control registers were loaded at once: bases
                                                 * are as descriptors give them */
void cpu_mode_changed(struct cpu *c);           /* recompute mode, lin_mask, CPL in mmu and ledger account; cheap */

static inline uint64_t cpu_rip(const struct cpu *c)     /* of the instruction executing */
{
	return c->block ? (c->s.rip + c->cur->off) & c->lin_mask : c->s.rip;
}

/* ---- segments (seg.c) ---- */
void seg_derive(struct cpu *c, enum seg_reg i);
/* The slow half of an address check: returns the linear address or raises #GP(0)/#SS(0). */
uint64_t seg_check(struct cpu *c, const struct uop *u, enum seg_reg i, uint64_t off, unsigned size, bool write);
void seg_load(struct cpu *c, enum seg_reg i, uint16_t sel);     /* MOV to DS/ES/FS/GS/SS: all checks, may raise */
void seg_load_real(struct cpu *c, enum seg_reg i, uint16_t sel);/* real and virtual-8086 mode */

/* ---- debug registers (debug.c) ---- */
/* Slow data accesses call this when c->watch is set: a match becomes a trap after the instruction. */
void debug_data(struct cpu *c, uint64_t lin, unsigned size, bool write);

/* ---- flags (flags.h, inline) ---- */
/* uint64_t cpu_rflags(const struct cpu *c);  void cpu_set_rflags(struct cpu *c, uint64_t v, uint64_t mask); */

extern const struct stat_row cpu_stat_rows[];
extern const struct trace_row cpu_trace_rows[];        /* at TRACE_CPU */
extern const size_t cpu_trace_rows_n;
extern const struct field_row cpu_fields[];
extern const size_t cpu_fields_n;

#endif
