/* translate.c - one block of guest kernel code becomes a block for the code cache.
 *
 * Innocuous instructions are copied, the others have a row of translate.def, or become a callout. What they become:
 *
 *   out.c           bytes and points of a block in the making
 *   emit_copy.c     copies; addresses relative to RIP
 *   emit_branch.c   branches
 *   emit_flags.c    CLI, STI, PUSHF, POPF
 *   emit_time.c     RDTSC
 *   emit_system.c   segment and control registers; callouts
 *   head.c          what all blocks share
 *   recover.c       the way back, to the guest's state
 *
 * Source: Adams and Agesen, "A Comparison of Software and Hardware Techniques for x86 Virtualization" (2006), section 3; their
 * translator knows the same cases. SDM Vol. 2, "Instruction Format". */
#include "models/vmm/bt/out.h"

#include <string.h>

const struct bt_callout_row bt_callout_rows[BT_CALLOUTS] = {
#define CALLOUT(NAME, name, sentence) { name, sentence },
#include "models/vmm/bt/callout.def"
};
const struct bt_row bt_rows[] = {
#define BT(MNEMONIC, how, sentence) { #MNEMONIC, #how, sentence },
#include "models/vmm/bt/translate.def"
};
const size_t bt_rows_n = ARRAY_LEN(bt_rows);

static emit_fn *const rows[INSN_N] = {
#define BT(MNEMONIC, how, sentence) [INSN_##MNEMONIC] = emit_##how,
#include "models/vmm/bt/translate.def"
};

static void one(struct out *o)
{
	const struct uop *u = &o->u;
	const bool repeated = u->flags & (UOP_REP | UOP_REPNE); /* clears a table now and ordinary memory then: traps are cheaper */
	if (!repeated && o->env->simulated && o->env->simulated(o->env->who, o->b->pc + o->guest)) {
		out_last_callout(o, BT_CALLOUT_SIMULATE);
		return;
	}
	if (u->row == INSN_INVALID) {
		out_last_callout(o, u->body == exec_ud ? BT_CALLOUT_UNDEFINED : BT_CALLOUT_EMULATE);
		return;
	}
	out_find_parts(o);
	if (u->row >= INSN_JO && u->row <= INSN_JNLE)
		emit_jcc(o);
	else if (rows[u->row])
		rows[u->row](o);
	else if (insn_sensitivity((enum insn)u->row, uop_form(u)) == INSN_INNOCUOUS)
		emit_copy(o);
	else
		emit_callout(o);
}

void bt_block_init(struct bt_block *b, uint64_t pc)
{
	b->pc = pc;
	b->guest_len = b->insns = b->len = b->points = b->exits = 0;
	b->full = false;
}

void bt_translate(const struct bt_env *env, uint64_t pc, const uint8_t *code, unsigned n, uint64_t at, struct bt_block *b)
{
	struct out o = { .b = b, .env = env, .at = at };
	bt_block_init(b, pc);
	while (!o.ended && b->insns < env->limit && b->guest_len < n) {
		const uint8_t *p = code + b->guest_len;
		uint8_t padded[INSN_BYTES_MAX] = { 0 };
		if (!decode(env->decoder, env->profile, out_wide(&o) ? MODE_LONG64 : MODE_PROT32, p, n - b->guest_len, &o.u))
			break;
		memcpy(padded, p, n - b->guest_len < INSN_BYTES_MAX ? n - b->guest_len : INSN_BYTES_MAX);
		o.bytes = padded;
		o.guest = b->last = b->guest_len;
		o.next = (pc + b->guest_len + o.u.len) & out_mask(&o);
		one(&o);
		b->guest_len = (uint16_t)(b->guest_len + (o.u.row == INSN_INVALID ? 1 : o.u.len));
		b->insns++;
	}
	if (!b->insns)
		return;
	if (!o.ended)
		out_leave(&o, pc + b->guest_len);
	out_stubs(&o);
}
