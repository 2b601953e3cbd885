/* translate.c - one block of guest kernel code becomes a block for the code cache.
 *
 * Innocuous instructions are copied; an address relative to RIP is kept: as an absolute one of 32 bits where the target allows, rebased
 * where it is within 2 GB of the cache, else through a spilled register. Direct branches leave by a jump whose displacement the VMM
 * sets when it chains the block to its target's; until then it leads to a stub, a callout. An indirect branch, and RET, ends in
 * the lookup in the cache's head, which finds the target's translation without the VMM and without touching the flags.
 * A callout is UD2: of all that enters ring 0 without a gate open to the guest the shortest.
 *
 * Sequences are written so that at each of their instructions the guest's state can be told: either that before the guest's
 * instruction (what was spilled is reloaded, RSP put back), or that after it. So they avoid arithmetic: MOV, LEA, MOVZX and
 * JRCXZ leave the flags alone, which then need no saving.
 * Source: Adams and Agesen, "A Comparison of Software and Hardware Techniques for x86 Virtualization" (2006), section 3; their
 * translator knows the same cases. SDM Vol. 2, "Instruction Format".
 * Timing: none here; what the translator costs is charged by cache.c, what its output costs the simulated CPU finds out.
 * Simplified: 16-bit operands of PUSHF, POPF and near branches, and what overrides to GS or CS in 32-bit code, are interpreted. */
#include "models/vmm/bt/translate.h"

#include <string.h>

#include "models/cpu/exec.h"
#include "models/cpu/sensitivity.h"
#include "models/cpu/sys.h"

const struct bt_callout_row bt_callout_rows[BT_CALLOUTS] = {
#define CALLOUT(NAME, name, sentence) { name, sentence },
#include "models/vmm/bt/callout.def"
};
const struct bt_row bt_rows[] = {
#define BT(MNEMONIC, how, sentence) { #MNEMONIC, #how, sentence },
#include "models/vmm/bt/translate.def"
};
const size_t bt_rows_n = ARRAY_LEN(bt_rows);

/* Where the parts of an instruction are. */
struct parts {
	unsigned rex;                   /* offset of REX, or of the last byte of VEX that holds B and X; */
	unsigned opcode, modrm;         /* of the opcode's last byte, of ModRM */
	bool has_rex, vex, vex3, operand16, address32, lock_rep, cs, gs;
	uint8_t segment;                /* the prefix, or 0 */
};

struct out {
	struct bt_block *b;
	const struct bt_env *env;
	uint64_t at;                    /* linear, of the block */
	uint16_t guest;                 /* offset of the guest's instruction */
	uint8_t how;                    /* BT_SHADOW, of the next point */
	bool ended;
	/* the guest's instruction */
	const uint8_t *bytes;
	struct uop u;
	struct parts p;
	uint64_t next;                  /* the guest's next address */
	struct bt_point nowhere;        /* instead of one too many */
};

typedef void emit_fn(struct out *o);

/* ---- bytes ---- */

static void byte(struct out *o, uint8_t x)
{
	if (o->b->len < BT_CODE_MAX)
		o->b->code[o->b->len++] = x;
	else
		o->b->full = true;
}
static void bytes(struct out *o, const void *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		byte(o, ((const uint8_t *)p)[i]);
}
static void imm32(struct out *o, uint64_t x) { uint32_t v = (uint32_t)x; bytes(o, &v, 4); }
#define EMIT(o, ...) bytes(o, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static bool wide(const struct out *o) { return o->env->wide; }
static uint64_t mask(const struct out *o) { return wide(o) ? ~0ull : MASK(32); }
static bool fits32(uint64_t x) { return (uint64_t)(int64_t)(int32_t)x == x; }

/* ---- points ---- */

static struct bt_point *point(struct out *o, enum bt_rip rip, unsigned reload, int rsp)
{
	if (o->b->points == BT_POINTS_MAX) {
		o->b->full = true;
		return &o->nowhere;
	}
	struct bt_point *p = &o->b->point[o->b->points++];
	*p = (struct bt_point){ .at = o->b->len, .guest = o->guest, .reload = (uint8_t)reload,
	                        .rip_rsp = (uint8_t)(rip | (unsigned)rsp << 4), .how = o->how };
	o->how = 0;
	return p;
}
static void before(struct out *o, unsigned reload, int rsp) { point(o, BT_AT, reload, rsp); }
/* The guest's instruction is done. */
static void after(struct out *o, unsigned reload, int rsp)
{
	struct bt_point *p = point(o, BT_AT, reload, rsp);
	p->guest = (uint16_t)(o->next - o->b->pc);
	p->how |= BT_AFTER;
}
static void callout(struct out *o, enum bt_callout what, enum bt_rip rip, bool done)
{
	struct bt_point *p = point(o, rip, 0, 0);
	p->callout = what;
	if (done) {
		p->guest = (uint16_t)(o->next - o->b->pc);
		p->how |= BT_AFTER;
	}
	EMIT(o, 0x0f, 0x0b);
}

enum { AX = 1 << R_RAX, CX = 1 << R_RCX, DX = 1 << R_RDX };

/* ---- the shared page and the head ---- */

/* ModRM and displacement of a linear address near the cache; `tail` bytes of immediate follow. */
static void near_operand(struct out *o, unsigned reg, uint64_t lin, unsigned tail)
{
	byte(o, (uint8_t)((reg & 7) << 3 | 5));
	imm32(o, wide(o) ? lin - (o->at + o->b->len + 4 + tail) : lin);
}
#define SHARED(member) offsetof(struct bt_shared, member)
/* An opcode with a register (size bytes of it) and a member of the shared page. */
static void shared(struct out *o, unsigned size, unsigned opcode, unsigned reg, size_t member, unsigned tail)
{
	if (!wide(o))
		byte(o, 0x65);
	if (size == 2)
		byte(o, 0x66);
	if (wide(o) && (size == 8 || reg >= 8))
		byte(o, (uint8_t)(0x40 | (size == 8 ? 8 : 0) | (reg >= 8 ? 4 : 0)));
	if (opcode > 0xff)
		byte(o, (uint8_t)(opcode >> 8));
	byte(o, (uint8_t)opcode);
	near_operand(o, reg, o->env->shared + member, tail);
}
static unsigned full(const struct out *o) { return wide(o) ? 8 : 4; }
static void store(struct out *o, unsigned reg, size_t member) { shared(o, full(o), 0x89, reg, member, 0); }
static void load(struct out *o, unsigned reg, size_t member) { shared(o, full(o), 0x8b, reg, member, 0); }
static void spill(struct out *o, unsigned reg) { store(o, reg, SHARED(r) + 8 * reg); }
static void reload(struct out *o, unsigned reg) { load(o, reg, SHARED(r) + 8 * reg); }
static void rex_w(struct out *o) { if (wide(o)) byte(o, 0x48); }

/* ---- leaving a block ---- */

static void jump_to(struct out *o, uint64_t target)
{
	unsigned i = o->b->exits;
	if (i == BT_EXITS_MAX) {
		o->b->full = true;
		return;
	}
	byte(o, 0xe9);
	o->b->exit[o->b->exits++] = (struct bt_exit){ .target = target & mask(o), .site = o->b->len };
	imm32(o, 0);
}

/* Behind the guest's instruction. */
static void leave(struct out *o, uint64_t target)
{
	point(o, o->b->exits ? BT_EXIT1 : BT_EXIT0, 0, 0);
	jump_to(o, target);
}

static void stubs(struct out *o)
{
	for (unsigned i = 0; i < o->b->exits; i++) {
		struct bt_exit *x = &o->b->exit[i];
		x->stub = o->b->len;
		int32_t d = x->stub - (x->site + 4);
		memcpy(o->b->code + x->site, &d, 4);
		callout(o, BT_CALLOUT_CHAIN, i ? BT_EXIT1 : BT_EXIT0, false);
	}
}

/* The lookup: the target is in RCX, the guest's RCX spilled. */
static void to_lookup(struct out *o)
{
	point(o, BT_IN_CX, CX, 0);
	byte(o, 0xe9);
	imm32(o, o->env->head + BT_HEAD_CODE - (o->at + o->b->len + 4));
	o->ended = true;
}

/* ---- instructions ---- */

static void whole_callout(struct out *o, enum bt_callout what)
{
	callout(o, what, BT_AT, false);
	o->ended = true;
}
static void emit_callout(struct out *o) { whole_callout(o, BT_CALLOUT_EMULATE); }
static void emit_space(struct out *o)
{
	o->how |= BT_SPACE;
	emit_callout(o);
}
static void emit_ud(struct out *o) { whole_callout(o, BT_CALLOUT_UNDEFINED); }
static void interpret(struct out *o) { whole_callout(o, BT_CALLOUT_INTERPRET); }

static void find_parts(struct out *o)
{
	struct parts *p = &o->p;
	const uint8_t *b = o->bytes;
	unsigned i = 0;
	*p = (struct parts){ 0 };
	for (;; i++) {
		uint8_t x = b[i];
		if (x == 0x66)
			p->operand16 = true;
		else if (x == 0x67)
			p->address32 = true;
		else if (x == 0xf0 || x == 0xf2 || x == 0xf3)
			p->lock_rep = true;
		else if (x == 0x2e || x == 0x36 || x == 0x3e || x == 0x26 || x == 0x64 || x == 0x65)
			p->segment = x;
		else
			break;
	}
	if (wide(o) && (b[i] & 0xf0) == 0x40) {
		p->has_rex = true;
		p->rex = i++;
	}
	if (o->u.flags & UOP_VEX) {
		p->vex = true;
		p->vex3 = b[i] == 0xc4;
		p->rex = i + 1;
		i += p->vex3 ? 3 : 2;
	} else if (b[i] == 0x0f) {
		i++;
		if (b[i] == 0x38 || b[i] == 0x3a)
			i++;
	}
	p->opcode = i;
	p->modrm = i + 1;
}

static bool relative(const struct out *o) { return o->u.base == R_RIP; }

/* A register that is not named by the instruction: one of those that are implicit only where memory is not relative to RIP. */
static unsigned free_register(const struct out *o)
{
	static const uint8_t candidates[] = { R_RSI, R_RDI, R_RBP };
	unsigned reg = o->bytes[o->p.modrm] >> 3 & 7, vvvv = 16;
	if (o->p.vex)
		vvvv = ~((unsigned)o->bytes[o->p.rex + (o->p.vex3 ? 1 : 0)] >> 3) & 7;
	for (unsigned i = 0; i < 2; i++)
		if (candidates[i] != reg && candidates[i] != vvvv)
			return candidates[i];
	return candidates[2];
}

/* The instruction with another memory operand (or the same one), its REX or VEX bits B and X clear: ModRM's mod, rm, and what
 * follows; then the rest of its bytes. */
static void rewrite(struct out *o, uint8_t mod_rm, const void *more, unsigned n)
{
	uint8_t copy[INSN_BYTES_MAX];
	const struct parts *p = &o->p;
	memcpy(copy, o->bytes, o->u.len);
	if (p->has_rex)
		copy[p->rex] &= 0xfc;
	if (p->vex3)
		copy[p->rex] |= 0x60;
	copy[p->modrm] = (copy[p->modrm] & 0x38) | mod_rm;
	bytes(o, copy, p->modrm + 1);
	bytes(o, more, n);
	bytes(o, copy + p->modrm + 5, o->u.len - p->modrm - 5u);
}

static void copy_relative(struct out *o)
{
	uint64_t target = o->next + (uint64_t)o->u.disp;
	unsigned tail = o->u.len - o->p.modrm - 5u;
	int32_t d;
	if (o->p.address32)
		target &= MASK(32);
	if (fits32(target) || o->p.address32) {
		uint8_t sib[5] = { 0x25 };
		memcpy(sib + 1, &target, 4);
		before(o, 0, 0);
		rewrite(o, 4, sib, 5);
		return;
	}
	uint64_t here = o->at + o->b->len + o->p.modrm + 5 + tail;
	if (fits32(target - here)) {
		d = (int32_t)(target - here);
		before(o, 0, 0);
		rewrite(o, 5, &d, 4);
		return;
	}
	unsigned reg = free_register(o), bit = 1u << reg;
	before(o, 0, 0);
	spill(o, reg);
	before(o, bit, 0);
	EMIT(o, 0x48, (uint8_t)(0xb8 + reg));
	bytes(o, &target, 8);
	before(o, bit, 0);
	rewrite(o, (uint8_t)(reg == R_RBP ? 0x40 | reg : reg), "", reg == R_RBP ? 1 : 0);
	after(o, bit, 0);
	reload(o, reg);
}

static void copy(struct out *o)
{
	if (!wide(o) && (o->p.segment == 0x65 || o->p.segment == 0x2e)) {
		interpret(o);
		return;
	}
	if (relative(o)) {
		copy_relative(o);
		return;
	}
	before(o, 0, 0);
	bytes(o, o->bytes, o->u.len);
}

/* -- branches -- */

static bool narrow(const struct out *o) { return o->u.osz == 2; }

/* RCX = the operand of an indirect CALL or JMP. */
static void load_target(struct out *o)
{
	const struct uop *u = &o->u;
	before(o, 0, 0);
	spill(o, R_RCX);
	before(o, CX, 0);
	if (u->kind[0] == OPK_REG) {
		unsigned r = u->reg[0];
		if (wide(o))
			byte(o, (uint8_t)(0x48 | (r >= 8 ? 1 : 0)));
		EMIT(o, 0x8b, (uint8_t)(0xc8 | (r & 7)));
		return;
	}
	uint8_t rex = o->p.has_rex ? o->bytes[o->p.rex] & 3 : 0;
	if (relative(o)) {
		uint64_t target = o->next + (uint64_t)u->disp;
		EMIT(o, 0x48, 0xb9);
		bytes(o, &target, 8);
		before(o, CX, 0);
		EMIT(o, 0x48, 0x8b, 0x09);
		return;
	}
	if (o->p.address32)
		byte(o, 0x67);
	if (o->p.segment)
		byte(o, o->p.segment);
	if (wide(o))
		byte(o, (uint8_t)(0x48 | rex));
	byte(o, 0x8b);
	byte(o, (uint8_t)((o->bytes[o->p.modrm] & 0xc7) | R_RCX << 3));
	bytes(o, o->bytes + o->p.modrm + 1, o->u.len - o->p.modrm - 1u);
}

static void push_return(struct out *o, unsigned held)
{
	before(o, held, 0);
	byte(o, 0x68);
	imm32(o, o->next);
	if (wide(o) && !fits32(o->next)) {
		before(o, held, 1);
		EMIT(o, 0xc7, 0x44, 0x24, 0x04);
		imm32(o, o->next >> 32);
	}
}

/* Not translated: 16-bit operands, and memory operands in segments that translated code does not have. */
static bool odd_branch(struct out *o)
{
	bool far = uop_form(&o->u) == FORM_FAR;
	if (far)
		emit_callout(o);
	else if (narrow(o) || (!wide(o) && (o->p.segment == 0x65 || o->p.segment == 0x2e) && o->u.kind[0] == OPK_MEM) ||
	         (o->p.address32 && relative(o)))
		interpret(o);
	else
		return false;
	return true;
}

static void emit_jmp(struct out *o)
{
	if (odd_branch(o))
		return;
	if (o->u.kind[0] == OPK_IMM) {
		before(o, 0, 0);
		jump_to(o, o->next + (uint64_t)o->u.imm);
		o->ended = true;
		return;
	}
	load_target(o);
	to_lookup(o);
}

static void emit_call(struct out *o)
{
	if (odd_branch(o))
		return;
	if (o->u.kind[0] == OPK_IMM) {
		push_return(o, 0);
		leave(o, o->next + (uint64_t)o->u.imm);
		o->ended = true;
		return;
	}
	load_target(o);
	push_return(o, CX);
	to_lookup(o);
}

static void emit_ret(struct out *o)
{
	if (odd_branch(o))
		return;
	before(o, 0, 0);
	spill(o, R_RCX);
	before(o, CX, 0);
	byte(o, 0x59);
	if (o->u.kind[0] == OPK_IMM && o->u.imm) {
		before(o, CX, -1);
		rex_w(o);
		EMIT(o, 0x8d, 0xa4, 0x24);
		imm32(o, (uint64_t)o->u.imm & 0xffff);
	}
	to_lookup(o);
}

static void emit_jcc(struct out *o)
{
	if (narrow(o)) {
		interpret(o);
		return;
	}
	before(o, 0, 0);
	EMIT(o, (uint8_t)(0x70 | (o->bytes[o->p.opcode] & 15)), 5);
	leave(o, o->next);
	leave(o, o->next + (uint64_t)o->u.imm);
	o->ended = true;
}

static void emit_loop(struct out *o)
{
	if (narrow(o)) {
		interpret(o);
		return;
	}
	before(o, 0, 0);
	if (o->p.address32)
		byte(o, 0x67);
	EMIT(o, o->bytes[o->p.opcode], 5);
	leave(o, o->next);
	leave(o, o->next + (uint64_t)o->u.imm);
	o->ended = true;
}

/* -- flags -- */

static void store_vif(struct out *o, uint32_t x)
{
	before(o, 0, 0);
	shared(o, 4, 0xc7, 0, SHARED(vif), 4);
	imm32(o, x);
}

static void emit_cli(struct out *o) { store_vif(o, 0); }

/* RCX = pending, and the callout if it is 1; RCX and `held` are reloaded. */
static void look_pending(struct out *o, unsigned held, bool shadow)
{
	uint8_t how = shadow ? BT_SHADOW : 0;
	unsigned n = o->b->len;
	if (!held) {
		o->how = how;
		after(o, 0, 0);
		spill(o, R_RCX);
	}
	o->how = how;
	after(o, CX | held, 0);
	shared(o, 4, 0x8b, R_RCX, SHARED(pending), 0);
	o->how = how;
	after(o, CX | held, 0);
	EMIT(o, 0xe3, 0);
	n = o->b->len;
	for (unsigned r = 0; r < 2; r++)
		if ((CX | held) >> r & 1) {
			o->how = how;
			after(o, CX | held, 0);
			reload(o, r);
		}
	o->how = how;
	callout(o, BT_CALLOUT_PENDING, BT_AT, true);
	if (!o->b->full)
		o->b->code[n - 1] = (uint8_t)(o->b->len - n);
	for (unsigned r = 0; r < 2; r++)
		if ((CX | held) >> r & 1) {
			o->how = how;
			after(o, CX | held, 0);
			reload(o, r);
		}
	o->how = how;
}

static void emit_sti(struct out *o)
{
	store_vif(o, (uint32_t)RFLAGS_IF);
	look_pending(o, 0, true);
}

static void lea_cx_cx_ax(struct out *o) { rex_w(o); EMIT(o, 0x8d, 0x0c, 0x01); }

static void emit_pushf(struct out *o)
{
	if (narrow(o)) {
		interpret(o);
		return;
	}
	before(o, 0, 0);
	byte(o, 0x9c);
	before(o, 0, 1);
	spill(o, R_RCX);
	before(o, CX, 1);
	spill(o, R_RAX);
	before(o, CX | AX, 1);
	rex_w(o), EMIT(o, 0x8b, 0x0c, 0x24);
	before(o, CX | AX, 1);
	shared(o, 4, 0x8b, R_RAX, SHARED(vif), 0);
	before(o, CX | AX, 1);
	lea_cx_cx_ax(o);
	before(o, CX | AX, 1);
	load(o, R_RAX, SHARED(flags_delta));
	before(o, CX | AX, 1);
	lea_cx_cx_ax(o);
	before(o, CX | AX, 1);
	rex_w(o), EMIT(o, 0x89, 0x0c, 0x24);
	after(o, CX | AX, 0);
	reload(o, R_RCX);
	after(o, CX | AX, 0);
	reload(o, R_RAX);
}

static void emit_popf(struct out *o)
{
	if (narrow(o)) {
		interpret(o);
		return;
	}
	before(o, 0, 0);
	spill(o, R_RCX);
	before(o, CX, 0);
	spill(o, R_RAX);
	before(o, CX | AX, 0);
	rex_w(o), EMIT(o, 0x8b, 0x0c, 0x24);
	before(o, CX | AX, 0);
	EMIT(o, 0x0f, 0xb6, 0xcd);              /* movzx ecx, ch */
	before(o, CX | AX, 0);
	if (wide(o)) {
		EMIT(o, 0x48, 0x8d);            /* lea rax, [head + table] */
		near_operand(o, R_RAX, o->env->head + BT_HEAD_POPF, 0);
	} else {
		byte(o, 0xb8);
		imm32(o, o->env->head + BT_HEAD_POPF);
	}
	before(o, CX | AX, 0);
	rex_w(o), EMIT(o, 0x8d, 0x04, 0x08);    /* lea rax, [rax + rcx] */
	before(o, CX | AX, 0);
	if (!wide(o))
		byte(o, 0x65);
	EMIT(o, 0x0f, 0xb6, 0x88);              /* movzx ecx, byte [rax + 256] */
	imm32(o, 256);
	before(o, CX | AX, 0);
	EMIT(o, 0xe3, 0);
	unsigned n = o->b->len;
	before(o, CX | AX, 0);
	reload(o, R_RCX);
	before(o, CX | AX, 0);
	reload(o, R_RAX);
	callout(o, BT_CALLOUT_EMULATE, BT_AT, false);
	if (!o->b->full)
		o->b->code[n - 1] = (uint8_t)(o->b->len - n);
	before(o, CX | AX, 0);
	if (!wide(o))
		byte(o, 0x65);
	EMIT(o, 0x0f, 0xb6, 0x00);              /* movzx eax, byte [rax] */
	before(o, CX | AX, 0);
	byte(o, 0x9d);
	o->how = BT_VIF_AL;
	after(o, CX | AX, 0);
	shared(o, 1, 0x88, R_RAX, SHARED(vif) + 1, 0);
	look_pending(o, AX, false);
}

/* -- time -- */

/* The guest's counter is the CPU's and an offset, which the VMM changes as it likes. What RDTSC overwrites is spilled first: until both
 * halves of the sum are there the guest is before its RDTSC, which is then begun anew, with the offset of that time. */
static void read_time(struct out *o)
{
	o->how = BT_TIME;
	before(o, AX | DX, 0);
	EMIT(o, 0x0f, 0x31);
}

/* A sum of 64 bits in one register is LEA's, and BSWAP, of 32 bits and of 64, shifts by 32: no flag changes. */
static void time_wide(struct out *o)
{
	before(o, 0, 0);
	spill(o, R_RAX);
	before(o, AX, 0);
	spill(o, R_RDX);
	read_time(o);
	before(o, AX | DX, 0);
	EMIT(o, 0x0f, 0xca);                    /* bswap edx */
	before(o, AX | DX, 0);
	EMIT(o, 0x48, 0x0f, 0xca);              /* bswap rdx: rdx << 32 */
	before(o, AX | DX, 0);
	EMIT(o, 0x48, 0x8d, 0x04, 0x10);        /* lea rax, [rax + rdx] */
	before(o, AX | DX, 0);
	load(o, R_RDX, SHARED(tsc_offset));
	before(o, AX | DX, 0);
	EMIT(o, 0x48, 0x8d, 0x04, 0x10);
	before(o, AX | DX, 0);
	EMIT(o, 0x48, 0x89, 0xc2);              /* mov rdx, rax */
	before(o, AX | DX, 0);
	EMIT(o, 0x48, 0x0f, 0xca);
	before(o, AX | DX, 0);
	EMIT(o, 0x0f, 0xca);                    /* rdx >> 32 */
	before(o, AX | DX, 0);
	EMIT(o, 0x89, 0xc0);                    /* mov eax, eax */
}

/* A carry goes from one register to the other: the flags, saved as LAHF and SETO have them. */
static void time_narrow(struct out *o)
{
	before(o, 0, 0);
	spill(o, R_RAX);
	before(o, AX, 0);
	spill(o, R_RDX);
	before(o, AX | DX, 0);
	byte(o, 0x9f);                          /* lahf */
	before(o, AX | DX, 0);
	EMIT(o, 0x0f, 0x90, 0xc0);              /* seto al */
	before(o, AX | DX, 0);
	store(o, R_RAX, SHARED(ah_flags));
	read_time(o);
	before(o, AX | DX, 0);
	shared(o, 4, 0x03, R_RAX, SHARED(tsc_offset), 0);
	o->how = BT_FLAGS, before(o, AX | DX, 0);
	shared(o, 4, 0x13, R_RDX, SHARED(tsc_offset) + 4, 0);
	o->how = BT_FLAGS, before(o, AX | DX, 0);
	store(o, R_RAX, SHARED(tsc_low));
	o->how = BT_FLAGS, before(o, AX | DX, 0);
	load(o, R_RAX, SHARED(ah_flags));
	o->how = BT_FLAGS, before(o, AX | DX, 0);
	EMIT(o, 0x04, 0x7f);                    /* add al, 127: OF when it was 1 */
	o->how = BT_FLAGS, before(o, AX | DX, 0);
	byte(o, 0x9e);                          /* sahf */
	before(o, AX | DX, 0);
	load(o, R_RAX, SHARED(tsc_low));
}

static void emit_rdtsc(struct out *o)
{
	if (o->env->rdtsc == BT_RDTSC_CALLOUT)
		emit_callout(o);
	else if (o->env->rdtsc == BT_RDTSC_TRAP)
		copy(o);
	else if (wide(o))
		time_wide(o);
	else
		time_narrow(o);
}

/* -- segments, control registers -- */

/* A register gets a member of the shared page, in the operand's size. */
static void from_shared(struct out *o, unsigned size, size_t member)
{
	if (o->u.kind[0] != OPK_REG) {
		emit_callout(o);
		return;
	}
	before(o, 0, 0);
	shared(o, size, 0x8b, o->u.reg[0], member, 0);
}
static unsigned selector_size(const struct out *o) { return narrow(o) ? 2 : 4; }

static void emit_smsw(struct out *o) { from_shared(o, o->u.osz, SHARED(cr0)); }
static void emit_sldt(struct out *o) { from_shared(o, selector_size(o), SHARED(ldtr)); }
static void emit_str(struct out *o) { from_shared(o, selector_size(o), SHARED(tr)); }

static bool reserved_segment(const struct out *o, unsigned seg) { return seg == SEG_SS || (seg == SEG_GS && !wide(o)); }

/* Where RCX is not 0, back to a callout of this instruction. */
static void unless_zero(struct out *o, unsigned callout_at)
{
	before(o, CX, 0);
	EMIT(o, 0xe3, 2);
	before(o, CX, 0);
	EMIT(o, 0xeb, (uint8_t)(callout_at - (o->b->len + 2)));
}

/* MOV to CR8: stored when it is below 16 and no interrupt waits. No flag changes: x >> 8 and (x + 240) >> 8 are loads from the second
 * byte of what was stored. */
static void emit_to_cr8(struct out *o)
{
	const unsigned r = o->u.reg[1];
	before(o, 0, 0);
	spill(o, R_RCX);
	before(o, CX, 0);
	EMIT(o, (uint8_t)(0x48 | (r >= 8 ? 1 : 0)), 0x8b, (uint8_t)(0xc8 | (r & 7)));
	before(o, CX, 0);
	store(o, R_RCX, SHARED(cr8_new));
	before(o, CX, 0);
	load(o, R_RCX, SHARED(cr8_new) + 1);
	before(o, CX, 0);
	EMIT(o, 0xe3, 0);
	const unsigned n = o->b->len;
	before(o, CX, 0);
	reload(o, R_RCX);
	callout(o, BT_CALLOUT_EMULATE, BT_AT, false);
	if (!o->b->full)
		o->b->code[n - 1] = (uint8_t)(o->b->len - n);
	before(o, CX, 0);
	load(o, R_RCX, SHARED(cr8_new));
	before(o, CX, 0);
	EMIT(o, 0x48, 0x8d, 0x89, 0xf0, 0, 0, 0);       /* lea rcx, [rcx + 240] */
	before(o, CX, 0);
	store(o, R_RCX, SHARED(cr8_sum));
	before(o, CX, 0);
	load(o, R_RCX, SHARED(cr8_sum) + 1);
	unless_zero(o, n);
	before(o, CX, 0);
	shared(o, 4, 0x8b, R_RCX, SHARED(tpr_wait), 0);
	unless_zero(o, n);
	before(o, CX, 0);
	load(o, R_RCX, SHARED(cr8_new));
	before(o, CX, 0);
	store(o, R_RCX, SHARED(cr8));
	after(o, CX, 0);
	reload(o, R_RCX);
}

static void emit_mov(struct out *o)
{
	const struct uop *u = &o->u;
	if (u->kind[0] == OPK_SEG && reserved_segment(o, u->reg[0])) {
		emit_callout(o);
		return;
	}
	if (u->kind[1] == OPK_SEG && u->reg[1] == SEG_CS) {
		from_shared(o, selector_size(o), SHARED(cs));
	} else if (u->kind[1] == OPK_SEG && u->reg[1] == SEG_SS) {
		from_shared(o, selector_size(o), SHARED(ss));
	} else if (u->kind[1] == OPK_SEG && u->reg[1] == SEG_GS && !wide(o)) {
		if (u->kind[0] == OPK_REG)
			from_shared(o, selector_size(o), SHARED(gs));
		else
			interpret(o);
	} else if (u->kind[1] == OPK_CR && (u->reg[1] == 0 || u->reg[1] == 3 || u->reg[1] == 4)) {
		static const size_t of[5] = { SHARED(cr0), 0, 0, SHARED(cr3), SHARED(cr4) };
		from_shared(o, full(o), of[u->reg[1]]);
	} else if (wide(o) && u->kind[1] == OPK_CR && u->reg[1] == 8) {
		from_shared(o, 8, SHARED(cr8));
	} else if (wide(o) && u->kind[0] == OPK_CR && u->reg[0] == 8) {
		emit_to_cr8(o);
	} else if (u->kind[0] == OPK_CR || u->kind[1] == OPK_CR || u->kind[0] == OPK_DR || u->kind[1] == OPK_DR) {
		emit_callout(o);
	} else {
		copy(o);
	}
}

static void emit_push(struct out *o)
{
	const struct uop *u = &o->u;
	if (u->kind[0] != OPK_SEG || !(reserved_segment(o, u->reg[0]) || u->reg[0] == SEG_CS)) {
		copy(o);
		return;
	}
	if (narrow(o) || wide(o)) {
		interpret(o);
		return;
	}
	/* "the upper 16 bits of the stack slot are not written" */
	before(o, 0, 0);
	spill(o, R_RCX);
	before(o, CX, 0);
	shared(o, 4, 0x8b, R_RCX, u->reg[0] == SEG_CS ? SHARED(cs) : u->reg[0] == SEG_SS ? SHARED(ss) : SHARED(gs), 0);
	before(o, CX, 0);
	EMIT(o, 0x8d, 0x64, 0x24, 0xfc);        /* lea esp, [esp - 4] */
	before(o, CX, 1);
	EMIT(o, 0x66, 0x89, 0x0c, 0x24);        /* mov [esp], cx */
	after(o, CX, 0);
	reload(o, R_RCX);
}

static void emit_pop(struct out *o)
{
	if (o->u.kind[0] == OPK_SEG && o->u.reg[0] == SEG_SS)
		emit_callout(o);
	else if (o->u.kind[0] == OPK_SEG && o->u.reg[0] == SEG_GS && !wide(o))
		interpret(o);
	else
		copy(o);
}

static void emit_loadseg(struct out *o)
{
	if (o->u.row == INSN_LSS || (o->u.row == INSN_LGS && !wide(o)))
		interpret(o);
	else
		copy(o);
}

static emit_fn *const rows[INSN_N] = {
#define BT(MNEMONIC, how, sentence) [INSN_##MNEMONIC] = emit_##how,
#include "models/vmm/bt/translate.def"
};

/* ---- blocks ---- */

static void one(struct out *o)
{
	const struct uop *u = &o->u;
	const bool repeated = u->flags & (UOP_REP | UOP_REPNE);         /* clears a table now and ordinary memory then: traps are cheaper */
	if (!repeated && o->env->simulated && o->env->simulated(o->env->who, o->b->pc + o->guest)) {
		whole_callout(o, BT_CALLOUT_SIMULATE);
		return;
	}
	if (u->row == INSN_INVALID) {
		whole_callout(o, u->body == exec_ud ? BT_CALLOUT_UNDEFINED : BT_CALLOUT_EMULATE);
		return;
	}
	find_parts(o);
	if (u->row >= INSN_JO && u->row <= INSN_JNLE)
		emit_jcc(o);
	else if (rows[u->row])
		rows[u->row](o);
	else if (insn_sensitivity((enum insn)u->row, uop_form(u)) == INSN_INNOCUOUS)
		copy(o);
	else
		emit_callout(o);
}

static void start(struct out *o, const struct bt_env *env, uint64_t pc, uint64_t at, struct bt_block *b)
{
	*o = (struct out){ .b = b, .env = env, .at = at };
	b->pc = pc;
	b->guest_len = b->insns = b->len = b->points = b->exits = 0;
	b->full = false;
}

void bt_translate(const struct bt_env *env, uint64_t pc, const uint8_t *code, unsigned n, uint64_t at, struct bt_block *b)
{
	struct out o;
	start(&o, env, pc, at, b);
	while (!o.ended && b->insns < env->limit && b->guest_len < n) {
		const uint8_t *p = code + b->guest_len;
		uint8_t padded[INSN_BYTES_MAX] = { 0 };
		if (!decode(env->decoder, env->profile, wide(&o) ? MODE_LONG64 : MODE_PROT32, p, n - b->guest_len, &o.u))
			break;
		memcpy(padded, p, n - b->guest_len < INSN_BYTES_MAX ? n - b->guest_len : INSN_BYTES_MAX);
		o.bytes = padded;
		o.guest = b->last = b->guest_len;
		o.next = (pc + b->guest_len + o.u.len) & mask(&o);
		one(&o);
		b->guest_len = (uint16_t)(b->guest_len + (o.u.row == INSN_INVALID ? 1 : o.u.len));
		b->insns++;
	}
	if (!b->insns)
		return;
	if (!o.ended)
		leave(&o, pc + b->guest_len);
	stubs(&o);
}

static void head_point(struct out *o, enum bt_rip rip) { point(o, rip, rip == BT_IN_CX ? CX : AX | CX | DX, 0); }

void bt_head(const struct bt_env *env, struct bt_block *b)
{
	struct out o;
	start(&o, env, 0, env->head, b);
	head_point(&o, BT_IN_CX), spill(&o, R_RAX);
	head_point(&o, BT_IN_CX), spill(&o, R_RDX);
	head_point(&o, BT_IN_CX), store(&o, R_RCX, SHARED(pc));
	head_point(&o, BT_IN_PC), EMIT(&o, 0x8d, 0x04, 0xcd, 0, 0, 0, 0);       /* lea eax, [rcx * 8] */
	head_point(&o, BT_IN_PC), EMIT(&o, 0x0f, 0xb7, 0xc0);                   /* movzx eax, ax */
	if (env->wide) {
		head_point(&o, BT_IN_PC), EMIT(&o, 0x48, 0x8d), near_operand(&o, R_RDX, env->table, 0);
		head_point(&o, BT_IN_PC), EMIT(&o, 0x48, 0x8d, 0x04, 0x42);     /* lea rax, [rdx + rax * 2] */
		head_point(&o, BT_IN_PC), EMIT(&o, 0x48, 0x8b, 0x10);           /* mov rdx, [rax] */
		head_point(&o, BT_IN_PC), EMIT(&o, 0x48, 0x8d, 0x0c, 0x11);     /* lea rcx, [rcx + rdx] */
	} else {
		head_point(&o, BT_IN_PC), EMIT(&o, 0x65, 0x8b, 0x90), imm32(&o, env->table);    /* mov edx, gs:[eax + table] */
		head_point(&o, BT_IN_PC), EMIT(&o, 0x8d, 0x0c, 0x11);
	}
	head_point(&o, BT_IN_PC), EMIT(&o, 0xe3, 0);
	unsigned n = b->len;
	for (unsigned r = 0; r < 3; r++)
		head_point(&o, BT_IN_PC), reload(&o, r);
	callout(&o, BT_CALLOUT_LOOKUP, BT_IN_PC, false);
	b->code[n - 1] = (uint8_t)(b->len - n);
	head_point(&o, BT_IN_PC);
	if (env->wide)
		EMIT(&o, 0x48, 0x8b, 0x40, 8);                                  /* mov rax, [rax + 8] */
	else
		EMIT(&o, 0x65, 0x8b, 0x80), imm32(&o, env->table + 4);
	head_point(&o, BT_IN_PC), store(&o, R_RAX, SHARED(target));
	for (unsigned r = 0; r < 3; r++)
		head_point(&o, BT_IN_PC), reload(&o, r);
	point(&o, BT_IN_PC, 0, 0), shared(&o, 4, 0xff, 4, SHARED(target), 0);   /* jmp [target] */
	while (b->len < BT_HEAD_POPF)
		byte(&o, 0xcc);
	for (unsigned i = 0; i < 256; i++)
		byte(&o, i & RFLAGS_IF >> 8);
	for (unsigned i = 0; i < 256; i++)      /* TF, IOPL, NT: the VMM's */
		byte(&o, (i & (RFLAGS_TF | RFLAGS_IOPL | RFLAGS_NT) >> 8) != 0);
}

const struct bt_point *bt_point_find(const struct bt_point *p, unsigned n, unsigned at)
{
	unsigned lo = 0, hi = n;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (p[mid].at < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && p[lo].at == at ? &p[lo] : NULL;
}

void bt_recover(const struct bt_point *p, const struct bt_regs *at, bool is_wide, struct bt_regs *g)
{
	const unsigned slot = is_wide ? 8 : 4;
	*g = *at;
	switch (BT_RIP(p)) {
	case BT_AT:    g->rip = at->pc + p->guest; break;
	case BT_IN_CX: g->rip = at->r[R_RCX]; break;
	case BT_IN_PC: g->rip = at->get(at->who, SHARED(pc), slot); break;
	case BT_EXIT0: g->rip = at->exit[0]; break;
	case BT_EXIT1: g->rip = at->exit[1]; break;
	}
	if (p->how & BT_FLAGS) {
		const uint64_t saved = at->get(at->who, SHARED(ah_flags), 2), ah = RFLAGS_STATUS & 0xff;
		g->flags = (at->flags & ~(uint64_t)RFLAGS_STATUS) | (saved >> 8 & ah) | (saved & 1 ? RFLAGS_OF : 0);
	}
	if (p->how & BT_VIF_AL)
		g->vif = (uint32_t)(at->r[R_RAX] & 0xff) << 8;
	for (unsigned r = 0; r < 8; r++)
		if (p->reload >> r & 1)
			g->r[r] = at->get(at->who, SHARED(r) + 8 * r, slot);
	g->r[R_RSP] += (uint64_t)((int64_t)BT_RSP(p) * (int64_t)slot);
	if (!is_wide) {
		g->rip &= MASK(32);
		g->r[R_RSP] &= MASK(32);
	}
}
