/* fp_differential.c - every MMX, SSE and x87 instruction form on random states, here and on the
 * host's processor.
 *
 * Equal: all registers, tags, FSW, FCW, MXCSR with its flags, EFLAGS, memory, and whether an
 * exception was raised.
 * Not compared: FIP, FDP, FOP (kept at different times by different processors) and what the rows
 * of fp_rows.def loosen: the digits of RCPPS and RSQRTPS, the last bit of transcendental results.
 * VMSCOPE_FP_CASES sets the cases per form (default 200). Skipped where the host is not an x86-64
 * with SSE4.2. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/rng.h"
#include "tests/unit/cpu/fp_host.h"

enum { REG = 1, MEM = 2, IMM = 4, GPR = 8, W = 16, REX = 32, NEAR = 64, ULP = 128, STI = 256, IMM8 = 512, BCD = 1024, CLOSE = 2048,
       UNIT = 4096, SMALL = 8192, NOMODRM = 16384, HAS_EXT = 32768,
       NO_C1 = 1 << 20 };
#define EXT(n) (HAS_EXT | (n) << 16)

struct row { const char *name; uint8_t prefix, map, opcode, modrm; char data; uint32_t how; };
static const struct row sse_rows[] = {
#define SSE(name, prefix, map, opcode, data, how) { name, prefix, map, opcode, 0, #data[0], how },
#include "tests/unit/cpu/fp_rows.def"
};
static const struct row x87_rows[] = {
#define X87(name, opcode, modrm, how) { name, 0, 0, opcode, modrm, 'X', how },
#include "tests/unit/cpu/fp_rows.def"
};

/* ---- random states that visit the boundaries ---- */
static uint64_t pick_exp(struct rng *r, unsigned bits)
{
	uint64_t max = MASK(bits), bias = max >> 1;
	switch (rng_below(r, 12)) {
	case 0: return 0;
	case 1: return max;
	case 2: return 1 + rng_below(r, 3);
	case 3: return max - 1 - rng_below(r, 3);
	case 4: return rng_u64(r) & max;
	case 5: return bias + rng_below(r, 70);
	case 6: return bias / 2 + rng_below(r, 8);
	case 7: return bias + bias / 2 + rng_below(r, 8);
	default: return bias - 4 + rng_below(r, 8);
	}
}

static uint64_t pick_frac(struct rng *r, unsigned bits)
{
	uint64_t f = rng_u64(r) & MASK(bits), low = rng_below(r, bits);
	switch (rng_below(r, 8)) {
	case 0: return 0;
	case 1: return MASK(bits) - rng_below(r, 2);
	case 2: return rng_below(r, 3);
	case 3: return BIT(bits - 1) | rng_below(r, 2);
	case 4: return f & ~MASK(low);
	case 5: return MASK(bits) & ~MASK(low);
	default: return f;
	}
}

static uint32_t pick_f32(struct rng *r) { return (uint32_t)((rng_u64(r) & 1) << 31 | pick_exp(r, 8) << 23 | pick_frac(r, 23)); }
static uint64_t pick_f64(struct rng *r) { return (rng_u64(r) & 1) << 63 | pick_exp(r, 11) << 52 | pick_frac(r, 52); }

static uint64_t pick_word(struct rng *r, char data)
{
	uint64_t v = rng_u64(r);
	switch (data) {
	case 'S': return pick_f32(r) | (uint64_t)pick_f32(r) << 32;
	case 'D': return pick_f64(r);
	case 'C': return v & 0xffff;
	case 'H':               /* small numbers, repeated and equal lanes, signs */
		switch (rng_below(r, 6)) {
		case 0: return v & 0x001f001f001f001f;
		case 1: return v & 0x3f;
		case 2: return v & 0x0001010100010101;
		case 3: return v | 0xff00ff00ff00ff00;
		case 4: return (uint64_t)((int64_t)v >> rng_below(r, 64));
		default: return v;
		}
	default: return v;
	}
}

static void pick_f80(struct rng *r, const struct row *row, uint64_t *mant, uint16_t *se)
{
	*se = (uint16_t)((rng_u64(r) & 1) << 15 | pick_exp(r, 15));
	*mant = pick_frac(r, 63) | ((*se & 0x7fff) ? BIT(63) : 0);
	if (!rng_below(r, 20))
		*mant ^= BIT(63);       /* pseudo-denormals, unnormals and other unsupported forms */
	if ((row->how & (ULP | UNIT)) && rng_below(r, 4))       /* arguments the functions are for */
		*se = (uint16_t)((*se & 0x8000) | (16383 - 1 - rng_below(r, 12)));
	if ((row->how & SMALL) && rng_below(r, 4))
		*se = (uint16_t)((*se & 0x8000) | (16383 - 3 - rng_below(r, 12)));
	if (row->how & SMALL && (*se & 0x7fff) > 16383 - 3 && (*se & 0x7fff) != 0x7fff)
		*se = (uint16_t)((*se & 0x8000) | (16383 - 3));
	if (row->how & UNIT && (*se & 0x7fff) > 16382 && (*se & 0x7fff) != 0x7fff)
		*se = (uint16_t)((*se & 0x8000) | 16382);
	if (row->how & CLOSE && rng_below(r, 2))                /* near each other: whole remainders, scales in range */
		*se = (uint16_t)((*se & 0x8000) | (16383 - 2 + rng_below(r, 16)));
}

static void pick_state(struct rng *r, const struct row *row, struct fp_state *s)
{
	memset(s, 0, sizeof *s);
	struct fx *x = &s->fx;
	for (unsigned i = 0; i < 8; i++)
		s->r[i] = pick_word(r, row->data == 'X' ? 'I' : row->data);
	if (row->opcode == 0x60 || row->opcode == 0x61)         /* lengths of PCMPESTRx */
		s->r[0] = rng_below(r, 20) - 2, s->r[2] = rng_below(r, 20) - 2;
	s->flags = rng_u64(r) & RFLAGS_STATUS;
	static const char mem_data[] = "SDIH";
	for (unsigned i = 0; i < 8; i++) {
		uint64_t v = pick_word(r, row->data == 'X' ? mem_data[rng_below(r, 4)] : row->data);
		memcpy(s->mem + 8 * i, &v, 8);
	}
	if (row->data == 'X' && row->opcode == 0xdb) {          /* FLD m80 */
		uint64_t m;
		uint16_t se;
		pick_f80(r, row, &m, &se);
		memcpy(s->mem, &m, 8);
		memcpy(s->mem + 8, &se, 2);
	}
	if (row->how & BCD) {
		for (unsigned i = 0; i < 9; i++)
			s->mem[i] = (uint8_t)(rng_below(r, 10) << 4 | rng_below(r, 10));
	}
	for (unsigned i = 0; i < 32; i++)
		((uint64_t *)x->xmm)[i] = pick_word(r, row->data == 'X' ? 'I' : row->data);
	uint32_t masks = rng_below(r, 4) ? 0x3f : (uint32_t)rng_u64(r) & 0x3f;
	x->mxcsr = (uint32_t)(masks << 7 | (rng_u64(r) & 0x3f) | rng_below(r, 4) << 13);
	if (!rng_below(r, 4))
		x->mxcsr |= (uint32_t)(rng_u64(r) & 0x8040);
	masks = rng_below(r, 3) ? 0x3f : (uint32_t)rng_u64(r) & 0x3f;
	static const uint16_t precision[] = { 0, 0x200, 0x300, 0x300 };
	x->fcw = (uint16_t)(0x40 | masks | rng_below(r, 4) << 10 | precision[rng_below(r, 4)]);
	x->fsw = (uint16_t)((rng_u64(r) & 0x7f00) | (rng_u64(r) & 0x7f & (masks | 0x40)));
	x->ftw = rng_below(r, 3) ? 0xff : (uint8_t)rng_u64(r);
	if (row->data == 'X' && !rng_below(r, 2))               /* room to push */
		x->ftw &= (uint8_t)~(1u << (((x->fsw >> 11) - 1) & 7));
	for (unsigned i = 0; i < 8; i++) {
		if (row->data == 'X')
			pick_f80(r, row, &x->st[i].mant, &x->st[i].se);
		else
			x->st[i].mant = pick_word(r, row->data), x->st[i].se = (uint16_t)rng_u64(r);
	}
}

/* ---- one instruction ---- */
static unsigned encode(struct rng *r, const struct row *row, uint8_t *p)
{
	static const uint8_t regs[] = { 0, 1, 2, 3, 6 };        /* as general registers: not RSP, RBP, RDI */
	unsigned n = 0;
	if (row->data == 'X') {
		p[n++] = row->opcode;
		p[n++] = row->how & MEM ? (uint8_t)(row->modrm << 3 | 7) : row->how & STI ? (uint8_t)(row->modrm + rng_below(r, 8)) : row->modrm;
		return n;
	}
	bool mem = (row->how & MEM) && (!(row->how & REG) || rng_below(r, 2));
	uint8_t rex = 0;
	if (row->how & REX)
		rex = (uint8_t)((rng_u64(r) & 4) | (mem ? 0 : rng_u64(r) & 1));
	if ((row->how & W) && rng_below(r, 2))
		rex |= 8;
	if (row->prefix)
		p[n++] = row->prefix;
	if (rex)
		p[n++] = 0x40 | rex;
	p[n++] = 0x0f;
	if (row->map)
		p[n++] = row->map;
	p[n++] = row->opcode;
	if (row->how & NOMODRM)
		return n;
	unsigned reg = row->how & HAS_EXT ? row->how >> 16 & 7 : regs[rng_below(r, 5)];
	p[n++] = (uint8_t)((mem ? 0 : 0xc0) | reg << 3 | (mem ? 7 : regs[rng_below(r, 5)]));
	if (row->how & IMM)
		p[n++] = (uint8_t)(row->how & IMM8 ? rng_below(r, 8) : rng_below(r, 2) ? rng_u64(r) : rng_below(r, 24));
	return n;
}

/* ---- comparison ---- */
static bool near32(uint32_t a, uint32_t b)
{
	if (a == b)
		return true;
	if ((a ^ b) >> 31 || (a & 0x7f800000) == 0x7f800000 || (b & 0x7f800000) == 0x7f800000)
		return false;
	/* within 1.5 * 2^-11 of one another: 1.5 * 2^12 units of a 24-bit significand, twice the
	 * bound of each */
	uint32_t d = a > b ? a - b : b - a;
	return d <= 6144 || (!(a & 0x7fffffff) && (b & 0x7fffffff) < 0x01000000) || (!(b & 0x7fffffff) && (a & 0x7fffffff) < 0x01000000);
}

static bool ulp80(const struct fx *a, const struct fx *b, unsigned i)
{
	unsigned __int128 x = (unsigned __int128)(a->st[i].se & 0x7fff) << 63 | (a->st[i].mant & MASK(63));
	unsigned __int128 y = (unsigned __int128)(b->st[i].se & 0x7fff) << 63 | (b->st[i].mant & MASK(63));
	unsigned __int128 d = x > y ? x - y : y - x;
	return (a->st[i].se >> 15) == (b->st[i].se >> 15) && d <= 1;
}

static const char *difference(const struct row *row, const struct fp_state *a, const struct fp_state *b)
{
	const struct fx *x = &a->fx, *y = &b->fx;
	uint16_t fsw_ignored = row->how & ULP ? 0x0220 | 0x30 : 0;      /* C1, PE; UE at the edge */
	if (row->how & NO_C1)
		fsw_ignored |= 0x200;
	if (row->how & ULP && ((x->fcw & 0x30) != 0x30))
		fsw_ignored |= 0x8080;
	/* unmasked IE: the SDM says the condition codes are not set, some processors set them to
	 * unordered */
	if (row->data == 'X' && !(x->fcw & 1) && (x->fsw & 1))
		fsw_ignored |= 0x4500;
	if (a->vector != b->vector)
		return "vector";
	if (memcmp(a->r, b->r, 7 * 8))
		return "general registers";
	bool flags_open = (row->how & NO_C1) && !(x->fcw & 1) && (x->fsw & 1);  /* FCOMI: the same, in EFLAGS */
	if (a->flags != b->flags && !flags_open)
		return "flags";
	if (memcmp(a->mem, b->mem, 64))
		return "memory";
	if (x->mxcsr != y->mxcsr)
		return "mxcsr";
	/* CVTPS2PI and its like that end in #XM: here the x87 state is untouched, some processors
	 * have begun to change it */
	bool undone = a->vector == VEC_XM;
	if (x->fcw != y->fcw)
		return "fcw";
	for (unsigned i = 0; i < 8 && !undone; i++)
		if (x->st[i].mant != y->st[i].mant || x->st[i].se != y->st[i].se)
			if (!(row->how & ULP) || !ulp80(x, y, i))
				return "st";
	if (!undone && ((x->fsw ^ y->fsw) & ~fsw_ignored))
		return "fsw";
	if (!undone && x->ftw != y->ftw)
		return "ftw";
	for (unsigned i = 0; i < 16; i++) {
		if (!memcmp(x->xmm[i], y->xmm[i], 16))
			continue;
		if (!(row->how & NEAR))
			return "xmm";
		for (unsigned j = 0; j < 4; j++)
			if (!near32((uint32_t)(x->xmm[i][j / 2] >> 32 * (j & 1)), (uint32_t)(y->xmm[i][j / 2] >> 32 * (j & 1))))
				return "xmm";
	}
	return NULL;
}

static void show(const char *title, const struct fp_state *s)
{
	const struct fx *x = &s->fx;
	fprintf(stderr, "  %-6s vector %d fcw %04x fsw %04x ftw %02x mxcsr %04x flags %03x rax %016lx rcx %016lx rdx %016lx rbx %016lx\n", title, s->vector, x->fcw, x->fsw, x->ftw,
	        x->mxcsr, (unsigned)s->flags, s->r[0], s->r[1], s->r[2], s->r[3]);
	fprintf(stderr, "         mem %016lx %016lx\n         ", ((const uint64_t *)s->mem)[0], ((const uint64_t *)s->mem)[1]);
	for (unsigned i = 0; i < 8; i++)
		fprintf(stderr, "st%u %04x.%016lx%s", i, x->st[i].se, x->st[i].mant, i % 4 == 3 ? "\n         " : " ");
	for (unsigned i = 0; i < 16; i++)
		fprintf(stderr, "x%u %016lx.%016lx%s", i, x->xmm[i][1], x->xmm[i][0], i % 4 == 3 ? "\n         " : " ");
	fprintf(stderr, "\n");
}

static unsigned compare_rows(const struct row *rows, size_t n, const char *stream)
{
	const char *set = getenv("VMSCOPE_FP_CASES"), *only = getenv("VMSCOPE_FP_ROW");
	unsigned cases = set ? (unsigned)strtoul(set, NULL, 10) : 200, bad = 0;
	struct fp_sim *sim = fp_sim_new();
	for (size_t i = 0; i < n; i++) {
		struct rng r;
		char name[64];
		snprintf(name, sizeof name, "%s %s", stream, rows[i].name);
		rng_init(&r, 1, name);
		unsigned row_bad = 0;
		if (only && !strstr(rows[i].name, only))
			continue;
		for (unsigned k = 0; k < cases; k++) {
			struct fp_state start, a, b;
			uint8_t code[16];
			pick_state(&r, &rows[i], &start);
			unsigned len = encode(&r, &rows[i], code);
			a = b = start;
			fp_sim_hot(sim, k & 1);
			fp_sim_run(sim, code, len, &a);
			fp_host_run(code, len, &b);
			const char *what = difference(&rows[i], &a, &b);
			if (!what)
				continue;
			if (!row_bad++) {
				fprintf(stderr, "%s, case %u: %s differ:", rows[i].name, k, what);
				for (unsigned j = 0; j < len; j++)
					fprintf(stderr, " %02x", code[j]);
				fprintf(stderr, "\n");
				show("before", &start);
				show("here", &a);
				show("host", &b);
			}
		}
		if (row_bad)
			fprintf(stderr, "%s: %u of %u cases differ\n", rows[i].name, row_bad, cases);
		bad += row_bad != 0;
	}
	fp_sim_free(sim);
	return bad;
}

Test(fp_differential, mmx_and_sse_forms_do_what_the_host_does)
{
	if (!fp_host_present())
		cr_skip_test("the host is not an x86-64 with SSE4.2");
	cr_expect(eq(u32, compare_rows(sse_rows, ARRAY_LEN(sse_rows), "sse"), 0));
}

Test(fp_differential, x87_forms_do_what_the_host_does)
{
	if (!fp_host_present())
		cr_skip_test("the host is not an x86-64 with SSE4.2");
	cr_expect(eq(u32, compare_rows(x87_rows, ARRAY_LEN(x87_rows), "x87"), 0));
}
