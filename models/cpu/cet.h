/* cet.h - control-flow enforcement: shadow stacks and indirect-branch tracking (CET).
 *
 * A shadow stack holds return addresses a second time, on pages ordinary stores cannot write; SSP points at its top. Tracking
 * makes an indirect jump or call land on an ENDBRANCH instruction. Both are chosen by CR4.CET and two MSRs of one format:
 *
 *    63            12 11   10     9  6   5     4     3     2     1     0
 *   +----------------+----+-----+-----+-----+-----+-----+-----+-----+-----+   IA32_U_CET  at CPL 3
 *   | legacy bitmap  |WAIT|SUPPR|  0  |SUPPR|NO   |LEG  |ENDBR|WR   |SH   |   IA32_S_CET  at CPL 0-2
 *   | (linear page)  |    |ESS  |     |_DIS |TRACK|_IW  |_EN  |SHSTK|STK  |
 *   +----------------+----+-----+-----+-----+-----+-----+-----+-----+-----+
 *
 * What is in force at the present CPL is part of a block's key (decode.h): code decoded while it is off knows nothing of it.
 * Source: SDM Vol. 1, "Control-flow Enforcement Technology (CET)"; Vol. 3A, "Shadow-Stack Access Rights". */
#ifndef CPU_CET_H
#define CPU_CET_H

#include "models/cpu/cpu.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/decode.h"

enum {
	CET_SH_STK_EN = 1 << 0, CET_WR_SHSTK_EN = 1 << 1, CET_ENDBR_EN = 1 << 2, CET_LEG_IW_EN = 1 << 3, CET_NO_TRACK_EN = 1 << 4,
	CET_SUPPRESS_DIS = 1 << 5, CET_SUPPRESS = 1 << 10, CET_TRACKER = 1 << 11 /* waits for ENDBRANCH */
};
/* Error codes of #CP. */
enum { CP_NEAR_RET = 1, CP_FAR_RET = 2 /* and IRET */, CP_ENDBRANCH = 3, CP_RSTORSSP = 4, CP_SETSSBSY = 5 };

static inline bool cet_exists(const struct cpu *c) { return cpu_has(c, FEATURE_SHSTK) || cpu_has(c, FEATURE_IBT); }
uint64_t cet_reserved(const struct cpu *c);     /* bits of IA32_U_CET and IA32_S_CET that must be 0 */
void cet_changed(struct cpu *c);                /* CR4, CR0, the MSRs, CPL or mode changed: c->cet follows */

/* Would it be in force at this privilege level, outside virtual-8086 mode? At the present one: c->cet. */
static inline uint64_t *cet_msr(struct cpu *c, unsigned cpl) { return cpl == 3 ? &c->s.u_cet : &c->s.s_cet; }
static inline bool cet_on(struct cpu *c, unsigned cpl, unsigned enable)
{
	return c->s.cr4 & CR4_CET && c->s.cr0 & CR0_PE && *cet_msr(c, cpl) & enable;
}

/* Bodies decode.c binds while it is in force. */
uop_body cet_call, cet_ret, cet_jmp, cet_endbr, cet_missing;

/* ---- accesses to shadow stacks, as privilege level cpl; faults as any other's, PFEC_SS in the error code ---- */
uint64_t ss_load(struct cpu *c, uint64_t lin, unsigned size, unsigned cpl);
void ss_store(struct cpu *c, uint64_t lin, unsigned size, uint64_t v, unsigned cpl);
void ss_probe(struct cpu *c, uint64_t lin, unsigned size, unsigned cpl);        /* for a store */
bool ss_exchange(struct cpu *c, uint64_t lin, uint64_t expected, uint64_t v, unsigned cpl);     /* locked compare and exchange */

/* ---- transfers through descriptors, gates and interrupts ----
 * cet_enter() and cet_return() make every check and touch memory, before the transfer changes a register; cet_commit() is told
 * the new privilege level when it has. */
struct cet_plan {
	uint64_t ssp;           /* afterwards */
	uint8_t save;           /* IA32_PL3_SSP takes the old SSP */
	uint8_t track;          /* the target must begin with ENDBRANCH */
};
/* A call or event into code at cpl, 64-bit or not. ist: entry of the interrupt stack table, 0: by privilege level. back: the
 * return address, an offset in CS. */
void cet_enter_slow(struct cpu *c, unsigned cpl, bool to64, unsigned ist, uint64_t back, struct cet_plan *p);
static inline void cet_enter(struct cpu *c, unsigned cpl, bool to64, unsigned ist, uint64_t back, struct cet_plan *p)
{
	if (unlikely(c->s.cr4 & CR4_CET))
		cet_enter_slow(c, cpl, to64, ist, back, p);
}
/* A far return or IRET to privilege level rpl, to sel:rip in a segment with this base. stacks: the frame may be another shadow
 * stack's (IRET in IA-32e mode). */
void cet_return_slow(struct cpu *c, unsigned rpl, uint16_t sel, uint64_t base, uint64_t rip, bool to64, bool stacks, struct cet_plan *p);
static inline void cet_return(struct cpu *c, unsigned rpl, uint16_t sel, uint64_t base, uint64_t rip, bool to64, bool stacks,
                              struct cet_plan *p)
{
	if (unlikely(c->s.cr4 & CR4_CET))
		cet_return_slow(c, rpl, sel, base, rip, to64, stacks, p);
}
void cet_jump_slow(struct cpu *c, bool to64, struct cet_plan *p);               /* a far jump */
static inline void cet_jump(struct cpu *c, bool to64, struct cet_plan *p)
{
	if (unlikely(c->s.cr4 & CR4_CET))
		cet_jump_slow(c, to64, p);
}
void cet_commit_slow(struct cpu *c, const struct cet_plan *p);
static inline void cet_commit(struct cpu *c, const struct cet_plan *p)
{
	if (unlikely(c->s.cr4 & CR4_CET))
		cet_commit_slow(c, p);
}
void cet_track(struct cpu *c, unsigned cpl);    /* a far transfer arrived there: wait for ENDBRANCH, if tracking is enabled */

/* SYSCALL and SYSENTER, CPL not changed yet; SYSRET and SYSEXIT, at CPL 3. */
void cet_system_call(struct cpu *c);
void cet_system_return(struct cpu *c);

/* ---- task switches (task.c) ---- */
struct cet_task {
	uint64_t ssp, cs, lip;  /* what goes onto the new task's shadow stack; or what IRET found on the old one's */
	bool push, verify;
};
void cet_task_leave(struct cpu *c, bool calls, bool returns, unsigned new_cpl, uint64_t back, struct cet_task *t);
void cet_task_arrive(struct cpu *c, bool returns, uint64_t new_ssp, const struct cet_task *t);

#endif
