/* vmcs.c - from VMXON to a VMCS that VM entry accepts: controls, minivisor's own state, the guest's first state.
 *
 * The guest begins as a multiboot kernel does: 32-bit protected mode without paging, which takes "unrestricted guest".
 * It owns CR0 and CR4 but for two bits that VMX fixes to 1, NE and VMXE: these it sees as 0 (shadow), and only its trying
 * to change them exits.
 * Source: SDM Vol. 3C, "Introduction to Virtual Machine Extensions", "VM-Execution Control Fields", "Host-State Area";
 * Vol. 3D, "VMX Capability Reporting Facility". */
#include "minivisor.h"

#define CR0_NE		(1u << 5)
#define CR4_VMXE	(1u << 13)

static uint8_t vmxon_region[PAGE] __attribute__((aligned(PAGE)));
static uint8_t vmcs_region[PAGE] __attribute__((aligned(PAGE)));
static uint8_t io_bitmap[2][PAGE] __attribute__((aligned(PAGE)));
static uint8_t msr_bitmap[PAGE] __attribute__((aligned(PAGE)));	/* read low, read high, write low, write high */

/* ---- minivisor's own descriptor tables: VM exits load TR, which the loader's GDT has not ---- */

static uint32_t tss[26];
static uint64_t gdt[] = { 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0, 0 };
static uint64_t idt[32][2];
enum { SEL_CODE = 8, SEL_DATA = 16, SEL_TSS = 24 };
struct pointer { uint16_t limit; uint64_t base; } __attribute__((packed));

static void tables_load(void)
{
	struct pointer g = { sizeof(gdt) - 1, (uintptr_t)gdt }, i = { sizeof(idt) - 1, (uintptr_t)idt };
	uint64_t base = (uintptr_t)tss;

	gdt[3] = (sizeof(tss) - 1) | (base & 0xFFFFFF) << 16 | 0x0000890000000000 | (base >> 24 & 0xFF) << 56;
	gdt[4] = base >> 32;
	for (unsigned v = 0; v < 32; v++) {
		uint64_t at = (uintptr_t)trap_stubs + 16 * v;

		idt[v][0] = (at & 0xFFFF) | SEL_CODE << 16 | 0x8Eull << 40 | (at >> 16 & 0xFFFF) << 48;
		idt[v][1] = at >> 32;
	}
	__asm__ volatile("lgdt %0\n\tlidt %1\n\tltr %w2" : : "m"(g), "m"(i), "r"(SEL_TSS));
}

/* ---- VMXON ---- */

#define CR_GET(n) __extension__({ uint64_t v_; __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_)); v_; })
#define CR_SET(n, v) __asm__ volatile("mov %0, %%cr" #n : : "r"((uint64_t)(v)) : "memory")

void vmx_start(void)
{
	uint32_t a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (!(c & 1 << 5))
		die("this processor has no VMX");
	if ((rdmsr(IA32_FEATURE_CONTROL) & 5) != 5)
		die("the firmware has locked VMX off");
	/* bit 55: the TRUE capability MSRs exist */
	if (!(rdmsr(IA32_VMX_BASIC) >> 55 & 1) || !(rdmsr(IA32_VMX_PROCBASED_CTLS2) >> 32 & PROC2_UNRESTRICTED))
		die("this processor has no unrestricted guest: a kernel that starts without paging cannot run");
	tables_load();
	/* "bits that are 1 in FIXED0 are fixed to 1, bits that are 0 in FIXED1 are fixed to 0" */
	CR_SET(0, (CR_GET(0) | rdmsr(IA32_VMX_CR0_FIXED0)) & rdmsr(IA32_VMX_CR0_FIXED1));
	CR_SET(4, (CR_GET(4) | rdmsr(IA32_VMX_CR4_FIXED0)) & rdmsr(IA32_VMX_CR4_FIXED1));
	*(uint32_t *)vmxon_region = *(uint32_t *)vmcs_region = (uint32_t)rdmsr(IA32_VMX_BASIC) & 0x7FFFFFFF;
	if (!vmxon((uintptr_t)vmxon_region))
		die("VMXON failed");
	if (!vmclear((uintptr_t)vmcs_region) || !vmptrld((uintptr_t)vmcs_region))
		die("VMCLEAR or VMPTRLD failed");
}

/* ---- controls ---- */

/* The high half of a capability MSR are the bits that may be 1, the low half those that must be. */
static void control(uint32_t field, uint32_t msr, uint32_t need, uint32_t wish)
{
	uint64_t cap = rdmsr(msr);
	uint32_t may = (uint32_t)(cap >> 32), must = (uint32_t)cap;

	if (need & ~may)
		die("this processor lacks bits %x of the controls in field %x", need & ~may, field);
	vmwrite(field, ((need | wish) & may) | must);
}

static void bit_set(uint8_t *map, uint32_t n)
{
	map[n / 8] |= (uint8_t)(1 << n % 8);
}

/* Which ports exit. String instructions are not emulated, so the disk's data port is the guest's own. */
static void ports(void)
{
	bit_set(io_bitmap[0], 0xF4);		/* always: how the guest ends the run */
	for (uint32_t p = 0; same_text(options.io, "all") && p < 0x8000; p++)
		bit_set(io_bitmap[0], p), bit_set(io_bitmap[1], p);
	for (uint32_t p = 0x3F8; same_text(options.io, "console") && p < 0x400; p++)
		bit_set(io_bitmap[0], p);
	io_bitmap[0][0x1F0 / 8] &= (uint8_t)~3;	/* 1F0H and 1F1H: a word is read */
}

static void controls(uint64_t eptp)
{
	control(PIN_CONTROLS, IA32_VMX_TRUE_PINBASED_CTLS, PIN_EXTERNAL_INTERRUPT, 0);
	control(PROC_CONTROLS, IA32_VMX_TRUE_PROCBASED_CTLS, PROC_SECONDARY | PROC_HLT | PROC_IO_BITMAPS | PROC_MSR_BITMAPS, 0);
	control(PROC2_CONTROLS, IA32_VMX_PROCBASED_CTLS2, PROC2_EPT | PROC2_UNRESTRICTED, PROC2_VPID | PROC2_RDTSCP | PROC2_INVPCID);
	control(EXIT_CONTROLS, IA32_VMX_TRUE_EXIT_CTLS, EXIT_HOST_64 | EXIT_ACKNOWLEDGE | EXIT_SAVE_EFER | EXIT_LOAD_EFER, 0);
	control(ENTRY_CONTROLS, IA32_VMX_TRUE_ENTRY_CTLS, ENTRY_LOAD_EFER, 0);
	ports();
	vmwrite(IO_BITMAP_A, (uintptr_t)io_bitmap[0]);
	vmwrite(IO_BITMAP_B, (uintptr_t)io_bitmap[1]);
	/* no VMX for the guest: the registers that tell of it exit, and the handler says #GP */
	for (uint32_t m = IA32_VMX_BASIC; m <= IA32_VMX_VMFUNC; m++)
		bit_set(msr_bitmap, m), bit_set(msr_bitmap + 2048, m);
	bit_set(msr_bitmap, IA32_FEATURE_CONTROL);
	bit_set(msr_bitmap + 2048, IA32_FEATURE_CONTROL);
	vmwrite(MSR_BITMAPS, (uintptr_t)msr_bitmap);
	vmwrite(EPT_POINTER, eptp);
	vmwrite(VPID, 1);
	vmwrite(LINK_POINTER, ~0ull);		/* no shadow VMCS */
}

/* ---- states ---- */

static void host_state(void)
{
	vmwrite(HOST_CR0, CR_GET(0));
	vmwrite(HOST_CR3, CR_GET(3));
	vmwrite(HOST_CR4, CR_GET(4));
	vmwrite(HOST_EFER, rdmsr(IA32_EFER));
	for (uint32_t s = ES; s <= GS; s++)
		vmwrite(HOST_ES + 2 * s, s == CS ? SEL_CODE : SEL_DATA);
	vmwrite(HOST_TR, SEL_TSS);
	vmwrite(HOST_TR_BASE, (uintptr_t)tss);
	vmwrite(HOST_GDTR_BASE, (uintptr_t)gdt);
	vmwrite(HOST_IDTR_BASE, (uintptr_t)idt);
	vmwrite(HOST_RIP, (uintptr_t)vm_exit_point);
}

static void guest_segment(uint32_t s, uint16_t selector, uint32_t limit, uint32_t access)
{
	vmwrite(GUEST_ES + 2 * s, selector);
	vmwrite(GUEST_ES_BASE + 2 * s, 0);
	vmwrite(GUEST_ES_LIMIT + 2 * s, limit);
	vmwrite(GUEST_ES_ACCESS + 2 * s, access);
}

/* Multiboot Specification, "Machine state": flat 32-bit segments, protected mode, no paging, interrupts off. */
static void guest_state(uint32_t entry)
{
	for (uint32_t s = ES; s <= GS; s++)
		guest_segment(s, s == CS ? 8 : 16, 0xFFFFFFFF, s == CS ? 0xC09B : 0xC093);
	guest_segment(LDTR, 0, 0, 0x10000);	/* unusable */
	guest_segment(TR, 0, 0x67, 0x8B);	/* a busy TSS: VM entry insists on one */
	vmwrite(GUEST_CR0, 0x11 | CR0_NE);	/* PE, ET */
	vmwrite(CR0_MASK, CR0_NE);
	vmwrite(CR0_SHADOW, 0);
	vmwrite(GUEST_CR4, CR4_VMXE);
	vmwrite(CR4_MASK, CR4_VMXE);
	vmwrite(CR4_SHADOW, 0);
	vmwrite(GUEST_EFER, 0);
	vmwrite(GUEST_DR7, 0x400);
	vmwrite(GUEST_RFLAGS, 2);
	vmwrite(GUEST_RIP, entry);
	vmwrite(GUEST_GDTR_LIMIT, 0xFFFF);
	vmwrite(GUEST_IDTR_LIMIT, 0xFFFF);
}

void vmcs_fill(uint32_t entry, uint64_t eptp)
{
	controls(eptp);
	host_state();
	guest_state(entry);
}
