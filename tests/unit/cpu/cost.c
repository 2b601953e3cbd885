/* cost.c - an instruction costs what the profile's row of its class says. */
#include "tests/unit/cpu/prot.h"

/* Cycles of one instruction when every class has a price of its own. */
static uint64_t price(enum cost class, uint64_t cycles, const uint8_t *code, unsigned n)
{
	struct fixture *f = fixture_new(FIXTURE_PROT32);
	for (unsigned i = 0; i < COST_N; i++)
		f->profile.cost[i] = 3000 + i;
	f->profile.cost[class] = cycles;
	f->cpu->s.r[R_RDI] = FIXTURE_DATA;
	fixture_code(f, code, n);
	cr_assert(eq(int, fixture_run(f, 1), NONE));
	uint64_t spent = ledger_by_why(&f->cpu->ledger, WHY_EXECUTE);
	fixture_free(f);
	return spent;
}

#define ROW(name, class, ...) \
Test(cost, name) \
{ \
	static const uint8_t code[] = { __VA_ARGS__ }; \
	cr_expect(eq(u64, price(COST_##class, 7, code, sizeof code), 7)); \
	cr_expect(eq(u64, price(COST_##class, 501, code, sizeof code), 501)); \
}
ROW(add,   ALU,       0x01, 0xc8)               /* add eax, ecx */
ROW(adc,   CARRY,     0x11, 0xc8)
ROW(sbb,   CARRY,     0x19, 0xc8)
ROW(adcx,  CARRY,     0x66, 0x0f, 0x38, 0xf6, 0xc1)
ROW(adox,  CARRY,     0xf3, 0x0f, 0x38, 0xf6, 0xc1)
ROW(clc,   FLAG,      0xf8)
ROW(stc,   FLAG,      0xf9)
ROW(cmc,   FLAG,      0xf5)
ROW(cld,   DIRECTION, 0xfc)
ROW(std,   DIRECTION, 0xfd)
ROW(lahf,  AHF,       0x9f)
ROW(sahf,  AHF,       0x9e)
ROW(shl,   SHIFT,     0xd1, 0xe0)
ROW(imul,  MUL,       0x0f, 0xaf, 0xc1)
ROW(bsf,   BIT,       0x0f, 0xbc, 0xc1)
ROW(daa,   BCD,       0x27)
ROW(pushf, FLAGS,     0x9c)
ROW(cli,   CLI,       0xfa)
ROW(rdtsc, RDTSC,     0x0f, 0x31)
ROW(cpuid, CPUID,     0x0f, 0xa2)
#undef ROW

/* A form with memory operands adds what its class's row does not hold. */
#define ROW(name, sum, ...) \
Test(cost, name) \
{ \
	static const uint8_t code[] = { __VA_ARGS__ }; \
	uint64_t others = 0; \
	static const unsigned parts[] = sum; \
	for (unsigned i = 1; i < sizeof parts / sizeof *parts; i++) \
		others += 3000 + parts[i]; \
	cr_expect(eq(u64, price(parts[0], 7, code, sizeof code), others + 7)); \
}
#define SUM(...) { __VA_ARGS__ }
ROW(adc_from_memory, SUM(COST_CARRY, COST_LOAD),                          0x13, 0x07)       /* adc eax, [edi] */
ROW(adc_to_memory,   SUM(COST_CARRY, COST_LOAD, COST_STORE),              0x11, 0x07)
ROW(lock_adc,        SUM(COST_CARRY, COST_LOAD, COST_STORE, COST_LOCK),   0xf0, 0x11, 0x07)
#undef SUM
#undef ROW
