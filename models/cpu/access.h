/* access.h - how instructions reach operands and memory.
 *
 * A hot path computes the linear address, finds the page in the soft TLB and dereferences.
 * Everything else (a segment limit, a TLB miss, a page boundary, a device, a fault) goes through
 * access.c, out of line. Faults never return. */
#ifndef CPU_ACCESS_H
#define CPU_ACCESS_H

#include <string.h>

#include "models/cpu/cpu.h"

/* ---- addresses ---- */
static inline uint64_t ea_offset(const struct cpu *c, const struct uop *u)
{
	uint64_t o = c->s.r[u->base] + (c->s.r[u->index] << u->scale) + (uint64_t)(int64_t)u->disp;
	return o << u->ash >> u->ash;
}
static inline uint64_t seg_linear(struct cpu *c, const struct uop *u, enum seg_reg i, uint64_t off,
                                  unsigned size, bool write)
{
	const struct seg *s = &c->s.seg[i];
	if (unlikely(off + size > (write ? s->lim_w : s->lim_r)))
		return seg_check(c, u, i, off, size, write);
	return (s->base + off) & c->lin_mask;
}
/* Linear address of u's memory operand, checked against its segment. */
static inline uint64_t ea_linear(struct cpu *c, const struct uop *u, unsigned size, bool write)
{
	return seg_linear(c, u, u->seg, ea_offset(c, u), size, write);
}

/* ---- memory by linear address: the user/supervisor side follows CPL ---- */
uint64_t cpu_load_slow(struct cpu *c, const struct uop *u, uint64_t lin, unsigned size);
void cpu_store_slow(struct cpu *c, const struct uop *u, uint64_t lin, unsigned size, uint64_t v);
void *cpu_rmw_slow(struct cpu *c, const struct uop *u, uint64_t lin, unsigned size);
void cpu_rmw_finish(struct cpu *c, const struct uop *u);

#define ACCESS(n, T) \
static inline T cpu_load##n(struct cpu *c, const struct uop *u, uint64_t lin) \
{ \
	T v; void *p = mmu_fast(&c->mmu, lin, sizeof v, false); \
	if (unlikely(!p)) return (T)cpu_load_slow(c, u, lin, sizeof v); \
	memcpy(&v, p, sizeof v); return v; \
} \
static inline void cpu_store##n(struct cpu *c, const struct uop *u, uint64_t lin, T v) \
{ \
	void *p = mmu_fast(&c->mmu, lin, sizeof v, true); \
	if (unlikely(!p)) cpu_store_slow(c, u, lin, sizeof v, v); \
	else memcpy(p, &v, sizeof v); \
} \
/* Read-modify-write: a pointer to the operand, writable; after the change, cpu_rmw_end(c, u, p). Until then nothing is visible. */ \
static inline T *cpu_rmw##n(struct cpu *c, const struct uop *u, uint64_t lin) \
{ \
	void *p = mmu_fast(&c->mmu, lin, sizeof(T), TOUCH_RMW); \
	return likely(p != NULL) ? p : cpu_rmw_slow(c, u, lin, sizeof(T)); \
}
ACCESS(8, uint8_t)
ACCESS(16, uint16_t)
ACCESS(32, uint32_t)
ACCESS(64, uint64_t)
#undef ACCESS
static inline void cpu_rmw_end(struct cpu *c, const struct uop *u, const void *p)
{
	if (unlikely(p == (const void *)c->rmw.bytes))
		cpu_rmw_finish(c, u);
}

/* Any size up to 64 bytes (16 for SSE, 10 for x87, 512 in pieces). */
void cpu_load_bytes(struct cpu *c, const struct uop *u, uint64_t lin, void *buf, unsigned n);
void cpu_store_bytes(struct cpu *c, const struct uop *u, uint64_t lin, const void *buf, unsigned n);
void cpu_probe(struct cpu *c, const struct uop *u, uint64_t lin, unsigned n, unsigned access);

/* Implicit supervisor accesses by the CPU itself (descriptor tables, TSS, IDT), at any CPL; fault
 * as usual. */
uint64_t cpu_sys_load(struct cpu *c, uint64_t lin, unsigned size);
void cpu_sys_store(struct cpu *c, uint64_t lin, unsigned size, uint64_t v);

/* ---- operands, for bodies (any size) ---- */
/* i-th operand, zero-extended from its own size u->sz[i]; immediates are sign-extended to u->osz,
 * then zero-extended. OPK_REG, OPK_MEM, OPK_IMM. */
uint64_t op_get(struct cpu *c, const struct uop *u, unsigned i);
/* 32-bit register writes clear the upper half; 8- and 16-bit ones keep the rest. */
void op_set(struct cpu *c, const struct uop *u, unsigned i, uint64_t v);
/* A 16-byte operand: XMM register or memory (aligned: #GP(0) unless 16-byte aligned). */
void op_get128(struct cpu *c, const struct uop *u, unsigned i, uint64_t v[2], bool aligned);
void op_set128(struct cpu *c, const struct uop *u, unsigned i, const uint64_t v[2], bool aligned);

static inline uint64_t reg_get(const struct cpu *c, unsigned r, unsigned size)
{
	switch (size) {
	case 1: return ((const uint8_t *)c->s.r)[r];
	case 2: return (uint16_t)c->s.r[r];
	case 4: return (uint32_t)c->s.r[r];
	default: return c->s.r[r];
	}
}
static inline void reg_set(struct cpu *c, unsigned r, unsigned size, uint64_t v)
{
	switch (size) {
	case 1: ((uint8_t *)c->s.r)[r] = (uint8_t)v; break;
	case 2: memcpy(&c->s.r[r], &v, 2); break;
	case 4: c->s.r[r] = (uint32_t)v; break;
	default: c->s.r[r] = v; break;
	}
}

/* ---- the stack: operand size 2, 4 or 8; stack size by mode and SS.B ---- */
unsigned stack_size(const struct cpu *c);                       /* 2, 4, 8 */
void cpu_push(struct cpu *c, const struct uop *u, unsigned size, uint64_t v);
uint64_t cpu_pop(struct cpu *c, const struct uop *u, unsigned size);
/* For flows that touch many slots before committing RSP: address of SS:off checked, value at a
 * given offset. */
uint64_t stack_linear(struct cpu *c, uint64_t off, unsigned size, bool write);

#endif
