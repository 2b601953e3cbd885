/* alu.h - arithmetic on 8 to 64 bits with its flags, as flags.h keeps them.
 *
 * The carry vector of a + b (+ carry in) = r: bit i is the carry out of bit i = majority of a, b
 * and not r. Of a - b: the borrow out of bit i. It is shifted so that its top bit is bit 63; bit 3
 * stays where it is (AF). */
#ifndef CPU_ALU_H
#define CPU_ALU_H

#include "models/cpu/flags.h"

#define ALU(n) \
typedef uint##n##_t u##n; \
static inline void cc##n(struct cpu *c, u##n r, u##n carries) \
{ \
	c->s.cc_zr = c->s.cc_sp = (uint64_t)(int64_t)(int##n##_t)r; \
	c->s.cc_aux = (uint64_t)carries << (64 - n) | (carries & 8); \
} \
static inline u##n alu_add##n(struct cpu *c, u##n a, u##n b) \
{ \
	u##n r = (u##n)(a + b); \
	cc##n(c, r, (u##n)((a & b) | ((a | b) & ~r))); \
	return r; \
} \
static inline u##n alu_adc##n(struct cpu *c, u##n a, u##n b) \
{ \
	u##n r = (u##n)(a + b + flag_cf(c)); \
	cc##n(c, r, (u##n)((a & b) | ((a | b) & ~r))); \
	return r; \
} \
static inline u##n alu_sub##n(struct cpu *c, u##n a, u##n b) \
{ \
	u##n r = (u##n)(a - b); \
	cc##n(c, r, (u##n)((~a & b) | (~(a ^ b) & r))); \
	return r; \
} \
static inline u##n alu_sbb##n(struct cpu *c, u##n a, u##n b) \
{ \
	u##n r = (u##n)(a - b - flag_cf(c)); \
	cc##n(c, r, (u##n)((~a & b) | (~(a ^ b) & r))); \
	return r; \
} \
static inline u##n alu_logic##n(struct cpu *c, u##n r)  /* AF, undefined, is cleared as processors do */ \
{ \
	c->s.cc_zr = c->s.cc_sp = (uint64_t)(int64_t)(int##n##_t)r; \
	c->s.cc_aux = 0; \
	return r; \
} \
static inline u##n alu_and##n(struct cpu *c, u##n a, u##n b) { return alu_logic##n(c, a & b); } \
static inline u##n alu_or##n(struct cpu *c, u##n a, u##n b) { return alu_logic##n(c, a | b); } \
static inline u##n alu_xor##n(struct cpu *c, u##n a, u##n b) { return alu_logic##n(c, a ^ b); } \
static inline u##n alu_inc##n(struct cpu *c, u##n a)    /* CF stays */ \
{ \
	uint64_t cf = c->s.cc_aux >> 63; \
	u##n r = (u##n)(a + 1); \
	cc##n(c, r, (u##n)(a & ~r)); \
	uint64_t of = (c->s.cc_aux ^ c->s.cc_aux << 1) >> 63; \
	c->s.cc_aux = cf << 63 | (cf ^ of) << 62 | (c->s.cc_aux & 8); \
	return r; \
} \
static inline u##n alu_dec##n(struct cpu *c, u##n a) \
{ \
	uint64_t cf = c->s.cc_aux >> 63; \
	u##n r = (u##n)(a - 1); \
	cc##n(c, r, (u##n)(~a & r)); \
	uint64_t of = (c->s.cc_aux ^ c->s.cc_aux << 1) >> 63; \
	c->s.cc_aux = cf << 63 | (cf ^ of) << 62 | (c->s.cc_aux & 8); \
	return r; \
} \
static inline u##n alu_neg##n(struct cpu *c, u##n a) { return alu_sub##n(c, 0, a); } \
static inline u##n alu_not##n(struct cpu *c, u##n a) { (void)c; return (u##n)~a; }
ALU(8)
ALU(16)
ALU(32)
ALU(64)
#undef ALU

/* The same for a size known only at run time: `alu_by_size(sub, c, size, a, b)`. */
#define alu_by_size(op, c, size, a, b) \
	((size) == 1 ? alu_##op##8((c), (uint8_t)(a), (uint8_t)(b)) : (size) == 2 ? alu_##op##16((c), (uint16_t)(a), (uint16_t)(b)) : \
	 (size) == 4 ? alu_##op##32((c), (uint32_t)(a), (uint32_t)(b)) : alu_##op##64((c), (a), (b)))
#define alu_by_size1(op, c, size, a) \
	((size) == 1 ? alu_##op##8((c), (uint8_t)(a)) : (size) == 2 ? alu_##op##16((c), (uint16_t)(a)) : \
	 (size) == 4 ? alu_##op##32((c), (uint32_t)(a)) : alu_##op##64((c), (a)))

static inline int64_t sign_extend(uint64_t v, unsigned size)
{
	unsigned s = 64 - 8 * size;
	return (int64_t)(v << s) >> s;
}

/* ZF, SF, PF from a result of `size` bytes; CF and OF as given; AF clear. */
static inline void alu_flags(struct cpu *c, uint64_t r, unsigned size, bool cf, bool of)
{
	c->s.cc_zr = c->s.cc_sp = (uint64_t)sign_extend(r, size);
	c->s.cc_aux = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62;
}

/* CF and OF alone. */
static inline void alu_cf_of(struct cpu *c, bool cf, bool of)
{
	c->s.cc_aux = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62 | (c->s.cc_aux & 8);
}

#endif
