/* decode.h - from bytes to one uop. See decode.c. */
#ifndef CPU_DECODE_H
#define CPU_DECODE_H

#include "models/cpu/cpu.h"
#include "models/cpu/insn.h"
#include "models/cpu/uop.h"

#define INSN_BYTES_MAX 15

/* What decoding and the choice of handlers depend on, beyond the bytes: part of a block's name. */
enum {
	KEY_MODE = 7,           /* enum cpu_mode */
	KEY_USER = 8,           /* fetched at CPL 3: who may execute a page differs */
	KEY_FLAT = 16,          /* CS starts at 0 and has no limit that could be exceeded */
	KEY_STACK32 = 32,       /* SS.B: 32-bit stack pointer (outside 64-bit mode) */
	KEY_SS = 64,            /* shadow stacks are enabled at this CPL */
	KEY_IBT = 128,          /* indirect-branch tracking is */
	KEY_WAIT = 256,         /* and it waits for ENDBRANCH: what comes first must be one */
	KEY_TRAP = 512,         /* a what-if machine, outside ring 0: critical instructions trap */
};

struct decoder *decoder_new(const struct cpu *c);       /* features as CPUID advertises them now */
void decoder_free(struct decoder *d);

/* Decode one instruction from n bytes at p. True: *u describes it (something that is no instruction
 * decodes to a uop that raises #UD, one longer than 15 bytes to #GP(0)). False: more bytes are
 * needed than n. Left to the caller: off, cum, idx. */
bool decode(const struct decoder *d, const struct profile *prof, uint32_t key, const uint8_t *p,
            unsigned n, struct uop *u);

#endif
