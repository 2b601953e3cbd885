/* emulate.c - the VMM's emulator against the CPU's own executor on the same random bytes. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "sim/rng.h"
#include "tests/unit/cpu/fixture.h"
#include "tests/unit/vmm/standin.h"

/* First opcode bytes of the instructions in emulate.def; two-byte ones after 0x0f. */
static const uint8_t one_byte[] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a, 0x1b, 0x20, 0x21,
	0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39, 0x3a, 0x3b, 0x3d, 0x50, 0x58, 0x63, 0x68, 0x6a,
	0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8f, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
	0xa8, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xb0, 0xb8, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff,
};
static const uint8_t two_byte[] = {
	0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7, 0xba, 0xbb, 0xbe, 0xbf, 0xc0, 0xc1, 0xc3, 0xc7, 0x10, 0x11, 0x28, 0x29, 0x2b,
	0x6f, 0x7f, 0xe7,
};
static const uint8_t prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65 };

static void random_bytes(struct rng *r, bool is64, uint8_t code[16])
{
	unsigned n = 0;
	for (unsigned i = 0; i < 16; i++)
		code[i] = (uint8_t)rng_u64(r);
	while (rng_below(r, 3) == 0 && n < 3)
		code[n++] = prefixes[rng_below(r, ARRAY_LEN(prefixes))];
	if (is64 && rng_below(r, 2))
		code[n++] = (uint8_t)(0x40 | rng_below(r, 16));
	if (rng_below(r, 3) == 0) {
		code[n++] = 0x0f;
		code[n++] = two_byte[rng_below(r, ARRAY_LEN(two_byte))];
	} else {
		code[n++] = one_byte[rng_below(r, ARRAY_LEN(one_byte))];
	}
	if (rng_below(r, 2)) {
		code[n] = (uint8_t)((code[n] & 0x3f) | 0x40);   /* mod 1: a small displacement */
		code[n + 1] = (code[n] & 7) == 4 ? 0x24 : code[n + 1];
	}
}

static void random_state(struct rng *r, struct cpu *c)
{
	bool wide = c->s.mode == MODE_LONG64;
	for (unsigned i = 0; i < 16; i++) {
		uint64_t at = (wide || c->s.mode == MODE_PROT32 ? FIXTURE_DATA : 0x8000) + rng_below(r, 0x1000) * 8;
		c->s.r[i] = rng_below(r, 4) ? at + rng_below(r, 2) * rng_below(r, 8) : rng_u64(r) >> rng_below(r, 64);
		if (!wide)
			c->s.r[i] = (uint32_t)c->s.r[i];
	}
	c->s.r[R_RCX] = rng_below(r, rng_below(r, 4) ? 20 : 0x4000);      /* strings end */
	c->s.r[R_RSP] = wide || c->s.mode == MODE_PROT32 ? FIXTURE_STACK - 64 : 0xff00;
	cpu_set_rflags(c, rng_u64(r), RFLAGS_STATUS | RFLAGS_DF);
	for (unsigned i = 0; i < 16; i++)
		c->s.xmm[i][0] = rng_u64(r), c->s.xmm[i][1] = rng_u64(r);
}

#define RAM 0x220000u           /* beyond it there are no devices: what is written is lost, what is read is ones */
static unsigned compared;

static void one_case(struct fixture *f, struct standin *s, struct rng *r, uint8_t *before, uint8_t *after, unsigned number)
{
	static const uint64_t watch[] = { 0x10000, 0x1e0000, 0x200000, 0x210000 };  /* what random states reach */
	struct cpu *c = f->cpu;
	uint8_t code[16];
	uint32_t error = 0;
	random_bytes(r, c->s.mode == MODE_LONG64, code);
	fixture_code(f, code, sizeof code);
	random_state(r, c);
	cpu_restored(c);
	struct cpu_state start = c->s;
	memcpy(before, f->mem.ram, RAM);

	/* the VMM's */
	s->vm.refused[0] = 0;
	standin_capture(s);
	c->s.cr2 = 0;
	enum emulated got;
	do      /* REP, a batch at a time */
		got = vcpu_emulate(&s->vcpu);
	while (got <= EMULATED_IN_VAIN && c->vmcs->f[VMCS_GUEST_RIP] == start.rip && standin_injected(s, &error) < 0);
	if (got == EMULATE_UNKNOWN) {
		c->s = start;
		cpu_restored(c);
		return;
	}
	int vector = standin_injected(s, &error);
	const uint64_t *vmcs = c->vmcs->f;
	struct cpu_state emulated = c->s;
	emulated.r[R_RSP] = vmcs[VMCS_GUEST_RSP];
	uint64_t rip = vmcs[VMCS_GUEST_RIP], rflags = vmcs[VMCS_GUEST_RFLAGS];
	memcpy(after, f->mem.ram, RAM);

	/* the CPU's */
	memcpy(f->mem.ram, before, RAM);
	c->s = start;
	cpu_restored(c);
	fixture_code(f, code, sizeof code);
	cpu_restored(c);
	c->s.cr2 = 0;
	int want = fixture_run(f, 1);
	compared++;
	cr_assert(eq(int, vector, want), "case %u: %02x %02x %02x %02x %02x %02x mode %u rcx %#lx", number, code[0], code[1], code[2],
	          code[3], code[4], code[5], start.mode, start.r[R_RCX]);
	if (vector >= 0) {
		cr_assert(eq(u32, error, vector == VEC_PF || vector == VEC_GP || vector == VEC_SS ? f->error : 0), "case %u", number);
		if (vector == VEC_PF)
			cr_assert(eq(u64, emulated.cr2, c->s.cr2), "case %u: %02x %02x %02x", number, code[0], code[1], code[2]);
	} else {
		cr_assert(eq(u64, rip, c->s.rip), "case %u: rip %02x %02x %02x %02x", number, code[0], code[1], code[2], code[3]);
		cr_assert(eq(u64, rflags & ~(uint64_t)RFLAGS_RF, cpu_rflags(c) & ~(uint64_t)RFLAGS_RF), "case %u: %02x %02x %02x %02x", number,
		          code[0], code[1], code[2], code[3]);
		for (unsigned i = 0; i < 16; i++)
			cr_assert(eq(u64, emulated.r[i], c->s.r[i]), "case %u: r%u %02x %02x %02x %02x", number, i, code[0], code[1], code[2],
			          code[3]);
		cr_assert(memcmp(emulated.xmm, c->s.xmm, sizeof emulated.xmm) == 0, "case %u: xmm", number);
		for (unsigned i = 0; i < ARRAY_LEN(watch); i++)
			cr_assert(memcmp(after + watch[i], f->mem.ram + watch[i], 0x10000) == 0, "case %u: memory %02x %02x %02x %02x",
			          number, code[0], code[1], code[2], code[3]);
	}
	memcpy(f->mem.ram, before, RAM);
	c->s = start;
	cpu_restored(c);
}

static void property(enum fixture_mode mode, unsigned cases)
{
	struct fixture *f = fixture_new(mode);
	struct standin s;
	struct rng r;
	uint8_t *before = malloc(RAM), *after = malloc(RAM);
	rng_init(&r, 17 + mode, "emulate");
	for (uint64_t i = 0; i < 0x20000; i += 8) {
		uint64_t x = rng_u64(&r);
		memcpy(fixture_at(f, FIXTURE_DATA - 0x8000 + i), &x, 8);
	}
	f->mem.ram_size = f->mem.low_size = RAM;
	f->cpu->s.cr4 |= CR4_OSFXSR;
	standin_init(&s, f->cpu);
	compared = 0;
	for (unsigned i = 0; i < cases; i++)
		one_case(f, &s, &r, before, after, i);
	cr_expect(lt(u32, cases / 2, compared), "most random instructions are known");
	free(before), free(after);
	fixture_free(f);
}

Test(emulate, does_what_the_cpu_does_in_64_bit_mode) { property(FIXTURE_LONG64, 3000); }
Test(emulate, does_what_the_cpu_does_in_32_bit_mode) { property(FIXTURE_PROT32, 3000); }
Test(emulate, does_what_the_cpu_does_in_real_mode) { property(FIXTURE_REAL16, 3000); }

/* Nothing that bytes can say makes the emulator crash or touch what it should not. */
Test(emulate, any_bytes_end_in_a_known_way)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	struct standin s;
	struct rng r;
	unsigned ended[EMULATE_UNKNOWN + 1] = { 0 };
	rng_init(&r, 5, "emulate");
	standin_init(&s, f->cpu);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t code[2] = { rng_u64(&r), rng_u64(&r) };
		fixture_code(f, code, sizeof code);
		random_state(&r, f->cpu);
		standin_capture(&s);
		enum emulated e = vcpu_emulate(&s.vcpu);
		cr_assert(le(u32, e, EMULATE_UNKNOWN));
		ended[e]++;
	}
	cr_expect(ended[EMULATED_IN_VAIN] && ended[EMULATE_INJECTED] && ended[EMULATE_UNKNOWN]);
	fixture_free(f);
}

Test(emulate, what_it_does_not_know_it_leaves_alone)
{
	uint32_t error;
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	struct standin s;
	standin_init(&s, f->cpu);
	fixture_code(f, (uint8_t[]){ 0x0f, 0xa2 }, 2);
	standin_capture(&s);
	cr_assert(eq(int, vcpu_emulate(&s.vcpu), EMULATE_UNKNOWN));
	cr_expect(eq(u64, f->cpu->vmcs->f[VMCS_GUEST_RIP], 0x10000));
	cr_expect(lt(int, standin_injected(&s, &error), 0));
	fixture_free(f);
}

/* SDM Vol. 3A, Table "Conditions for Generating a Double Fault". */
static int injected_with(uint32_t first, enum vector second, uint32_t *error)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	struct standin s;
	standin_init(&s, f->cpu);
	standin_capture(&s);
	s.vcpu.s.pending_event = first;
	vcpu_inject(&s.vcpu, second, second >= VEC_DF && second != VEC_MF && second != VEC_XM, 8);
	int vector = standin_injected(&s, error);
	fixture_free(f);
	return vector;
}
#define EXCEPTION(v) (1u << 31 | EVENT_HARDWARE << 8 | (v))
Test(emulate, exceptions_while_an_exception_is_delivered)
{
	static const struct { uint32_t first; enum vector second; int got; } rows[] = {
		{ 0, VEC_PF, VEC_PF }, { EXCEPTION(VEC_DB), VEC_PF, VEC_PF }, { EXCEPTION(VEC_UD), VEC_GP, VEC_GP },
		{ EXCEPTION(VEC_DE), VEC_GP, VEC_DF }, { EXCEPTION(VEC_GP), VEC_NP, VEC_DF }, { EXCEPTION(VEC_TS), VEC_PF, VEC_PF },
		{ EXCEPTION(VEC_SS), VEC_UD, VEC_UD }, { EXCEPTION(VEC_PF), VEC_GP, VEC_DF }, { EXCEPTION(VEC_PF), VEC_PF, VEC_DF },
		{ EXCEPTION(VEC_PF), VEC_UD, VEC_UD }, { EXCEPTION(VEC_AC), VEC_PF, VEC_PF }, { EXCEPTION(VEC_DF), VEC_DB, VEC_DB },
		{ 1u << 31 | EVENT_EXTERNAL << 8 | 0x20, VEC_PF, VEC_PF }, { 1u << 31 | EVENT_SOFTWARE << 8 | 13, VEC_GP, VEC_GP },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t error = 1;
		cr_expect(eq(int, injected_with(rows[i].first, rows[i].second, &error), rows[i].got), "row %zu", i);
		cr_expect(eq(u32, error, rows[i].got == VEC_DF || rows[i].got == VEC_UD || rows[i].got == VEC_DB ? 0 : 8), "row %zu", i);
	}
}

static void asked(void *who, enum machine_request what, uint32_t value)
{
	(void)value;
	*(int *)who += what == MACHINE_SHUTDOWN;
}
Test(emulate, a_fault_while_a_double_fault_is_delivered_shuts_the_vm_down)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	struct standin s;
	int n = 0;
	standin_init(&s, f->cpu);
	standin_capture(&s);
	f->cpu->machine = (struct machine_wire){ asked, &n };
	s.vcpu.s.pending_event = EXCEPTION(VEC_DF);
	vcpu_inject(&s.vcpu, VEC_UD, false, 0);
	cr_expect(eq(int, n, 0), "benign");
	s.vcpu.s.pending_event = EXCEPTION(VEC_DF);
	vcpu_inject(&s.vcpu, VEC_PF, true, 0);
	cr_expect(eq(int, n, 1));
	s.vcpu.s.pending_event = EXCEPTION(VEC_DF);
	vcpu_inject(&s.vcpu, VEC_GP, true, 0);
	cr_expect(eq(int, n, 2));
	fixture_free(f);
}
