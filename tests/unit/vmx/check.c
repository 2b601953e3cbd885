/* The checks of VM entry, each by a VMCS it accepts and one it refuses (check_cases.def). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/cet.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/check.h"
#include "tests/unit/cpu/fixture.h"
#include "tests/unit/vmx/valid.h"

/* ---- the table ---- */

enum { END, SET, OR, CLEAR, MEMORY };
struct change { uint8_t how; uint32_t where; uint64_t value; };
struct test_case { const char *name; enum vmx_check check; enum valid_base base; struct change good[10], bad[6]; };

#define PAGE_A  0x500000u
#define PAGE_B  0x501000u
#define VMCS_AT VALID_VMCS
#define PDPT_AT VALID_PDPT
#define BEYOND  BIT(52)
#define NOT_CANONICAL BIT(62)

#define S(field, v)   { SET, VMCS_##field, v }
#define O(field, v)   { OR, VMCS_##field, v }
#define C(field, v)   { CLEAR, VMCS_##field, v }
#define M(at, v)      { MEMORY, at, v }
#define SECONDARY     VMX_CTL(SECONDARY_CONTROLS)
#define SEC(control)  O(PROC_CONTROLS, SECONDARY), O(PROC2_CONTROLS, VMX_CTL(control))
#define TPR           O(PROC_CONTROLS, VMX_CTL(TPR_SHADOW)), S(VIRTUAL_APIC_ADDR, PAGE_A)
#define EPT           SEC(ENABLE_EPT), S(EPTP, PAGE_A | 3 << 3 | 6)
#define POSTED        TPR, SEC(VIRTUAL_INTERRUPTS), O(EXIT_CONTROLS, VMX_CTL(EXIT_ACK_INTERRUPT)), \
                      O(PIN_CONTROLS, VMX_CTL(EXTINT_EXITING) | VMX_CTL(POSTED_INTERRUPTS)), S(POSTED_DESC_ADDR, PAGE_B), \
                      S(POSTED_VECTOR, 0xf2)
#define LOAD_EFER     O(ENTRY_CONTROLS, VMX_CTL(ENTRY_LOAD_EFER)), S(GUEST_EFER, EFER_LMA | EFER_LME)
#define INJECT(type, vector) S(ENTRY_INTR_INFO, BIT(31) | (type) << 8 | (vector))
#define USER          S(GUEST_SS_ACCESS, 0xc0f3), S(GUEST_SS, 0x1b), S(GUEST_CS_ACCESS, 0xa0fb), S(GUEST_CS, 0x13)
#define MSR(nr, v)    M(PAGE_A, nr), M(PAGE_A + 8, v)
#define MSRS(nr, v)   S(ENTRY_MSR_LOAD_COUNT, 1), S(ENTRY_MSR_LOAD_ADDR, PAGE_A), MSR(nr, v)
#define EXIT_CET      O(EXIT_CONTROLS, VMX_CTL(EXIT_LOAD_CET))
#define ENTRY_CET     O(ENTRY_CONTROLS, VMX_CTL(ENTRY_LOAD_CET))
#define LIST(...)     { __VA_ARGS__ }

static const struct test_case cases[] = {
#define CASE(CHECK, base, good, bad) { #CHECK, VMX_CHECK_##CHECK, VALID_##base, LIST good, LIST bad },
#include "tests/unit/vmx/check_cases.def"
};

static void change(struct fixture *f, const struct change *x)
{
	for (; x->how != END; x++) {
		uint64_t *field = &f->cpu->vmcs->f[x->where];
		switch (x->how) {
		case SET:    *field = x->value; break;
		case OR:     *field |= x->value; break;
		case CLEAR:  *field &= ~x->value; break;
		case MEMORY: mem_write64(&f->mem, HPA(x->where), x->value); break;
		}
	}
}

static bool names(const struct vmx_failure *x, unsigned n, enum vmx_check k)
{
	for (unsigned i = 0; i < n; i++)
		if (x[i].check == k)
			return true;
	return false;
}

#define ROOM 64

static void accepted(struct fixture *f, const char *what)
{
	struct vmx_failure x[ROOM];
	unsigned n = vmx_check_all(f->cpu, x, ROOM);
	cr_expect(eq(u32, n, 0), "%s: %s", what, n ? vmx_check_rows[x[0].check].name : "");
}

/* ---- tests ---- */

Test(check, valid_vmcss_fail_nothing)
{
	static const char *const name[VALID_BASES] = { "LONG", "PROT", "PAE", "V86", "REAL", "HOST32", "NEHALEM", "CET", "CET32" };
	for (enum valid_base b = 0; b < VALID_BASES; b++) {
		struct fixture *f = valid_new(b);
		accepted(f, name[b]);
		fixture_free(f);
	}
}

Test(check, each_has_a_case_that_passes_and_one_that_fails)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct test_case *t = &cases[i];
		const struct vmx_check_row *row = &vmx_check_rows[t->check];
		struct fixture *f = valid_new(t->base);
		struct vmx_failure x[ROOM];
		struct check_view w;
		change(f, t->good);
		accepted(f, t->name);
		/* not accepted for the check's not applying */
		check_view_init(&w, f->cpu);
		if (t->check != VMX_CHECK_ACTIVITY_SIPI_EVENT && t->check != VMX_CHECK_LINK_CURRENT)
			cr_expect(check_applies(&w, (enum check_when)check_bodies[t->check].when, (enum vmcs_field)row->field), "%s", t->name);
		change(f, t->bad);
		unsigned n = vmx_check_all(f->cpu, x, ROOM);
		cr_expect(names(x, n, t->check), "%s is not among %u failures", t->name, n);
		for (unsigned k = 0; k < n; k++)
			cr_expect(ne(u64, x[k].wrong, 0));
		fixture_free(f);
	}
}

Test(check, every_row_has_a_case)
{
	bool seen[VMX_CHECKS] = { false };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		seen[cases[i].check] = true;
	for (unsigned k = 0; k < VMX_CHECKS; k++)
		cr_expect(seen[k], "%s", vmx_check_rows[k].name);
}

/* Sections come in the manual's order, names are unique and speak lower case, and nothing is left blank. */
Test(check, rows_are_complete_and_in_order)
{
	for (unsigned k = 0; k < VMX_CHECKS; k++) {
		const struct vmx_check_row *r = &vmx_check_rows[k];
		cr_expect(lt(int, 0, (int)strlen(r->expected)), "%s", r->name);
		cr_expect(lt(int, 0, (int)strlen(r->hint)), "%s", r->name);
		cr_expect(lt(int, 0, (int)strlen(r->title)), "%s", r->name);
		cr_expect(eq(sz, strspn(r->name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(r->name)));
		if (k)
			cr_expect(ge(int, r->area, vmx_check_rows[k - 1].area), "%s", r->name);
		for (unsigned i = 0; i < k; i++)
			cr_expect(ne(str, (char *)r->name, (char *)vmx_check_rows[i].name));
	}
}

/* All are found, in the table's order, however many there is room for. */
Test(check, all_failures_are_counted_in_order)
{
	struct fixture *f = valid_new(VALID_LONG);
	struct vmx_failure x[ROOM], two[2];
	static const struct change bad[] = { S(GUEST_RFLAGS, 0), S(HOST_CS, 0), O(PIN_CONTROLS, BIT(31)), S(HOST_RIP, NOT_CANONICAL), { END, 0, 0 } };
	static const enum vmx_check want[] = { VMX_CHECK_PIN_RESERVED, VMX_CHECK_HOST_CS_NONZERO, VMX_CHECK_HOST_RIP_CANONICAL, VMX_CHECK_RFLAGS_ONE };
	change(f, bad);
	cr_assert(eq(u32, vmx_check_all(f->cpu, x, ROOM), ARRAY_LEN(want)));
	for (unsigned i = 0; i < ARRAY_LEN(want); i++)
		cr_expect(eq(u32, x[i].check, want[i]));
	cr_expect(eq(u32, vmx_check_all(f->cpu, two, 2), ARRAY_LEN(want)));
	cr_expect(eq(u32, two[1].check, VMX_CHECK_HOST_CS_NONZERO));
	cr_expect(eq(u64, x[0].wrong, BIT(31)));
	cr_expect(eq(u64, x[3].found, 0));
	fixture_free(f);
}

/* Entry makes the same checks and leaves what it found for people. */
Test(check, entry_remembers_what_failed)
{
	struct fixture *f = valid_new(VALID_LONG);
	struct vmx_failure x[4];
	cr_expect(eq(u32, vmx_check_entry(f->cpu, x, 4), 0));
	cr_expect(eq(u32, f->cpu->failed.n, 0));
	f->cpu->vmcs->f[VMCS_GUEST_RFLAGS] = 0;
	cr_expect(eq(u32, vmx_check_entry(f->cpu, x, 4), 1));
	cr_expect(eq(u32, f->cpu->failed.n, 1));
	cr_expect(eq(u32, f->cpu->failed.f[0].check, VMX_CHECK_RFLAGS_ONE));
	fixture_free(f);
}

/* The MSR-load area: each entry by its number. */
Test(check, msr_entries_are_numbered_from_1)
{
	struct fixture *f = valid_new(VALID_LONG);
	struct vmx_failure x[4];
	static const struct change area[] = { S(ENTRY_MSR_LOAD_COUNT, 3), S(ENTRY_MSR_LOAD_ADDR, PAGE_A), MSR(0x174, 8), M(PAGE_A + 16, 0x1b),
	                                      M(PAGE_A + 24, ~0ull), M(PAGE_A + 32, 0xC0000101), { END, 0, 0 } };
	change(f, area);
	cr_assert(eq(u32, vmx_check_all(f->cpu, x, 4), 2));
	cr_expect(eq(u32, x[0].check, VMX_CHECK_MSR_VALUE));
	cr_expect(eq(u32, x[0].entry, 2));
	cr_expect(eq(u32, x[0].msr, 0x1b));
	cr_expect(eq(u32, x[1].check, VMX_CHECK_MSR_GS_BASE));
	cr_expect(eq(u32, x[1].entry, 3));
	cr_expect(vmx_check_msr_load(f->cpu, 0x174, 8));
	cr_expect(not(vmx_check_msr_load(f->cpu, 0xC0000101, 0)));
	fixture_free(f);
}

/* "WRMSR to the IA32_EFER MSR causes a general-protection exception if it would modify the LME bit" with CR0.PG = 1. */
Test(check, efer_in_the_msr_load_area_keeps_lme)
{
	struct fixture *f = valid_new(VALID_LONG);
	cr_expect(vmx_check_msr_load(f->cpu, 0xC0000080, EFER_LME | EFER_LMA | EFER_SCE));
	cr_expect(not(vmx_check_msr_load(f->cpu, 0xC0000080, EFER_SCE)));
	f->cpu->vmcs->f[VMCS_GUEST_CR0] &= ~(uint64_t)CR0_PG;
	cr_expect(vmx_check_msr_load(f->cpu, 0xC0000080, EFER_SCE));
	fixture_free(f);
}

Test(check, qualifications_of_reason_33)
{
	cr_expect(eq(u64, vmx_check_qualification(VMX_CHECK_PDPTE2), 2));
	cr_expect(eq(u64, vmx_check_qualification(VMX_CHECK_PDPTES_IN_MEMORY), 2));
	cr_expect(eq(u64, vmx_check_qualification(VMX_CHECK_INTERRUPTIBILITY_NMI_STI), 3));
	cr_expect(eq(u64, vmx_check_qualification(VMX_CHECK_LINK_ALIGN), 4));
	cr_expect(eq(u64, vmx_check_qualification(VMX_CHECK_LINK_CURRENT), 4));
	cr_expect(eq(u64, vmx_check_qualification(VMX_CHECK_RFLAGS_ONE), 0));
}

/* An entry much like the last one is checked in part only: what it finds is the same. Fields change at random, often back;
 * whatever passed is entered from. */
static void wander(enum valid_base base, uint64_t seed)
{
	struct fixture *f = valid_new(base);
	struct vmcs *v = f->cpu->vmcs;
	const struct vmcs good = *v;
	unsigned passes = 0;
	for (unsigned turn = 0; turn < 30000; turn++) {
		struct vmx_failure a[ROOM], b[ROOM];
		unsigned n = 1 + (seed >> 60) % 3;
		for (unsigned i = 0; i < n; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			unsigned field = (seed >> 33) % VMCS_N;
			uint64_t bit = BIT(seed >> 55 & 63) & vmcs_mask((enum vmcs_field)field);
			v->f[field] = seed & 0x100000 ? v->f[field] ^ bit : good.f[field];
		}
		if (turn % 16 == 0)
			*v = good;
		unsigned want = vmx_check_all(f->cpu, a, ROOM), got = vmx_check_entry(f->cpu, b, ROOM);
		cr_assert(eq(u32, got, want), "turn %u: %s", turn, want ? vmx_check_rows[a[0].check].name : "");
		passes += !want;
	}
	cr_expect(lt(u32, 3000, passes));
	fixture_free(f);
}

Test(check, an_entry_like_the_last_is_checked_alike)
{
	for (enum valid_base b = 0; b < VALID_BASES; b++)
		wander(b, 0x9e3779b97f4a7c15u * (b + 1));
}

/* ---- VMLAUNCH itself ---- */

/* "If any of these checks fail, ... VMfailValid" with error 7 or 8; "VM-entry failure due to invalid guest state" is a VM
 * exit with reason 33, "... due to MSR loading" one with reason 34: bit 31 set, to the host. The first that fails decides. */
static void launch(struct fixture *f, const char *name)
{
	struct cpu *c = f->cpu;
	struct vmx_failure x[ROOM];
	unsigned n = vmx_check_all(c, x, ROOM);
	enum vmx_check first = (enum vmx_check)x[0].check;
	static const uint8_t code[] = { 0x0f, 0x01, 0xc2, 0xf4 };       /* vmlaunch; hlt */
	cr_assert(ne(u32, n, 0));
	fixture_code(f, code, sizeof code);
	cr_expect(eq(int, fixture_run(f, 1), -1), "%s", name);
	const uint64_t *field = c->vmcs->f;
	cr_expect(eq(u32, c->failed.n, n), "%s", name);
	cr_expect(not(c->vmx.guest), "%s", name);
	switch (vmx_check_rows[first].area) {
	case VMX_AREA_CONTROL:
	case VMX_AREA_HOST:
		cr_expect(ne(u64, cpu_rflags(c) & RFLAGS_ZF, 0), "%s", name);
		cr_expect(eq(u64, field[VMCS_INSN_ERROR], vmx_check_rows[first].area == VMX_AREA_HOST ? VMX_ERR_HOST : VMX_ERR_CONTROLS),
		          "%s", name);
		cr_expect(eq(u64, c->s.rip, FIXTURE_CODE + 3), "%s", name);
		break;
	case VMX_AREA_GUEST:
		cr_expect(eq(u64, field[VMCS_EXIT_REASON], BIT(31) | 33), "%s", name);
		cr_expect(eq(u64, field[VMCS_EXIT_QUALIFICATION], vmx_check_qualification(first)), "%s", name);
		cr_expect(eq(u64, c->s.rip, VALID_HOST), "%s", name);
		break;
	default:
		cr_expect(eq(u64, field[VMCS_EXIT_REASON], BIT(31) | 34), "%s", name);
		cr_expect(eq(u64, field[VMCS_EXIT_QUALIFICATION], x[0].entry), "%s", name);
		cr_expect(eq(u64, c->s.rip, VALID_HOST), "%s", name);
	}
}

Test(check, vmlaunch_fails_as_the_first_failing_check_says)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture *f = valid_new(cases[i].base);
		change(f, cases[i].good);
		change(f, cases[i].bad);
		launch(f, cases[i].name);
		fixture_free(f);
	}
}

/* And without a failure it enters: 32-bit, 64-bit, virtual-8086, real-mode guests. */
Test(check, vmlaunch_enters_what_is_valid)
{
	static const char *const name[VALID_BASES] = { "LONG", "PROT", "PAE", "V86", "REAL", "HOST32", "NEHALEM", "CET", "CET32" };
	static const uint8_t code[] = { 0x0f, 0x01, 0xc2, 0xf4 };
	for (enum valid_base b = 0; b < VALID_BASES; b++) {
		struct fixture *f = valid_new(b);
		fixture_code(f, code, sizeof code);
		fixture_run(f, 1);
		cr_expect(eq(int, f->cpu->vmx.guest, 1), "%s", name[b]);
		cr_expect(eq(u64, f->cpu->s.rip, f->cpu->vmcs->f[VMCS_GUEST_RIP]), "%s", name[b]);
		cr_expect(eq(u32, f->cpu->failed.n, 0));
		fixture_free(f);
	}
}
