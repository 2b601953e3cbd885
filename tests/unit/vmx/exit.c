/* exit.c - VM entries and exits of guests of a few bytes: what the host finds afterwards, and who paid. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "models/cpu/flags.h"
#include "models/cpu/vmx/vmx.h"
#include "models/mmu/pte.h"
#include "tests/unit/vmx/valid.h"

TestSuite(vmx_exit);

#define GET(NAME) (f->cpu->vmcs->f[VMCS_##NAME])
#define CODE(at, ...) do { const uint8_t b_[] = { __VA_ARGS__ }; mem_write(&f->mem, HPA(at), b_, sizeof b_); } while (0)

/* VMLAUNCH at FIXTURE_CODE; the host halts. */
static struct fixture *launch(enum valid_base base)
{
	struct fixture *f = valid_new(base);
	fixture_code(f, (uint8_t[]){ 0x0f, 0x01, 0xc2 }, 3);
	CODE(VALID_HOST, 0xf4);
	return f;
}

/* Run until the host's HLT. */
static void run(struct fixture *f)
{
	cr_assert(eq(int, cpu_run(f->cpu, f->cpu->ledger.now + 1000000, 1000), STOP_HALTED));
	cr_assert(not(f->cpu->vmx.guest));
	cr_assert(ledger_audit(&f->cpu->ledger));
}

Test(vmx_exit, cpuid_exits_and_vmresume_goes_on_behind_it)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x48, 0xff, 0xc3 /* inc rbx */, 0x0f, 0xa2 /* cpuid */, 0x48, 0xff, 0xc1 /* inc rcx */, 0x0f, 0x01, 0xc1);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_CPUID));
	cr_expect(eq(u64, GET(EXIT_INSN_LENGTH), 2));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 3));
	cr_expect(eq(u64, f->cpu->s.r[R_RBX], 1));
	cr_expect(eq(int, f->cpu->vmcs->launched, 1));
	cr_expect(eq(u64, f->cpu->stat[CPU_STAT_EXIT_CPUID], 1));
	GET(GUEST_RIP) += 2;
	fixture_code(f, (uint8_t[]){ 0x0f, 0x01, 0xc3 }, 3);    /* VMRESUME */
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_VMCALL));
	cr_expect(eq(u64, f->cpu->s.r[R_RCX], 1));
	cr_expect(eq(u64, f->cpu->stat[CPU_STAT_VM_ENTRY], 2));
	fixture_free(f);
}

/* "RFLAGS is cleared, except bit 1"; DR7 is 400H; segments by fixed rules. */
Test(vmx_exit, host_state_is_loaded)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0xf9 /* stc */, 0x0f, 0xa2);
	GET(HOST_RSP) = 0x1234560;
	GET(HOST_FS_BASE) = 0xffff800000001000;
	GET(GUEST_DR7) = 0x401;
	f->cpu->s.nmi_blocked = 0;
	run(f);
	const struct cpu_state *s = &f->cpu->s;
	cr_expect(eq(u64, GET(GUEST_RFLAGS), 3));
	cr_expect(eq(u64, cpu_rflags(f->cpu), 2));
	cr_expect(eq(u64, s->r[R_RSP], 0x1234560));
	cr_expect(eq(u64, s->dr[7], 0x400));
	cr_expect(eq(u64, s->seg[SEG_FS].base, 0xffff800000001000));
	cr_expect(eq(u32, s->seg[SEG_CS].attr, 0xa09b));
	cr_expect(eq(u32, s->seg[SEG_SS].attr, 0xc093));
	cr_expect(eq(u32, s->seg[SEG_TR].limit, 0x67));
	cr_expect(eq(u32, s->seg[SEG_LDTR].attr, SEG_UNUSABLE));
	cr_expect(eq(u32, s->gdtr.limit, 0xffff));
	fixture_free(f);
}

/* "If the processor supports the 1-setting of the 'load CET' VM-entry control, the contents of the IA32_S_CET and
 * IA32_INTERRUPT_SSP_TABLE_ADDR MSRs are saved"; SSP too. Loaded when the controls say so. */
Test(vmx_exit, cet_state_goes_both_ways)
{
	for (unsigned load = 0; load < 4; load++) {
		struct fixture *f = launch(VALID_CET);
		struct cpu_state *s = &f->cpu->s;
		const bool in = load & 1, out = load & 2;
		CODE(VALID_GUEST, 0x0f, 0xa2);
		GET(ENTRY_CONTROLS) |= in ? VMX_CTL(ENTRY_LOAD_CET) : 0;
		GET(EXIT_CONTROLS) |= out ? VMX_CTL(EXIT_LOAD_CET) : 0;
		s->s_cet = 1, s->ssp = 0x10, s->ssp_table = 0x100;
		GET(GUEST_S_CET) = 2, GET(GUEST_SSP) = 0x20, GET(GUEST_SSP_TABLE) = 0x200;
		GET(HOST_S_CET) = 3, GET(HOST_SSP) = 0x30, GET(HOST_SSP_TABLE) = 0x300;
		run(f);
		const uint64_t guest = in ? 2 : 1, host = out ? 3 : guest;
		cr_expect(eq(u64, GET(EXIT_REASON), EXIT_CPUID));
		cr_expect(eq(u64, GET(GUEST_S_CET), guest), "%u", load);
		cr_expect(eq(u64, GET(GUEST_SSP), guest << 4), "%u", load);
		cr_expect(eq(u64, GET(GUEST_SSP_TABLE), guest << 8), "%u", load);
		cr_expect(eq(u64, s->s_cet, host), "%u", load);
		cr_expect(eq(u64, s->ssp, host << 4), "%u", load);
		cr_expect(eq(u64, s->ssp_table, host << 8), "%u", load);
		fixture_free(f);
	}
}

/* The guest's shadow stack is in force at once: its return is checked, and #CP exits by bit 21 of the exception bitmap. */
Test(vmx_exit, a_guests_control_protection_exception_exits)
{
	struct fixture *f = launch(VALID_CET);
	mem_write64(&f->mem, HPA(0x3000 + 7 * 8), 0xe00000 | PTE_P | PTE_A | PTE_D | PTE_PS);
	GET(GUEST_CR4) |= CR4_CET;
	GET(ENTRY_CONTROLS) |= VMX_CTL(ENTRY_LOAD_CET);
	GET(GUEST_S_CET) = 1;
	GET(GUEST_SSP) = 0xe01000;
	GET(EXCEPTION_BITMAP) = BIT(VEC_CP);
	mem_write64(&f->mem, HPA(GET(GUEST_RSP)), VALID_GUEST);
	CODE(VALID_GUEST, 0x90, 0xc3);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_EXCEPTION));
	cr_expect(eq(u64, GET(EXIT_INTR_INFO), 0x80000b15));
	cr_expect(eq(u64, GET(EXIT_INTR_ERROR), 1));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 1));
	cr_expect(eq(u64, GET(GUEST_SSP), 0xe01000));
	fixture_free(f);
}

Test(vmx_exit, every_kind_of_guest_enters_and_is_saved_as_it_was)
{
	for (enum valid_base base = 0; base < VALID_BASES; base++) {
		struct fixture *f = launch(base);
		if (base == VALID_V86 || base == VALID_REAL)
			GET(GUEST_RIP) = 0x9000;        /* within 64 KB */
		uint64_t at = GET(GUEST_CS_BASE) + GET(GUEST_RIP), before[VMCS_N];
		CODE(at, 0x90, 0x0f, 0xa2);
		memcpy(before, f->cpu->vmcs->f, sizeof before);
		run(f);
		cr_expect(eq(u64, GET(EXIT_REASON), EXIT_CPUID), "base %d", base);
		for (enum vmcs_field k = 0; k < VMCS_N; k++) {
			uint64_t want = before[k];
			if (vmcs_type(k) != VMCS_GUEST || k == VMCS_GUEST_PDPTE0 || k == VMCS_GUEST_PDPTE1 ||
			    k == VMCS_GUEST_PDPTE2 || k == VMCS_GUEST_PDPTE3)
				continue;
			if (k == VMCS_GUEST_RIP)
				want++;
			cr_expect(eq(u64, f->cpu->vmcs->f[k], want), "base %d: %s", base, vmcs_rows[k].name);
		}
		fixture_free(f);
	}
}

/* "exit reason ... bit 31: VM-entry failure"; nothing of the guest is saved, it is not launched. */
Test(vmx_exit, bad_guest_state_is_an_exit_with_reason_33)
{
	struct fixture *f = launch(VALID_LONG);
	GET(LINK_POINTER) = 1;
	GET(EXIT_INSN_LENGTH) = 77;
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), 0x80000021));
	cr_expect(eq(u64, GET(EXIT_QUALIFICATION), 4));
	cr_expect(eq(u64, GET(EXIT_INSN_LENGTH), 77));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST));
	cr_expect(eq(int, f->cpu->vmcs->launched, 0));
	fixture_free(f);
}

#define AREA 0x500000u
Test(vmx_exit, the_msr_entry_that_fails_is_named)
{
	struct fixture *f = launch(VALID_LONG);
	mem_write64(&f->mem, HPA(AREA), 0xc0000102);            /* KERNEL_GS_BASE */
	mem_write64(&f->mem, HPA(AREA + 8), 0x1000);
	mem_write64(&f->mem, HPA(AREA + 16), 0xc0000102);
	mem_write64(&f->mem, HPA(AREA + 24), 0x8000000000000000);
	GET(ENTRY_MSR_LOAD_ADDR) = AREA;
	GET(ENTRY_MSR_LOAD_COUNT) = 2;
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), 0x80000022));
	cr_expect(eq(u64, GET(EXIT_QUALIFICATION), 2));
	cr_expect(eq(u64, f->cpu->s.kernel_gs_base, 0x1000));
	fixture_free(f);
}

/* Totals of the flows are the profile's rows; hardware pays. */
Test(vmx_exit, flows_cost_what_the_profile_says)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x0f, 0xa2);
	run(f);
	const struct ledger *l = &f->cpu->ledger;
	cr_expect(eq(u64, l->spent[ACCT_HARDWARE][WHY_VM_EXIT], f->profile.vmexit_flow));
	cr_expect(eq(u64, l->spent[ACCT_HARDWARE][WHY_VM_ENTRY], f->profile.vmentry_flow));
	cr_expect(eq(u64, ledger_by_acct(l, ACCT_HARDWARE), f->profile.vmexit_flow + f->profile.vmentry_flow));
	cr_expect(lt(u64, 0, ledger_by_acct(l, ACCT_GUEST + 2)));
	fixture_free(f);
}

/* ---- events ---- */

Test(vmx_exit, an_exception_in_the_bitmap_exits_with_its_error_code)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x8e, 0xd8);                          /* mov ds, ax */
	f->cpu->s.r[R_RAX] = 0x1000;
	GET(EXCEPTION_BITMAP) = 1u << VEC_GP;
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_EXCEPTION));
	cr_expect(eq(u64, GET(EXIT_INTR_INFO), 0x80000b00 | VEC_GP));
	cr_expect(eq(u64, GET(EXIT_INTR_ERROR), 0x1000));
	cr_expect(eq(u64, GET(IDT_VECTORING), 0));
	cr_expect(eq(u64, GET(GUEST_RFLAGS), RFLAGS_RF | 2));
	fixture_free(f);
}

/* "If bit 14 ... is 1, a VM exit occurs if PFEC & PFEC_MASK = PFEC_MATCH"; the address is the qualification, not CR2. */
Test(vmx_exit, page_faults_are_chosen_by_mask_and_match)
{
	static const struct { uint32_t bitmap, mask, match; bool exits; } rows[] = {
		{ 1u << 14, 0, 0, true }, { 0, 0, 0, false }, { 1u << 14, 2, 2, true }, { 1u << 14, 2, 0, false }, { 0, 2, 0, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture *f = launch(VALID_LONG);
		CODE(VALID_GUEST, 0x88, 0x04, 0x25, 0, 0, 0, 0x40);     /* mov [0x40000000], al: not mapped */
		GET(EXCEPTION_BITMAP) = rows[i].bitmap;
		GET(PFEC_MASK) = rows[i].mask;
		GET(PFEC_MATCH) = rows[i].match;
		f->cpu->s.cr2 = 5;
		cpu_run(f->cpu, NEVER, 20);
		cr_expect(eq(int, !f->cpu->vmx.guest, rows[i].exits), "row %zu", i);
		cr_expect(eq(u64, f->cpu->s.cr2, rows[i].exits ? 5 : 0x40000000), "row %zu", i);
		if (rows[i].exits) {
			cr_expect(eq(u64, GET(EXIT_QUALIFICATION), 0x40000000));
			cr_expect(eq(u64, GET(EXIT_INTR_ERROR), 2));
		}
		fixture_free(f);
	}
}

/* A fault while INT n is delivered: the INT is in the IDT-vectoring information, its length too. */
Test(vmx_exit, what_was_being_delivered_is_in_the_vectoring_information)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0xcd, 0xf0);                          /* beyond the IDT */
	GET(EXCEPTION_BITMAP) = 1u << VEC_GP;
	run(f);
	cr_expect(eq(u64, GET(EXIT_INTR_INFO), 0x80000b00 | VEC_GP));
	cr_expect(eq(u64, GET(IDT_VECTORING), 0x800004f0));
	cr_expect(eq(u64, GET(EXIT_INSN_LENGTH), 2));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST));
	fixture_free(f);
}

Test(vmx_exit, a_triple_fault_exits)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x0f, 0x0b);
	GET(GUEST_IDTR_LIMIT) = 0;
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_TRIPLE_FAULT));
	cr_expect(eq(u64, GET(IDT_VECTORING), 0));
	fixture_free(f);
}

Test(vmx_exit, a_double_fault_in_the_bitmap_is_no_delivery_interrupted)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x8e, 0xd8);
	f->cpu->s.r[R_RAX] = 0x1000;
	GET(GUEST_IDTR_LIMIT) = 0;
	GET(EXCEPTION_BITMAP) = 1u << VEC_DF;
	run(f);
	cr_expect(eq(u64, GET(EXIT_INTR_INFO), 0x80000b00 | VEC_DF));
	cr_expect(eq(u64, GET(IDT_VECTORING), 0));
	fixture_free(f);
}

/* ---- injection ---- */

Test(vmx_exit, an_injected_exception_meets_its_handler_not_the_bitmap)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(0x8000 + 16 * VEC_GP, 0x0f, 0xa2);
	GET(EXCEPTION_BITMAP) = ~0u;
	GET(ENTRY_INTR_INFO) = 0x80000b00 | VEC_GP;
	GET(ENTRY_INTR_ERROR) = 0x18;
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_CPUID));
	cr_expect(eq(u64, GET(GUEST_RIP), 0x8000 + 16 * VEC_GP));
	cr_expect(eq(u64, GET(ENTRY_INTR_INFO), 0x00000b00 | VEC_GP));
	const uint64_t *frame = fixture_at(f, GET(GUEST_RSP));
	cr_expect(eq(u64, frame[0], 0x18));
	cr_expect(eq(u64, frame[1], VALID_GUEST));
	cr_expect(eq(u64, frame[3], 2));
	fixture_free(f);
}

Test(vmx_exit, an_injected_software_interrupt_returns_behind_its_instruction)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(0x8000 + 16 * 3, 0x0f, 0xa2);
	GET(ENTRY_INTR_INFO) = 0x80000603;
	GET(ENTRY_INSN_LENGTH) = 3;
	run(f);
	const uint64_t *frame = fixture_at(f, GET(GUEST_RSP));
	cr_expect(eq(u64, GET(GUEST_RIP), 0x8000 + 16 * 3));
	cr_expect(eq(u64, frame[0], VALID_GUEST + 3));
	fixture_free(f);
}

Test(vmx_exit, a_fault_while_injecting_tells_what_was_injected)
{
	struct fixture *f = launch(VALID_LONG);
	GET(GUEST_IDTR_LIMIT) = 0;
	GET(EXCEPTION_BITMAP) = 1u << VEC_GP;
	GET(GUEST_RFLAGS) = RFLAGS_IF | 2;
	GET(ENTRY_INTR_INFO) = 0x80000000 | 0x30;
	run(f);
	cr_expect(eq(u64, GET(EXIT_INTR_INFO), 0x80000b00 | VEC_GP));
	cr_expect(eq(u64, GET(EXIT_INTR_ERROR), 0x183));        /* EXT: an external interrupt */
	cr_expect(eq(u64, GET(IDT_VECTORING), 0x80000030));
	fixture_free(f);
}

/* ---- between instructions ---- */

#define ON(FIELD, NAME) (GET(FIELD) |= VMX_CTL(NAME))

Test(vmx_exit, monitor_trap_flag_exits_after_one_instruction)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x90, 0x90, 0x90);
	ON(PROC_CONTROLS, MTF);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_MTF));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 1));
	fixture_free(f);
}

Test(vmx_exit, an_other_event_of_vector_0_is_an_mtf_exit_before_the_first_instruction)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x90, 0x90, 0x90);
	GET(ENTRY_INTR_INFO) = 0x80000700;
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_MTF));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST));
	fixture_free(f);
}

/* "the timer counts down by 1 every time bit X of the TSC changes": in a loop and in HLT. */
Test(vmx_exit, preemption_timer_ends_a_loop)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0xeb, 0xfe);
	ON(PIN_CONTROLS, PREEMPTION_TIMER);
	ON(EXIT_CONTROLS, EXIT_SAVE_TIMER);
	GET(PREEMPTION_TIMER) = 100;
	cpu_run(f->cpu, NEVER, 1);
	cr_assert(f->cpu->vmx.guest);
	cycle_t end = f->cpu->vmx.timer_end;
	cr_expect(lt(u64, end - f->cpu->ledger.now, 100 * 32 + 1));
	while (f->cpu->vmx.guest)
		cpu_run(f->cpu, NEVER, 1);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_PREEMPTION));
	cr_expect(eq(u64, GET(PREEMPTION_TIMER), 0));
	cr_expect(lt(u64, f->cpu->ledger.now - end, f->profile.vmexit_flow + 500));     /* and the host's HLT, not cached */
	fixture_free(f);
}

Test(vmx_exit, interrupt_window_opens_behind_the_shadow_of_sti)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x90, 0xfb /* sti */, 0x90, 0x90);
	ON(PROC_CONTROLS, INTERRUPT_WINDOW);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_INTERRUPT_WINDOW));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 3));
	fixture_free(f);
}

Test(vmx_exit, nmi_window_waits_for_iret)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x48, 0xcf /* iretq */, 0x90);
	ON(PIN_CONTROLS, NMI_EXITING);
	ON(PIN_CONTROLS, VIRTUAL_NMIS);
	ON(PROC_CONTROLS, NMI_WINDOW);
	GET(GUEST_INTERRUPTIBILITY) = 8;
	uint64_t frame[] = { VALID_GUEST + 2, 0x08, 2, FIXTURE_STACK - 0x2000, 0x10 };
	mem_write(&f->mem, HPA(GET(GUEST_RSP)), frame, sizeof frame);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_NMI_WINDOW));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 2));
	cr_expect(eq(u64, GET(GUEST_INTERRUPTIBILITY), 0));
	fixture_free(f);
}

Test(vmx_exit, an_nmi_exits_and_blocks_the_next_in_the_host)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0xeb, 0xfe);
	ON(PIN_CONTROLS, NMI_EXITING);
	cpu_run(f->cpu, NEVER, 3);
	f->cpu->s.nmi_pending = 1;
	cpu_attention(f->cpu);
	run(f);
	cr_expect(eq(u64, GET(EXIT_INTR_INFO), 0x80000202));
	cr_expect(eq(int, f->cpu->s.nmi_blocked, 1));
	fixture_free(f);
}

/* ---- EPT ---- */

#define REAL_CODE 0x9000u
#define UNMAPPED  0x600000u     /* one of the 2 MB pages of VALID_EPT */

/* A real-mode guest with a flat DS whose page at UNMAPPED is not there: mov al, [UNMAPPED]. */
static struct fixture *ept_guest(void)
{
	struct fixture *f = launch(VALID_REAL);
	mem_write64(&f->mem, HPA(VALID_EPT + 0x2000 + 8 * (UNMAPPED >> 21)), 0);
	GET(GUEST_RIP) = REAL_CODE;
	GET(GUEST_DS_BASE) = UNMAPPED;
	GET(GUEST_DS) = UNMAPPED >> 4 & 0xffff;
	CODE(REAL_CODE, 0xa0, 0x34, 0x12);
	return f;
}

Test(vmx_exit, an_ept_violation_tells_both_addresses)
{
	struct fixture *f = ept_guest();
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_EPT_VIOLATION));
	cr_expect(eq(u64, GET(EXIT_QUALIFICATION) & 0x1ff, 0x181));
	cr_expect(eq(u64, GET(GUEST_PHYSICAL), UNMAPPED + 0x1234));
	cr_expect(eq(u64, GET(GUEST_LINEAR), UNMAPPED + 0x1234));
	cr_expect(eq(u64, GET(GUEST_RIP), REAL_CODE));
	cr_expect(eq(u64, GET(GUEST_RFLAGS), RFLAGS_RF | 2));
	fixture_free(f);
}

/* The stack is not there when INT n pushes. */
Test(vmx_exit, an_ept_violation_while_delivering_tells_of_the_event)
{
	struct fixture *f = ept_guest();
	CODE(REAL_CODE, 0xcd, 0x30);
	GET(GUEST_IDTR_BASE) = 0x8000;
	GET(GUEST_SS_BASE) = UNMAPPED;
	GET(GUEST_RSP) = 0x8000;
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_EPT_VIOLATION));
	cr_expect(eq(u64, GET(IDT_VECTORING), 0x80000430));
	cr_expect(eq(u64, GET(EXIT_INSN_LENGTH), 2));
	cr_expect(eq(u64, GET(GUEST_PHYSICAL), UNMAPPED + 0x7ffe));
	cr_expect(eq(u64, GET(GUEST_RSP), 0x8000));
	fixture_free(f);
}

/* "A convertible EPT violation instead causes a virtualization exception if CR0.PE = 1 ..." and the area is not busy. */
Test(vmx_exit, a_convertible_violation_becomes_exception_20_once)
{
	for (unsigned busy = 0; busy < 2; busy++) {
		struct fixture *f = launch(VALID_LONG);
		for (unsigned i = 0; i < 2; i++)        /* the identity map of VALID_REAL */
			mem_write64(&f->mem, HPA(VALID_EPT + 0x1000 * i), (VALID_EPT + 0x1000 * (i + 1)) | 7);
		for (uint64_t i = 0; i < FIXTURE_RAM >> 21; i++)
			mem_write64(&f->mem, HPA(VALID_EPT + 0x2000 + 8 * i), i == UNMAPPED >> 21 ? 0 : i << 21 | 0xb7);
		ON(PROC_CONTROLS, SECONDARY_CONTROLS);
		GET(PROC2_CONTROLS) = VMX_CTL(ENABLE_EPT) | VMX_CTL(EPT_VE);
		GET(EPTP) = VALID_EPT | 3 << 3 | 6;
		GET(VE_INFO_ADDR) = AREA;
		GET(EPTP_INDEX) = 7;
		mem_write32(&f->mem, HPA(AREA + 4), busy);
		CODE(VALID_GUEST, 0x8a, 0x04, 0x25, 0x34, 0x12, 0x60, 0x00);
		CODE(0x8000 + 16 * VEC_VE, 0x0f, 0xa2);
		run(f);
		cr_expect(eq(u64, GET(EXIT_REASON), busy ? EXIT_EPT_VIOLATION : EXIT_CPUID));
		if (!busy) {
			const uint64_t *area = fixture_at(f, AREA);
			cr_expect(eq(u64, area[0], 0xffffffff00000000 | EXIT_EPT_VIOLATION));
			cr_expect(eq(u64, area[1] & 0x1ff, 0x181));
			cr_expect(eq(u64, area[2], UNMAPPED + 0x1234));
			cr_expect(eq(u64, area[3], UNMAPPED + 0x1234));
			cr_expect(eq(u64, area[4] & 0xffff, 7));
		}
		fixture_free(f);
	}
}

/* ---- debugging ---- */

/* "the value of the pending debug exceptions field ... BS" when single steps are held back by MOV SS. */
Test(vmx_exit, a_single_step_held_back_by_mov_ss_is_pending)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x8e, 0xd0 /* mov ss, ax */, 0x0f, 0xa2);
	f->cpu->s.r[R_RAX] = 0x10;
	GET(GUEST_RFLAGS) = RFLAGS_TF | 2;
	GET(EXCEPTION_BITMAP) = 1u << VEC_DB;
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_CPUID));
	cr_expect(eq(u64, GET(GUEST_INTERRUPTIBILITY), 2));
	cr_expect(eq(u64, GET(GUEST_PENDING_DEBUG), 0x4000));
	/* held over the entry too, until the instruction after it has completed */
	GET(GUEST_RIP) += 2;
	CODE(GET(GUEST_RIP), 0x90, 0x90);
	fixture_code(f, (uint8_t[]){ 0x0f, 0x01, 0xc3 }, 3);
	run(f);
	cr_expect(eq(u64, GET(EXIT_INTR_INFO), 0x80000300 | VEC_DB));
	cr_expect(eq(u64, GET(EXIT_QUALIFICATION), 0x4000));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 5));
	cr_expect(eq(u64, GET(GUEST_PENDING_DEBUG), 0));
	fixture_free(f);
}

/* "NMI unblocking due to IRET": bit 12, when IRET faults having ended the blocking. */
Test(vmx_exit, a_fault_of_iret_tells_that_nmis_were_unblocked)
{
	struct fixture *f = launch(VALID_LONG);
	CODE(VALID_GUEST, 0x48, 0xcf);
	ON(PIN_CONTROLS, NMI_EXITING);
	ON(PIN_CONTROLS, VIRTUAL_NMIS);
	GET(GUEST_INTERRUPTIBILITY) = 8;
	GET(EXCEPTION_BITMAP) = 1u << VEC_GP;
	uint64_t frame[] = { VALID_GUEST + 2, 0x1000, 2, FIXTURE_STACK - 0x2000, 0x10 };       /* no such selector */
	mem_write(&f->mem, HPA(GET(GUEST_RSP)), frame, sizeof frame);
	run(f);
	cr_expect(eq(u64, GET(EXIT_INTR_INFO), 0x80001b00 | VEC_GP));
	cr_expect(eq(u64, GET(GUEST_INTERRUPTIBILITY), 0));
	fixture_free(f);
}
