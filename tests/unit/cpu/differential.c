/* differential.c - every integer instruction form of a user's program on random states, here and on the host's processor.
 *
 * A row of int_rows.def is one form: mnemonic, operand letters, sizes. For each case registers, flags and memory get
 * random values that visit the boundaries, Zydis encodes the instruction, and both processors run it from the same state
 * in 64-bit mode. Equal: all registers, the flags the manual defines (the row's rule), data and stack, and whether an
 * exception was raised. Adding an instruction to the test: a row.
 * VMSCOPE_INT_CASES sets the cases per row and size (default 12; `make differential` runs more than a million).
 * Skipped by name where the host is not an x86-64 or lacks the extension. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "models/cpu/block.h"
#include "models/cpu/decode.h"
#include "models/cpu/flags.h"
#include "sim/rng.h"
#include "tests/unit/cpu/fixture.h"
#include "tests/unit/cpu/host.h"

enum { NONE, REPE, REPNE, LOCK };
struct test { unsigned size, count; };         /* size in bytes; count: of a shift, masked */
typedef uint64_t rule_fn(const struct test *t);

struct row { const char *name, *operands; ZydisMnemonic mnemonic; unsigned sizes, prefix; rule_fn *rule; };

/* ---- which flags are defined ---- */
static uint64_t all(const struct test *t) { (void)t; return RFLAGS_STATUS; }
static uint64_t none(const struct test *t) { (void)t; return 0; }
static uint64_t no_af(const struct test *t) { (void)t; return RFLAGS_STATUS & ~RFLAGS_AF; }
static uint64_t no_af_pf(const struct test *t) { (void)t; return RFLAGS_STATUS & ~(RFLAGS_AF | RFLAGS_PF); }
static uint64_t cf_of(const struct test *t) { (void)t; return RFLAGS_CF | RFLAGS_OF; }
static uint64_t cf_zf(const struct test *t) { (void)t; return RFLAGS_CF | RFLAGS_ZF; }
static uint64_t zf(const struct test *t) { (void)t; return RFLAGS_ZF; }
static uint64_t bit_test(const struct test *t) { (void)t; return RFLAGS_CF | RFLAGS_ZF; }
static uint64_t bextr(const struct test *t) { (void)t; return RFLAGS_CF | RFLAGS_OF | RFLAGS_ZF; }
static uint64_t shift(const struct test *t)
{
	if (!t->count)
		return RFLAGS_STATUS;
	return RFLAGS_STATUS & ~RFLAGS_AF & ~(t->count != 1 ? RFLAGS_OF : 0) & ~(t->count >= 8 * t->size ? RFLAGS_CF : 0);
}
static uint64_t rotate(const struct test *t)
{
	return RFLAGS_STATUS & ~(t->count > 1 ? RFLAGS_OF : 0);
}
static uint64_t double_shift(const struct test *t)
{
	if (t->count > 8 * t->size)
		return 0;
	return shift(t) | (t->count ? RFLAGS_CF : 0);
}

static const struct row rows[] = {
#define ROW(M, operands, sizes, prefix, rule) { #M, operands, ZYDIS_MNEMONIC_##M, sizes, prefix, rule },
#include "tests/unit/cpu/int_rows.def"
};

/* ---- random values ---- */
static uint64_t pick(struct rng *r)
{
	static const uint64_t edges[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000,
		0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffffffe, 0x5555555555555555 };
	switch (rng_below(r, 4)) {
	case 0: return edges[rng_below(r, ARRAY_LEN(edges))];
	case 1: return rng_u64(r) >> rng_below(r, 64);
	default: return rng_u64(r);
	}
}

static ZydisRegister reg_of(struct rng *r, unsigned n, unsigned size, bool high)
{
	switch (size) {
	case 1:
		if (high && n < 4 && rng_below(r, 4) == 0)
			return (ZydisRegister)(ZYDIS_REGISTER_AH + n);
		return (ZydisRegister)(n < 4 ? ZYDIS_REGISTER_AL + n : ZYDIS_REGISTER_SPL + n - 4);
	case 2: return (ZydisRegister)(ZYDIS_REGISTER_AX + n);
	case 4: return (ZydisRegister)(ZYDIS_REGISTER_EAX + n);
	default: return (ZydisRegister)(ZYDIS_REGISTER_RAX + n);
	}
}

static unsigned any_reg(struct rng *r)
{
	unsigned n = (unsigned)rng_below(r, 15);
	return n >= R_RSP ? n + 1 : n;
}

/* ---- one case ---- */
struct a_case {
	uint8_t code[32];
	unsigned len, count;
	struct host_regs regs;
	bool address_has_rax;
};

static void memory(struct rng *r, struct a_case *k, ZydisEncoderOperand *o, unsigned size, bool aligned, bool lea)
{
	unsigned base = any_reg(r), index = any_reg(r);
	uint64_t at = HOST_DATA + (aligned ? 0 : rng_below(r, 64));
	int64_t disp = rng_below(r, 2) ? (int64_t)rng_below(r, 256) - 128 : (int64_t)rng_below(r, 1 << 20) - (1 << 19);
	o->type = ZYDIS_OPERAND_TYPE_MEMORY;
	o->mem.size = (ZyanU16)size;
	o->mem.base = (ZydisRegister)(ZYDIS_REGISTER_RAX + base);
	o->mem.displacement = disp;
	if (index != base && rng_below(r, 2)) {
		o->mem.index = (ZydisRegister)(ZYDIS_REGISTER_RAX + index);
		o->mem.scale = (ZyanU8)(1u << rng_below(r, 4));
		k->regs.r[index] = rng_below(r, 32);
		at -= k->regs.r[index] * o->mem.scale;
	}
	k->address_has_rax |= base == R_RAX || o->mem.index == ZYDIS_REGISTER_RAX;
	if (!lea)
		k->regs.r[base] = at - (uint64_t)disp;
}

static void operand(struct rng *r, struct a_case *k, ZydisEncoderOperand *o, char letter, unsigned size, const struct row *row)
{
	unsigned sub = letter == 's' || letter == 'S' ? 1 : letter == 'w' || letter == 'W' ? 2 : 4;
	bool bits = strncmp(row->name, "BT", 2) == 0;
	o->type = ZYDIS_OPERAND_TYPE_REGISTER;
	switch (letter) {
	case 'r': o->reg.value = reg_of(r, any_reg(r), size, true); break;
	case 's': case 'w': case 'd': o->reg.value = reg_of(r, any_reg(r), sub, size != 8); break;
	case 'm': memory(r, k, o, strcmp(row->name, "CMPXCHG8B") == 0 ? 8 : size, false, strcmp(row->name, "LEA") == 0); break;
	case 'S': case 'W': case 'D': memory(r, k, o, sub, false, false); break;
	case 'x': memory(r, k, o, 16, true, false); break;
	case 'q': {
		unsigned n = any_reg(r);
		o->reg.value = reg_of(r, n, size, false);
		k->regs.r[n] = (k->regs.r[n] & ~MASK(8 * size)) | ((rng_below(r, 2000) - 1000) & MASK(8 * size));
		break;
	}
	case 'c': o->reg.value = ZYDIS_REGISTER_CL; k->count = (unsigned)k->regs.r[R_RCX]; break;
	case '1': o->type = ZYDIS_OPERAND_TYPE_IMMEDIATE; o->imm.u = k->count = 1; break;
	case 'b':
		o->type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
		o->imm.s = bits || size == 1 ? (int64_t)rng_below(r, 128) : (int8_t)pick(r);
		if (row->rule == shift || row->rule == rotate || row->rule == double_shift || row->mnemonic == ZYDIS_MNEMONIC_RORX)
			o->imm.s = (int64_t)rng_below(r, 70);
		k->count = (unsigned)o->imm.u;
		break;
	case 'i':
		o->type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
		o->imm.s = size == 1 ? (int8_t)pick(r) : size == 2 ? (int16_t)pick(r) : (int32_t)pick(r);
		break;
	default: break;
	}
}

static bool make(struct rng *r, const struct row *row, unsigned size, struct a_case *k)
{
	ZydisEncoderRequest q;
	memset(&q, 0, sizeof q);
	memset(k, 0, sizeof *k);
	for (unsigned i = 0; i < 16; i++)
		k->regs.r[i] = pick(r);
	if (rng_below(r, 4) == 0)       /* so that comparisons are equal now and then */
		k->regs.r[R_RCX] = k->regs.r[R_RAX];
	if (rng_below(r, 4) == 0)
		k->regs.r[R_RDX] = rng_below(r, 2);
	k->regs.r[R_RSP] = HOST_STACK + 8 * rng_below(r, 16);
	k->regs.flags = rng_u64(r) & (RFLAGS_STATUS | (row->operands[0] == '-' ? RFLAGS_DF : 0));
	q.machine_mode = ZYDIS_MACHINE_MODE_LONG_64;
	q.mnemonic = row->mnemonic;
	q.prefixes = row->prefix == LOCK ? ZYDIS_ATTRIB_HAS_LOCK : row->prefix == REPNE ? ZYDIS_ATTRIB_HAS_REPNE :
	             row->prefix == REPE ? strstr("CMPS SCAS", (char[5]){ row->name[0], row->name[1], row->name[2], row->name[3], 0 }) ?
	             ZYDIS_ATTRIB_HAS_REPE : ZYDIS_ATTRIB_HAS_REP : 0;
	if (row->operands[0] == 'e') {
		q.operand_count = 2;
		q.operands[0].type = q.operands[1].type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
		q.operands[0].imm.u = rng_below(r, 64);
		q.operands[1].imm.u = rng_below(r, 2) ? rng_below(r, 5) : 32 * rng_below(r, 8);
		k->regs.r[R_RBP] = HOST_STACK + 8 * rng_below(r, 16);
	} else if (row->operands[0] == '-') {
		k->regs.r[R_RSI] = HOST_DATA + rng_below(r, 256) - 128;
		k->regs.r[R_RDI] = HOST_DATA + rng_below(r, 256) - 128;
		if (row->mnemonic == ZYDIS_MNEMONIC_XLAT)
			k->regs.r[R_RBX] = HOST_DATA - rng_below(r, 128);
		if (row->mnemonic == ZYDIS_MNEMONIC_LEAVE)
			k->regs.r[R_RBP] = HOST_STACK + 8 * rng_below(r, 16);
		if (row->prefix)
			k->regs.r[R_RCX] = rng_below(r, 24);
	} else {
		/* memory last: its registers must keep their values */
		q.operand_count = (ZyanU8)strlen(row->operands);
		for (unsigned pass = 0; pass < 2; pass++)
			for (unsigned i = 0; i < q.operand_count; i++)
				if ((strchr("mSWDx", row->operands[i]) != NULL) == (pass == 0))
					operand(r, k, &q.operands[i], row->operands[i], size, row);
	}
	ZyanUSize n = sizeof k->code;
	if (!ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&q, k->code, &n)))
		return false;           /* AH beside a REX prefix, and the like */
	k->len = (unsigned)n;
	return true;
}

/* A bit string's index register may also be its base: then the address is anywhere. */
static bool wild(const struct row *row, int vector)
{
	return vector == 13 && strchr(row->operands, 'q');
}

static uint64_t window(uint64_t at) { return at - HOST_WINDOW / 2; }

static void fill(struct rng *r, struct fixture *f)
{
	uint64_t *p = (uint64_t *)fixture_at(f, window(HOST_DATA));
	for (unsigned i = 0; i < HOST_WINDOW / 8; i++)
		p[i] = rng_below(r, 4) ? rng_u64(r) : pick(r);
	if (rng_below(r, 2))            /* equal stretches, for CMPS and SCAS */
		memset((uint8_t *)p + rng_below(r, 512), (int)rng_below(r, 256), 400);
	memcpy((void *)(uintptr_t)window(HOST_DATA), p, HOST_WINDOW);
	memset(fixture_at(f, window(HOST_STACK)), 0x5a, HOST_WINDOW);
	memset((void *)(uintptr_t)window(HOST_STACK), 0x5a, HOST_WINDOW);
}

/* CMPXCHG: half the time make the comparison succeed. */
static void agree(struct rng *r, const struct row *row, struct a_case *k)
{
	if (strncmp(row->name, "CMPXCHG", 7) || rng_below(r, 2) || k->address_has_rax)
		return;
	for (unsigned i = 0; i < 64; i += 8) {
		uint64_t v;
		memcpy(&v, (void *)(uintptr_t)(HOST_DATA + i), 8);
		if (rng_below(r, 8) == 0)
			k->regs.r[R_RAX] = v;
	}
}

static void describe(char *text, size_t n, const struct row *row, const struct a_case *k)
{
	int at = snprintf(text, n, "%s %s:", row->name, row->operands);
	for (unsigned i = 0; i < k->len; i++)
		at += snprintf(text + at, n - (size_t)at, " %02x", k->code[i]);
}

static bool run_case(struct rng *r, struct fixture *f, const struct row *row, unsigned size)
{
	struct a_case k;
	struct cpu *c = f->cpu;
	char text[160];
	if (!make(r, row, size, &k))
		return false;
	fill(r, f);
	agree(r, row, &k);
	struct host_regs host = k.regs;
	int want = host_run(k.code, k.len, &host);
	if (want == 6 || wild(row, want))
		return false;           /* the host does not know it */
	memcpy(c->s.r, k.regs.r, sizeof k.regs.r);
	cpu_set_rflags(c, k.regs.flags, RFLAGS_STATUS | RFLAGS_DF);
	fixture_code(f, k.code, k.len);
	int got = fixture_run(f, 1);
	describe(text, sizeof text, row, &k);
	cr_assert(eq(int, got, want), "%s: vector", text);
	if (got >= 0) {
		memcpy(c->s.r, k.regs.r, sizeof k.regs.r);
		cpu_restored(c);
		return true;
	}
	struct test t = { .size = size, .count = k.count & (size == 8 ? 63 : 31) };
	bool undefined = row->rule == double_shift && t.count > 8 * size;
	for (unsigned i = 0; i < 16 && !undefined; i++)
		cr_assert(eq(u64, c->s.r[i], host.r[i]), "%s: register %u; was %#llx", text, i, (unsigned long long)k.regs.r[i]);
	uint64_t mask = row->rule(&t) | RFLAGS_DF;
	cr_assert(eq(u64, cpu_rflags(c) & mask, host.flags & mask), "%s: flags, of %#llx; were %#llx rax %#llx rcx %#llx", text,
	          (unsigned long long)mask, (unsigned long long)k.regs.flags, (unsigned long long)k.regs.r[0], (unsigned long long)k.regs.r[1]);
	if (!undefined) {
		cr_assert(zero(int, memcmp(fixture_at(f, window(HOST_DATA)), (void *)(uintptr_t)window(HOST_DATA), HOST_WINDOW)), "%s: data", text);
		cr_assert(zero(int, memcmp(fixture_at(f, window(HOST_STACK)), (void *)(uintptr_t)window(HOST_STACK), HOST_WINDOW)), "%s: stack", text);
	}
	return true;
}

static void run_rows(unsigned part, unsigned parts)
{
	if (!host_present())
		cr_skip_test("the host is not an x86-64: nothing to compare with");
	const char *env = getenv("VMSCOPE_INT_CASES");
	unsigned long cases = env ? strtoul(env, NULL, 0) : 12, done = 0;
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	memset(f->cpu->features, 0xff, sizeof f->cpu->features);
	decoder_free(f->cpu->decoder);
	f->cpu->decoder = decoder_new(f->cpu);
	for (unsigned i = part; i < ARRAY_LEN(rows); i += parts) {
		struct rng r;
		char stream[64];
		snprintf(stream, sizeof stream, "%s %s %u", rows[i].name, rows[i].operands, rows[i].prefix);
		rng_init(&r, 1, stream);
		for (unsigned size = 1; size <= 8; size *= 2)
			for (unsigned long n = 0; n < cases && rows[i].sizes & size; n++)
				done += run_case(&r, f, &rows[i], size);
	}
	cr_log_info("%lu cases of integer instructions equal to the host's", done);
	cr_assert(lt(ulong, cases * ARRAY_LEN(rows) / parts, done), "most cases ran");
	fixture_free(f);
}

Test(differential, integer_instructions_do_what_the_host_does_1, .timeout = 0) { run_rows(0, 2); }
Test(differential, integer_instructions_do_what_the_host_does_2, .timeout = 0) { run_rows(1, 2); }
