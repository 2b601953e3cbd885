/* A few bytes of guest code in a virtual machine, as a bare machine would take them: what the VM does not offer is no instruction
 * there, NMIs know of STI and of each other, and SYSCALL says whence it came. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/boot/image.h"
#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/machine.h"
#include "models/vmm/exit.h"
#include "models/vmm/ring/ring.h"

enum { GDT = 0x1000, IDT = 0x2000, STUBS = 0x3000, SEEN = 0x8000, CODE = 0x20000, STACK = 0x30000, PAGES = 0x100000 };

static const struct technique { const char *cpu, *mmu; bool critical; } techniques[] = {
	{ "bt", "shadow.vtlb", false }, { "trap", "shadow.vtlb", true }, { "bt", "shadow.wp", false }, { "vmx", "shadow.wp", false },
};

/* Each exception's handler writes its vector to SEEN and halts; with `nmi`, that one's is there. */
static struct machine *start(const struct technique *t, struct machine **vm, const void *code, size_t n, const void *nmi, size_t nmi_n)
{
	static const uint64_t gdt[] = { 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };        /* selectors as entry_protected32() has them */
	struct machine_config k;
	struct err e = { "" };
	machine_config_defaults(&k);
	k.ram = 64 << 20;
	k.profile.trap_critical = t->critical;
	struct machine *m = machine_new(&k, &e);
	struct vm_config v = { .cpu = t->cpu, .mmu = t->mmu, .vcpus = 1, .page_shift = 12, .tags = true, .shadow_limit = 1 << 20, .ram = 32 << 20 };
	k.ram = 32 << 20;
	*vm = machine_vm(m, &k, &v, &e);
	cr_assert(vm[0] != NULL, "%s", e.text);
	struct mem *mem = &(*vm)->mem;
	mem_write(mem, HPA(GDT), gdt, sizeof gdt);
	for (uint64_t i = 0; i < 32; i++) {
		const uint64_t stub = STUBS + 32 * i;
		/* mov dword [SEEN], vector; cli; hlt */
		const uint8_t handler[] = { 0xc7, 0x05, SEEN & 0xff, SEEN >> 8, 0, 0, (uint8_t)i, 0, 0, 0, 0xfa, 0xf4 };
		mem_write64(mem, HPA(IDT + 8 * i), stub | 16 << 16 | 0x8e00ull << 32);
		mem_write(mem, HPA(stub), i == VEC_NMI && nmi ? nmi : handler, i == VEC_NMI && nmi ? nmi_n : sizeof handler);
	}
	mem_write(mem, HPA(CODE), code, n);
	struct cpu *c = (*vm)->cpu[0];
	entry_protected32(c, CODE);
	c->s.gdtr = (struct dtr){ GDT, sizeof gdt - 1, 0 };
	c->s.idtr = (struct dtr){ IDT, 0xff, 0 };
	c->s.r[R_RSP] = STACK;
	cpu_restored(c);
	return m;
}

static void undefined(const void *code, size_t n, bool everywhere)
{
	for (size_t i = 0; i < ARRAY_LEN(techniques); i++) {
		const struct technique *t = &techniques[i];
		struct machine *vm, *m = start(t, &vm, code, n, NULL, 0);
		if (!everywhere && !strcmp(t->cpu, "vmx")) {
			machine_free(m);
			continue;
		}
		(void)machine_run(m, 1000000, 0);
		cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN)), VEC_UD, "%s/%s: vector %u", t->cpu, t->mmu, mem_read32(&vm->mem, HPA(SEEN)));
		machine_free(m);
	}
}

/* xor eax, eax; invpcid eax, [SEEN]: no VM under shadow paging is offered it */
Test(ring_raw, invpcid_is_undefined) { undefined("\x31\xc0\x66\x0f\x38\x82\x05\x00\x80\0\0", 11, true); }
/* xsaves [SEEN] */
Test(ring_raw, xsaves_is_undefined) { undefined("\x0f\xc7\x2d\x00\x80\0\0", 7, false); }
/* xor ecx, ecx; xor edx, edx; mov eax, 3; xsetbv: CR4.OSXSAVE is clear */
Test(ring_raw, xsetbv_is_undefined_until_it_is_enabled) { undefined("\x31\xc9\x31\xd2\xb8\x03\0\0\0\x0f\x01\xd1", 12, true); }

/* An NMI while the VMM is at work on the guest's fault at CODE + 7. */
static bool meanwhile(void *who, struct vcpu *v, const struct exit_seen *x)
{
	(void)who;
	if (x->reason == EXIT_EXCEPTION && vcpu_peek(v, VMCS_GUEST_RIP) == CODE + 7)
		v->model->s.nmi_pending = 1;
	return false;
}

/* STI, and behind it an instruction whose page the shadow tables do not map yet, or that is no RAM, over and over. No NMI finds the guest behind
 * its STI. */
Test(ring_raw, no_nmi_comes_between_sti_and_what_follows)
{
	static const uint8_t code[] = {
		0xba, 0, 0, 0x10, 0,            /* mov edx, PAGES */
		0xfa,                           /* again: cli */
		0xfb,                           /* sti */
		0xf6, 0x02, 0x00,               /* CODE + 7: test byte [edx], 0 */
		0x81, 0xc2, 0, 0, 0x20, 0,      /* add edx, 2 MB */
		0xeb, 0xf3,                     /* jmp again */
	};
	static const uint8_t nmi[] = {
		0xff, 0x05, 0x04, 0x80, 0, 0,   /* inc dword [SEEN + 4] */
		0x81, 0x3c, 0x24, 7, 0, 2, 0,   /* cmp dword [esp], CODE + 7 */
		0x75, 0x06,                     /* jne */
		0xff, 0x05, 0x08, 0x80, 0, 0,   /* inc dword [SEEN + 8] */
		0xcf,
	};
	for (size_t i = 0; i < 2; i++) {
		const struct technique *t = &techniques[i];
		struct machine *vm, *m = start(t, &vm, code, sizeof code, nmi, sizeof nmi);
		m->vmm->exit_seen = meanwhile;
		(void)machine_run(m, 12000000, 0);
		cr_expect(lt(u32, 50, mem_read32(&vm->mem, HPA(SEEN + 4))), "%s/%s", t->cpu, t->mmu);
		cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN + 8)), 0, "%s/%s: %u of %u", t->cpu, t->mmu, mem_read32(&vm->mem, HPA(SEEN + 8)),
		             mem_read32(&vm->mem, HPA(SEEN + 4)));
		cr_expect(eq(u32, mem_read32(&vm->mem, HPA(SEEN)), 0), "no exception");
		machine_free(m);
	}
}

/* Two NMIs, over the interrupt bus, at the first exception exit at `rip`: a second one at CODE + 5 never comes. */
struct two { uint64_t rip; unsigned n; bool first; };

static bool nmis(void *who, struct vcpu *v, const struct exit_seen *x)
{
	struct two *t = who;
	const struct apic_msg nmi = { .delivery = APIC_NMI };
	const uint64_t at = vcpu_peek(v, VMCS_GUEST_RIP);
	if (x->reason != EXIT_EXCEPTION || !t->n)
		return false;
	if (t->first && at == CODE + 5) {
		t->first = false;
		(void)lapic_accept(v->model->lapic, &nmi);
	} else if (at == t->rip) {
		for (; t->n; t->n--)
			(void)lapic_accept(v->model->lapic, &nmi);
	}
	return false;
}

static void two_nmis(struct two how, unsigned want)
{
	static const uint8_t code[] = {
		0xba, 0, 0, 0x10, 0,            /* mov edx, PAGES */
		0xf6, 0x02, 0x00,               /* CODE + 5: test byte [edx], 0 */
		0xb9, 0, 0x10, 0, 0,            /* mov ecx, 4096 */
		0xe2, 0xfe,                     /* loop */
		0xfa, 0xf4,                     /* cli; hlt */
	};
	static const uint8_t nmi[] = {
		0x81, 0xc2, 0, 0, 0x20, 0,      /* add edx, 2 MB */
		0xf6, 0x02, 0x00,               /* stub + 6: test byte [edx], 0 */
		0xff, 0x05, 0x04, 0x80, 0, 0,   /* inc dword [SEEN + 4] */
		0xcf,
	};
	for (size_t i = 0; i < ARRAY_LEN(techniques); i++) {
		const struct technique *t = &techniques[i];
		struct machine *vm, *m = start(t, &vm, code, sizeof code, nmi, sizeof nmi);
		struct two two = how;
		m->vmm->exit_seen = nmis;
		m->vmm->exit_who = &two;
		(void)machine_run(m, 1000000, 0);
		cr_expect_eq(two.n, 0, "%s/%s: no exit there", t->cpu, t->mmu);
		cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN + 4)), want, "%s/%s: %u", t->cpu, t->mmu, mem_read32(&vm->mem, HPA(SEEN + 4)));
		cr_expect(eq(u32, mem_read32(&vm->mem, HPA(SEEN)), 0), "no exception");
		machine_free(m);
	}
}

/* On a CPU of its own the guest would take the first at its next instruction, and the second when it has returned. */
Test(ring_raw, two_nmis_while_the_vmm_is_at_work_are_two) { two_nmis((struct two){ .rip = CODE + 5, .n = 2 }, 2); }
/* SDM Vol. 3A, "Handling Multiple NMIs": "the processor also blocks delivery of subsequent NMIs until execution of the next IRET": one is held. */
Test(ring_raw, nmis_merge_while_one_is_handled) { two_nmis((struct two){ .rip = STUBS + 32 * VEC_NMI + 6, .n = 2, .first = true }, 2); }

/* ---- 64-bit user code that calls its kernel, its stack above 4 GB: PML4 entry 255 maps what entry 0 does ---- */

enum { TABLES = 0x10000, TSS = 0x4000, CALL = 0x21000, UD = 0x22000, USER_CS = 0x2b, USER_SS = 0x23 };
#define HIGH 0x7f8000000000ull

static void user64(const struct technique *t, uint64_t sce, struct machine **vm, struct machine **m)
{
	static const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff };
	static const uint8_t user[] = {
		0x0f, 0x05,                                             /* syscall */
		0x54,                                                   /* push rsp */
		0x8f, 0x04, 0x25, 0x10, 0x80, 0, 0,                     /* pop [SEEN + 16] */
		0xeb, 0xfe,
	};
	static const uint8_t call[] = { 0x48, 0x89, 0x24, 0x25, 0x08, 0x80, 0, 0, 0x48, 0x0f, 0x07 };   /* mov [SEEN + 8], rsp; sysretq */
	static const uint8_t ud[] = {
		0x8f, 0x04, 0x25, 0x18, 0x80, 0, 0,                     /* pop [SEEN + 24]: RIP */
		0x8f, 0x04, 0x25, 0x20, 0x80, 0, 0,                     /* pop [SEEN + 32]: CS */
		0xeb, 0xfe,
	};
	const uint32_t flat = SEG_G | SEG_P | SEG_S | 3 << 5;
	*m = start(t, vm, user, sizeof user, NULL, 0);
	struct mem *mem = &(*vm)->mem;
	mem_write(mem, HPA(CALL), call, sizeof call);
	mem_write(mem, HPA(UD), ud, sizeof ud);
	mem_write(mem, HPA(GDT), gdt, sizeof gdt);
	for (unsigned i = 0; i < 512; i++)
		mem_write64(mem, HPA(TABLES + 0x3000 + i * 8), i << 12 | 7);
	for (unsigned level = 0; level < 3; level++)
		mem_write64(mem, HPA(TABLES + level * 0x1000), (TABLES + (level + 1) * 0x1000) | 7);
	mem_write64(mem, HPA(TABLES + 255 * 8), (TABLES + 0x1000) | 7);
	mem_write64(mem, HPA(IDT + 16 * VEC_UD), (UD & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (uint64_t)(UD >> 16) << 48);
	mem_write64(mem, HPA(IDT + 16 * VEC_UD + 8), 0);
	mem_write64(mem, HPA(TSS + 4), 0x38000);
	struct cpu *c = (*vm)->cpu[0];
	entry_long64(c, CODE, TABLES);
	c->s.efer |= sce;
	c->s.star = 0x18ull << 48 | 8ull << 32;
	c->s.lstar = CALL;
	c->s.gdtr = (struct dtr){ GDT, sizeof gdt - 1, 0 };
	c->s.idtr = (struct dtr){ IDT, 0x1ff, 0 };
	for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++)
		c->s.seg[i] = (struct seg){ .sel = USER_SS, .limit = 0xffffffff, .attr = flat | SEG_DB | 3 };
	c->s.seg[SEG_CS] = (struct seg){ .sel = USER_CS, .limit = 0xffffffff, .attr = flat | SEG_L | 11 };
	c->s.seg[SEG_TR] = (struct seg){ .sel = 0x30, .base = TSS, .limit = 0x67, .attr = SEG_P | 11 };
	c->s.r[R_RSP] = HIGH + STACK;
	c->s.cpl = 3;
	cpu_set_rflags(c, RFLAGS_IF, RFLAGS_IF);
	cpu_restored(c);
	(void)machine_run(*m, 400000, 0);
}

Test(ring_raw, a_system_call_keeps_the_stack_pointer)
{
	for (size_t i = 0; i < ARRAY_LEN(techniques); i++) {
		struct machine *vm, *m;
		user64(&techniques[i], EFER_SCE, &vm, &m);
		cr_expect(eq(u64, mem_read64(&vm->mem, HPA(SEEN + 8)), HIGH + STACK), "%s/%s: in the kernel", techniques[i].cpu, techniques[i].mmu);
		cr_expect(eq(u64, mem_read64(&vm->mem, HPA(SEEN + 16)), HIGH + STACK), "%s/%s: back", techniques[i].cpu, techniques[i].mmu);
		machine_free(m);
	}
}

/* SDM Vol. 2B, SYSCALL: "#UD: If IA32_EFER.SCE = 0." */
Test(ring_raw, syscall_that_is_off_is_undefined_in_the_code_segment_it_was_in)
{
	for (size_t i = 0; i < ARRAY_LEN(techniques); i++) {
		struct machine *vm, *m;
		user64(&techniques[i], 0, &vm, &m);
		cr_expect(eq(u64, mem_read64(&vm->mem, HPA(SEEN + 24)), CODE), "%s/%s", techniques[i].cpu, techniques[i].mmu);
		cr_expect(eq(u64, mem_read64(&vm->mem, HPA(SEEN + 32)), USER_CS), "%s/%s", techniques[i].cpu, techniques[i].mmu);
		machine_free(m);
	}
}

/* An NMI at the first exception exit at rip. */
static bool nmi_there(void *who, struct vcpu *v, const struct exit_seen *x)
{
	struct two *t = who;
	if (x->reason == EXIT_EXCEPTION && vcpu_peek(v, VMCS_GUEST_RIP) == t->rip && t->n) {
		t->n = 0;
		v->model->s.nmi_pending = 1;
	}
	return false;
}

/* SDM Vol. 3B, "Instruction-Breakpoint Exception Condition": RF stays set until the instruction that IRET returned to has been executed. A page that the
 * VMM has not mapped yet is no exception of the guest's. */
Test(ring_raw, rf_outlasts_a_fault_that_is_the_vmms_own)
{
	static const uint8_t code[] = {
		0xba, 0, 0, 0x10, 0,            /* mov edx, PAGES */
		0x68, 2, 0, 1, 0,               /* push RF */
		0x6a, 0x10,                     /* push the code segment */
		0x68, 19, 0, 2, 0,              /* push CODE + 19 */
		0xcf,                           /* iret */
		0x90,
		0xf6, 0x02, 0x00,               /* CODE + 19: test byte [edx], 0 */
		0xfa, 0xf4,                     /* cli; hlt */
	};
	static const uint8_t nmi[] = {
		0x8b, 0x44, 0x24, 0x08,         /* mov eax, [esp + 8] */
		0xa3, 0x04, 0x80, 0, 0,         /* mov [SEEN + 4], eax */
		0x8b, 0x04, 0x24,               /* mov eax, [esp] */
		0xa3, 0x08, 0x80, 0, 0,         /* mov [SEEN + 8], eax */
		0xcf,
	};
	for (size_t i = 0; i < ARRAY_LEN(techniques); i++) {
		const struct technique *t = &techniques[i];
		struct machine *vm, *m = start(t, &vm, code, sizeof code, nmi, sizeof nmi);
		struct two two = { .rip = CODE + 19, .n = 1 };
		m->vmm->exit_seen = nmi_there;
		m->vmm->exit_who = &two;
		(void)machine_run(m, 1000000, 0);
		cr_expect_eq(two.n, 0, "%s/%s: no exit there", t->cpu, t->mmu);
		cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN + 4)), 0x10002, "%s/%s: %#x", t->cpu, t->mmu, mem_read32(&vm->mem, HPA(SEEN + 4)));
		cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN + 8)), CODE + 19, "%s/%s: %#x", t->cpu, t->mmu, mem_read32(&vm->mem, HPA(SEEN + 8)));
		cr_expect(eq(u32, mem_read32(&vm->mem, HPA(SEEN)), 0), "no exception");
		machine_free(m);
	}
}

/* SDM Vol. 2B, "SYSEXIT": CS and SS are loaded, no other register is looked at. Ring 3 goes on with what the kernel had in them. */
Test(ring_raw, sysexit_leaves_the_kernels_data_segments)
{
	static const uint8_t code[] = {
		0xb9, 0x74, 0x01, 0, 0,         /* mov ecx, IA32_SYSENTER_CS */
		0xb8, 0x10, 0, 0, 0,            /* mov eax, the code segment */
		0x31, 0xd2, 0x0f, 0x30,         /* xor edx, edx; wrmsr */
		0xb8, 0x18, 0, 0, 0,            /* mov eax, the data segment */
		0x8e, 0xe0,                     /* mov fs, eax */
		0xba, 35, 0, 2, 0,              /* mov edx, CODE + 35 */
		0xb9, 0, 0, 3, 0,               /* mov ecx, STACK */
		0x0f, 0x35, 0x90, 0x90,         /* sysexit */
		0x8c, 0xe0,                     /* CODE + 35: mov eax, fs */
		0xa3, 0x04, 0x80, 0, 0,         /* mov [SEEN + 4], eax */
		0x64, 0xc7, 0x05, 0x08, 0x80, 0, 0, 7, 0, 0, 0, /* mov dword fs:[SEEN + 8], 7 */
		0xeb, 0xfe,
	};
	for (size_t i = 0; i < ARRAY_LEN(techniques); i++) {
		const struct technique *t = &techniques[i];
		struct machine *vm, *m = start(t, &vm, code, sizeof code, NULL, 0);
		(void)machine_run(m, 1000000, 0);
		cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN + 4)), 0x18, "%s/%s: FS %#x", t->cpu, t->mmu, mem_read32(&vm->mem, HPA(SEEN + 4)));
		cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN + 8)), 7, "%s/%s", t->cpu, t->mmu);
		cr_expect(eq(u32, mem_read32(&vm->mem, HPA(SEEN)), 0), "no exception");
		machine_free(m);
	}
}

static bool nmi_at_port(void *who, struct vcpu *v, const struct exit_seen *x)
{
	if (x->reason == EXIT_IO) {
		v->model->s.nmi_pending = 1;
		*(bool *)who = true;
	}
	return false;
}

/* SDM Vol. 3A, "Priority Among Concurrent Events": traps on the previous instruction, a single step among them, come before NMIs and interrupts. */
Test(ring_raw, the_step_of_an_emulated_instruction_comes_before_an_nmi)
{
	static const uint8_t code[] = {
		0x9c,                           /* pushf */
		0x81, 0x0c, 0x24, 0, 1, 0, 0,   /* or dword [esp], TF */
		0x9d,                           /* popf */
		0xe4, 0x61,                     /* in al, 61H */
		0x90, 0xfa, 0xf4,               /* nop; cli; hlt */
	};
	static const uint8_t nmi[] = {
		0x8b, 0x04, 0x24,               /* mov eax, [esp] */
		0xa3, 0x04, 0x80, 0, 0,         /* mov [SEEN + 4], eax */
		0xcf,
	};
	for (size_t i = 0; i < ARRAY_LEN(techniques); i++) {
		const struct technique *t = &techniques[i];
		struct machine *vm, *m = start(t, &vm, code, sizeof code, nmi, sizeof nmi);
		bool sent = false;
		m->vmm->exit_seen = nmi_at_port;
		m->vmm->exit_who = &sent;
		(void)machine_run(m, 1000000, 0);
		cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN)), VEC_DB, "%s/%s: vector %u", t->cpu, t->mmu, mem_read32(&vm->mem, HPA(SEEN)));
		cr_expect(sent == (strcmp(t->cpu, "bt") != 0), "under TF a kernel is not translated, but interpreted: no exit");
		cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN + 4)), sent ? STUBS + 32 * VEC_DB : 0, "%s/%s: at %#x", t->cpu, t->mmu, mem_read32(&vm->mem, HPA(SEEN + 4)));
		machine_free(m);
	}
}
