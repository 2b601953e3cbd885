/* intercept.c - which instructions exit from a guest, in which order with their faults, and what the exit tells. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "tests/unit/vmx/fixture.h"

static struct vmx_fixture *f;
static void set_up(void) { f = vmx_fixture_new(); }
static void done(void) { vmx_fixture_free(f); }
TestSuite(vmx_intercept, .init = set_up, .fini = done);

#define RUN(...) vmx_run_code(f, (uint8_t[]){ __VA_ARGS__, 0x0f, 0x01, 0xc1 /* vmcall */ }, sizeof((uint8_t[]){ __VA_ARGS__ }) + 3)
#define EXITS(reason, length, qual) \
	do { \
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), reason)); \
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_INSN_LENGTH), length)); \
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_QUALIFICATION), qual)); \
	} while (0)
static uint64_t info(void) { return vmx_field(f, VMCS_EXIT_INSN_INFO); }
static void reg(unsigned r, uint64_t v) { f->c->s.r[r] = v; }

/* The guest at CPL 3 with the fixture's selectors. */
static void ring3(void)
{
	static const enum vmcs_field data[] = { VMCS_GUEST_ES, VMCS_GUEST_SS, VMCS_GUEST_DS, VMCS_GUEST_FS, VMCS_GUEST_GS };
	for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
		vmx_set_field(f, data[i], 0x33);
		vmx_set_field(f, VMCS_GUEST_ES_ACCESS + (data[i] - VMCS_GUEST_ES), 0xc0f3);
	}
	vmx_set_field(f, VMCS_GUEST_CS, 0x2b);
	vmx_set_field(f, VMCS_GUEST_CS_ACCESS, 0xa0fb);
}
/* Faults of the guest exit: reason 0 with this vector. */
static void watch_faults(void) { vmx_set_field(f, VMCS_EXCEPTION_BITMAP, 0xffffffff); }
#define FAULTS(vector) \
	do { \
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), EXIT_EXCEPTION)); \
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_INTR_INFO) & 0xff, vector)); \
	} while (0)

/* ---- unconditional ---- */

Test(vmx_intercept, cpuid) { RUN(0x0f, 0xa2); EXITS(EXIT_CPUID, 2, 0); }
Test(vmx_intercept, invd) { RUN(0x0f, 0x08); EXITS(EXIT_INVD, 2, 0); }
Test(vmx_intercept, vmcall) { RUN(0x0f, 0x01, 0xc1); EXITS(EXIT_VMCALL, 3, 0); }
Test(vmx_intercept, xsetbv)
{
	vmx_set_field(f, VMCS_GUEST_CR4, vmx_field(f, VMCS_GUEST_CR4) | CR4_OSXSAVE);
	RUN(0x0f, 0x01, 0xd1);
	EXITS(EXIT_XSETBV, 3, 0);
}
Test(vmx_intercept, xsetbv_without_osxsave_is_undefined) { watch_faults(); RUN(0x0f, 0x01, 0xd1); FAULTS(VEC_UD); }
Test(vmx_intercept, cpuid_exits_from_ring_3_too) { ring3(); RUN(0x0f, 0xa2); EXITS(EXIT_CPUID, 2, 0); }
Test(vmx_intercept, invd_in_ring_3_is_gp) { ring3(); watch_faults(); RUN(0x0f, 0x08); FAULTS(VEC_GP); }

Test(vmx_intercept, vmx_instructions_exit_at_any_cpl)
{
	static const struct { uint8_t code[4], n; uint32_t reason; } row[] = {
		{ { 0xf3, 0x0f, 0xc7, 0x30 }, 4, EXIT_VMXON }, { { 0x66, 0x0f, 0xc7, 0x30 }, 4, EXIT_VMCLEAR },
		{ { 0x0f, 0xc7, 0x30 }, 3, EXIT_VMPTRLD }, { { 0x0f, 0xc7, 0x38 }, 3, EXIT_VMPTRST },
		{ { 0x0f, 0x01, 0xc4 }, 3, EXIT_VMXOFF }, { { 0x0f, 0x01, 0xc2 }, 3, EXIT_VMLAUNCH },
		{ { 0x0f, 0x01, 0xc3 }, 3, EXIT_VMRESUME }, { { 0x0f, 0x78, 0x08 }, 3, EXIT_VMREAD }, { { 0x0f, 0x79, 0x08 }, 3, EXIT_VMWRITE },
	};
	for (unsigned r = 0; r < 2; r++) {
		for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
			vmx_run_code(f, row[i].code, 4);
			EXITS(row[i].reason, row[i].n, 0);
		}
		ring3();
	}
}

/* ---- by one control ---- */

Test(vmx_intercept, instructions_of_one_control)
{
	static const struct { uint8_t code[3], n; enum vmx_control control; uint32_t reason; } row[] = {
		{ { 0x0f, 0x33 }, 2, VMX_RDPMC_EXITING, EXIT_RDPMC }, { { 0x0f, 0x31 }, 2, VMX_RDTSC_EXITING, EXIT_RDTSC },
		{ { 0x0f, 0x09 }, 2, VMX_WBINVD_EXITING, EXIT_WBINVD }, { { 0xf3, 0x90 }, 2, VMX_PAUSE_EXITING, EXIT_PAUSE },
		{ { 0x0f, 0x01, 0xf9 }, 3, VMX_RDTSC_EXITING, EXIT_RDTSCP },
		{ { 0x0f, 0x01, 0xc8 }, 3, VMX_MONITOR_EXITING, EXIT_MONITOR }, { { 0x0f, 0x01, 0xc9 }, 3, VMX_MWAIT_EXITING, EXIT_MWAIT },
		{ { 0x0f, 0xc7, 0xf0 }, 3, VMX_RDRAND_EXITING, EXIT_RDRAND }, { { 0x0f, 0xc7, 0xf8 }, 3, VMX_RDSEED_EXITING, EXIT_RDSEED },
	};
	vmx_control(f, VMX_ENABLE_RDTSCP, true);
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		uint8_t code[8] = { 0 };
		memcpy(code, row[i].code, row[i].n);
		memcpy(code + row[i].n, (uint8_t[]){ 0x0f, 0x01, 0xc1 }, 3);
		reg(R_RAX, 0), reg(R_RCX, 0);           /* MWAIT with nothing armed: the entry disarmed it */
		cr_expect(eq(u32, vmx_run_code(f, code, 8), EXIT_VMCALL), "row %u off", i);
		vmx_control(f, row[i].control, true);
		cr_expect(eq(u32, vmx_run_code(f, code, 8), row[i].reason), "row %u on", i);
		EXITS(row[i].reason, row[i].n, 0);
		vmx_control(f, row[i].control, false);
	}
}
Test(vmx_intercept, rdrand_and_rdseed_tell_their_operand)
{
	vmx_control(f, VMX_RDRAND_EXITING, true);
	vmx_control(f, VMX_RDSEED_EXITING, true);
	RUN(0x0f, 0xc7, 0xf3);                          /* rdrand ebx */
	cr_expect(eq(u64, info(), 1 << 11 | R_RBX << 3));
	RUN(0x49, 0x0f, 0xc7, 0xf1);                    /* rdrand r9 */
	cr_expect(eq(u64, info(), 2 << 11 | R_R9 << 3));
	RUN(0x66, 0x0f, 0xc7, 0xfe);                    /* rdseed si */
	cr_expect(eq(u64, info(), R_RSI << 3));
}
/* "VM exits clear any address-range monitoring that may be in effect" */
Test(vmx_intercept, mwait_tells_whether_a_line_is_armed)
{
	vmx_control(f, VMX_MWAIT_EXITING, true);
	reg(R_RAX, VMX_GUEST_DATA), reg(R_RCX, 0);
	RUN(0x0f, 0x01, 0xc8, 0x0f, 0x01, 0xc9);
	EXITS(EXIT_MWAIT, 3, 1);
	cr_expect(eq(u64, f->c->s.monitor_pa, MONITOR_NONE));
	reg(R_RAX, VMX_GUEST_DATA), reg(R_RCX, 0);
	RUN(0x0f, 0x01, 0xc9);
	EXITS(EXIT_MWAIT, 3, 0);
}
Test(vmx_intercept, an_exit_out_of_mwait_finds_the_guest_active)
{
	vmx_control(f, VMX_PREEMPTION_TIMER, true);
	vmx_set_field(f, VMCS_PREEMPTION_TIMER, 1000);
	reg(R_RAX, VMX_GUEST_DATA), reg(R_RCX, 0);
	vmx_guest_code(f, (uint8_t[]){ 0x0f, 0x01, 0xc8, 0x0f, 0x01, 0xc9 }, 6);
	vmx_root_code(f, (uint8_t[]){ 0x0f, 0x01, 0xc2 }, 3, 100);
	cr_assert(eq(int, f->c->s.mwait, MWAIT_OPEN));
	cpu_idle(f->c, f->c->vmx.timer_end);
	cpu_service(f->c);
	EXITS(EXIT_PREEMPTION, 0, 0);
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_ACTIVITY), ACTIVITY_ACTIVE));
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_RIP), VMX_GUEST_CODE + 6));
	cr_expect(eq(int, f->c->s.mwait, MWAIT_NOT));
}
Test(vmx_intercept, monitor_and_mwait_in_ring_3_are_undefined)
{
	vmx_control(f, VMX_MWAIT_EXITING, true);
	vmx_control(f, VMX_MONITOR_EXITING, true);
	ring3();
	watch_faults();
	RUN(0x0f, 0x01, 0xc8);
	FAULTS(VEC_UD);
	RUN(0x0f, 0x01, 0xc9);
	FAULTS(VEC_UD);
}
Test(vmx_intercept, hlt) { vmx_control(f, VMX_HLT_EXITING, true); RUN(0xf4); EXITS(EXIT_HLT, 1, 0); }
Test(vmx_intercept, hlt_in_ring_3_is_gp) { vmx_control(f, VMX_HLT_EXITING, true); ring3(); watch_faults(); RUN(0xf4); FAULTS(VEC_GP); }
Test(vmx_intercept, rdtsc_with_tsd_in_ring_3_is_gp)
{
	vmx_control(f, VMX_RDTSC_EXITING, true);
	vmx_set_field(f, VMCS_GUEST_CR4, vmx_field(f, VMCS_GUEST_CR4) | CR4_TSD);
	ring3();
	watch_faults();
	RUN(0x0f, 0x31);
	FAULTS(VEC_GP);
}
Test(vmx_intercept, instructions_that_controls_must_enable)
{
	watch_faults();
	RUN(0x0f, 0x01, 0xf9);                          /* rdtscp */
	FAULTS(VEC_UD);
	RUN(0xf3, 0x0f, 0xc7, 0xf8);                    /* rdpid rax */
	FAULTS(VEC_UD);
	RUN(0x66, 0x0f, 0x38, 0x82, 0x08);              /* invpcid rcx, [rax] */
	FAULTS(VEC_UD);
	RUN(0x0f, 0xc7, 0x28);                          /* xsaves [rax] */
	FAULTS(VEC_UD);
	RUN(0x0f, 0x01, 0xd4);                          /* vmfunc */
	FAULTS(VEC_UD);
}
Test(vmx_intercept, invlpg_tells_the_linear_address)
{
	vmx_control(f, VMX_INVLPG_EXITING, true);
	reg(R_RBX, 0x1234567);
	RUN(0x0f, 0x01, 0x7b, 0x10);                    /* invlpg [rbx + 10h] */
	EXITS(EXIT_INVLPG, 4, 0x1234577);
	vmx_set_field(f, VMCS_GUEST_FS_BASE, 0x7000000);
	RUN(0x64, 0x0f, 0x01, 0x3b);                    /* fs: */
	EXITS(EXIT_INVLPG, 4, 0x8234567);
}

/* ---- PAUSE loops ---- */

Test(vmx_intercept, a_long_loop_of_pauses_exits)
{
	vmx_control(f, VMX_PAUSE_LOOP, true);
	vmx_set_field(f, VMCS_PLE_GAP, 500);
	vmx_set_field(f, VMCS_PLE_WINDOW, 5000);
	uint64_t began = f->c->ledger.now;
	RUN(0xf3, 0x90, 0xeb, 0xfc);
	EXITS(EXIT_PAUSE, 2, 0);
	cr_expect(lt(u64, 5000, f->c->ledger.now - began));
	cr_expect(lt(u64, f->c->ledger.now - began, 14000));
}
Test(vmx_intercept, pauses_far_apart_are_no_loop)
{
	vmx_control(f, VMX_PAUSE_LOOP, true);
	vmx_set_field(f, VMCS_PLE_GAP, 10);
	vmx_set_field(f, VMCS_PLE_WINDOW, 0);
	RUN(0xf3, 0x90, 0x0f, 0x31, 0xf3, 0x90, 0x0f, 0x31, 0xf3, 0x90);
	EXITS(EXIT_VMCALL, 3, 0);
}
Test(vmx_intercept, pauses_in_ring_3_are_no_loop)
{
	vmx_control(f, VMX_PAUSE_LOOP, true);
	vmx_set_field(f, VMCS_PLE_GAP, 100000);
	ring3();
	RUN(0xf3, 0x90, 0xf3, 0x90, 0xf3, 0x90);
	EXITS(EXIT_VMCALL, 3, 0);
}

/* ---- I/O ---- */

Test(vmx_intercept, in_and_out_tell_size_direction_operand_and_port)
{
	vmx_control(f, VMX_IO_EXITING, true);
	reg(R_RDX, 0x3f8);
	RUN(0xec);
	EXITS(EXIT_IO, 1, 0x3f80008);                   /* in al, dx */
	RUN(0x66, 0xef);
	EXITS(EXIT_IO, 2, 0x3f80001);                   /* out dx, ax */
	RUN(0xe5, 0x71);
	EXITS(EXIT_IO, 2, 0x71004b);                    /* in eax, 71h */
	RUN(0xe6, 0x80);
	EXITS(EXIT_IO, 2, 0x800040);                    /* out 80h, al */
}
Test(vmx_intercept, string_io_tells_its_operand)
{
	vmx_control(f, VMX_IO_EXITING, true);
	reg(R_RDX, 0x1f0);
	reg(R_RCX, 4);
	reg(R_RDI, VMX_GUEST_DATA);
	reg(R_RSI, VMX_GUEST_DATA + 0x100);
	RUN(0xf3, 0x6d);                                /* rep insd */
	EXITS(EXIT_IO, 2, 0x1f0003b);
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_LINEAR), VMX_GUEST_DATA));
	cr_expect(eq(u64, info(), 2 << 7));
	vmx_set_field(f, VMCS_GUEST_GS_BASE, 0x1000);
	RUN(0x65, 0x67, 0x6e);                          /* outsb from gs:[esi] */
	EXITS(EXIT_IO, 3, 0x1f00010);
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_LINEAR), VMX_GUEST_DATA + 0x1100));
	cr_expect(eq(u64, info(), 1 << 7 | 5 << 15));
	reg(R_RCX, 0);
	RUN(0xf3, 0x6d);
	EXITS(EXIT_VMCALL, 3, 0);
}
/* "take priority over ... a general-protection exception due to an offset beyond the limit"; page faults too */
Test(vmx_intercept, string_io_exits_before_its_memory_faults)
{
	vmx_control(f, VMX_IO_EXITING, true);
	watch_faults();
	reg(R_RDI, 0xffff800000000000);
	RUN(0x6c);
	EXITS(EXIT_IO, 1, 0x18 | (f->c->s.r[R_RDX] & 0xffff) << 16);
}
Test(vmx_intercept, io_without_the_privilege_is_gp)
{
	vmx_control(f, VMX_IO_EXITING, true);
	watch_faults();
	ring3();
	RUN(0xec);
	FAULTS(VEC_GP);
}
Test(vmx_intercept, io_bitmaps_choose_ports)
{
	static const struct { uint16_t port; uint8_t size; uint16_t bit; bool out; } row[] = {
		{ 0x60, 1, 0x60, true }, { 0x5f, 1, 0x60, false }, { 0x5f, 2, 0x60, true }, { 0x5d, 4, 0x60, true }, { 0x61, 4, 0x60, false },
		{ 0x7fff, 1, 0x7fff, true }, { 0x7fff, 2, 0x8000, true }, { 0x8000, 1, 0x8000, true }, { 0xffff, 1, 0xffff, true },
		{ 0xffff, 1, 0xfffe, false }, { 0xffff, 2, 0x60, true /* wraps around */ }, { 0xfffe, 4, 0x60, true },
	};
	vmx_control(f, VMX_IO_BITMAPS, true);
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		uint8_t *a = fixture_at(f->f, AT_IO_A), *at = a + row[i].bit / 8;
		memset(a, 0, 8192);
		*at |= 1 << row[i].bit % 8;
		reg(R_RDX, row[i].port);
		if (row[i].size == 1)
			RUN(0xec);
		else if (row[i].size == 2)
			RUN(0x66, 0xed);
		else
			RUN(0xed);
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), row[i].out ? EXIT_IO : EXIT_VMCALL), "row %u", i);
	}
}

/* ---- MSRs ---- */

Test(vmx_intercept, msr_bitmaps_choose_registers)
{
	static const struct { uint32_t nr; uint16_t byte; uint8_t bit; } row[] = {
		{ 0x10, 2, 0 }, { 0x1b, 3, 3 }, { 0x1fff, 1023, 7 }, { 0xc0000080, 1040, 0 }, { 0xc0001fff, 2047, 7 },
	};
	uint8_t *map = fixture_at(f->f, AT_MSR_BITMAPS);
	vmx_control(f, VMX_MSR_BITMAPS, true);
	watch_faults();
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		reg(R_RCX, row[i].nr);
		memset(map, 0, 4096);
		map[row[i].byte] = 1 << row[i].bit;
		RUN(0x0f, 0x32);
		EXITS(EXIT_RDMSR, 2, 0);
		memset(map, 0xff, 4096);
		map[row[i].byte] = ~(1 << row[i].bit);
		RUN(0x0f, 0x32);
		cr_expect(ne(u64, vmx_field(f, VMCS_EXIT_REASON), EXIT_RDMSR), "row %u", i);
		memset(map, 0, 4096);
		map[row[i].byte + 2048] = 1 << row[i].bit;
		RUN(0x0f, 0x30);
		EXITS(EXIT_WRMSR, 2, 0);
	}
	memset(map, 0, 4096);
	static const uint32_t outside[] = { 0x2000, 0xbfffffff, 0xc0002000, 0xffffffff };
	for (unsigned i = 0; i < ARRAY_LEN(outside); i++) {
		reg(R_RCX, outside[i]);
		RUN(0x0f, 0x32);
		EXITS(EXIT_RDMSR, 2, 0);
	}
}
Test(vmx_intercept, without_msr_bitmaps_all_exit_before_gp) { reg(R_RCX, 0x12345678); RUN(0x0f, 0x32); EXITS(EXIT_RDMSR, 2, 0); }
Test(vmx_intercept, rdmsr_in_ring_3_is_gp) { ring3(); watch_faults(); RUN(0x0f, 0x32); FAULTS(VEC_GP); }

/* ---- control registers ---- */

Test(vmx_intercept, mov_to_cr0_obeys_mask_and_shadow)
{
	uint64_t cr0 = vmx_field(f, VMCS_GUEST_CR0);
	vmx_set_field(f, VMCS_CR0_MASK, CR0_TS | CR0_WP);
	vmx_set_field(f, VMCS_CR0_SHADOW, CR0_TS);
	reg(R_RBX, (cr0 & ~(uint64_t)CR0_WP) | CR0_TS | CR0_AM);
	RUN(0x0f, 0x22, 0xc3);                          /* mov cr0, rbx: as the shadow says */
	EXITS(EXIT_VMCALL, 3, 0);
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_CR0), cr0 | CR0_AM), "host-owned bits stay as they are");
	reg(R_RBX, cr0);
	RUN(0x0f, 0x22, 0xc3);
	EXITS(EXIT_CR_ACCESS, 3, 0x300);
}
Test(vmx_intercept, mov_from_cr0_shows_the_shadow)
{
	uint64_t cr0 = vmx_field(f, VMCS_GUEST_CR0);
	vmx_set_field(f, VMCS_CR0_MASK, CR0_TS | CR0_WP);
	vmx_set_field(f, VMCS_CR0_SHADOW, CR0_TS);
	RUN(0x0f, 0x20, 0xc3);
	cr_expect(eq(u64, f->c->s.r[R_RBX], (cr0 & ~(uint64_t)CR0_WP) | CR0_TS));
	RUN(0x0f, 0x01, 0xe1);                          /* smsw ecx */
	cr_expect(eq(u64, f->c->s.r[R_RCX] & 0xf, (cr0 & 0xf) | CR0_TS));
}
Test(vmx_intercept, cr3_exits_but_for_target_values)
{
	uint64_t cr3 = vmx_field(f, VMCS_GUEST_CR3);
	vmx_control(f, VMX_CR3_LOAD_EXITING, true);
	vmx_control(f, VMX_CR3_STORE_EXITING, true);
	reg(R_RSI, cr3);
	RUN(0x0f, 0x22, 0xde);                          /* mov cr3, rsi */
	EXITS(EXIT_CR_ACCESS, 3, 0x603);
	for (unsigned i = 0; i < 4; i++) {
		vmx_set_field(f, VMCS_CR3_TARGET0 + i, cr3);
		vmx_set_field(f, VMCS_CR3_TARGET_COUNT, i);
		RUN(0x0f, 0x22, 0xde);
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), EXIT_CR_ACCESS));
		vmx_set_field(f, VMCS_CR3_TARGET_COUNT, i + 1);
		RUN(0x0f, 0x22, 0xde);
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), EXIT_VMCALL));
		vmx_set_field(f, VMCS_CR3_TARGET0 + i, 0);
	}
	RUN(0x41, 0x0f, 0x20, 0xdc);                    /* mov r12, cr3 */
	EXITS(EXIT_CR_ACCESS, 4, 0xc13);
}
Test(vmx_intercept, mov_to_cr4_obeys_mask_and_shadow)
{
	uint64_t cr4 = vmx_field(f, VMCS_GUEST_CR4);
	vmx_set_field(f, VMCS_CR4_MASK, CR4_VMXE);
	RUN(0x0f, 0x20, 0xe0);                          /* mov rax, cr4 */
	cr_expect(eq(u64, f->c->s.r[R_RAX], cr4 & ~(uint64_t)CR4_VMXE));
	RUN(0x0f, 0x22, 0xe0);
	EXITS(EXIT_VMCALL, 3, 0);
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_CR4), cr4));
	reg(R_RAX, cr4);
	RUN(0x0f, 0x22, 0xe0);
	EXITS(EXIT_CR_ACCESS, 3, 0x004);
}
Test(vmx_intercept, fixed_bits_the_guest_owns_are_gp)
{
	watch_faults();
	reg(R_RAX, vmx_field(f, VMCS_GUEST_CR0) & ~(uint64_t)CR0_NE);
	RUN(0x0f, 0x22, 0xc0);
	FAULTS(VEC_GP);
	reg(R_RAX, vmx_field(f, VMCS_GUEST_CR4) & ~(uint64_t)CR4_VMXE);
	RUN(0x0f, 0x22, 0xe0);
	FAULTS(VEC_GP);
}
Test(vmx_intercept, cr8)
{
	vmx_control(f, VMX_CR8_LOAD_EXITING, true);
	vmx_control(f, VMX_CR8_STORE_EXITING, true);
	RUN(0x44, 0x0f, 0x22, 0xc7);                    /* mov cr8, rdi */
	EXITS(EXIT_CR_ACCESS, 4, 0x708);
	RUN(0x44, 0x0f, 0x20, 0xc7);
	EXITS(EXIT_CR_ACCESS, 4, 0x718);
}
Test(vmx_intercept, clts)
{
	uint64_t cr0 = vmx_field(f, VMCS_GUEST_CR0) | CR0_TS;
	vmx_set_field(f, VMCS_GUEST_CR0, cr0);
	vmx_set_field(f, VMCS_CR0_MASK, CR0_TS);
	RUN(0x0f, 0x06);
	EXITS(EXIT_VMCALL, 3, 0);
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_CR0), cr0), "the host owns TS: it stays");
	vmx_set_field(f, VMCS_CR0_SHADOW, CR0_TS);
	RUN(0x0f, 0x06);
	EXITS(EXIT_CR_ACCESS, 2, 2 << 4);
	vmx_set_field(f, VMCS_CR0_MASK, 0);
	RUN(0x0f, 0x06);
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_CR0), cr0 & ~(uint64_t)CR0_TS));
}
Test(vmx_intercept, lmsw)
{
	static const struct { uint8_t mask, shadow, src; bool out; } row[] = {
		{ 0x8, 0x0, 0x8, true }, { 0x8, 0x8, 0x8, false }, { 0x8, 0x8, 0x0, true }, { 0x1, 0x0, 0x1, true },
		{ 0x1, 0x1, 0x0, false /* LMSW cannot clear PE */ }, { 0x0, 0x0, 0xe, false }, { 0x6, 0x2, 0xa, false }, { 0x6, 0x2, 0xe, true },
	};
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		vmx_set_field(f, VMCS_CR0_MASK, row[i].mask);
		vmx_set_field(f, VMCS_CR0_SHADOW, row[i].shadow);
		reg(R_RDX, row[i].src);
		RUN(0x0f, 0x01, 0xf2);                  /* lmsw dx */
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), row[i].out ? EXIT_CR_ACCESS : EXIT_VMCALL), "row %u", i);
		if (row[i].out)
			EXITS(EXIT_CR_ACCESS, 3, 3 << 4 | (uint64_t)row[i].src << 16);
	}
	vmx_set_field(f, VMCS_CR0_MASK, 8);
	vmx_set_field(f, VMCS_CR0_SHADOW, 0);
	uint16_t v = 0xabcf;
	memcpy(fixture_at(f->f, VMX_GUEST_DATA), &v, 2);
	reg(R_RBX, VMX_GUEST_DATA);
	RUN(0x0f, 0x01, 0x33);                          /* lmsw [rbx] */
	EXITS(EXIT_CR_ACCESS, 3, 3 << 4 | BIT(6) | 0xabcfull << 16);
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_LINEAR), VMX_GUEST_DATA));
}

/* ---- debug registers ---- */

Test(vmx_intercept, mov_dr_exits_before_privilege_and_de)
{
	vmx_control(f, VMX_MOV_DR_EXITING, true);
	watch_faults();
	RUN(0x0f, 0x23, 0xf9);                          /* mov dr7, rcx */
	EXITS(EXIT_MOV_DR, 3, 0x107);
	RUN(0x41, 0x0f, 0x21, 0xd9);                    /* mov r9, dr3 */
	EXITS(EXIT_MOV_DR, 4, 0x913);
	ring3();
	vmx_set_field(f, VMCS_GUEST_CR4, vmx_field(f, VMCS_GUEST_CR4) | CR4_DE);
	RUN(0x0f, 0x23, 0xe0);                          /* mov dr4, rax */
	EXITS(EXIT_MOV_DR, 3, 0x004);
	RUN(0x44, 0x0f, 0x23, 0xc0);                    /* there is no dr8 */
	FAULTS(VEC_UD);
}

/* ---- instruction information: address forms ---- */

Test(vmx_intercept, descriptor_tables_tell_their_operands)
{
	vmx_control(f, VMX_DESC_TABLE_EXITING, true);
	RUN(0x0f, 0x01, 0x54, 0x8b, 0x20);              /* lgdt [rbx + rcx*4 + 20h] */
	EXITS(EXIT_GDTR_IDTR, 5, 0x20);
	cr_expect(eq(u64, info(), 2 | 2 << 7 | 3 << 15 | 1 << 18 | 3 << 23 | 2u << 28));
	RUN(0x67, 0x0f, 0x01, 0x00);                    /* sgdt [eax] */
	EXITS(EXIT_GDTR_IDTR, 4, 0);
	cr_expect(eq(u64, info(), 1 << 7 | 3 << 15 | BIT(22)));
	RUN(0x0f, 0x01, 0x0d, 0x00, 0x10, 0x00, 0x00);  /* sidt [rip + 1000h] */
	EXITS(EXIT_GDTR_IDTR, 7, VMX_GUEST_CODE + 7 + 0x1000);
	cr_expect(eq(u64, info(), 2 << 7 | 3 << 15 | BIT(22) | BIT(27) | 1u << 28));
	RUN(0x64, 0x0f, 0x01, 0x1c, 0x25, 0xf0, 0xff, 0xff, 0xff);      /* lidt fs:[-10h] */
	EXITS(EXIT_GDTR_IDTR, 9, 0xfffffffffffffff0);
	cr_expect(eq(u64, info(), 2 << 7 | 4 << 15 | BIT(22) | BIT(27) | 3u << 28));
}
Test(vmx_intercept, ldtr_and_tr_tell_their_operands)
{
	vmx_control(f, VMX_DESC_TABLE_EXITING, true);
	RUN(0x41, 0x0f, 0x00, 0xc2);                    /* sldt r10d */
	EXITS(EXIT_LDTR_TR, 4, 0);
	cr_expect(eq(u64, info(), BIT(10) | 10 << 3));
	RUN(0x0f, 0x00, 0xcb);                          /* str ebx */
	cr_expect(eq(u64, info(), BIT(10) | 3 << 3 | 1u << 28));
	RUN(0x0f, 0x00, 0x55, 0x08);                    /* lldt [rbp + 8] */
	EXITS(EXIT_LDTR_TR, 4, 8);
	cr_expect(eq(u64, info(), 2 << 7 | 2 << 15 | BIT(22) | 5 << 23 | 2u << 28));
	RUN(0x0f, 0x00, 0xde);                          /* ltr si */
	cr_expect(eq(u64, info(), BIT(10) | 6 << 3 | 3u << 28));
}
Test(vmx_intercept, umip_comes_before_descriptor_table_exits)
{
	vmx_control(f, VMX_DESC_TABLE_EXITING, true);
	vmx_set_field(f, VMCS_GUEST_CR4, vmx_field(f, VMCS_GUEST_CR4) | CR4_UMIP);
	ring3();
	watch_faults();
	RUN(0x0f, 0x00, 0xc0);
	FAULTS(VEC_GP);
}
Test(vmx_intercept, vmread_and_vmwrite_tell_their_operands)
{
	RUN(0x4c, 0x0f, 0x78, 0x48, 0x40);              /* vmread [rax + 40h], r9 */
	EXITS(EXIT_VMREAD, 5, 0x40);
	cr_expect(eq(u64, info(), 2 << 7 | 3 << 15 | BIT(22) | 0 << 23 | 9u << 28));
	RUN(0x0f, 0x79, 0xd9);                          /* vmwrite rbx, rcx: field RBX */
	EXITS(EXIT_VMWRITE, 3, 0);
	cr_expect(eq(u64, info(), BIT(10) | 1 << 3 | 3u << 28));
}
Test(vmx_intercept, invalidations_tell_their_operands)
{
	vmx_control(f, VMX_ENABLE_INVPCID, true);
	vmx_control(f, VMX_INVLPG_EXITING, true);
	RUN(0x66, 0x0f, 0x38, 0x82, 0x53, 0x08);        /* invpcid rdx, [rbx + 8] */
	EXITS(EXIT_INVPCID, 6, 8);
	cr_expect(eq(u64, info(), 2 << 7 | 3 << 15 | BIT(22) | 3 << 23 | 2u << 28));
	RUN(0x66, 0x0f, 0x38, 0x80, 0x08);              /* invept rcx, [rax] */
	EXITS(EXIT_INVEPT, 5, 0);
	cr_expect(eq(u64, info(), 2 << 7 | 3 << 15 | BIT(22) | 1u << 28));
	RUN(0x66, 0x0f, 0x38, 0x81, 0x08);
	EXITS(EXIT_INVVPID, 5, 0);
}

/* ---- time ---- */

static uint64_t guest_tsc(void)
{
	RUN(0x0f, 0x31);
	return f->c->s.r[R_RDX] << 32 | (uint32_t)f->c->s.r[R_RAX];
}
Test(vmx_intercept, the_tsc_is_scaled_then_offset)
{
	vmx_control(f, VMX_TSC_OFFSETTING, true);
	vmx_set_field(f, VMCS_TSC_OFFSET, BIT(40));
	uint64_t before = cpu_tsc(f->c), t = guest_tsc();
	cr_expect(all(ge(u64, t, BIT(40) + before), le(u64, t, BIT(40) + cpu_tsc(f->c))));
	vmx_control(f, VMX_TSC_SCALING, true);
	vmx_set_field(f, VMCS_TSC_MULTIPLIER, 3ull << 47);      /* one and a half */
	before = cpu_tsc(f->c), t = guest_tsc();
	cr_expect(all(ge(u64, t, BIT(40) + before * 3 / 2), le(u64, t, BIT(40) + cpu_tsc(f->c) * 3 / 2)));
	vmx_control(f, VMX_MSR_BITMAPS, true);
	reg(R_RCX, 0x10);
	before = cpu_tsc(f->c);
	RUN(0x0f, 0x32);
	t = f->c->s.r[R_RDX] << 32 | (uint32_t)f->c->s.r[R_RAX];
	cr_expect(ge(u64, t, BIT(40) + before * 3 / 2), "RDMSR of IA32_TIME_STAMP_COUNTER too");
}

/* ---- VMCS shadowing ---- */

static void shadowing(void)
{
	vmx_control(f, VMX_VMCS_SHADOWING, true);
	vmx_set_field(f, VMCS_LINK_POINTER, AT_SHADOW_VMCS);
}
Test(vmx_intercept, vmread_reaches_the_shadow_vmcs)
{
	shadowing();
	vmcs_activate(f->c, AT_SHADOW_VMCS)->f[VMCS_GUEST_RSP] = 0x1234;
	reg(R_RCX, 0x681c);
	RUN(0x0f, 0x78, 0xca, 0x0f, 0x94, 0xc3);        /* vmread rdx, rcx; setz bl */
	EXITS(EXIT_VMCALL, 3, 0);
	cr_expect(eq(u64, f->c->s.r[R_RDX], 0x1234));
	reg(R_RDX, 0x5678);
	RUN(0x0f, 0x79, 0xca);                          /* vmwrite rcx, rdx */
	cr_expect(eq(u64, vmcs_active(f->c, AT_SHADOW_VMCS)->f[VMCS_GUEST_RSP], 0x5678));
}
Test(vmx_intercept, shadow_bitmaps_choose_fields)
{
	shadowing();
	reg(R_RCX, 0x681c);
	((uint8_t *)fixture_at(f->f, AT_VMREAD_BITMAP))[0x681c / 8] = 1 << (0x681c & 7);
	RUN(0x0f, 0x78, 0xca);
	EXITS(EXIT_VMREAD, 3, 0);
	RUN(0x0f, 0x79, 0xca);
	EXITS(EXIT_VMCALL, 3, 0);
	((uint8_t *)fixture_at(f->f, AT_VMWRITE_BITMAP))[0x681c / 8] = 1 << (0x681c & 7);
	RUN(0x0f, 0x79, 0xca);
	EXITS(EXIT_VMWRITE, 3, 0);
	reg(R_RCX, 0x8000);
	RUN(0x0f, 0x78, 0xca);
	EXITS(EXIT_VMREAD, 3, 0);
}
Test(vmx_intercept, without_a_link_pointer_shadow_accesses_fail_invalid)
{
	shadowing();
	vmx_set_field(f, VMCS_LINK_POINTER, VMCS_NONE);
	reg(R_RCX, 0x681c);
	RUN(0x0f, 0x78, 0xca, 0x0f, 0x92, 0xc3);        /* vmread; setc bl */
	cr_expect(eq(u64, f->c->s.r[R_RBX] & 0xff, 1));
}
Test(vmx_intercept, shadow_accesses_of_no_field_fail_with_12)
{
	shadowing();
	reg(R_RCX, 0x6);
	RUN(0x0f, 0x78, 0xca, 0x0f, 0x94, 0xc3);        /* vmread; setz bl */
	cr_expect(eq(u64, f->c->s.r[R_RBX] & 0xff, 1));
	cr_expect(eq(u64, vmx_field(f, VMCS_INSN_ERROR), VMX_ERR_FIELD), "of the current VMCS");
}

/* ---- VM functions ---- */

static void vm_functions(void)
{
	vmx_identity_ept(f);
	vmx_control(f, VMX_ENABLE_VMFUNC, true);
	vmx_set_field(f, VMCS_VMFUNC_CONTROLS, VMFUNC_EPTP_SWITCHING);
	uint64_t *list = fixture_at(f->f, AT_EPTP_LIST);
	list[1] = vmx_field(f, VMCS_EPTP);
	list[511] = vmx_field(f, VMCS_EPTP) | BIT(6);
	reg(R_RAX, 0);
}
Test(vmx_intercept, vmfunc_switches_eptp)
{
	vm_functions();
	reg(R_RCX, 511);
	RUN(0x0f, 0x01, 0xd4);
	EXITS(EXIT_VMCALL, 3, 0);
	cr_expect(eq(u64, vmx_field(f, VMCS_EPTP) & BIT(6), BIT(6)));
}
Test(vmx_intercept, vmfunc_exits_for_a_bad_index_or_pointer)
{
	vm_functions();
	reg(R_RCX, 512);
	RUN(0x0f, 0x01, 0xd4);
	EXITS(EXIT_VMFUNC, 3, 0);
	reg(R_RCX, 2);
	RUN(0x0f, 0x01, 0xd4);
	EXITS(EXIT_VMFUNC, 3, 0);
}
Test(vmx_intercept, vmfunc_exits_for_a_function_not_enabled_and_is_undefined_beyond_63)
{
	vm_functions();
	watch_faults();
	reg(R_RAX, 63);
	RUN(0x0f, 0x01, 0xd4);
	EXITS(EXIT_VMFUNC, 3, 0);
	reg(R_RAX, 64);
	RUN(0x0f, 0x01, 0xd4);
	FAULTS(VEC_UD);
	reg(R_RAX, 0);
	vmx_set_field(f, VMCS_VMFUNC_CONTROLS, 0);
	RUN(0x0f, 0x01, 0xd4);
	EXITS(EXIT_VMFUNC, 3, 0);
}


/* ---- IA32_PERF_GLOBAL_CTRL ---- */

Test(vmx_intercept, perf_global_ctrl_is_loaded_where_asked)
{
	for (unsigned on = 0; on < 2; on++) {
		uint64_t v;
		cr_assert(msr_write(f->c, 0x38f, 1));
		vmx_control(f, VMX_ENTRY_LOAD_PERF, on);
		vmx_control(f, VMX_EXIT_LOAD_PERF, on);
		vmx_set_field(f, VMCS_GUEST_PERF_GLOBAL_CTRL, 2);
		vmx_set_field(f, VMCS_HOST_PERF_GLOBAL_CTRL, 4);
		vmx_set_field(f, VMCS_MSR_BITMAPS, AT_MSR_BITMAPS);
		vmx_control(f, VMX_MSR_BITMAPS, true);
		reg(R_RCX, 0x38f);
		RUN(0x0f, 0x32);
		cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), EXIT_VMCALL));
		cr_expect(eq(u64, f->c->s.r[R_RAX], on ? 2 : 1));
		cr_assert(msr_read(f->c, 0x38f, &v));
		cr_expect(eq(u64, v, on ? 4 : 1));
	}
}
