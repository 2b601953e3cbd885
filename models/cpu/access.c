/* access.c - the slow half of reaching memory and operands: everything a soft-TLB hit
 * does not cover.
 *
 * A miss, a page boundary, a device, a page with code on it, alignment checking (#AC), data
 * breakpoints. Faults are raised before anything is changed: mmu_write checks all pages before the
 * first byte. */
#include "models/cpu/access.h"

static unsigned access_flags(const struct cpu *c, const struct uop *u)
{
	unsigned a = c->s.cpl == 3 ? ACC_USER : 0;
	if (u && (u->flags & UOP_LOCK))
		a |= ACC_LOCKED;
	return a;
}

/* Which segment's fault a failed access is: #SS for the stack, which an instruction without a
 * memory operand touches. */
static enum seg_reg fault_seg(const struct uop *u)
{
	bool memory = u && (u->msz || u->kind[0] == OPK_MEM || u->kind[1] == OPK_MEM ||
	                    u->kind[2] == OPK_MEM);
	return memory ? u->seg : SEG_SS;
}

static void before(struct cpu *c, const struct uop *u, uint64_t lin, unsigned size)
{
	if (u)
		c->cur = u;
	if (unlikely(c->align_check) && c->s.cpl == 3) {
		unsigned align = size == 10 ? 8 : size & (size - 1) ? 1 : size;
		if (lin & (align - 1))
			cpu_raise_ec(c, VEC_AC, 0);
	}
}

static void after(struct cpu *c, uint64_t lin, unsigned size, bool write)
{
	if (unlikely(c->watch))
		debug_data(c, lin, size, write);
}

uint64_t cpu_load_slow(struct cpu *c, const struct uop *u, uint64_t lin, unsigned size)
{
	struct mmu_fault f;
	uint64_t v = 0;
	before(c, u, lin, size);
	if (mmu_read(&c->mmu, lin, &v, size, access_flags(c, u) | ACC_READ, &f))
		cpu_raise_mmu(c, &f, fault_seg(u));
	after(c, lin, size, false);
	return v;
}

void cpu_store_slow(struct cpu *c, const struct uop *u, uint64_t lin, unsigned size, uint64_t v)
{
	struct mmu_fault f;
	before(c, u, lin, size);
	if (mmu_write(&c->mmu, lin, &v, size, access_flags(c, u) | ACC_WRITE, &f))
		cpu_raise_mmu(c, &f, fault_seg(u));
	after(c, lin, size, true);
}

void *cpu_rmw_slow(struct cpu *c, const struct uop *u, uint64_t lin, unsigned size)
{
	struct mmu_fault f;
	before(c, u, lin, size);
	c->rmw.lin = lin;
	c->rmw.size = size;
	if (mmu_read(&c->mmu, lin, c->rmw.bytes, size, access_flags(c, u) | ACC_READ | ACC_RMW, &f))
		cpu_raise_mmu(c, &f, fault_seg(u));
	after(c, lin, size, true);
	return c->rmw.bytes;
}

void cpu_rmw_finish(struct cpu *c, const struct uop *u)
{
	struct mmu_fault f;
	if (mmu_write(&c->mmu, c->rmw.lin, c->rmw.bytes, c->rmw.size,
	              access_flags(c, u) | ACC_WRITE, &f))
		cpu_raise_mmu(c, &f, fault_seg(u));
}

void cpu_load_bytes(struct cpu *c, const struct uop *u, uint64_t lin, void *buf, unsigned n)
{
	void *p = mmu_fast(&c->mmu, lin, n, false);
	if (likely(p != NULL)) {
		memcpy(buf, p, n);
		return;
	}
	struct mmu_fault f;
	before(c, u, lin, n);
	if (mmu_read(&c->mmu, lin, buf, n, access_flags(c, u) | ACC_READ, &f))
		cpu_raise_mmu(c, &f, fault_seg(u));
	after(c, lin, n, false);
}

void cpu_store_bytes(struct cpu *c, const struct uop *u, uint64_t lin, const void *buf, unsigned n)
{
	void *p = mmu_fast(&c->mmu, lin, n, true);
	if (likely(p != NULL)) {
		memcpy(p, buf, n);
		return;
	}
	struct mmu_fault f;
	before(c, u, lin, n);
	if (mmu_write(&c->mmu, lin, buf, n, access_flags(c, u) | ACC_WRITE, &f))
		cpu_raise_mmu(c, &f, fault_seg(u));
	after(c, lin, n, true);
}

void cpu_probe(struct cpu *c, const struct uop *u, uint64_t lin, unsigned n, unsigned access)
{
	struct mmu_fault f;
	if (u)
		c->cur = u;
	if (mmu_probe(&c->mmu, lin, n, access_flags(c, u) | access, &f))
		cpu_raise_mmu(c, &f, fault_seg(u));
}

uint64_t cpu_sys_load(struct cpu *c, uint64_t lin, unsigned size)
{
	struct mmu_fault f;
	uint64_t v = 0;
	if (mmu_read(&c->mmu, lin, &v, size, ACC_READ | ACC_IMPLICIT, &f))
		cpu_raise_mmu(c, &f, SEG_DS);
	return v;
}

void cpu_sys_store(struct cpu *c, uint64_t lin, unsigned size, uint64_t v)
{
	struct mmu_fault f;
	if (mmu_write(&c->mmu, lin, &v, size, ACC_WRITE | ACC_IMPLICIT, &f))
		cpu_raise_mmu(c, &f, SEG_DS);
}

/* ---- operands ---- */

uint64_t op_get(struct cpu *c, const struct uop *u, unsigned i)
{
	unsigned n = u->sz[i];
	if (u->kind[i] == OPK_REG)
		return reg_get(c, u->reg[i], n);
	if (u->kind[i] == OPK_IMM)
		return n >= u->osz || !u->osz ? (uint64_t)u->imm & MASK(n * 8) :
		       (uint64_t)u->imm & MASK(u->osz * 8);
	bool write = i == 0 && (u->flags & UOP_MEM_WRITE);
	uint64_t lin = ea_linear(c, u, n, write);
	if (write) {    /* the read half of a read-modify-write: it must be allowed to write */
		uint64_t v = 0;
		const void *p = mmu_fast(&c->mmu, lin, n, TOUCH_RMW);
		memcpy(&v, p ? p : cpu_rmw_slow(c, u, lin, n), n);
		return v;
	}
	switch (n) {
	case 1: return cpu_load8(c, u, lin);
	case 2: return cpu_load16(c, u, lin);
	case 4: return cpu_load32(c, u, lin);
	default: return cpu_load64(c, u, lin);
	}
}

void op_set(struct cpu *c, const struct uop *u, unsigned i, uint64_t v)
{
	unsigned n = u->sz[i];
	if (u->kind[i] == OPK_REG) {
		reg_set(c, u->reg[i], n, v);
		return;
	}
	uint64_t lin = ea_linear(c, u, n, true);
	switch (n) {
	case 1: cpu_store8(c, u, lin, (uint8_t)v); break;
	case 2: cpu_store16(c, u, lin, (uint16_t)v); break;
	case 4: cpu_store32(c, u, lin, (uint32_t)v); break;
	default: cpu_store64(c, u, lin, v); break;
	}
}

static uint64_t linear128(struct cpu *c, const struct uop *u, bool write, bool aligned)
{
	uint64_t lin = ea_linear(c, u, 16, write);
	if (aligned && (lin & 15)) {
		c->cur = u;
		cpu_raise_ec(c, VEC_GP, 0);
	}
	return lin;
}

void op_get128(struct cpu *c, const struct uop *u, unsigned i, uint64_t v[2], bool aligned)
{
	if (u->kind[i] == OPK_XMM)
		memcpy(v, c->s.xmm[u->reg[i]], 16);
	else
		cpu_load_bytes(c, u, linear128(c, u, false, aligned), v, 16);
}

void op_set128(struct cpu *c, const struct uop *u, unsigned i, const uint64_t v[2], bool aligned)
{
	if (u->kind[i] == OPK_XMM)
		memcpy(c->s.xmm[u->reg[i]], v, 16);
	else
		cpu_store_bytes(c, u, linear128(c, u, true, aligned), v, 16);
}

/* ---- the stack ---- */

unsigned stack_size(const struct cpu *c)
{
	return c->s.mode == MODE_LONG64 ? 8 : c->s.seg[SEG_SS].attr & SEG_DB ? 4 : 2;
}

static uint64_t stack_mask(const struct cpu *c)
{
	return MASK(stack_size(c) * 8);
}

static void set_rsp(struct cpu *c, uint64_t sp)
{
	reg_set(c, R_RSP, stack_size(c), sp);
}

uint64_t stack_linear(struct cpu *c, uint64_t off, unsigned size, bool write)
{
	return seg_linear(c, NULL, SEG_SS, off & stack_mask(c), size, write);
}

void cpu_push(struct cpu *c, const struct uop *u, unsigned size, uint64_t v)
{
	uint64_t sp = (c->s.r[R_RSP] - size) & stack_mask(c);
	uint64_t lin = seg_linear(c, u, SEG_SS, sp, size, true);
	switch (size) {
	case 2: cpu_store16(c, u, lin, (uint16_t)v); break;
	case 4: cpu_store32(c, u, lin, (uint32_t)v); break;
	default: cpu_store64(c, u, lin, v); break;
	}
	set_rsp(c, sp);
}

uint64_t cpu_pop(struct cpu *c, const struct uop *u, unsigned size)
{
	uint64_t sp = c->s.r[R_RSP] & stack_mask(c), v;
	uint64_t lin = seg_linear(c, u, SEG_SS, sp, size, false);
	switch (size) {
	case 2: v = cpu_load16(c, u, lin); break;
	case 4: v = cpu_load32(c, u, lin); break;
	default: v = cpu_load64(c, u, lin); break;
	}
	set_rsp(c, (sp + size) & stack_mask(c));
	return v;
}
