/* head.c - what all blocks of a cache use: the lookup of indirect branches, which finds the target's translation without the VMM and
 * without touching the flags, and POPF's table. */
#include "models/vmm/bt/out.h"

#include "models/cpu/sys.h"

static void head_point(struct out *o, enum bt_rip rip) { out_point(o, rip, rip == BT_IN_CX ? CX : AX | CX | DX, 0); }

void bt_head(const struct bt_env *env, struct bt_block *b)
{
	struct out o = { .b = b, .env = env, .at = env->head };
	bt_block_init(b, 0);
	head_point(&o, BT_IN_CX), out_spill(&o, R_RAX);
	head_point(&o, BT_IN_CX), out_spill(&o, R_RDX);
	head_point(&o, BT_IN_CX), out_store(&o, R_RCX, SHARED(pc));
	head_point(&o, BT_IN_PC), OUT(&o, 0x8d, 0x04, 0xcd, 0, 0, 0, 0);       /* lea eax, [rcx * 8] */
	head_point(&o, BT_IN_PC), OUT(&o, 0x0f, 0xb7, 0xc0);                   /* movzx eax, ax */
	if (env->wide) {
		head_point(&o, BT_IN_PC), OUT(&o, 0x48, 0x8d), out_near(&o, R_RDX, env->table, 0);
		head_point(&o, BT_IN_PC), OUT(&o, 0x48, 0x8d, 0x04, 0x42);     /* lea rax, [rdx + rax * 2] */
		head_point(&o, BT_IN_PC), OUT(&o, 0x48, 0x8b, 0x10);           /* mov rdx, [rax] */
		head_point(&o, BT_IN_PC), OUT(&o, 0x48, 0x8d, 0x0c, 0x11);     /* lea rcx, [rcx + rdx] */
	} else {
		head_point(&o, BT_IN_PC), OUT(&o, 0x65, 0x8b, 0x90), out_imm32(&o, env->table);    /* mov edx, gs:[eax + table] */
		head_point(&o, BT_IN_PC), OUT(&o, 0x8d, 0x0c, 0x11);
	}
	head_point(&o, BT_IN_PC);
	unsigned n = out_jrcxz(&o);
	for (unsigned r = 0; r < 3; r++)
		head_point(&o, BT_IN_PC), out_reload(&o, r);
	out_callout(&o, BT_CALLOUT_LOOKUP, BT_IN_PC, false);
	out_land(&o, n);
	head_point(&o, BT_IN_PC);
	if (env->wide)
		OUT(&o, 0x48, 0x8b, 0x40, 8);                                  /* mov rax, [rax + 8] */
	else
		OUT(&o, 0x65, 0x8b, 0x80), out_imm32(&o, env->table + 4);
	head_point(&o, BT_IN_PC), out_store(&o, R_RAX, SHARED(target));
	for (unsigned r = 0; r < 3; r++)
		head_point(&o, BT_IN_PC), out_reload(&o, r);
	out_point(&o, BT_IN_PC, 0, 0), out_shared(&o, 4, 0xff, 4, SHARED(target), 0);   /* jmp [target] */
	while (b->len < BT_HEAD_POPF)
		out_byte(&o, 0xcc);
	for (unsigned i = 0; i < 256; i++)
		out_byte(&o, i & RFLAGS_IF >> 8);
	for (unsigned i = 0; i < 256; i++)
		out_byte(&o, env->iopl || i & (RFLAGS_TF | RFLAGS_IOPL | RFLAGS_NT) >> 8);
}
