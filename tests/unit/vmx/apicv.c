/* apicv.c - the virtual APIC: what a guest's accesses reach, and the interrupts and exits that come of them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/vmx/vmx.h"
#include "tests/unit/vmx/valid.h"

TestSuite(vmx_apicv);

#define VAPIC  0x500000u        /* virtual-APIC page */
#define ACCESS 0x501000u        /* APIC-access page, identity-mapped */
#define POSTED 0x502000u        /* posted-interrupt descriptor */
#define EPT    0x503000u        /* three tables */
#define GET(NAME) (f->cpu->vmcs->f[VMCS_##NAME])
#define ON(FIELD, NAME) (GET(FIELD) |= VMX_CTL(NAME))
#define CODE(at, ...) do { const uint8_t b_[] = { __VA_ARGS__ }; mem_write(&f->mem, HPA(at), b_, sizeof b_); } while (0)
#define VAPIC_REG(off) mem_read32(&f->mem, HPA(VAPIC + (off)))
#define DWORD(x) (uint8_t)(x), (uint8_t)((x) >> 8), (uint8_t)((x) >> 16), (uint8_t)((x) >> 24)
#define STORE(off, v) 0xc7, 0x04, 0x25, DWORD(ACCESS + (off)), DWORD(v)         /* mov dword [ACCESS + off], v */
#define LOAD(off) 0x8b, 0x04, 0x25, DWORD(ACCESS + (off))                       /* mov eax, [ACCESS + off] */
#define CPUID 0x0f, 0xa2

enum { TPR = 0x80, PPR = 0xa0, EOI = 0xb0, ISR = 0x100, IRR = 0x200, ICR = 0x300, LVT_TIMER = 0x320 };

static struct fixture *apic_guest(bool registers, bool vid)
{
	struct fixture *f = valid_new(VALID_LONG);
	fixture_code(f, (uint8_t[]){ 0x0f, 0x01, 0xc2 }, 3);
	CODE(VALID_HOST, 0xf4);
	ON(PROC_CONTROLS, TPR_SHADOW);
	ON(PROC_CONTROLS, SECONDARY_CONTROLS);
	ON(PROC2_CONTROLS, VIRTUALIZE_APIC);
	if (registers)
		ON(PROC2_CONTROLS, APIC_REGISTERS);
	if (vid) {
		ON(PROC2_CONTROLS, VIRTUAL_INTERRUPTS);
		ON(PIN_CONTROLS, EXTINT_EXITING);
	}
	GET(VIRTUAL_APIC_ADDR) = VAPIC;
	GET(APIC_ACCESS_ADDR) = ACCESS;
	return f;
}

static void run(struct fixture *f)
{
	cr_assert(eq(int, cpu_run(f->cpu, f->cpu->ledger.now + 1000000, 1000), STOP_HALTED));
	cr_assert(not(f->cpu->vmx.guest));
}

Test(vmx_apicv, cr8_and_the_page_are_the_virtual_tpr)
{
	struct fixture *f = apic_guest(false, false);
	f->cpu->s.r[R_RAX] = 5;
	CODE(VALID_GUEST, 0x44, 0x0f, 0x22, 0xc0 /* mov cr8, rax */, LOAD(TPR), 0x44, 0x0f, 0x20, 0xc3 /* mov rbx, cr8 */, CPUID);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_CPUID));
	cr_expect(eq(u32, VAPIC_REG(TPR), 0x50));
	cr_expect(eq(u64, f->cpu->s.r[R_RAX], 0x50));
	cr_expect(eq(u64, f->cpu->s.r[R_RBX], 5));
	cr_expect(eq(u32, lapic_cr8(f->cpu->lapic), 0));
	fixture_free(f);
}

/* "TPR below threshold": a trap, so RIP is behind the write. */
Test(vmx_apicv, a_tpr_below_the_threshold_exits_behind_the_write)
{
	struct fixture *f = apic_guest(false, false);
	GET(TPR_THRESHOLD) = 4;
	mem_write32(&f->mem, HPA(VAPIC + TPR), 0x60);
	CODE(VALID_GUEST, STORE(TPR, 0x45), STORE(TPR, 0x3f), CPUID);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_TPR_BELOW));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 22));
	cr_expect(eq(u32, VAPIC_REG(TPR), 0x3f));
	fixture_free(f);
}

/* 15:12 access type, 11:0 offset; a fault, so RIP is at the access. */
Test(vmx_apicv, accesses_that_are_not_virtualized_exit)
{
	static const struct { bool registers; uint8_t code[12]; uint64_t qualification; } rows[] = {
		{ false, { LOAD(LVT_TIMER) }, 0x0320 },
		{ false, { STORE(LVT_TIMER, 1) }, 0x1320 },
		{ true, { STORE(PPR, 1) }, 0x10a0 },
		{ true, { LOAD(TPR + 4) }, 0x0084 },
		{ true, { 0x48, LOAD(TPR) }, 0x0080 },          /* 64 bits */
		{ true, { 0xff, 0x24, 0x25, DWORD(VALID_GUEST + 0x800) }, 0x2000 },     /* jmp [...]: a fetch from the page */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture *f = apic_guest(rows[i].registers, false);
		mem_write(&f->mem, HPA(VALID_GUEST), rows[i].code, sizeof rows[i].code);
		mem_write64(&f->mem, HPA(VALID_GUEST + 0x800), ACCESS);
		run(f);
		cr_expect(eq(u64, GET(EXIT_REASON), EXIT_APIC_ACCESS), "row %zu", i);
		cr_expect(eq(u64, GET(EXIT_QUALIFICATION), rows[i].qualification), "row %zu", i);
		cr_expect(eq(u64, GET(GUEST_RIP), rows[i].qualification >> 12 == 2 ? ACCESS : VALID_GUEST), "row %zu", i);
		fixture_free(f);
	}
}

/* EPT that maps everything to itself, by 2-MByte pages. */
static void identity_ept(struct fixture *f)
{
	mem_write64(&f->mem, HPA(EPT), (EPT + 0x1000) | 7);
	mem_write64(&f->mem, HPA(EPT + 0x1000), (EPT + 0x2000) | 7);
	for (uint64_t i = 0; i < 512; i++)
		mem_write64(&f->mem, HPA(EPT + 0x2000 + 8 * i), i << 21 | 0xb7);
	ON(PROC2_CONTROLS, ENABLE_EPT);
	GET(EPTP) = EPT | 0x1e;
}

/* "3 = Linear access during event delivery": the frame's first push is to the page. */
Test(vmx_apicv, an_event_whose_frame_lies_on_the_page_exits)
{
	struct fixture *f = apic_guest(false, false);
	GET(GUEST_RSP) = ACCESS + 0x400;
	CODE(VALID_GUEST, 0x0f, 0x0b);                  /* ud2 */
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_APIC_ACCESS));
	cr_expect(eq(u64, GET(EXIT_QUALIFICATION) >> 12, 3));
	cr_expect(eq(u64, GET(IDT_VECTORING), 1u << 31 | EVENT_HARDWARE << 8 | VEC_UD));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST));
	fixture_free(f);
}

/* "10 = Guest-physical access during event delivery", "15 = Guest-physical access for an instruction fetch or during instruction
 * execution": a paging structure of the guest's lies on the page. */
static void walked(bool delivering, unsigned type)
{
	struct fixture *f = apic_guest(false, false);
	const uint64_t lin = 0x40000000;                /* its page directory is the APIC-access page */
	uint64_t pml4e = mem_read64(&f->mem, HPA(GET(GUEST_CR3) & PAGE_MASK)), pdpt = pml4e & MASK(52) & PAGE_MASK;
	identity_ept(f);
	mem_write64(&f->mem, HPA(pdpt + 8), ACCESS | 7);
	if (delivering) {
		GET(GUEST_RSP) = lin + 0x1000;
		CODE(VALID_GUEST, 0x0f, 0x0b);
	} else {
		CODE(VALID_GUEST, 0x8b, 0x04, 0x25, DWORD(lin));
	}
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_APIC_ACCESS));
	cr_expect(eq(u64, GET(EXIT_QUALIFICATION) >> 12, type));
	cr_expect(eq(u64, GET(IDT_VECTORING) >> 31, delivering));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST));
	fixture_free(f);
}
Test(vmx_apicv, a_walk_to_the_page_while_an_event_is_delivered_exits) { walked(true, 10); }
Test(vmx_apicv, a_walk_to_the_page_exits) { walked(false, 15); }

Test(vmx_apicv, register_virtualization_keeps_the_value_and_tells_the_vmm)
{
	struct fixture *f = apic_guest(true, false);
	CODE(VALID_GUEST, STORE(LVT_TIMER, 0x12345), CPUID);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_APIC_WRITE));
	cr_expect(eq(u64, GET(EXIT_QUALIFICATION), LVT_TIMER));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 11));
	cr_expect(eq(u32, VAPIC_REG(LVT_TIMER), 0x12345));
	fixture_free(f);
}

/* ---- virtual-interrupt delivery ---- */

/* A self-IPI of vector 1EH with interrupts on: served through the guest's IDT, in service, no longer requested. */
Test(vmx_apicv, a_self_ipi_is_delivered_without_an_exit)
{
	struct fixture *f = apic_guest(true, true);
	CODE(0x8000 + 16 * 0x1e, CPUID);
	CODE(VALID_GUEST, 0xfb /* sti */, STORE(ICR, 0x4001e), 0x90, 0x90, 0xf4);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_CPUID));
	cr_expect(eq(u64, GET(GUEST_RIP), 0x8000 + 16 * 0x1e));
	cr_expect(eq(u64, GET(GUEST_INTERRUPT_STATUS), 0x1e00));
	cr_expect(eq(u32, VAPIC_REG(ISR), 1u << 0x1e));
	cr_expect(eq(u32, VAPIC_REG(IRR), 0));
	cr_expect(eq(u32, VAPIC_REG(PPR), 0x10));
	fixture_free(f);
}

Test(vmx_apicv, a_requested_vector_waits_for_priority_and_interrupt_flag)
{
	struct fixture *f = apic_guest(true, true);
	CODE(0x8000 + 16 * 0x1e, CPUID);
	mem_write32(&f->mem, HPA(VAPIC + IRR), 1u << 0x1e);
	mem_write32(&f->mem, HPA(VAPIC + TPR), 0x10);
	GET(GUEST_INTERRUPT_STATUS) = 0x1e;
	CODE(VALID_GUEST, 0xfb, 0x90, 0x90, STORE(TPR, 0), 0x90, 0xf4);
	run(f);
	const uint64_t *frame = fixture_at(f, GET(GUEST_RSP));
	cr_expect(eq(u64, GET(GUEST_RIP), 0x8000 + 16 * 0x1e));
	cr_expect(eq(u64, frame[0], VALID_GUEST + 14));         /* right behind the write of TPR */
	fixture_free(f);
}

Test(vmx_apicv, eoi_clears_service_and_exits_by_its_bitmap)
{
	for (unsigned exits = 0; exits < 2; exits++) {
		struct fixture *f = apic_guest(true, true);
		mem_write32(&f->mem, HPA(VAPIC + ISR), 1u << 0x1e | 1u << 0x11);
		GET(GUEST_INTERRUPT_STATUS) = 0x1e00;
		GET(EOI_EXIT_0) = exits ? 1u << 0x1e : 0;
		CODE(VALID_GUEST, STORE(EOI, 0), CPUID);
		run(f);
		cr_expect(eq(u64, GET(EXIT_REASON), exits ? EXIT_EOI : EXIT_CPUID));
		cr_expect(eq(u64, GET(EXIT_QUALIFICATION), exits ? 0x1e : 0));
		cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 11));
		cr_expect(eq(u64, GET(GUEST_INTERRUPT_STATUS), 0x1100));
		cr_expect(eq(u32, VAPIC_REG(ISR), 1u << 0x11));
		fixture_free(f);
	}
}

/* The notification vector does not exit: what the descriptor asks for is delivered, also to a halted guest. */
Test(vmx_apicv, posted_interrupts_end_a_halt)
{
	struct fixture *f = apic_guest(true, true);
	ON(PIN_CONTROLS, POSTED_INTERRUPTS);
	ON(EXIT_CONTROLS, EXIT_ACK_INTERRUPT);
	GET(POSTED_VECTOR) = 0xf2;
	GET(POSTED_DESC_ADDR) = POSTED;
	CODE(0x8000 + 16 * 0x1e, CPUID);
	CODE(VALID_GUEST, 0xfb, 0xf4, 0x90);
	cr_assert(eq(int, cpu_run(f->cpu, NEVER, 100), STOP_HALTED));
	cr_assert(f->cpu->vmx.guest);
	mem_write32(&f->mem, HPA(POSTED), 1u << 0x1e);
	mem_write32(&f->mem, HPA(POSTED + 32), 1);
	const struct apic_msg m = { .vector = 0xf2, .from = 0xff };
	cr_assert(lapic_accept(f->cpu->lapic, &m));
	cr_assert(cpu_can_wake(f->cpu));
	cpu_service(f->cpu);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_CPUID));
	cr_expect(eq(u64, GET(GUEST_RIP), 0x8000 + 16 * 0x1e));
	cr_expect(eq(u32, mem_read32(&f->mem, HPA(POSTED)), 0));
	cr_expect(eq(u32, mem_read32(&f->mem, HPA(POSTED + 32)), 0));
	cr_expect(eq(u64, f->cpu->stat[CPU_STAT_EXIT_EXTINT], 0));
	fixture_free(f);
}

/* Another vector exits, with the vector when it is acknowledged. */
Test(vmx_apicv, external_interrupts_exit_whatever_the_flag_is)
{
	for (unsigned ack = 0; ack < 2; ack++) {
		struct fixture *f = apic_guest(true, true);
		if (ack)
			ON(EXIT_CONTROLS, EXIT_ACK_INTERRUPT);
		CODE(VALID_GUEST, 0xeb, 0xfe);
		cpu_run(f->cpu, NEVER, 5);
		const struct apic_msg m = { .vector = 0x55, .from = 0xff };
		cr_assert(lapic_accept(f->cpu->lapic, &m));
		run(f);
		cr_expect(eq(u64, GET(EXIT_REASON), EXIT_EXTINT));
		cr_expect(eq(u64, GET(EXIT_INTR_INFO), ack ? 0x80000055 : 0));
		cr_expect(eq(int, lapic_pending(f->cpu->lapic), ack ? -1 : 0x55));
		fixture_free(f);
	}
}

/* x2APIC: MSRs 808H and, under virtual-interrupt delivery, 80BH and 83FH. */
Test(vmx_apicv, x2apic_msrs_reach_the_virtual_page)
{
	struct fixture *f = apic_guest(true, true);
	GET(PROC2_CONTROLS) &= ~VMX_CTL(VIRTUALIZE_APIC);
	ON(PROC2_CONTROLS, VIRTUALIZE_X2APIC);
	ON(PROC_CONTROLS, MSR_BITMAPS);
	GET(MSR_BITMAPS) = 0x503000;
	f->cpu->s.r[R_RAX] = 0x20;
	f->cpu->s.r[R_RCX] = 0x808;
	f->cpu->s.r[R_RDX] = 0;
	CODE(VALID_GUEST, 0x0f, 0x30 /* wrmsr */, 0xb8, DWORD(0x0e), 0xb9, DWORD(0x83f), 0x0f, 0x30, 0x90);
	run(f);
	cr_expect(eq(u64, GET(EXIT_REASON), EXIT_APIC_WRITE));  /* vector below 16 */
	cr_expect(eq(u64, GET(EXIT_QUALIFICATION), 0x3f0));
	cr_expect(eq(u64, GET(GUEST_RIP), VALID_GUEST + 14));
	cr_expect(eq(u32, VAPIC_REG(TPR), 0x20));
	fixture_free(f);
}
