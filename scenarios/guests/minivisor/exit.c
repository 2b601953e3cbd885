/* exit.c - what minivisor does at a VM exit: one function a reason.
 *
 * Most do what the instruction would have done, for the guest, and move RIP behind it. Interrupts go to the guest by event
 * injection: the controller's acknowledge cycle has happened at the exit ("acknowledge interrupt on exit"), the EOI is the
 * guest's own port write.
 * Source: SDM Vol. 3C, "VM Exits", "Information for VM Exits That Occur During Event Delivery", "Event Injection".
 * Simplified: no single-stepping guest (RFLAGS.TF) across an emulated instruction, no NMIs, one processor. */
#include "minivisor.h"

#define EVENT_VALID	0x80000000u
#define EVENT_ERROR	(1u << 11)
enum { EVENT_EXTERNAL = 0 << 8, EVENT_EXCEPTION = 3 << 8, VECTOR_UD = 6, VECTOR_GP = 13 };
enum { BLOCKING = 3 };			/* by STI, by MOV SS */
enum { ACTIVE = 0, HALTED = 1 };
#define RFLAGS_IF	(1u << 9)

static void skip(void)
{
	vmwrite(GUEST_RIP, vmread(GUEST_RIP) + vmread(EXIT_INSN_LENGTH));
	vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) & ~(uint64_t)BLOCKING);
}

/* ---- events ---- */

static void inject_ud(void) { vmwrite(ENTRY_INTR_INFO, EVENT_VALID | EVENT_EXCEPTION | VECTOR_UD); }

static void inject_gp(void)
{
	vmwrite(ENTRY_INTR_INFO, EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR | VECTOR_GP);
	vmwrite(ENTRY_INTR_ERROR, 0);
}

/* The exit came while an event was being delivered (the stack's page had no EPT entry, say): deliver it again. */
static void redeliver(void)
{
	uint64_t event = vmread(IDT_VECTORING);

	if (!(event & EVENT_VALID))
		return;
	vmwrite(ENTRY_INTR_INFO, event & ~(1ull << 12));
	vmwrite(ENTRY_INTR_ERROR, vmread(IDT_VECTORING_ERROR));
	vmwrite(ENTRY_INSN_LENGTH, vmread(EXIT_INSN_LENGTH));
}

static void window(bool open)
{
	uint64_t c = vmread(PROC_CONTROLS);

	vmwrite(PROC_CONTROLS, open ? c | PROC_INTERRUPT_WINDOW : c & ~(uint64_t)PROC_INTERRUPT_WINDOW);
}

/* The most important of the waiting interrupts, or -1. */
static int waiting(const struct guest *g)
{
	for (int i = 3; i >= 0; i--)
		if (g->pending[i])
			return i * 64 + 63 - __builtin_clzll(g->pending[i]);
	return -1;
}

/* Before each VM entry: a waiting interrupt is injected if the guest would take it now; else it asks for an exit when it
 * would (interrupt window). */
void inject_pending(struct guest *g)
{
	int vector = waiting(g);
	bool open = vmread(GUEST_RFLAGS) & RFLAGS_IF && !(vmread(GUEST_INTERRUPTIBILITY) & BLOCKING) &&
		    !(vmread(ENTRY_INTR_INFO) & EVENT_VALID);

	if (vector >= 0 && open) {
		g->pending[vector / 64] &= ~(1ull << vector % 64);
		vmwrite(ENTRY_INTR_INFO, EVENT_VALID | EVENT_EXTERNAL | (unsigned)vector);
		vmwrite(GUEST_ACTIVITY, ACTIVE);
		vector = waiting(g);
	}
	window(vector >= 0);
}

static void on_external_interrupt(struct guest *g, uint64_t qualification)
{
	unsigned vector = vmread(EXIT_INTR_INFO) & 0xFF;

	(void)qualification;
	g->pending[vector / 64] |= 1ull << vector % 64;
}

static void on_interrupt_window(struct guest *g, uint64_t qualification)
{
	(void)g, (void)qualification;	/* inject_pending() does it */
}

/* The guest sleeps as the machine does: in the activity state HLT, until an external interrupt exits. */
static void on_hlt(struct guest *g, uint64_t qualification)
{
	(void)qualification;
	skip();
	if (!(vmread(GUEST_RFLAGS) & RFLAGS_IF))
		finish(g, "the guest halted for good", 2);
	vmwrite(GUEST_ACTIVITY, waiting(g) < 0 ? HALTED : ACTIVE);
}

/* ---- instructions ---- */

/* The processor's own answer, but for what minivisor does not offer: VMX, XSAVE and what depends on it. */
static void on_cpuid(struct guest *g, uint64_t qualification)
{
	uint32_t leaf = (uint32_t)g->r.rax, a = leaf, b, c = (uint32_t)g->r.rcx, d;

	(void)qualification;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (leaf == 1)
		c = (c & ~(1u << 5 | 1u << 26 | 1u << 27 | 1u << 28)) | 1u << 31;	/* a hypervisor is present */
	if (leaf == 0x40000000) {		/* and it is called */
		static const char name[] = "minivisor   ";

		a = leaf;
		memcpy(&b, name, 4), memcpy(&c, name + 4, 4), memcpy(&d, name + 8, 4);
	}
	g->r.rax = a, g->r.rbx = b, g->r.rcx = c, g->r.rdx = d;
	skip();
}

/* Exit qualification: 2:0 bytes less 1 | 3 IN | 4 string | 5 REP | 31:16 port. The device is the machine's own. */
static void on_io(struct guest *g, uint64_t qualification)
{
	unsigned bytes = (qualification & 7) + 1;
	uint16_t port = (uint16_t)(qualification >> 16);
	uint32_t v = (uint32_t)g->r.rax;

	if (qualification & 1 << 4)
		finish(g, "a string instruction to a port that exits: not emulated", 2);
	if (qualification & 1 << 3) {
		switch (bytes) {
		case 1: __asm__ volatile("inb %w1, %b0" : "+a"(v) : "Nd"(port)); break;
		case 2: __asm__ volatile("inw %w1, %w0" : "+a"(v) : "Nd"(port)); break;
		case 4: __asm__ volatile("inl %w1, %0" : "+a"(v) : "Nd"(port)); break;
		}
		g->r.rax = bytes == 4 ? v : (g->r.rax & ~0xFFFFFFFFull) | v;
	} else {
		if (port == 0xF4)
			finish(g, "the guest ended the run", v);
		switch (bytes) {
		case 1: __asm__ volatile("outb %b0, %w1" : : "a"(v), "Nd"(port)); break;
		case 2: __asm__ volatile("outw %w0, %w1" : : "a"(v), "Nd"(port)); break;
		case 4: __asm__ volatile("outl %0, %w1" : : "a"(v), "Nd"(port)); break;
		}
	}
	skip();
}

/* Exit qualification: 3:0 which CR | 5:4 0 MOV to CR | 11:8 register. Only an attempt to change NE or VMXE comes here: the
 * guest sees what it wrote, the processor keeps what VMX demands. */
static void on_cr_access(struct guest *g, uint64_t qualification)
{
	unsigned cr = qualification & 15, reg = qualification >> 8 & 15;
	uint64_t v = reg == 4 ? vmread(GUEST_RSP) : ((uint64_t *)&g->r)[reg];
	uint32_t mask = cr == 0 ? CR0_MASK : CR4_MASK;

	if ((qualification >> 4 & 3) != 0 || (cr != 0 && cr != 4))
		finish(g, "an access to a control register that is not emulated", 2);
	vmwrite(cr == 0 ? GUEST_CR0 : GUEST_CR4, v | vmread(mask));
	vmwrite(cr == 0 ? CR0_SHADOW : CR4_SHADOW, v);
	skip();
}

/* Registers outside the bitmaps' ranges, and those of VMX: the guest's processor has none of them. */
static void on_msr(struct guest *g, uint64_t qualification) { (void)g, (void)qualification; inject_gp(); }
static void on_vmx_instruction(struct guest *g, uint64_t qualification) { (void)g, (void)qualification; inject_ud(); }

static void on_invd(struct guest *g, uint64_t qualification)
{
	(void)g, (void)qualification;
	__asm__ volatile("wbinvd");	/* INVD would throw away other people's data */
	skip();
}

/* ---- memory ---- */

static void on_ept_violation(struct guest *g, uint64_t qualification)
{
	uint64_t gpa = vmread(GUEST_PHYSICAL);

	if (!ept_fault(gpa)) {
		print("minivisor: guest-physical %lx (%s), linear %lx, rip %lx\n", gpa,
		      qualification & 4 ? "fetch" : qualification & 2 ? "write" : "read", vmread(GUEST_LINEAR), vmread(GUEST_RIP));
		finish(g, "the guest touched memory that it does not have", 2);
	}
}

/* ---- all of them ---- */

static const struct { const char *name; void (*fn)(struct guest *, uint64_t); } reasons[REASONS] = {
	[REASON_EXTERNAL_INTERRUPT] = { "external interrupt", on_external_interrupt },
	[REASON_TRIPLE_FAULT] = { "triple fault", NULL },
	[REASON_INTERRUPT_WINDOW] = { "interrupt window", on_interrupt_window },
	[REASON_CPUID] = { "CPUID", on_cpuid },
	[REASON_HLT] = { "HLT", on_hlt },
	[REASON_INVD] = { "INVD", on_invd },
	[REASON_VMCALL ... REASON_VMXON] = { "VMX instruction", on_vmx_instruction },
	[REASON_CR_ACCESS] = { "control-register access", on_cr_access },
	[REASON_IO] = { "I/O instruction", on_io },
	[REASON_RDMSR] = { "RDMSR", on_msr },
	[REASON_WRMSR] = { "WRMSR", on_msr },
	[REASON_EPT_VIOLATION] = { "EPT violation", on_ept_violation },
	[REASON_EPT_MISCONFIG] = { "EPT misconfiguration", NULL },
};

const char *reason_name(unsigned reason)
{
	return reasons[reason].name ? reasons[reason].name : "other";
}

void handle_exit(struct guest *g)
{
	uint64_t whole = vmread(EXIT_REASON), qualification = vmread(EXIT_QUALIFICATION);
	unsigned reason = whole & 0xFFFF;

	if (whole >> 31)
		die("VM entry failed: exit reason %u, qualification %lx: vmscope explains which checks", reason, qualification);
	if (reason >= REASONS)
		die("exit reason %u", reason);
	g->exits[reason]++;
	redeliver();
	if (lab_exit(g, reason, qualification))
		return;
	if (!reasons[reason].fn) {
		print("minivisor: exit reason %u (%s), rip %lx\n", reason, reason_name(reason), vmread(GUEST_RIP));
		finish(g, "minivisor does not handle that", 2);
	}
	reasons[reason].fn(g, qualification);
}
