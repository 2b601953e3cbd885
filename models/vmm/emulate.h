/* emulate.h - inside the emulator: one instruction under way. See emulate.c. */
#ifndef VMM_EMULATE_H
#define VMM_EMULATE_H

#include "models/cpu/decode.h"
#include "models/vmm/guest_walk.h"

/* Where a memory operand is: at most two pieces, one a page. */
struct emu_place {
	struct { gpa_t gpa; unsigned n; } piece[2];
};
struct emu {
	struct vcpu *v;
	struct uop u;
	struct guest_regs regs;
	enum cpu_mode mode;
	bool user, faulted, again;      /* again: REP is not done, RIP stays */
	bool needed;                    /* it met a device, or memory that the pager watches */
	uint8_t align;                  /* memory operands must be: 16, or 0 */
	uint64_t r[R_N];                /* general registers; committed when the instruction is complete */
	uint64_t rflags;
	uint64_t mask;                  /* of linear addresses */
	struct { uint64_t lin, gpa; unsigned access; bool valid; } last[2];     /* pages walked for this instruction: read, write */
};

typedef bool emu_op(struct emu *e);     /* false: a fault was injected, nothing is to be committed */

uint64_t emu_offset(const struct emu *e);               /* of the memory operand */
bool emu_place(struct emu *e, enum seg_reg seg, uint64_t off, unsigned size, unsigned access, struct emu_place *p);
void emu_read(struct emu *e, const struct emu_place *p, void *to);
void emu_write(struct emu *e, const struct emu_place *p, const void *from);
bool emu_fault(struct emu *e, enum vector vec, bool has_error, uint32_t error);  /* false */
unsigned emu_stack_size(struct emu *e);

#define EMU(MNEMONIC, op) emu_op op_##op;
#include "models/vmm/emulate.def"

#endif
