/* x87.h - the x87 register stack, status word and exceptions, for the files that execute x87
 * instructions.
 *
 * FSW: 15 B | 14 C3 | 13:11 TOP | 10 C2 | 9 C1 | 8 C0 | 7 ES | 6 SF
 *      5 PE | 4 UE | 3 OE | 2 ZE | 1 DE | 0 IE
 * FCW: 11:10 rounding | 9:8 precision | 5:0 masks
 * FTW: two bits a register: 0 valid, 1 zero, 2 special, 3 empty; kept true to the contents.
 * uop.imm of an x87 instruction holds FOP: the low three bits of D8..DF, then ModRM.
 *
 * CR0.NE = 0: a pending error drives FERR# at the next waiting instruction, before which the CPU
 * stops until an interrupt comes (by IRQ 13, from the chipset) or goes on if IGNNE# is asserted.
 * Simplified: the processor without the wire (any but the first) waits for some other interrupt. FCS
 * and FDS are kept, FOP and FDP are always updated.
 * Source: SDM Vol. 1, "x87 FPU Execution Environment", "Floating-Point Exception Handling". */
#ifndef CPU_X87_H
#define CPU_X87_H

#include "models/cpu/access.h"
#include "models/cpu/float.h"

enum { FSW_SF = 1 << 6, FSW_ES = 1 << 7, FSW_C0 = 1 << 8, FSW_C1 = 1 << 9, FSW_C2 = 1 << 10,
       FSW_C3 = 1 << 14, FSW_B = 1 << 15,
       FSW_CC = FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3, FSW_TOP = 7 << 11 };
enum { FCW_WRITABLE = 0x1f7f /* bit 12: infinity control, kept and ignored */, FCW_ONES = 0x40 };
enum { FTW_VALID, FTW_ZERO, FTW_SPECIAL, FTW_EMPTY };

/* ---- the stack ---- */
static inline unsigned x87_top(const struct cpu *c) { return c->s.fsw >> 11 & 7; }
static inline unsigned x87_phys(const struct cpu *c, unsigned i) { return (x87_top(c) + i) & 7; }
static inline void x87_set_top(struct cpu *c, unsigned top)
{
	c->s.fsw = (uint16_t)((c->s.fsw & ~FSW_TOP) | (top & 7) << 11);
}
static inline bool x87_empty(const struct cpu *c, unsigned i)
{
	return (c->s.ftw >> 2 * x87_phys(c, i) & 3) == FTW_EMPTY;
}
static inline struct x87_reg x87_raw(const struct cpu *c, unsigned i)
{
	return c->s.st[x87_phys(c, i)];
}
static inline struct fnum x87_get(const struct cpu *c, unsigned i)
{
	const struct x87_reg *r = &c->s.st[x87_phys(c, i)];
	return f_from_f80(r->mant, r->se);
}
unsigned x87_classify(const struct x87_reg *r);                 /* FTW_VALID, FTW_ZERO, FTW_SPECIAL */
void x87_set_raw(struct cpu *c, unsigned i, struct x87_reg r);  /* write ST(i), and its tag */
void x87_set(struct cpu *c, unsigned i, struct fnum v);
void x87_push(struct cpu *c, struct x87_reg r);
void x87_pop(struct cpu *c);
struct x87_reg x87_pack(struct fnum v);
#define X87_INDEFINITE ((struct x87_reg){ .mant = 3ull << 62, .se = 0xffff })

/* ---- the course of an instruction ---- */
void x87_enter(struct cpu *c);          /* #NM, then #MF for what an earlier instruction left pending */
void x87_enter_control(struct cpu *c);  /* no-wait instructions: #NM only */
/* FIP, FDP, FOP; after the last fault that could happen. */
void x87_note(struct cpu *c, const struct uop *u);
struct fctl x87_ctl(const struct cpu *c);               /* the precision FCW asks for */
struct fctl x87_ctl_full(const struct cpu *c);          /* 64 bits whatever FCW says */
/* Sets FSW's flags and C1. False: an unmasked exception forbids the result. */
bool x87_commit(struct cpu *c, unsigned raised, bool c1);
bool x87_stack_fault(struct cpu *c, bool overflow);     /* true: masked, use the indefinite value */
void x87_update_es(struct cpu *c);                      /* after FCW or FSW were loaded */

/* ---- fields of the instruction ---- */
static inline unsigned x87_opcode(const struct uop *u) { return u->imm >> 8 & 7; }      /* D8..DF: 0..7 */
static inline unsigned x87_modrm_reg(const struct uop *u) { return u->imm >> 3 & 7; }
static inline unsigned x87_sti(const struct uop *u) { return u->imm & 7; }
static inline bool x87_mem(const struct uop *u) { return (u->imm & 0xc0) != 0xc0; }

/* ---- MMX view ---- */
void mmx_enter(struct cpu *c);          /* #UD, #NM, #MF; mmx_touch() once nothing can fault any more */
void mmx_touch(struct cpu *c);          /* TOP = 0, all tags valid */

/* ---- whole state, fpstate.c ---- */
void x87_init(struct cpu *c);           /* FNINIT's state */
/* Power-up: all exceptions unmasked, all registers zero and in use. SDM Vol. 3A, "Processor State
 * After Reset". */
void x87_reset(struct cpu *c);
uint8_t x87_abridged(const struct cpu *c);
/* A bit a register: in use. Their tags follow from their contents. */
void x87_set_abridged(struct cpu *c, uint8_t tags);

#endif
