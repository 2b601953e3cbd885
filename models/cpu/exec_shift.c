/* exec_shift.c - SHL SHR SAR ROL ROR RCL RCR SHLD SHRD, RORX SARX SHLX SHRX.
 * Source: SDM Vol. 2. The count is taken modulo 32, of 64-bit operands modulo 64; 0 changes nothing but a 32-bit
 * register's upper half. OF, defined for a count of 1, is computed by the same rule for all; SHLD and SHRD of 16 bits
 * by more than 16, undefined, shift the concatenation of destination, source, destination. */
#include "models/cpu/hot.h"

/* One shift of an n-byte value by count > 0, with flags. */
static inline uint64_t shl(struct cpu *c, uint64_t a, unsigned k, unsigned n)
{
	unsigned bits = 8 * n;
	uint64_t r = (k < bits ? a << k : 0) & MASK(bits);
	bool cf = k <= bits && (a >> (bits - k) & 1), of = cf ^ (r >> (bits - 1) & 1);
	alu_flags(c, r, n, cf, of);
	return r;
}
static inline uint64_t shr(struct cpu *c, uint64_t a, unsigned k, unsigned n)
{
	unsigned bits = 8 * n;
	uint64_t r = k < bits ? a >> k : 0;
	bool cf = k <= bits && (a >> (k - 1) & 1), of = (r ^ r << 1) >> (bits - 1) & 1;
	alu_flags(c, r, n, cf, of);
	return r;
}
static inline uint64_t sar(struct cpu *c, uint64_t a, unsigned k, unsigned n)
{
	int64_t s = sign_extend(a, n);
	uint64_t r = (uint64_t)(s >> k) & MASK(8 * n);
	alu_flags(c, r, n, s >> (k - 1) & 1, false);
	return r;
}
static inline uint64_t rol(struct cpu *c, uint64_t a, unsigned k, unsigned n)
{
	unsigned bits = 8 * n, s = k & (bits - 1);
	uint64_t r = (s ? a << s | a >> (bits - s) : a) & MASK(bits);
	alu_cf_of(c, r & 1, (r ^ r >> (bits - 1)) & 1);
	return r;
}
static inline uint64_t ror(struct cpu *c, uint64_t a, unsigned k, unsigned n)
{
	unsigned bits = 8 * n, s = k & (bits - 1);
	uint64_t r = (s ? a >> s | a << (bits - s) : a) & MASK(bits);
	alu_cf_of(c, r >> (bits - 1) & 1, (r ^ r << 1) >> (bits - 1) & 1);
	return r;
}
static inline uint64_t rcl(struct cpu *c, uint64_t a, unsigned k, unsigned n)
{
	unsigned bits = 8 * n;
	bool cf = flag_cf(c);
	k %= bits + 1;
	for (unsigned i = 0; i < k; i++) {
		bool out = a >> (bits - 1) & 1;
		a = (a << 1 | cf) & MASK(bits);
		cf = out;
	}
	alu_cf_of(c, cf, cf ^ (a >> (bits - 1) & 1));
	return a;
}
static inline uint64_t rcr(struct cpu *c, uint64_t a, unsigned k, unsigned n)
{
	unsigned bits = 8 * n;
	bool cf = flag_cf(c);
	k %= bits + 1;
	for (unsigned i = 0; i < k; i++) {
		bool out = a & 1;
		a = a >> 1 | (uint64_t)cf << (bits - 1);
		cf = out;
	}
	alu_cf_of(c, cf, (a ^ a << 1) >> (bits - 1) & 1);
	return a;
}

static inline unsigned masked(uint64_t count, unsigned n)
{
	return (unsigned)count & (n == 8 ? 63 : 31);
}

/* ---- hot: registers of 32 and 64 bits by an immediate and by CL ---- */

#define HOT_SHIFT(op, b, n) \
HOT(h_##op##b##_i) { put##b(c, u->reg[0], (u##b)op(c, get##b(c, u->reg[0]), (unsigned)u->imm, n)); NEXT(c, u); } \
HOT(h_##op##b##_c) \
{ \
	unsigned k = masked(get8(c, R_RCX * 8), n); \
	u##b v = get##b(c, u->reg[0]); \
	put##b(c, u->reg[0], k ? (u##b)op(c, v, k, n) : v); \
	NEXT(c, u); \
}
#define SHIFT(op) \
HOT_SHIFT(op, 32, 4) HOT_SHIFT(op, 64, 8) \
uop_fn *bind_##op(struct uop *u, uint32_t key) \
{ \
	(void)key; \
	if (u->kind[0] != OPK_REG || u->sz[0] < 4) \
		return NULL; \
	if (u->kind[1] == OPK_REG) \
		return u->sz[0] == 4 ? h_##op##32_c : h_##op##64_c; \
	u->imm = masked((uint64_t)u->imm, u->sz[0]); \
	return !u->imm ? NULL : u->sz[0] == 4 ? h_##op##32_i : h_##op##64_i; \
} \
BODY(op)
#define BODY(op) \
void exec_##op(struct cpu *c, const struct uop *u) \
{ \
	unsigned n = u->sz[0], k = masked(op_get(c, u, 1), n); \
	uint64_t a = op_get(c, u, 0); \
	op_set(c, u, 0, k ? op(c, a, k, n) : a); \
}
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)
SHIFT(rol)
SHIFT(ror)
BODY(rcl)
BODY(rcr)

/* ---- double shifts ---- */

void exec_shld(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0], bits = 8 * n, k = masked(op_get(c, u, 2), n);
	uint64_t a = op_get(c, u, 0), b = op_get(c, u, 1), r = a;
	if (k) {
		bool cf;
		if (k <= bits) {
			r = ((k < bits ? a << k : 0) | b >> (bits - k)) & MASK(bits);
			cf = a >> (bits - k) & 1;
		} else {
			r = (b << (k - bits) | a >> (2 * bits - k)) & MASK(bits);
			cf = b >> (2 * bits - k) & 1;
		}
		alu_flags(c, r, n, cf, (r ^ a) >> (bits - 1) & 1);
	}
	op_set(c, u, 0, r);
}

void exec_shrd(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0], bits = 8 * n, k = masked(op_get(c, u, 2), n);
	uint64_t a = op_get(c, u, 0), b = op_get(c, u, 1), r = a;
	if (k) {
		bool cf;
		if (k <= bits) {
			r = ((k < bits ? a >> k : 0) | b << (bits - k)) & MASK(bits);
			cf = a >> (k - 1) & 1;
		} else {
			r = (b >> (k - bits) | a << (2 * bits - k)) & MASK(bits);
			cf = b >> (k - bits - 1) & 1;
		}
		alu_flags(c, r, n, cf, (r ^ a) >> (bits - 1) & 1);
	}
	op_set(c, u, 0, r);
}

/* ---- without flags ---- */

void exec_rorx(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0], k = masked((uint64_t)u->imm, n);
	uint64_t v = op_get(c, u, 1);
	op_set(c, u, 0, k ? v >> k | v << (8 * n - k) : v);
}

void exec_sarx(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0];
	op_set(c, u, 0, (uint64_t)(sign_extend(op_get(c, u, 1), n) >> masked(op_get(c, u, 2), n)));
}

void exec_shlx(struct cpu *c, const struct uop *u)
{
	op_set(c, u, 0, op_get(c, u, 1) << masked(op_get(c, u, 2), u->sz[0]));
}

void exec_shrx(struct cpu *c, const struct uop *u)
{
	op_set(c, u, 0, op_get(c, u, 1) >> masked(op_get(c, u, 2), u->sz[0]));
}
