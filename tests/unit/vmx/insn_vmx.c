/* insn_vmx.c - the VMX instructions outside a guest: where they exist, what they check, how they fail. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "tests/unit/vmx/fixture.h"

static struct vmx_fixture *f;
static void bare(void) { f = vmx_fixture_bare(); }
static void root(void) { f = vmx_fixture_new(); }
static void done(void) { vmx_fixture_free(f); }
TestSuite(vmx_insn, .init = root, .fini = done);
TestSuite(vmx_insn_bare, .init = bare, .fini = done);

/* Operand at [rax] = [FIXTURE_DATA]. */
static const uint8_t vmxon[] = { 0xf3, 0x0f, 0xc7, 0x30 }, vmclear[] = { 0x66, 0x0f, 0xc7, 0x30 }, vmptrld[] = { 0x0f, 0xc7, 0x30 },
                     vmptrst[] = { 0x0f, 0xc7, 0x38 }, vmxoff[] = { 0x0f, 0x01, 0xc4 }, vmlaunch[] = { 0x0f, 0x01, 0xc2 },
                     vmresume[] = { 0x0f, 0x01, 0xc3 }, vmcall[] = { 0x0f, 0x01, 0xc1 }, vmfunc[] = { 0x0f, 0x01, 0xd4 },
                     vmread[] = { 0x0f, 0x78, 0xca },           /* vmread rdx, rcx: field RCX to RDX */
                     vmwrite[] = { 0x0f, 0x79, 0xca },          /* vmwrite rcx, rdx: field RCX from RDX */
                     invept[] = { 0x66, 0x0f, 0x38, 0x80, 0x08 },       /* type RCX, [rax] */
                     invvpid[] = { 0x66, 0x0f, 0x38, 0x81, 0x08 };
enum outcome { SUCCEED = 0, INVALID = RFLAGS_CF, VALID = RFLAGS_ZF };

static void *data(void) { return fixture_at(f->f, FIXTURE_DATA); }
static int go(const uint8_t *insn, unsigned n)
{
	f->c->s.r[R_RAX] = FIXTURE_DATA;
	cpu_set_rflags(f->c, RFLAGS_STATUS, RFLAGS_STATUS);
	return vmx_root_code(f, insn, n, 1);
}
#define GO(insn) go(insn, sizeof insn)
static uint64_t flags(void) { return cpu_rflags(f->c) & RFLAGS_STATUS; }
static int with_pointer(const uint8_t *insn, unsigned n, uint64_t pa)
{
	memcpy(data(), &pa, 8);
	return go(insn, n);
}
#define POINTER(insn, pa) with_pointer(insn, sizeof insn, pa)
#define FAILS(number) \
	do { \
		cr_expect(eq(u64, flags(), VALID)); \
		cr_expect(eq(u64, vmx_field(f, VMCS_INSN_ERROR), number)); \
	} while (0)

/* ---- where they exist ---- */

Test(vmx_insn_bare, outside_vmx_operation_all_but_vmxon_are_undefined)
{
	static const struct { const uint8_t *p; unsigned n; } all[] = {
		{ vmclear, 4 }, { vmptrld, 3 }, { vmptrst, 3 }, { vmxoff, 3 }, { vmlaunch, 3 }, { vmresume, 3 }, { vmcall, 3 },
		{ vmread, 3 }, { vmwrite, 3 }, { invept, 5 }, { invvpid, 5 }, { vmfunc, 3 },
	};
	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		cr_expect(eq(int, go(all[i].p, all[i].n), VEC_UD), "instruction %u", i);
}
Test(vmx_insn, vmfunc_is_undefined_in_root_operation) { cr_assert(eq(int, GO(vmfunc), VEC_UD)); }
Test(vmx_insn_bare, vmxon_without_vmxe_is_undefined)
{
	f->c->s.cr4 &= ~CR4_VMXE;
	cpu_restored(f->c);
	cr_assert(eq(int, POINTER(vmxon, AT_VMXON), VEC_UD));
}
Test(vmx_insn_bare, vmxon_is_privileged)
{
	fixture_ring3(f->f);
	cr_assert(eq(int, POINTER(vmxon, AT_VMXON), VEC_GP));
}
Test(vmx_insn_bare, vmxon_without_ne_is_gp)
{
	f->c->s.cr0 &= ~CR0_NE;
	cpu_restored(f->c);
	cr_assert(eq(int, POINTER(vmxon, AT_VMXON), VEC_GP));
}
Test(vmx_insn_bare, vmxon_needs_feature_control_locked_and_enabled)
{
	f->c->s.feature_control = 1;
	cr_expect(eq(int, POINTER(vmxon, AT_VMXON), VEC_GP));
	f->c->s.feature_control = 4;
	cr_expect(eq(int, POINTER(vmxon, AT_VMXON), VEC_GP));
	f->c->s.feature_control = 5;
	cr_expect(eq(int, POINTER(vmxon, AT_VMXON), -1));
}

/* ---- VMXON, VMXOFF ---- */

Test(vmx_insn_bare, vmxon_enters_root_operation)
{
	cr_assert(eq(int, POINTER(vmxon, AT_VMXON), -1));
	cr_assert(eq(u64, flags(), SUCCEED));
	cr_assert(eq(u64, f->c->vmx.vmxon, AT_VMXON));
	cr_assert(eq(int, GO(vmptrst), -1));
	cr_assert(eq(u64, *(uint64_t *)data(), VMCS_NONE));
}
Test(vmx_insn_bare, vmxon_checks_its_pointer)
{
	const uint64_t bad[] = { AT_VMXON + 8, BIT(f->f->profile.phys_bits) | AT_VMXON, AT_SPARE /* no revision */,
		                 AT_SHADOW_VMCS /* bit 31 */ };
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		cr_expect(eq(int, POINTER(vmxon, bad[i]), -1));
		cr_expect(eq(u64, flags(), INVALID), "pointer %#lx", bad[i]);
		cr_expect(eq(u64, f->c->vmx.vmxon, VMCS_NONE));
	}
}
Test(vmx_insn, vmxon_in_root_operation_fails_with_15)
{
	POINTER(vmxon, AT_VMXON);
	FAILS(VMX_ERR_VMXON_ROOT);
}
Test(vmx_insn, vmxoff_leaves)
{
	cr_assert(eq(int, GO(vmxoff), -1));
	cr_assert(eq(u64, flags(), SUCCEED));
	cr_assert(eq(int, GO(vmxoff), VEC_UD));
}
Test(vmx_insn, all_are_privileged)
{
	fixture_ring3(f->f);
	static const struct { const uint8_t *p; unsigned n; } all[] = {
		{ vmclear, 4 }, { vmptrld, 3 }, { vmptrst, 3 }, { vmxoff, 3 }, { vmlaunch, 3 }, { vmresume, 3 }, { vmcall, 3 },
		{ vmread, 3 }, { vmwrite, 3 }, { invept, 5 }, { invvpid, 5 }, { vmxon, 4 },
	};
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		cr_expect(eq(int, go(all[i].p, all[i].n), VEC_GP), "instruction %u", i);
		fixture_ring3(f->f);
	}
}
Test(vmx_insn, mov_to_cr4_cannot_clear_vmxe)
{
	f->c->s.r[R_RAX] = f->c->s.cr4 & ~CR4_VMXE;
	cr_assert(eq(int, vmx_root_code(f, (uint8_t[]){ 0x0f, 0x22, 0xe0 }, 3, 1), VEC_GP));
}
Test(vmx_insn, mov_to_cr0_cannot_clear_ne_or_pg)
{
	static const uint64_t bits[] = { CR0_NE, CR0_PG };
	for (unsigned i = 0; i < 2; i++) {
		f->c->s.r[R_RAX] = f->c->s.cr0 & ~bits[i];
		cr_expect(eq(int, vmx_root_code(f, (uint8_t[]){ 0x0f, 0x22, 0xc0 }, 3, 1), VEC_GP));
	}
}

/* ---- VMCLEAR, VMPTRLD, VMPTRST ---- */

Test(vmx_insn, vmclear_checks_its_pointer)
{
	POINTER(vmclear, AT_VMCS2 + 1);
	FAILS(VMX_ERR_VMCLEAR_ADDR);
	POINTER(vmclear, BIT(f->f->profile.phys_bits));
	FAILS(VMX_ERR_VMCLEAR_ADDR);
	POINTER(vmclear, AT_VMXON);
	FAILS(VMX_ERR_VMCLEAR_VMXON);
}
Test(vmx_insn, vmclear_of_the_current_vmcs_leaves_none)
{
	POINTER(vmclear, AT_VMCS);
	cr_assert(eq(u64, flags(), SUCCEED));
	cr_assert(eq(ptr, f->c->vmcs, NULL));
	POINTER(vmclear, AT_VMCS2 + 1);
	cr_assert(eq(u64, flags(), INVALID), "no VMCS can take the error number");
}
Test(vmx_insn, vmptrld_checks_its_pointer)
{
	POINTER(vmptrld, AT_VMCS2 + 0x800);
	FAILS(VMX_ERR_VMPTRLD_ADDR);
	POINTER(vmptrld, BIT(63) | AT_VMCS2);
	FAILS(VMX_ERR_VMPTRLD_ADDR);
	POINTER(vmptrld, AT_VMXON);
	FAILS(VMX_ERR_VMPTRLD_VMXON);
	POINTER(vmptrld, AT_SPARE);
	FAILS(VMX_ERR_VMPTRLD_REVISION);
	POINTER(vmptrld, 0xa0000);
	FAILS(VMX_ERR_VMPTRLD_REVISION);
	cr_assert(eq(u64, f->c->vmcs->pa, AT_VMCS));
}
Test(vmx_insn, vmptrld_and_vmptrst)
{
	POINTER(vmptrld, AT_VMCS2);
	cr_assert(eq(u64, flags(), SUCCEED));
	GO(vmptrst);
	cr_assert(eq(u64, *(uint64_t *)data(), AT_VMCS2));
	cr_assert(eq(u64, flags(), SUCCEED));
}
/* "a VMCS region's data may be kept on the processor" until VMCLEAR */
Test(vmx_insn, memory_sees_a_field_after_vmclear_only)
{
	f->c->s.r[R_RCX] = 0x681e;
	f->c->s.r[R_RDX] = 0x123456789abc;
	GO(vmwrite);
	uint8_t *region = fixture_at(f->f, AT_VMCS), before[4096];
	memcpy(before, region, 4096);
	f->c->s.r[R_RDX]++;
	GO(vmwrite);
	cr_assert(eq(int, memcmp(before, region, 4096), 0));
	POINTER(vmclear, AT_VMCS);
	cr_assert(ne(int, memcmp(before, region, 4096), 0));
	POINTER(vmptrld, AT_VMCS);
	cr_assert(eq(u64, vmx_field(f, VMCS_GUEST_RIP), 0x123456789abd));
}
/* More VMCSs than fit on chip: the least recently used one goes to memory and comes back whole. */
Test(vmx_insn, active_vmcss_make_room_for_others)
{
	for (unsigned i = 0; i < 2 * VMCS_SLOTS; i++) {
		uint64_t pa = 0x500000 + i * 0x1000ull;
		uint32_t revision = VMCS_REVISION;
		memcpy(fixture_at(f->f, pa), &revision, 4);
		POINTER(vmptrld, pa);
		cr_assert(eq(u64, flags(), SUCCEED));
		f->c->vmcs->launched = i & 1;
		f->c->s.r[R_RCX] = 0x681e;
		f->c->s.r[R_RDX] = i;
		GO(vmwrite);
	}
	for (unsigned i = 0; i < 2 * VMCS_SLOTS; i++) {
		POINTER(vmptrld, 0x500000 + i * 0x1000ull);
		f->c->s.r[R_RCX] = 0x681e;
		GO(vmread);
		cr_expect(eq(u64, f->c->s.r[R_RDX], i));
		cr_expect(eq(u8, f->c->vmcs->launched, i & 1));
	}
}

/* ---- VMREAD, VMWRITE ---- */

/* Every field: written all ones, it keeps its width; its high half by the odd encoding. */
Test(vmx_insn, every_field_has_its_width)
{
	for (unsigned i = 0; i < VMCS_N; i++) {
		enum vmcs_field n = (enum vmcs_field)i;
		if (!vmcs_exists(f->c, n))
			continue;
		f->c->s.r[R_RCX] = vmcs_rows[i].encoding;
		f->c->s.r[R_RDX] = ~0ull;
		GO(vmwrite);
		cr_expect(eq(u64, flags(), SUCCEED), "%s", vmcs_rows[i].name);
		f->c->s.r[R_RDX] = 0;
		GO(vmread);
		cr_expect(eq(u64, f->c->s.r[R_RDX], vmcs_mask(n)), "%s", vmcs_rows[i].name);
		f->c->s.r[R_RCX]++;
		f->c->s.r[R_RDX] = 0x12345678;
		GO(vmwrite);
		if (vmcs_width(n) != VMCS_64) {
			FAILS(VMX_ERR_FIELD);
			continue;
		}
		cr_expect(eq(u64, vmx_field(f, n), 0x12345678ffffffff), "%s", vmcs_rows[i].name);
		f->c->s.r[R_RDX] = 0;
		GO(vmread);
		cr_expect(eq(u64, f->c->s.r[R_RDX], 0x12345678), "%s", vmcs_rows[i].name);
	}
}
Test(vmx_insn, no_such_field_fails_with_12)
{
	static const uint64_t none[] = { 0x6, 0x1000, 0x2050, 0x7000, 0x8000, 0x681e | BIT(32), ~0ull };
	for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
		f->c->s.r[R_RCX] = none[i];
		GO(vmread);
		FAILS(VMX_ERR_FIELD);
		vmx_set_field(f, VMCS_INSN_ERROR, 0);
		GO(vmwrite);
		FAILS(VMX_ERR_FIELD);
	}
}
/* "whether software may VMWRITE to any supported field": not before there are shadow VMCSs */
Test(vmx_insn, read_only_fields_fail_with_13_on_early_cpus)
{
	snprintf(f->f->profile.name, sizeof f->f->profile.name, "sandybridge");
	for (unsigned i = 0; i < VMCS_N; i++) {
		f->c->s.r[R_RCX] = vmcs_rows[i].encoding;
		if (vmcs_type((enum vmcs_field)i) != VMCS_READ_ONLY || !vmcs_exists(f->c, (enum vmcs_field)i))
			continue;
		GO(vmwrite);
		FAILS(VMX_ERR_READ_ONLY);
	}
}
Test(vmx_insn, fields_of_absent_controls_do_not_exist)
{
	snprintf(f->f->profile.name, sizeof f->f->profile.name, "core2");
	static const uint64_t later[] = { 0x201a /* EPTP */, 0x0000 /* VPID */, 0x482e /* preemption timer */, 0x2806 /* EFER */ };
	for (unsigned i = 0; i < ARRAY_LEN(later); i++) {
		f->c->s.r[R_RCX] = later[i];
		GO(vmread);
		FAILS(VMX_ERR_FIELD);
	}
}
Test(vmx_insn, without_a_current_vmcs_reading_fails_invalid)
{
	POINTER(vmclear, AT_VMCS);
	f->c->s.r[R_RCX] = 0x681e;
	GO(vmread);
	cr_expect(eq(u64, flags(), INVALID));
	GO(vmwrite);
	cr_expect(eq(u64, flags(), INVALID));
	GO(vmlaunch);
	cr_expect(eq(u64, flags(), INVALID));
	GO(vmcall);
	cr_expect(eq(u64, flags(), INVALID));
}
Test(vmx_insn, memory_operands)
{
	vmx_set_field(f, VMCS_GUEST_RIP, 0x1122334455667788);
	f->c->s.r[R_RCX] = 0x681e;
	go((uint8_t[]){ 0x0f, 0x78, 0x08 }, 3);                 /* vmread [rax], rcx */
	cr_assert(eq(u64, *(uint64_t *)data(), 0x1122334455667788));
	*(uint64_t *)data() = 0x99;
	go((uint8_t[]){ 0x0f, 0x79, 0x08 }, 3);                 /* vmwrite rcx, [rax] */
	cr_assert(eq(u64, vmx_field(f, VMCS_GUEST_RIP), 0x99));
}

/* ---- VMLAUNCH, VMRESUME, VMCALL ---- */

Test(vmx_insn, vmlaunch_of_a_launched_vmcs_fails_with_4)
{
	f->c->vmcs->launched = 1;
	GO(vmlaunch);
	FAILS(VMX_ERR_LAUNCH_NOT_CLEAR);
}
Test(vmx_insn, vmresume_of_a_clear_vmcs_fails_with_5)
{
	GO(vmresume);
	FAILS(VMX_ERR_RESUME_NOT_LAUNCHED);
}
Test(vmx_insn, entry_under_blocking_by_mov_ss_fails_with_26)
{
	f->c->s.r[R_RBX] = 0x10;
	vmx_root_code(f, (uint8_t[]){ 0x8e, 0xd3, 0x0f, 0x01, 0xc2 }, 5, 2);    /* mov ss, ebx; vmlaunch */
	FAILS(VMX_ERR_ENTRY_MOV_SS);
}
Test(vmx_insn, a_shadow_vmcs_cannot_be_entered)
{
	POINTER(vmptrld, AT_SHADOW_VMCS);
	cr_assert(eq(u64, flags(), SUCCEED));
	GO(vmlaunch);
	cr_assert(eq(u64, flags(), INVALID));
}
Test(vmx_insn, vmcall_in_root_operation_fails_with_1)
{
	GO(vmcall);
	FAILS(VMX_ERR_VMCALL_ROOT);
}

/* ---- INVEPT, INVVPID ---- */

static void invalidate(const uint8_t *insn, uint64_t type, uint64_t lo, uint64_t hi)
{
	uint64_t d[2] = { lo, hi };
	memcpy(data(), d, 16);
	f->c->s.r[R_RCX] = type;
	cr_expect(eq(int, go(insn, 5), -1));
}
Test(vmx_insn, invept_checks_type_and_pointer)
{
	static const struct { uint64_t type, lo, hi; bool ok; } row[] = {
		{ 0, 0x1e, 0, false }, { 1, 0x310000 | 0x1e, 0, true }, { 1, 0x310000 | 0x1c, 0, false }, { 1, 0x310000 | 0x5e, 0, true },
		{ 1, 0x310000 | 0x0e, 0, false }, { 1, 0x310000 | 0x9e, 0, false }, { 1, BIT(50) | 0x1e, 0, false },
		{ 2, 0, 0, true }, { 2, ~0ull, 0, true }, { 3, 0x1e, 0, false }, { 1, 0x310000 | 0x1e, 1, false },
	};
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		invalidate(invept, row[i].type, row[i].lo, row[i].hi);
		if (row[i].ok)
			cr_expect(eq(u64, flags(), SUCCEED), "row %u", i);
		else
			FAILS(VMX_ERR_INVEPT_INVVPID);
	}
}
Test(vmx_insn, invvpid_checks_type_vpid_and_address)
{
	static const struct { uint64_t type, lo, hi; bool ok; } row[] = {
		{ 0, 1, 0x1000, true }, { 0, 0, 0x1000, false }, { 0, 1, 0xaaaaaaaaaaaaaaaa, false }, { 0, 0x10000, 0x1000, false },
		{ 1, 1, 0xaaaaaaaaaaaaaaaa, true }, { 1, 0, 0, false }, { 1, 0x10001, 0, false }, { 2, 0, 0, true }, { 2, 0x10000, 0, false },
		{ 3, 0xffff, 0, true }, { 3, 0, 0, false }, { 4, 1, 0, false }, { BIT(32), 1, 0, false },
	};
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		invalidate(invvpid, row[i].type, row[i].lo, row[i].hi);
		if (row[i].ok)
			cr_expect(eq(u64, flags(), SUCCEED), "row %u", i);
		else
			FAILS(VMX_ERR_INVEPT_INVVPID);
	}
}

/* ---- the same for modelled software, the same time ---- */

static cycle_t spent(void) { return f->c->ledger.now; }
Test(vmx_insn, modelled_software_pays_what_the_instruction_costs)
{
	uint64_t v;
	f->c->s.r[R_RCX] = 0x681e;
	GO(vmread);
	cycle_t began = spent();
	f->c->deadline = 0;
	GO(vmread);
	cycle_t insn = spent() - began;
	began = spent();
	cr_assert(vmx_root_vmread(f->c, 0x681e, &v));
	cr_expect(eq(u64, spent() - began, f->f->profile.vmread));
	cr_expect(eq(u64, insn, f->f->profile.vmread));
	cr_expect(not(vmx_root_vmread(f->c, 0x6, &v)));
	cr_expect(vmx_root_vmwrite(f->c, 0x681e, 5));
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_RIP), 5));
}
