/* exec_xchg.c - XADD CMPXCHG CMPXCHG8B CMPXCHG16B.
 * Source: SDM Vol. 2. CPUs interleave by whole instructions, so LOCK changes cost and legality only. A comparison
 * that fails still writes its memory operand back: it needs write permission. */
#include "models/cpu/hot.h"

void exec_xadd(struct cpu *c, const struct uop *u)
{
	uint64_t a = op_get(c, u, 0), b = op_get(c, u, 1);
	uint64_t sum = alu_by_size(add, c, u->sz[0], a, b);
	if (u->kind[0] == OPK_MEM) {
		op_set(c, u, 0, sum);
		op_set(c, u, 1, a);
	} else {                /* the same register twice: it becomes the sum */
		op_set(c, u, 1, a);
		op_set(c, u, 0, sum);
	}
}

void exec_cmpxchg(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0];
	uint64_t a = reg_get(c, R_RAX, n), v = op_get(c, u, 0);
	bool equal = a == v;
	/* a register is not written, not even its upper half cleared */
	if (equal || u->kind[0] == OPK_MEM)
		op_set(c, u, 0, equal ? op_get(c, u, 1) : v);
	if (!equal)
		reg_set(c, R_RAX, n, v);
	(void)alu_by_size(sub, c, n, a, v);
}

void exec_cmpxchg8b(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 0), a = (uint64_t)get32(c, R_RDX) << 32 | get32(c, R_RAX);
	bool equal = a == v;
	op_set(c, u, 0, equal ? (uint64_t)get32(c, R_RCX) << 32 | get32(c, R_RBX) : v);
	if (!equal) {
		put32(c, R_RAX, (uint32_t)v);
		put32(c, R_RDX, (uint32_t)(v >> 32));
	}
	c->s.cc_zr = !equal;
}

void exec_cmpxchg16b(struct cpu *c, const struct uop *u)
{
	uint64_t lin = ea_linear(c, u, 16, true), v[2];
	if (lin & 15)
		cpu_raise_ec(c, VEC_GP, 0);
	cpu_probe(c, u, lin, 16, ACC_WRITE);
	cpu_load_bytes(c, u, lin, v, 16);
	bool equal = v[0] == c->s.r[R_RAX] && v[1] == c->s.r[R_RDX];
	if (equal) {
		cpu_store_bytes(c, u, lin, (uint64_t[2]){ c->s.r[R_RBX], c->s.r[R_RCX] }, 16);
	} else {
		cpu_store_bytes(c, u, lin, v, 16);
		c->s.r[R_RAX] = v[0];
		c->s.r[R_RDX] = v[1];
	}
	c->s.cc_zr = !equal;
}
