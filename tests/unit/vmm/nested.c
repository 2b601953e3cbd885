/* Nested VMX: L1's instructions and their failures, VM entry of L2 and what vmcs02 becomes, whose an exit is, EPT on EPT, hostile
 * vmcs12s; and minivisor whole. L1 is a virtual CPU in 64-bit mode whose exits these tests make themselves. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/machine.h"
#include "models/vmm/exit.h"
#include "models/vmm/nested/nested.h"
#include "sim/rng.h"

#define RAM       (32ull << 20)
#define TABLES    0x10000       /* L1's: 1 GB mapped to itself */
#define OPERAND   0x20000
#define VMXON     0x30000
#define REGION    0x31000
#define REGION2   0x32000
#define MSRMAP    0x33000
#define IOMAP     0x34000       /* two pages */
#define EPT12     0x40000       /* PML4, PDPT, PD, PT */

struct fix { struct machine *m; struct vcpu *v; };

static struct fix made(const char *profile, bool shadowing)
{
	struct machine_config k;
	struct err e = { "" };
	struct vm_config vc = { .cpu = "vmx", .mmu = "ept", .vcpus = 1, .page_shift = 21, .tags = true, .ram = RAM, .nested = true,
	                        .vmcs_shadowing = shadowing };
	machine_config_defaults(&k);
	k.ram = 96 << 20;
	snprintf(k.profile.name, sizeof k.profile.name, "%s", profile);
	struct fix f = { .m = machine_new(&k, &e) };
	cr_assert(f.m != NULL, "%s", e.text);
	k.ram = RAM;
	cr_assert(machine_vm(f.m, &k, &vc, &e) != NULL, "%s", e.text);
	f.v = f.m->vmm->vm[0]->vcpu[0];
	vmm_start(f.m->vmm);
	return f;
}

static void poke(struct vcpu *v, uint64_t gpa, uint64_t x) { mem_write64(&v->vm->mem, HPA(gpa), x); }
static uint64_t look(struct vcpu *v, uint64_t gpa) { return mem_read64(&v->vm->mem, HPA(gpa)); }

/* L1 in 64-bit mode, CPL 0, before VMXON. */
static struct fix ready_with(bool shadowing)
{
	struct fix f = made("skylake", shadowing);
	struct vcpu *v = f.v;
	poke(v, TABLES, (TABLES + 0x1000) | 7);
	poke(v, TABLES + 0x1000, 0x87);
	vcpu_set(v, VMCS_GUEST_CR0, CR0_PE | CR0_PG | CR0_NE | CR0_ET);
	vcpu_set(v, VMCS_CR0_SHADOW, CR0_PE | CR0_PG | CR0_NE | CR0_ET);
	vcpu_set(v, VMCS_GUEST_CR3, TABLES);
	vcpu_set(v, VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE);
	vcpu_set(v, VMCS_CR4_SHADOW, CR4_PAE | CR4_VMXE);
	vcpu_set(v, VMCS_GUEST_EFER, EFER_LME | EFER_LMA);
	vcpu_set(v, VMCS_ENTRY_CONTROLS, vcpu_get(v, VMCS_ENTRY_CONTROLS) | VMX_CTL(ENTRY_GUEST_64));
	vcpu_set(v, VMCS_GUEST_CS_ACCESS, SEG_G | SEG_L | SEG_P | SEG_S | 11);
	vcpu_set(v, VMCS_GUEST_SS_ACCESS, SEG_G | SEG_DB | SEG_P | SEG_S | 3);
	vcpu_set(v, VMCS_GUEST_RFLAGS, 2);
	vcpu_set(v, VMCS_GUEST_RIP, 0x1000);
	poke(v, VMXON, VMCS_REVISION);
	poke(v, REGION, VMCS_REVISION);
	poke(v, REGION2, VMCS_REVISION);
	return f;
}
static struct fix ready(void) { return ready_with(false); }

/* ---- instructions ---- */

#define NO_BASE_INDEX (BIT(27) | BIT(22))
#define ADDRESS_64    (2u << 7)
#define DS            (3u << 15)
#define MEMORY        (uint32_t)(NO_BASE_INDEX | ADDRESS_64 | DS)
#define REGISTERS(r1, r2) (BIT(10) | (unsigned)(r1) << 3 | (uint32_t)(r2) << 28)

enum result { SUCCEED, INVALID, UD = 100, GP, PF, SS };
/* SUCCEED, INVALID, 2 and more: VMfailValid with that number + 1; an exception. */
#define VALID(error) ((error) + 1)

static int outcome(struct vcpu *v)
{
	const uint32_t event = v->s.pending_event;
	uint64_t fl = vcpu_get(v, VMCS_GUEST_RFLAGS);
	v->s.pending_event = 0;
	if (event >> 31)
		return (event & 0xff) == VEC_UD ? UD : (event & 0xff) == VEC_GP ? GP : (event & 0xff) == VEC_PF ? PF : SS;
	if (fl & RFLAGS_CF)
		return INVALID;
	return fl & RFLAGS_ZF ? VALID((int)vmcs12_peek(v, VMCS_INSN_ERROR)) : SUCCEED;
}

static int executed(struct vcpu *v, exit_service *serve, uint32_t info, uint64_t displacement)
{
	vcpu_set(v, VMCS_EXIT_INSN_INFO, info);
	vcpu_set(v, VMCS_EXIT_QUALIFICATION, displacement);
	vcpu_set(v, VMCS_EXIT_INSN_LENGTH, 4);
	vcpu_set(v, VMCS_GUEST_RFLAGS, 2);
	serve(v);
	return outcome(v);
}

static int with_pointer(struct vcpu *v, exit_service *serve, uint64_t pa)
{
	poke(v, OPERAND, pa);
	return executed(v, serve, MEMORY, OPERAND);
}

static int vmwrite(struct vcpu *v, uint32_t encoding, uint64_t x)
{
	v->cpu->s.r[R_RAX] = x, v->cpu->s.r[R_RDX] = encoding;
	return executed(v, serve_vmwrite, REGISTERS(R_RAX, R_RDX), 0);
}

static int vmread(struct vcpu *v, uint32_t encoding, uint64_t *x)
{
	v->cpu->s.r[R_RDX] = encoding;
	int how = executed(v, serve_vmread, REGISTERS(R_RAX, R_RDX), 0);
	*x = v->cpu->s.r[R_RAX];
	return how;
}

static void in_operation(struct vcpu *v) { cr_assert(eq(int, with_pointer(v, serve_vmxon, VMXON), SUCCEED)); }
static void loaded(struct vcpu *v)
{
	in_operation(v);
	cr_assert(eq(int, with_pointer(v, serve_vmclear, REGION), SUCCEED));
	cr_assert(eq(int, with_pointer(v, serve_vmptrld, REGION), SUCCEED));
}

Test(nested, outside_vmx_operation_its_instructions_are_undefined)
{
	struct fix f = ready();
	exit_service *const all[] = { serve_vmxoff, serve_vmclear, serve_vmptrld, serve_vmptrst, serve_vmread, serve_vmwrite, serve_vmlaunch,
	                              serve_vmresume, serve_vmcall, serve_invept, serve_invvpid };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		cr_expect(eq(int, executed(f.v, all[i], MEMORY, OPERAND), UD), "instruction %zu", i);
	machine_free(f.m);
}

/* "IF CPL > 0 THEN #GP(0)" */
Test(nested, above_ring_0_they_are_general_protection_faults)
{
	struct fix f = ready();
	exit_service *const all[] = { serve_vmxon, serve_vmxoff, serve_vmclear, serve_vmptrld, serve_vmptrst, serve_vmread, serve_vmwrite,
	                              serve_vmlaunch, serve_vmresume, serve_vmcall, serve_invept, serve_invvpid };
	loaded(f.v);
	vcpu_set(f.v, VMCS_GUEST_SS_ACCESS, SEG_G | SEG_DB | SEG_P | SEG_S | 3 | 3 << 5);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		cr_expect(eq(int, executed(f.v, all[i], MEMORY, OPERAND), GP), "instruction %zu", i);
	machine_free(f.m);
}

Test(nested, vmxon)
{
	struct fix f = ready();
	struct vcpu *v = f.v;
	vcpu_set(v, VMCS_CR4_SHADOW, CR4_PAE);
	cr_expect(eq(int, with_pointer(v, serve_vmxon, VMXON), UD), "CR4.VMXE is 0");
	vcpu_set(v, VMCS_CR4_SHADOW, CR4_PAE | CR4_VMXE);
	vcpu_set(v, VMCS_CR0_SHADOW, CR0_PE | CR0_PG | CR0_ET);
	cr_expect(eq(int, with_pointer(v, serve_vmxon, VMXON), GP), "CR0.NE is fixed to 1");
	vcpu_set(v, VMCS_CR0_SHADOW, CR0_PE | CR0_PG | CR0_ET | CR0_NE);
	v->model->s.feature_control = 1;
	cr_expect(eq(int, with_pointer(v, serve_vmxon, VMXON), GP), "the firmware has locked it off");
	v->model->s.feature_control = 5;
	cr_expect(eq(int, with_pointer(v, serve_vmxon, VMXON + 8), INVALID), "not aligned");
	cr_expect(eq(int, with_pointer(v, serve_vmxon, 1ull << 60), INVALID), "beyond the physical-address width");
	cr_expect(eq(int, with_pointer(v, serve_vmxon, OPERAND), INVALID), "not a region");
	cr_expect(eq(int, with_pointer(v, serve_vmxon, RAM), INVALID), "not memory");
	cr_expect(eq(int, executed(v, serve_vmxon, MEMORY, 2ull << 30), PF), "the operand is not mapped");
	cr_expect(eq(u64, v->cpu->s.cr2, 2ull << 30));
	cr_expect(eq(int, executed(v, serve_vmxon, MEMORY, 1ull << 62), GP), "not canonical");
	cr_expect(eq(int, with_pointer(v, serve_vmxon, VMXON), SUCCEED));
	cr_expect(eq(int, with_pointer(v, serve_vmxon, VMXON), INVALID), "already, and no VMCS to tell");
	cr_assert(eq(int, with_pointer(v, serve_vmptrld, REGION), SUCCEED));
	cr_expect(eq(int, with_pointer(v, serve_vmxon, VMXON), VALID(VMX_ERR_VMXON_ROOT)));
	cr_expect(eq(int, executed(v, serve_vmxoff, 0, 0), SUCCEED));
	cr_expect(not(nested_operation(v)));
	machine_free(f.m);
}

Test(nested, vmclear_vmptrld_vmptrst)
{
	struct fix f = ready();
	struct vcpu *v = f.v;
	in_operation(v);
	cr_expect(eq(int, with_pointer(v, serve_vmclear, REGION + 1), INVALID), "no VMCS is current");
	cr_expect(eq(int, executed(v, serve_vmptrst, MEMORY, OPERAND), SUCCEED));
	cr_expect(eq(u64, look(v, OPERAND), ~0ull));
	cr_assert(eq(int, with_pointer(v, serve_vmptrld, REGION), SUCCEED));
	cr_expect(eq(int, executed(v, serve_vmptrst, MEMORY, OPERAND), SUCCEED));
	cr_expect(eq(u64, look(v, OPERAND), REGION));
	cr_expect(eq(int, with_pointer(v, serve_vmclear, REGION + 1), VALID(VMX_ERR_VMCLEAR_ADDR)));
	cr_expect(eq(int, with_pointer(v, serve_vmclear, VMXON), VALID(VMX_ERR_VMCLEAR_VMXON)));
	cr_expect(eq(int, with_pointer(v, serve_vmptrld, REGION + 1), VALID(VMX_ERR_VMPTRLD_ADDR)));
	cr_expect(eq(int, with_pointer(v, serve_vmptrld, VMXON), VALID(VMX_ERR_VMPTRLD_VMXON)));
	cr_expect(eq(int, with_pointer(v, serve_vmptrld, TABLES), VALID(VMX_ERR_VMPTRLD_REVISION)));
	poke(v, REGION2, VMCS_REVISION | BIT(31));
	cr_expect(eq(int, with_pointer(v, serve_vmptrld, REGION2), VALID(VMX_ERR_VMPTRLD_REVISION)), "shadow VMCSs are not offered");
	poke(v, REGION2, VMCS_REVISION);
	/* fields come and go with their region */
	cr_expect(eq(int, vmwrite(v, 0x681e, 0x1234), SUCCEED));
	cr_assert(eq(int, with_pointer(v, serve_vmptrld, REGION2), SUCCEED));
	uint64_t x;
	cr_expect(eq(int, vmread(v, 0x681e, &x), SUCCEED));
	cr_expect(eq(u64, x, 0));
	cr_assert(eq(int, with_pointer(v, serve_vmptrld, REGION), SUCCEED));
	cr_expect(eq(int, vmread(v, 0x681e, &x), SUCCEED));
	cr_expect(eq(u64, x, 0x1234));
	machine_free(f.m);
}

Test(nested, vmread_vmwrite)
{
	struct fix f = ready();
	struct vcpu *v = f.v;
	uint64_t x;
	in_operation(v);
	cr_expect(eq(int, vmread(v, 0x681e, &x), INVALID), "no VMCS is current");
	cr_expect(eq(int, vmwrite(v, 0x681e, 1), INVALID));
	cr_assert(eq(int, with_pointer(v, serve_vmptrld, REGION), SUCCEED));
	cr_expect(eq(int, vmread(v, 0x7ffe, &x), VALID(VMX_ERR_FIELD)));
	cr_expect(eq(int, vmwrite(v, 0x7ffe, 1), VALID(VMX_ERR_FIELD)));
	cr_expect(eq(int, vmread(v, 0x2016, &x), VALID(VMX_ERR_FIELD)), "posted interrupts are not offered");
	cr_expect(eq(int, vmread(v, 0x2026, &x), VALID(VMX_ERR_FIELD)), "nor is VMCS shadowing");
	cr_expect(eq(int, vmwrite(v, 0x2010, 0x1122334455667788), SUCCEED));
	cr_expect(eq(int, vmread(v, 0x2011, &x), SUCCEED));
	cr_expect(eq(u64, x, 0x11223344), "the high half");
	cr_expect(eq(int, vmwrite(v, 0x2011, 0xaabbccdd), SUCCEED));
	cr_expect(eq(int, vmread(v, 0x2010, &x), SUCCEED));
	cr_expect(eq(u64, x, 0xaabbccdd55667788));
	cr_expect(eq(int, vmwrite(v, 0x0800, 0x12345), SUCCEED));
	cr_expect(eq(int, vmread(v, 0x0800, &x), SUCCEED));
	cr_expect(eq(u64, x, 0x2345), "16 bits");
	/* to and from memory */
	v->cpu->s.r[R_RDX] = 0x681e;
	poke(v, OPERAND, 0xfeed);
	cr_expect(eq(int, executed(v, serve_vmwrite, MEMORY | (uint32_t)R_RDX << 28, OPERAND), SUCCEED));
	cr_expect(eq(int, executed(v, serve_vmread, MEMORY | (uint32_t)R_RDX << 28, OPERAND + 8), SUCCEED));
	cr_expect(eq(u64, look(v, OPERAND + 8), 0xfeed));
	machine_free(f.m);

	f = made("sandybridge", false);
	cr_expect(eq(u64, vmx_misc(f.v->model) & VMX_MISC_WRITE_ALL, 0));
	machine_free(f.m);
}

Test(nested, invept_invvpid_vmcall)
{
	struct fix f = ready();
	struct vcpu *v = f.v;
	loaded(v);
	v->cpu->s.r[R_RAX] = 0;
	cr_expect(eq(int, executed(v, serve_invept, MEMORY, OPERAND), VALID(VMX_ERR_INVEPT_INVVPID)), "type 0");
	v->cpu->s.r[R_RAX] = INVEPT_SINGLE;
	poke(v, OPERAND, 7), poke(v, OPERAND + 8, 0);
	cr_expect(eq(int, executed(v, serve_invept, MEMORY, OPERAND), VALID(VMX_ERR_INVEPT_INVVPID)), "no EPT pointer");
	poke(v, OPERAND, EPT12 | 0x1e);
	cr_expect(eq(int, executed(v, serve_invept, MEMORY, OPERAND), SUCCEED));
	poke(v, OPERAND, EPT12 | 0x1e | BIT(6));
	cr_expect(eq(int, executed(v, serve_invept, MEMORY, OPERAND), VALID(VMX_ERR_INVEPT_INVVPID)), "accessed and dirty flags are not offered");
	v->cpu->s.r[R_RAX] = INVEPT_ALL;
	cr_expect(eq(int, executed(v, serve_invept, MEMORY, OPERAND), SUCCEED));
	v->cpu->s.r[R_RAX] = INVVPID_SINGLE;
	poke(v, OPERAND, 0);
	cr_expect(eq(int, executed(v, serve_invvpid, MEMORY, OPERAND), VALID(VMX_ERR_INVEPT_INVVPID)), "VPID 0");
	poke(v, OPERAND, 0x10001);
	cr_expect(eq(int, executed(v, serve_invvpid, MEMORY, OPERAND), VALID(VMX_ERR_INVEPT_INVVPID)), "17 bits");
	poke(v, OPERAND, 5);
	cr_expect(eq(int, executed(v, serve_invvpid, MEMORY, OPERAND), SUCCEED));
	v->cpu->s.r[R_RAX] = INVVPID_ADDRESS;
	poke(v, OPERAND + 8, 1ull << 60);
	cr_expect(eq(int, executed(v, serve_invvpid, MEMORY, OPERAND), VALID(VMX_ERR_INVEPT_INVVPID)), "not canonical");
	cr_expect(eq(int, executed(v, serve_vmcall, 0, 0), VALID(VMX_ERR_VMCALL_ROOT)));
	machine_free(f.m);
}

/* ---- VM entry of L2 ---- */

#define PUT(NAME, x) vmcs12_put(v, VMCS_##NAME, x)

/* What VM entry takes: an unpaged 32-bit guest under EPT, L1 in 64-bit mode. */
static void fill(struct vcpu *v)
{
	struct { enum vmcs_field f; enum vmx_word w; uint64_t want; } control[] = {
		{ VMCS_PIN_CONTROLS, VMX_WORD_PIN, VMX_CTL(EXTINT_EXITING) },
		{ VMCS_PROC_CONTROLS, VMX_WORD_PROC, VMX_CTL(SECONDARY_CONTROLS) | VMX_CTL(HLT_EXITING) },
		{ VMCS_PROC2_CONTROLS, VMX_WORD_PROC2, VMX_CTL(ENABLE_EPT) | VMX_CTL(UNRESTRICTED) | VMX_CTL(VPID) },
		{ VMCS_EXIT_CONTROLS, VMX_WORD_EXIT, VMX_CTL(EXIT_HOST_64) | VMX_CTL(EXIT_ACK_INTERRUPT) },
		{ VMCS_ENTRY_CONTROLS, VMX_WORD_ENTRY, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(control); i++) {
		uint32_t must, may;
		vmx_allowed(v->model, control[i].w, false, &must, &may);
		vmcs12_put(v, control[i].f, (control[i].want & may) | must);
	}
	PUT(VPID, 1), PUT(EPTP, EPT12 | 0x1e), PUT(LINK_POINTER, ~0ull);
	PUT(HOST_CR0, CR0_PE | CR0_PG | CR0_NE | CR0_ET), PUT(HOST_CR3, TABLES), PUT(HOST_CR4, CR4_PAE | CR4_VMXE);
	PUT(HOST_CS, 8), PUT(HOST_SS, 16), PUT(HOST_TR, 24), PUT(HOST_RIP, 0x5000), PUT(HOST_RSP, 0x6000);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		vmcs12_put(v, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + i), 0xffffffff);
		vmcs12_put(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + i), i == SEG_CS ? 0xc09b : 0xc093);
	}
	PUT(GUEST_LDTR_ACCESS, 0x10000), PUT(GUEST_TR_ACCESS, 0x8b), PUT(GUEST_TR_LIMIT, 0x67);
	PUT(GUEST_CR0, CR0_PE | CR0_ET | CR0_NE), PUT(GUEST_CR4, CR4_VMXE), PUT(GUEST_DR7, 0x400), PUT(GUEST_RFLAGS, 2);
	PUT(GUEST_RIP, 0x100000);
	v->nested->s.dirty = 1;
}

static struct fix to_enter(void)
{
	struct fix f = ready();
	loaded(f.v);
	fill(f.v);
	return f;
}

static struct fix entered(void)
{
	struct fix f = to_enter();
	cr_assert(eq(int, executed(f.v, serve_vmlaunch, 0, 0), SUCCEED));
	cr_assert(nested_running(f.v));
	return f;
}

Test(nested, launch_state)
{
	struct fix f = to_enter();
	struct vcpu *v = f.v;
	cr_expect(eq(int, executed(v, serve_vmresume, 0, 0), VALID(VMX_ERR_RESUME_NOT_LAUNCHED)));
	vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, 2);
	cr_expect(eq(int, executed(v, serve_vmlaunch, 0, 0), VALID(VMX_ERR_ENTRY_MOV_SS)));
	vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, 0);
	executed(v, serve_vmlaunch, 0, 0);
	cr_assert(nested_running(v));
	nested_leave(v, &(struct nested_exit){ .reason = EXIT_HLT });
	cr_expect(eq(int, executed(v, serve_vmlaunch, 0, 0), VALID(VMX_ERR_LAUNCH_NOT_CLEAR)));
	executed(v, serve_vmresume, 0, 0);
	cr_expect(nested_running(v));
	machine_free(f.m);
}

Test(nested, a_bad_vmcs12_fails_as_on_hardware)
{
	static const struct { enum vmcs_field f; uint64_t x; int how; uint64_t qualification; } bad[] = {
		{ VMCS_CR3_TARGET_COUNT, 5, VALID(VMX_ERR_CONTROLS), 0 },
		{ VMCS_EPTP, 7, VALID(VMX_ERR_CONTROLS), 0 },
		{ VMCS_PIN_CONTROLS, 0xff, VALID(VMX_ERR_CONTROLS), 0 },       /* posted interrupts are not offered */
		{ VMCS_HOST_CR4, 0, VALID(VMX_ERR_HOST), 0 },
		{ VMCS_HOST_TR, 0, VALID(VMX_ERR_HOST), 0 },
		{ VMCS_GUEST_RFLAGS, 0, 1000 + EXIT_ENTRY_GUEST, 0 },
		{ VMCS_GUEST_CR0, CR0_NE | CR0_PG, 1000 + EXIT_ENTRY_GUEST, 0 },
		{ VMCS_GUEST_ACTIVITY, 3, 1000 + EXIT_ENTRY_GUEST, 0 },        /* wait-for-SIPI is not offered */
		{ VMCS_LINK_POINTER, 1, 1000 + EXIT_ENTRY_GUEST, 4 },
		{ VMCS_ENTRY_MSR_LOAD_COUNT, 1, 1000 + EXIT_ENTRY_MSR, 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct fix f = to_enter();
		struct vcpu *v = f.v;
		PUT(ENTRY_MSR_LOAD_ADDR, OPERAND);
		poke(v, OPERAND, 0xc0000100);   /* IA32_FS_BASE may not be there */
		vmcs12_put(v, bad[i].f, bad[i].x);
		int how = executed(v, serve_vmlaunch, 0, 0);
		cr_expect(not(nested_running(v)));
		uint64_t reason = vmcs12_peek(v, VMCS_EXIT_REASON);
		if (bad[i].how >= 1000) {
			cr_expect(eq(u64, reason, (uint64_t)(bad[i].how - 1000) | 1ull << 31), "%s", vmcs_rows[bad[i].f].name);
			cr_expect(eq(u64, vmcs12_peek(v, VMCS_EXIT_QUALIFICATION), bad[i].qualification), "%s", vmcs_rows[bad[i].f].name);
			cr_expect(eq(u64, vcpu_get(v, VMCS_GUEST_RIP), 0x5000), "L1 goes on at its host RIP");
		} else {
			cr_expect(eq(int, how, bad[i].how), "%s", vmcs_rows[bad[i].f].name);
		}
		machine_free(f.m);
	}
}

Test(nested, vmcs02_has_what_either_wants)
{
	struct fix f = to_enter();
	struct vcpu *v = f.v;
	uint64_t offset01 = vcpu_get(v, VMCS_TSC_OFFSET);
	PUT(EXCEPTION_BITMAP, 1u << VEC_DB), PUT(TSC_OFFSET, 1000);
	PUT(PROC_CONTROLS, vmcs12_peek(v, VMCS_PROC_CONTROLS) | VMX_CTL(TSC_OFFSETTING) | VMX_CTL(MOV_DR_EXITING) | VMX_CTL(IO_BITMAPS) |
	                           VMX_CTL(MSR_BITMAPS));
	PUT(MSR_BITMAPS, MSRMAP), PUT(IO_BITMAP_A, IOMAP), PUT(IO_BITMAP_B, IOMAP + 0x1000);
	poke(v, MSRMAP + 0x410, 2);             /* reads of IA32_STAR, C0000081H */
	PUT(CR0_MASK, CR0_TS), PUT(CR0_SHADOW, CR0_TS), PUT(ENTRY_INTR_INFO, 1u << 31 | EVENT_HARDWARE << 8 | VEC_UD);
	serve_vmlaunch(v);
	cr_assert(nested_running(v));
	uint64_t proc = vcpu_get(v, VMCS_PROC_CONTROLS), proc2 = vcpu_get(v, VMCS_PROC2_CONTROLS);
	const uint64_t all = VMX_CTL(IO_EXITING) | VMX_CTL(MSR_BITMAPS) | VMX_CTL(MOV_DR_EXITING) | VMX_CTL(HLT_EXITING) |
	                     VMX_CTL(CR8_LOAD_EXITING) | VMX_CTL(CR8_STORE_EXITING) | VMX_CTL(TSC_OFFSETTING);
	cr_expect(eq(u64, proc & all, all));
	cr_expect(eq(u64, proc & (VMX_CTL(IO_BITMAPS) | VMX_CTL(TPR_SHADOW)), 0));
	cr_expect(eq(u64, proc2, VMX_CTL(ENABLE_EPT) | VMX_CTL(UNRESTRICTED) | VMX_CTL(VPID)));
	cr_expect(eq(u64, vcpu_get(v, VMCS_EXCEPTION_BITMAP), 1u << VEC_DB));
	cr_expect(eq(u64, vcpu_get(v, VMCS_TSC_OFFSET), offset01 + 1000));
	cr_expect(eq(u64, vcpu_get(v, VMCS_CR0_MASK), CR0_TS | CR0_CD | CR0_NW));
	cr_expect(eq(u64, vcpu_get(v, VMCS_CR0_SHADOW), CR0_TS | CR0_PE | CR0_ET | CR0_NE));
	cr_expect(ne(u64, vcpu_get(v, VMCS_VPID), vcpu_vpid(v)));
	cr_expect(ne(u64, vcpu_get(v, VMCS_HOST_RIP), 0x5000), "exits of L2 come to L0");
	cr_expect(eq(u64, vcpu_get(v, VMCS_GUEST_RIP), 0x100000));
	cr_expect(eq(u32, v->s.pending_event, 1u << 31 | EVENT_HARDWARE << 8 | VEC_UD));
	uint64_t map = vcpu_get(v, VMCS_MSR_BITMAPS);
	uint8_t byte = 0, other = 0;
	mem_peek(f.m->vmm->p.mem, HPA(map + 0x410), &byte, 1);
	mem_peek(f.m->vmm->p.mem, HPA(map + 0x420), &other, 1);
	cr_expect(eq(int, byte >> 1 & 1, 1), "L1 wants reads of IA32_STAR");
	cr_expect(not(byte & 4), "neither wants reads of IA32_LSTAR");
	cr_expect(not(other & 1), "nor of IA32_FS_BASE");
	machine_free(f.m);
}

Test(nested, an_exit_loads_what_vmcs12_says)
{
	struct fix f = entered();
	struct vcpu *v = f.v;
	vcpu_set(v, VMCS_GUEST_RIP, 0x123456);
	vcpu_set(v, VMCS_GUEST_ES, 0x28);
	vcpu_set(v, VMCS_EXIT_INSN_LENGTH, 3);
	nested_leave(v, &(struct nested_exit){ .reason = EXIT_VMCALL, .qualification = 77, .as_hardware = true });
	uint64_t x;
	cr_expect(eq(int, vmread(v, 0x4402, &x), SUCCEED));
	cr_expect(eq(u64, x, EXIT_VMCALL));
	vmread(v, 0x6400, &x);
	cr_expect(eq(u64, x, 77));
	vmread(v, 0x440c, &x);
	cr_expect(eq(u64, x, 3));
	vmread(v, 0x681e, &x);
	cr_expect(eq(u64, x, 0x123456));
	cr_expect(eq(u64, v->nested->stat[NESTED_STAT_RARE], 0));
	vmread(v, 0x0800, &x);
	cr_expect(eq(u64, x, 0x28), "a field that stayed in vmcs02");
	cr_expect(eq(u64, v->nested->stat[NESTED_STAT_RARE], 1));
	cr_expect(eq(u64, vcpu_get(v, VMCS_GUEST_RSP), 0x6000));
	cr_expect(eq(u64, vcpu_get(v, VMCS_GUEST_CS), 8));
	cr_expect(vcpu_long64(v));
	machine_free(f.m);
}

/* ---- whose an exit is ---- */

struct decision { uint32_t reason; uint64_t qualification; uint32_t info, error, rcx; enum vmcs_field f; uint64_t set; bool l1; };
#define BITMAPS (VMX_CTL(MSR_BITMAPS) | VMX_CTL(IO_BITMAPS) | VMX_CTL(SECONDARY_CONTROLS))
#define UD_INFO (1u << 31 | EVENT_HARDWARE << 8 | VEC_UD)
#define PF_INFO (1u << 31 | 1u << 11 | EVENT_HARDWARE << 8 | VEC_PF)
static const struct decision decisions[] = {
	{ EXIT_CPUID, 0, 0, 0, 0, VMCS_PROC_CONTROLS, 0, true },
	{ EXIT_VMCALL, 0, 0, 0, 0, VMCS_PROC_CONTROLS, 0, true },
	{ EXIT_VMLAUNCH, 0, 0, 0, 0, VMCS_PROC_CONTROLS, 0, true },
	{ EXIT_TRIPLE_FAULT, 0, 0, 0, 0, VMCS_PROC_CONTROLS, 0, true },
	{ EXIT_EXTINT, 0, 0, 0, 0, VMCS_PIN_CONTROLS, ~0u, false },
	{ EXIT_PREEMPTION, 0, 0, 0, 0, VMCS_PIN_CONTROLS, ~0u, false },
	{ EXIT_HLT, 0, 0, 0, 0, VMCS_PROC_CONTROLS, 0, false },
	{ EXIT_HLT, 0, 0, 0, 0, VMCS_PROC_CONTROLS, VMX_CTL(HLT_EXITING), true },
	{ EXIT_RDTSC, 0, 0, 0, 0, VMCS_PROC_CONTROLS, VMX_CTL(RDTSC_EXITING), true },
	{ EXIT_INTERRUPT_WINDOW, 0, 0, 0, 0, VMCS_PROC_CONTROLS, 0, false },
	{ EXIT_INTERRUPT_WINDOW, 0, 0, 0, 0, VMCS_PROC_CONTROLS, VMX_CTL(INTERRUPT_WINDOW), true },
	{ EXIT_MONITOR, 0, 0, 0, 0, VMCS_PROC_CONTROLS, 0, false },
	{ EXIT_WBINVD, 0, 0, 0, 0, VMCS_PROC2_CONTROLS, 0, false },
	/* exceptions */
	{ EXIT_EXCEPTION, 0, UD_INFO, 0, 0, VMCS_EXCEPTION_BITMAP, 1u << VEC_UD, true },
	{ EXIT_EXCEPTION, 0, UD_INFO, 0, 0, VMCS_EXCEPTION_BITMAP, 1u << VEC_GP, false },
	{ EXIT_EXCEPTION, 0, PF_INFO, 2, 0, VMCS_EXCEPTION_BITMAP, 1u << VEC_PF, true },
	{ EXIT_EXCEPTION, 0, PF_INFO, 2, 0, VMCS_EXCEPTION_BITMAP, 0, false },
	{ EXIT_EXCEPTION, 0, 1u << 31 | EVENT_NMI << 8 | VEC_NMI, 0, 0, VMCS_EXCEPTION_BITMAP, ~0u, false },
	/* ports: without bitmaps by the unconditional control; with them bit 3F8H is set */
	{ EXIT_IO, 0x3f8 << 16, 0, 0, 0, VMCS_PROC_CONTROLS, 0, false },
	{ EXIT_IO, 0x3f8 << 16, 0, 0, 0, VMCS_PROC_CONTROLS, VMX_CTL(IO_EXITING), true },
	{ EXIT_IO, 0x3f8 << 16, 0, 0, 0, VMCS_PROC_CONTROLS, BITMAPS, true },
	{ EXIT_IO, 0x3f9 << 16, 0, 0, 0, VMCS_PROC_CONTROLS, BITMAPS, false },
	{ EXIT_IO, 0x3f7 << 16 | 1, 0, 0, 0, VMCS_PROC_CONTROLS, BITMAPS, true },       /* two bytes from 3F7H */
	{ EXIT_IO, 0xffffull << 16 | 1, 0, 0, 0, VMCS_PROC_CONTROLS, BITMAPS, true },   /* beyond the end */
	/* MSRs: reads of C0000080H, writes of 1BH */
	{ EXIT_RDMSR, 0, 0, 0, 0xc0000080, VMCS_PROC_CONTROLS, 0, true },
	{ EXIT_RDMSR, 0, 0, 0, 0xc0000080, VMCS_PROC_CONTROLS, BITMAPS, true },
	{ EXIT_WRMSR, 0, 0, 0, 0xc0000080, VMCS_PROC_CONTROLS, BITMAPS, false },
	{ EXIT_WRMSR, 0, 0, 0, 0x1b, VMCS_PROC_CONTROLS, BITMAPS, true },
	{ EXIT_RDMSR, 0, 0, 0, 0x1b, VMCS_PROC_CONTROLS, BITMAPS, false },
	{ EXIT_RDMSR, 0, 0, 0, 0x40000000, VMCS_PROC_CONTROLS, BITMAPS, true },         /* in no bitmap */
	/* control registers; RCX is the source */
	{ EXIT_CR_ACCESS, 0 | R_RCX << 8, 0, 0, CR0_TS, VMCS_CR0_MASK, CR0_TS, true },
	{ EXIT_CR_ACCESS, 0 | R_RCX << 8, 0, 0, CR0_CD, VMCS_CR0_MASK, CR0_TS, false },
	{ EXIT_CR_ACCESS, 4 | R_RCX << 8, 0, 0, CR4_PAE, VMCS_CR4_MASK, CR4_PAE, true },
	{ EXIT_CR_ACCESS, 3 | R_RCX << 8, 0, 0, 0, VMCS_PROC_CONTROLS, VMX_CTL(CR3_LOAD_EXITING), true },
	{ EXIT_CR_ACCESS, 8 | R_RCX << 8, 0, 0, 0, VMCS_PROC_CONTROLS, 0, false },
	{ EXIT_CR_ACCESS, 8 | 1 << 4, 0, 0, 0, VMCS_PROC_CONTROLS, VMX_CTL(CR8_STORE_EXITING), true },
	{ EXIT_CR_ACCESS, 2 << 4, 0, 0, 0, VMCS_CR0_MASK, CR0_TS, false },              /* CLTS, and the shadow has TS clear */
	{ EXIT_CR_ACCESS, 3 << 4 | 8 << 16, 0, 0, 0, VMCS_CR0_MASK, CR0_TS, true },     /* LMSW sets TS */
	{ EXIT_CR_ACCESS, 3 << 4 | 0 << 16, 0, 0, 0, VMCS_CR0_MASK, CR0_PE, false },    /* LMSW cannot clear PE */
};

Test(nested, whose_an_exit_is)
{
	struct fix f = entered();
	struct vcpu *v = f.v;
	PUT(MSR_BITMAPS, MSRMAP), PUT(IO_BITMAP_A, IOMAP), PUT(IO_BITMAP_B, IOMAP + 0x1000);
	poke(v, IOMAP + 0x3f8 / 8, 1);
	poke(v, MSRMAP + 1024 + 0x80 / 8, 1);
	poke(v, MSRMAP + 2048 + 0x18 / 8, 1 << 3);
	for (size_t i = 0; i < ARRAY_LEN(decisions); i++) {
		const struct decision *d = &decisions[i];
		uint64_t was = vmcs12_peek(v, d->f);
		vmcs12_put(v, d->f, d->set);
		vcpu_set(v, VMCS_EXIT_QUALIFICATION, d->qualification);
		vcpu_set(v, VMCS_EXIT_INTR_INFO, d->info);
		vcpu_set(v, VMCS_EXIT_INTR_ERROR, d->error);
		v->cpu->s.r[R_RCX] = d->rcx;
		cr_expect(eq(int, nested_reflects(v, d->reason), d->l1), "row %zu: %s", i, exit_reason_rows[d->reason].name);
		vmcs12_put(v, d->f, was);
	}
	machine_free(f.m);
}

Test(nested, every_exit_reason_has_a_rule_or_cannot_happen)
{
	static const uint8_t cannot[] = { EXIT_ENTRY_MC, EXIT_APIC_ACCESS, EXIT_EOI, EXIT_APIC_WRITE, EXIT_VMFUNC, EXIT_PML_FULL };
	for (uint32_t i = 0; i <= EXIT_XRSTORS; i++) {  /* what follows no processor has */
		bool never = !exit_reason_rows[i].name;
		for (size_t k = 0; k < ARRAY_LEN(cannot); k++)
			never |= cannot[k] == i;
		cr_expect(eq(int, nested_reflects_sentence(i) == NULL, never), "reason %u", i);
	}
}

/* ---- EPT on EPT ---- */

/* ept12 maps 2 GB from L2's 0: gpa to gpa + shift, with a page of that size. */
static void map12(struct vcpu *v, unsigned shift, uint64_t gpa, uint64_t to, uint64_t rights)
{
	const uint64_t pdpt = EPT12 + 0x1000, pd = EPT12 + 0x2000, pt = EPT12 + 0x3000, leaf = to | rights | 6 << 3;
	poke(v, EPT12 + (gpa >> 39 & 511) * 8, pdpt | 7);
	poke(v, pdpt + (gpa >> 30 & 511) * 8, shift == 30 ? leaf | 0x80 : pd | 7);
	if (shift < 30)
		poke(v, pd + (gpa >> 21 & 511) * 8, shift == 21 ? leaf | 0x80 : pt | 7);
	if (shift < 21)
		poke(v, pt + (gpa >> 12 & 511) * 8, leaf);
}

static enum paged violate(struct vcpu *v, uint64_t gpa, uint64_t access, bool *l1)
{
	vcpu_set(v, VMCS_EXIT_QUALIFICATION, access);
	vcpu_set(v, VMCS_GUEST_PHYSICAL, gpa);
	*l1 = nested_reflects(v, EXIT_EPT_VIOLATION);
	return *l1 ? PAGED_INJECT : nested_ept_violation(v, GPA(gpa));
}

/* Of EPT02: the entry that maps gpa, and its page. */
static uint64_t leaf02(const struct vcpu *v, uint64_t gpa, unsigned *shift)
{
	struct mem *m = v->vm->vmm->p.mem;
	uint64_t e = vcpu_peek(v, VMCS_EPTP);
	for (*shift = 39; *shift >= 12; *shift -= 9) {
		e = mem_read64(m, HPA((e & (MASK(52) & PAGE_MASK)) + (gpa >> *shift & 511) * 8));
		if (!(e & 7) || (*shift < 39 && e & 0x80) || *shift == 12)
			break;
	}
	return e;
}

static void composed(unsigned shift12, unsigned shift01, uint64_t rights)
{
	struct fix f = entered();
	struct vcpu *v = f.v;
	const uint64_t gpa2 = 0x40000000 + 0x403000, base = shift12 == 30 ? 0 : 0x400000 + (shift12 == 12 ? 0x3000 : 0);
	bool l1;
	v->vm->config.page_shift = shift01;
	map12(v, shift12, gpa2, base, rights);
	unsigned shift, want = shift12 < shift01 ? shift12 : shift01;
	want = want > 21 ? 21 : want;           /* 32 MB of RAM hold no page of 1 GB */
	cr_expect(eq(int, violate(v, gpa2, 1, &l1), PAGED_FIXED), "%u on %u", shift12, shift01);
	uint64_t e = leaf02(v, gpa2, &shift), gpa1 = base + (gpa2 & MASK(shift12));
	cr_expect(eq(u32, shift, want), "%u on %u", shift12, shift01);
	cr_expect(eq(u64, (e & (MASK(52) & PAGE_MASK) & ~MASK(shift)) | (gpa2 & MASK(shift)), v->vm->base.v + gpa1), "%u on %u", shift12, shift01);
	cr_expect(eq(u64, e & 7, rights));
	machine_free(f.m);
}
Test(nested, ept02_is_composed_for_all_page_sizes)
{
	static const unsigned sizes[] = { 12, 21, 30 };
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < 3; k++)
			composed(sizes[i], sizes[k], i == k ? 7 : 5);
}

Test(nested, what_ept12_denies_is_l1s)
{
	struct fix f = entered();
	struct vcpu *v = f.v;
	bool l1;
	map12(v, 12, 0x3000, 0x3000, 1);
	violate(v, 0x3000, 1, &l1);
	cr_expect(not(l1), "a read of what may be read");
	violate(v, 0x3000, 2, &l1);
	cr_expect(l1, "a write of it");
	cr_expect(eq(u64, v->nested->walk.rights, 1));
	violate(v, 0x4000, 1, &l1);
	cr_expect(l1, "not mapped");
	cr_expect(eq(u64, v->nested->walk.rights, 0));
	map12(v, 12, 0x5000, 0x5000, 2);
	violate(v, 0x5000, 2, &l1);
	cr_expect(l1);
	cr_expect(eq(int, v->nested->walk.end, WALK12_MISCONFIG), "writable, not readable");
	/* the exit L1 sees */
	vcpu_set(v, VMCS_EXIT_REASON, EXIT_EPT_VIOLATION);
	cr_expect(nested_exit(v, EXIT_EPT_VIOLATION));
	cr_expect(eq(u64, vmcs12_peek(v, VMCS_EXIT_REASON), EXIT_EPT_MISCONFIG));
	machine_free(f.m);
}

Test(nested, ept12_on_a_device_is_emulated_and_invept_drops_ept02)
{
	struct fix f = entered();
	struct vcpu *v = f.v;
	bool l1;
	unsigned shift;
	map12(v, 12, 0x3000, 0xfee00000, 7);
	cr_expect(eq(int, violate(v, 0x3000, 1, &l1), PAGED_EMULATE));
	map12(v, 12, 0x4000, 0x8000, 7);
	cr_expect(eq(int, violate(v, 0x4000, 1, &l1), PAGED_FIXED));
	cr_expect(ne(u64, leaf02(v, 0x4000, &shift), 0));
	nested_invept(v, EPT12 | 0x1e | BIT(12), false);
	cr_expect(eq(u64, v->nested->stat[NESTED_STAT_DROPS], 0), "another EPT pointer");
	nested_invept(v, EPT12 | 0x1e, false);
	cr_expect(eq(u64, v->nested->stat[NESTED_STAT_DROPS], 1));
	vcpu_set(v, VMCS_EPTP, nested_eptp02(v));
	cr_expect(eq(u64, leaf02(v, 0x4000, &shift), 0));
	machine_free(f.m);
}

/* ---- hostile ---- */

static bool in_the_vm(const struct vcpu *v, uint64_t at, uint64_t size)
{
	return at >= v->vm->base.v && at + size <= v->vm->base.v + RAM;
}

/* Nothing that EPT02 maps lies outside the VM's memory. */
static void contained(const struct vcpu *v, uint64_t table, unsigned shift)
{
	struct mem *m = v->vm->vmm->p.mem;
	for (unsigned i = 0; i < 512; i++) {
		uint64_t e = mem_read64(m, HPA(table + 8 * i)), at = e & (MASK(52) & PAGE_MASK);
		if (!(e & 7))
			continue;
		if (shift > 12 && !(e & 0x80 && shift < 39))
			contained(v, at, shift - 9);
		else
			cr_assert(in_the_vm(v, at & ~MASK(shift), 1ull << shift));
	}
}

/* Any field any value, L1's tables random: the entry fails or L2 runs; L0 goes on, and L2 stays in the VM's memory. */
Test(nested, any_vmcs12_leaves_l0_whole, .timeout = 200)
{
	struct rng g;
	unsigned ran = 0;
	rng_init(&g, 7, "vmcs12");
	for (unsigned n = 0; n < 600; n++) {
		struct fix f = to_enter();
		struct vcpu *v = f.v;
		map12(v, rng_below(&g, 2) ? 21 : 12, 0x100000, 0x100000, 7);
		for (unsigned i = 0; i < 64 && rng_below(&g, 3); i++)
			poke(v, EPT12 + (rng_u64(&g) & 0x3ff8), rng_below(&g, 2) ? rng_u64(&g) : (rng_u64(&g) & 0x1fff000) | 7);
		for (unsigned i = 0; i < 256; i += 8)
			poke(v, 0x100000 + i, rng_u64(&g));
		for (uint64_t k = rng_below(&g, 4); k > 0; k--) {
			enum vmcs_field x = (enum vmcs_field)rng_below(&g, VMCS_N);
			uint64_t old = vmcs12_peek(v, x);
			if (vmcs_exists(v->model, x))
				vmcs12_put(v, x, rng_below(&g, 2) ? rng_u64(&g) : old ^ 1ull << rng_below(&g, 64));
		}
		executed(v, serve_vmlaunch, 0, 0);
		ran += nested_running(v);
		vmm_run(f.m->vmm, v->cpu);
		for (unsigned i = 0; i < 20; i++)
			if (machine_run(f.m, machine_now(f.m) + 2000, 0) != MACHINE_STOP_CYCLES)
				break;
		for (unsigned i = 0; i < NESTED_ROOTS; i++)
			if (v->nested->s.root[i].eptp12 != VMCS_NONE)
				contained(v, v->nested->s.root[i].table, 39);
		cr_assert(ledger_audit(&v->cpu->ledger));
		machine_free(f.m);
	}
	cr_expect(ran > 100 && ran < 600, "%u entered", ran);
}

/* ---- whole ---- */

struct text { char s[8192]; size_t n; };
static void console(void *who, const uint8_t *bytes, size_t n)
{
	struct text *t = who;
	for (size_t i = 0; i < n && t->n < sizeof t->s - 1; i++)
		t->s[t->n++] = (char)bytes[i];
}

static struct machine *minivisor(struct text *t, const char *profile, bool vm, bool shadowing, const char *options, const char *kernel)
{
	struct machine_config k;
	struct err e = { "" };
	struct vm_config vc = { .cpu = "vmx", .mmu = "ept", .vcpus = 1, .page_shift = 21, .tags = true, .nested = true, .vmcs_shadowing = shadowing };
	memset(t, 0, sizeof *t);
	machine_config_defaults(&k);
	snprintf(k.profile.name, sizeof k.profile.name, "%s", profile);
	k.ram = vm ? 256 << 20 : 160 << 20;
	struct machine *host = machine_new(&k, &e), *m = host;
	cr_assert(host != NULL, "%s", e.text);
	k.ram = vc.ram = 160 << 20;
	if (vm)
		m = machine_vm(host, &k, &vc, &e);
	cr_assert(m != NULL, "%s", e.text);
	const struct boot_image image = { .kernel = "build/guests/minivisor64.elf", .cmdline = options, .modules = { kernel }, .n_modules = 1 };
	cr_assert(eq(int, machine_boot(m, &image, &e), 0), "%s", e.text);
	machine_on_console(m, console, t);
	return host;
}

#define KERNEL64 "build/guests/kernel64.elf "
#define KERNEL32 "build/guests/kernel32.elf "
static void same_console(const char *profile, bool shadowing, const char *options, const char *kernel)
{
	static struct text bare, nested;
	struct machine *m = minivisor(&bare, profile, false, false, options, kernel);
	cr_assert(eq(int, machine_run(m, 3000000000, 0), MACHINE_STOP_GUEST_EXIT), "%s", bare.s);
	machine_free(m);
	m = minivisor(&nested, profile, true, shadowing, options, kernel);
	cr_assert(eq(int, machine_run(m, 3000000000, 0), MACHINE_STOP_GUEST_EXIT), "%s", nested.s);
	cr_expect(eq(str, nested.s, bare.s));
	const uint64_t *stat = m->vmm->vm[0]->vcpu[0]->nested->stat;
	cr_expect(stat[NESTED_STAT_REFLECTED] > 50 && stat[NESTED_STAT_ENTRIES] >= stat[NESTED_STAT_REFLECTED]);
	cr_expect(shadowing ? stat[NESTED_STAT_VMREAD] == 0 : stat[NESTED_STAT_VMREAD] > 500);
	cr_expect(ledger_audit(&m->cpu[0]->ledger));
	machine_free(m);
}
#define QUIET "cpuid n=3; syscall n=20; pgfault n=20; forkwait n=2; ctxsw n=5; mmapchurn n=2 hz=0"
#define SAME(name, profile, shadowing, options, kernel) \
Test(nested, name, .timeout = 120) { same_console(profile, shadowing, options, kernel); }
SAME(minivisor_in_a_vm_prints_the_same, "skylake", false, "pages=4k", KERNEL64 QUIET)
SAME(minivisor_with_a_shadow_vmcs_prints_the_same, "skylake", true, "pages=2m", KERNEL64 QUIET)
SAME(minivisor_of_a_32_bit_kernel_prints_the_same, "haswell", true, "pages=4k io=all", KERNEL32 QUIET)
SAME(minivisor_on_the_first_unrestricted_guest, "sandybridge", false, "pages=2m ram=32m offset=80m", KERNEL64 QUIET)

Test(nested, a_run_in_pieces_with_snapshots_is_the_same_run, .timeout = 200)
{
	static struct text t;
	const char *kernel = KERNEL64 "cpuid n=3; forkwait n=2; timer n=2";
	struct machine *a = minivisor(&t, "skylake", true, true, "pages=4k", kernel);
	cr_assert(eq(int, machine_run(a, 3000000000, 0), MACHINE_STOP_GUEST_EXIT), "%s", t.s);
	struct machine *b = minivisor(&t, "skylake", true, true, "pages=4k", kernel);
	struct rng g;
	enum machine_stop why;
	rng_init(&g, 3, "cut");
	do {
		struct snap *s = rng_below(&g, 20) ? NULL : snap_take(b->snaps, "test");
		if (s) {
			machine_run(b, NEVER, 1 + rng_below(&g, 9000));
			snap_restore(b->snaps, s);
			snap_drop(b->snaps, s);
		}
		why = machine_run(b, NEVER, 1 + rng_below(&g, 5000));
	} while (why == MACHINE_STOP_ICOUNT);
	cr_expect(eq(int, why, MACHINE_STOP_GUEST_EXIT));
	cr_expect(eq(u64, machine_now(a), machine_now(b)));
	cr_expect(eq(u64, machine_hash(a), machine_hash(b)));
	machine_free(a), machine_free(b);
}

/* ---- what cannot be ---- */

static void refused(const char *cpu, const char *mmu, const char *profile, bool nested, bool shadowing, const char *text)
{
	struct machine_config k;
	struct err e = { "" };
	struct vm_config vc = { .cpu = cpu, .mmu = mmu, .vcpus = 1, .page_shift = 12, .tags = true, .ram = RAM, .nested = nested,
	                        .vmcs_shadowing = shadowing, .shadow_limit = 8 << 20 };
	machine_config_defaults(&k);
	k.ram = 96 << 20;
	snprintf(k.profile.name, sizeof k.profile.name, "%s", profile);
	struct machine *m = machine_new(&k, &e);
	cr_assert(m != NULL, "%s", e.text);
	k.ram = RAM;
	cr_expect(machine_vm(m, &k, &vc, &e) == NULL);
	cr_expect(strstr(e.text, text) != NULL, "%s", e.text);
	machine_free(m);
}
Test(nested, is_refused_by_name)
{
	refused("vmx", "shadow.wp", "skylake", true, false, "nested VMX under vmx/shadow.wp is not modelled");
	refused("vmx", "ept", "nehalem", true, false, "profile nehalem has no \"unrestricted guest\"");
	refused("vmx", "ept", "sandybridge", true, true, "profile sandybridge has no VMCS shadowing");
	refused("vmx", "ept", "skylake", false, true, "vmcs_shadowing is of use to a VM that is offered VMX");
}
