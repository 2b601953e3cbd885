/* differential32.c - what 64-bit mode has dropped or does otherwise, in 32-bit code here and on the host.
 *
 * BCD adjustments exhaustively (all AL, AH, CF, AF that matter), and random states for SALC, BOUND, PUSHA, POPA, ENTER and
 * LEAVE with both operand sizes, one-byte INC and DEC, 16-bit addressing, LOOP and JCXZ.
 * Flags the manual leaves undefined are not compared. Skipped by name where the host is not an x86-64. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "sim/rng.h"
#include "tests/unit/cpu/fixture.h"
#include "tests/unit/cpu/host.h"

static struct fixture *f;

static void begin(void)
{
	if (!host_present())
		cr_skip_test("the host is not an x86-64: nothing to compare with");
	f = fixture_new(FIXTURE_PROT32);
}

static void end(void)
{
	fixture_free(f);
}

/* Run on both; vectors, registers and the flags of `mask` must be equal. */
static void both(const char *name, const uint8_t *code, unsigned len, const struct host_regs *in, uint64_t mask, unsigned n)
{
	struct host_regs host = *in;
	struct cpu *c = f->cpu;
	int want = host_run32(code, len, &host);
	memcpy(c->s.r, in->r, 8 * sizeof in->r[0]);
	cpu_set_rflags(c, in->flags, RFLAGS_STATUS | RFLAGS_DF);
	fixture_code(f, code, len);
	int got = fixture_run(f, n);
	if (want == 13 && got == VEC_BR)
		got = 13;
	cr_assert(eq(int, got, want), "%s: vector", name);
	if (got >= 0)
		return;
	for (unsigned i = 0; i < 8; i++)
		cr_assert(eq(u64, (uint32_t)c->s.r[i], (uint32_t)host.r[i]), "%s: register %u; eax was %#llx, flags %#llx", name, i,
		          (unsigned long long)in->r[0], (unsigned long long)in->flags);
	cr_assert(eq(u64, cpu_rflags(c) & mask, host.flags & mask), "%s: flags of %#llx; eax was %#llx, flags %#llx", name,
	          (unsigned long long)mask, (unsigned long long)in->r[0], (unsigned long long)in->flags);
	cr_assert(zero(int, memcmp(fixture_at(f, HOST_STACK - 512), (void *)(uintptr_t)(HOST_STACK - 512), 1024)), "%s: stack", name);
	cr_assert(zero(int, memcmp(fixture_at(f, HOST_DATA - 512), (void *)(uintptr_t)(HOST_DATA - 512), 1024)), "%s: data", name);
}

TestSuite(differential32, .init = begin, .fini = end, .timeout = 0);

static void adjust(const char *name, uint8_t op, uint64_t mask)
{
	for (uint64_t ax = 0; ax < 0x10000; ax += ax % 256 == 255 ? 0x1001 - 256 + 0x100 : 1)
		for (unsigned bits = 0; bits < 4; bits++) {
			struct host_regs r = { .r = { [R_RAX] = 0xabcd0000 | ax, [R_RSP] = HOST_STACK },
			                       .flags = (bits & 1 ? RFLAGS_CF : 0) | (bits & 2 ? RFLAGS_AF : 0) };
			both(name, &op, 1, &r, mask, 1);
		}
}
Test(differential32, daa) { adjust("DAA", 0x27, RFLAGS_STATUS & ~RFLAGS_OF); }
Test(differential32, das) { adjust("DAS", 0x2f, RFLAGS_STATUS & ~RFLAGS_OF); }
Test(differential32, aaa) { adjust("AAA", 0x37, RFLAGS_CF | RFLAGS_AF); }
Test(differential32, aas) { adjust("AAS", 0x3f, RFLAGS_CF | RFLAGS_AF); }
Test(differential32, salc) { adjust("SALC", 0xd6, RFLAGS_STATUS); }

static uint64_t pick(struct rng *r)
{
	static const uint32_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff };
	return rng_below(r, 3) ? (uint32_t)rng_u64(r) : edges[rng_below(r, ARRAY_LEN(edges))];
}

static void random_regs(struct rng *r, struct host_regs *regs)
{
	memset(regs, 0, sizeof *regs);
	for (unsigned i = 0; i < 8; i++)
		regs->r[i] = pick(r);
	regs->r[R_RSP] = HOST_STACK + 4 * rng_below(r, 16);
	regs->flags = rng_u64(r) & RFLAGS_STATUS;
	uint64_t *data = fixture_at(f, HOST_DATA - 512), *stack = fixture_at(f, HOST_STACK - 512);
	for (unsigned i = 0; i < 128; i++) {
		data[i] = pick(r) | pick(r) << 32;
		stack[i] = rng_u64(r);
	}
	memcpy((void *)(uintptr_t)(HOST_DATA - 512), data, 1024);
	memcpy((void *)(uintptr_t)(HOST_STACK - 512), stack, 1024);
}

static unsigned long cases(void)
{
	const char *env = getenv("VMSCOPE_INT_CASES");
	return env ? strtoul(env, NULL, 0) : 50;
}

/* n instructions of code, on random states; `data`: the register that is to point at data, or -1. */
static void random_states(const char *name, const uint8_t *code, unsigned len, uint64_t mask, unsigned n, int data)
{
	struct rng r;
	struct host_regs regs;
	rng_init(&r, 2, name);
	for (unsigned long i = 0; i < cases(); i++) {
		random_regs(&r, &regs);
		if (data >= 0)
			regs.r[data] = HOST_DATA + rng_below(&r, 64);
		both(name, code, len, &regs, mask, n);
	}
}
#define ROW(name, text, mask, n, data, ...) \
Test(differential32, name) { static const uint8_t code[] = { __VA_ARGS__ }; random_states(text, code, sizeof code, mask, n, data); }
#define SZP (RFLAGS_SF | RFLAGS_ZF | RFLAGS_PF)
ROW(aam, "AAM", SZP, 1, -1, 0xd4, 0x0a)
ROW(aam_7, "AAM 7", SZP, 1, -1, 0xd4, 0x07)
ROW(aam_0, "AAM 0", SZP, 1, -1, 0xd4, 0x00)
ROW(aad, "AAD", SZP, 1, -1, 0xd5, 0x0a)
ROW(aad_200, "AAD 200", SZP, 1, -1, 0xd5, 0xc8)
ROW(bound, "BOUND eax, [edi]", RFLAGS_STATUS, 1, R_RDI, 0x62, 0x07)
ROW(bound_16, "BOUND ax, [edi]", RFLAGS_STATUS, 1, R_RDI, 0x66, 0x62, 0x07)
ROW(pusha, "PUSHAD", RFLAGS_STATUS, 1, -1, 0x60)
ROW(pusha_16, "PUSHA", RFLAGS_STATUS, 1, -1, 0x66, 0x60)
ROW(popa, "POPAD; mov esp", RFLAGS_STATUS, 1, -1, 0x61)
ROW(popa_16, "POPA", RFLAGS_STATUS, 1, -1, 0x66, 0x61)
ROW(inc, "INC eax, DEC edi, INC cx", RFLAGS_STATUS, 3, -1, 0x40, 0x4f, 0x66, 0x41)
ROW(push_pop, "PUSH eax; POP cx; PUSH imm8; POP [edi]", RFLAGS_STATUS, 5, R_RDI, 0x50, 0x66, 0x59, 0x66, 0x5a, 0x6a, 0x85, 0x8f, 0x07)
ROW(push_esp, "PUSH esp; POP eax", RFLAGS_STATUS, 2, -1, 0x54, 0x58)
ROW(pop_esp_mem, "PUSH eax; PUSH ecx; POP [esp]; POP edx", RFLAGS_STATUS, 4, -1, 0x50, 0x51, 0x8f, 0x04, 0x24, 0x5a)
ROW(enter, "ENTER 8, 0", RFLAGS_STATUS, 1, -1, 0xc8, 8, 0, 0)
ROW(enter_16, "o16 ENTER 8, 0", RFLAGS_STATUS, 1, -1, 0x66, 0xc8, 8, 0, 0)
ROW(lea16, "LEA eax, [bx + si + 5]", RFLAGS_STATUS, 1, -1, 0x67, 0x8d, 0x40, 0x05)
ROW(lea16_w, "LEA cx, [bp + di - 300]", RFLAGS_STATUS, 1, -1, 0x66, 0x67, 0x8d, 0x8b, 0xd4, 0xfe)
ROW(xadd_alu, "ADD, ADC, SBB al, ah", RFLAGS_STATUS, 3, -1, 0x00, 0xe0, 0x10, 0xc4, 0x18, 0xd8)
ROW(cmpxchg8b, "CMPXCHG8B [edi]", RFLAGS_STATUS, 1, R_RDI, 0x0f, 0xc7, 0x0f)
ROW(string, "STOSB; MOV; LODSW", RFLAGS_STATUS, 3, R_RDI, 0xaa, 0x89, 0xfe, 0x66, 0xad)

/* MOV ecx, 3; loop: INC eax; LOOP: three times round. JECXZ skips one INC when ECX is 0. */
ROW(loop, "LOOP", RFLAGS_STATUS, 7, -1, 0xb9, 3, 0, 0, 0, 0x40, 0xe2, 0xfd)
ROW(loop16, "a16 LOOP", RFLAGS_STATUS, 7, -1, 0xb9, 3, 0, 1, 0, 0x40, 0x67, 0xe2, 0xfc)
ROW(jecxz, "JECXZ over INC eax", RFLAGS_STATUS, 2, -1, 0x31, 0xc9, 0xe3, 0x01, 0x40)
ROW(loopne, "CMP eax, ecx; LOOPNE to the next", RFLAGS_STATUS, 2, -1, 0x39, 0xc8, 0xe0, 0x00)
