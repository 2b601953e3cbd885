/* uop.h - one decoded instruction, ready to run.
 *
 * Decoding turns an x86 instruction into one struct uop: a handler, operands resolved to register
 * slots, an effective-address recipe, its cost. Handlers run by tail call: each ends with NEXT(c,
 * u), which charges the base cost, looks at the deadline and jumps to the next uop of the block.
 * There are two kinds:
 *
 *   hot handlers   (exec_alu.c, ...) one function per operation x operand form x size, made by macros;
 *   bodies         `void body(struct cpu *, const struct uop *)`, any instruction that need not be fastest:
 *                  run through the one handler uop_call. A body reads and writes operands with op_get/op_set.
 *
 * Blocks are cached by (host-physical address, mode), so nothing in a uop depends on the linear
 * address: RIP of a uop is cpu->s.rip (that of the block's first instruction) + off. */
#ifndef CPU_UOP_H
#define CPU_UOP_H

#include "sim/base.h"

struct cpu;
struct uop;
struct block;

typedef const struct uop *uop_fn(struct cpu *c, const struct uop *u);   /* returns where execution stopped */
typedef void uop_body(struct cpu *c, const struct uop *u);

enum { OPK_NONE, OPK_REG, OPK_MEM, OPK_IMM, OPK_SEG, OPK_CR, OPK_DR, OPK_XMM, OPK_MMX, OPK_ST };

/* Prefixes and properties, struct uop.flags */
enum {
	UOP_LOCK = 1, UOP_REP = 2, UOP_REPNE = 4,
	UOP_LONG = 8,           /* decoded for 64-bit mode */
	UOP_END = 16,           /* last of its block */
	UOP_MEM_READ = 32, UOP_MEM_WRITE = 64,
	UOP_VEX = 128,
};

struct uop {
	uop_fn *fn;
	uop_body *body;         /* when fn == uop_call */
	/* immediate, sign-extended; branch: displacement from the next instruction; far: selector
	 * << 32 | offset */
	int64_t imm;
	/* memory operand: displacement, 64 bits for moffs; the second immediate of ENTER */
	int64_t disp;
	uint16_t off;           /* of this instruction's first byte, from the block's */
	uint16_t row;           /* enum insn: its row in insn.def */
	uint32_t cum;           /* base cycles of this block before this uop */
	uint16_t cost;          /* base cycles of this one, at least 1 */
	uint8_t len;            /* bytes */
	uint8_t idx;            /* ordinal in the block */
	uint8_t osz;            /* effective operand size of the instruction in bytes: 1, 2, 4, 8 */
	/* memory operand size in bytes; 0: LEA and the like, or more than 255 */
	uint8_t msz;
	/* OPK_*: operands as the manual orders them, destination first; implicit ones are
	 * not listed */
	uint8_t kind[3];
	/* register numbers; 8-bit general registers: BYTE OFFSET into cpu->s.r (AH = 1, CH
	 * = 9, ...) */
	uint8_t reg[3];
	/* register slots of the address; R_ZERO when absent; R_RIP for RIP-relative */
	uint8_t base, index;
	uint8_t scale;          /* shift count 0..3 */
	uint8_t seg;            /* enum seg_reg of the memory operand */
	uint8_t ash;            /* 64 - address size in bits: 48, 32, 0 */
	uint8_t flags;
	uint8_t cc;             /* condition code of Jcc, SETcc, CMOVcc */
	uint8_t sz[3];          /* size of each operand in bytes, as kind[] and reg[] */
	uint8_t notrack;        /* an indirect branch with the prefix that asks not to be tracked */
};

_Static_assert(sizeof(struct uop) == 64, "a uop is one cache line of the host");

#endif
