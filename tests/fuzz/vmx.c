/* Fuzz target: VMX operation. A 64-bit guest on an EPT, as software in root operation sets it up; the
 * input bends it: controls, VMCS fields, EPT entries, MSR areas, the guest's code and what the host
 * does after a VM exit before it resumes. A VM entry may fail and a guest may do anything; the ledger
 * must balance, and a snapshot taken at the end (by choice: it is slow) must bring everything back.
 *
 * Input: 8 bytes of choices, 20 of control bits (what must be 1 is, what must be 0 is not), 1 number of
 * changed fields { field, how, 8 bytes }, 1 number of EPT entries { 2 bytes where, 6 bytes entry }, 32
 * bytes of MSR area, 1 length of the host's code and that code, the rest is the guest's code. */
#include <stdlib.h>
#include <string.h>

#include "models/boot/image.h"
#include "models/cpu/vmx/vmx.h"
#include "models/machine.h"
#include "tests/fuzz/fuzz.h"

enum {
	RAM = 2 << 20, GDT = 0x1000, TSS = 0x1800, IDT = 0x2000, STUBS = 0x3000,
	TABLES = 0x10000, EPT = 0x14000,
	AT_VMXON = 0x20000, AT_VMCS = 0x21000, AT_LINK = 0x22000, PAGES = 0x23000, AREA = 0x2f000,
	GUEST_CODE = 0x40000, GUEST_STACK = 0x50000, DATA = 0x60000, HOST_CODE = 0x70000,
	HOST_STACK = 0x78000, CODE_MAX = 0x1000,
};

struct input { const uint8_t *p; size_t n; };

static uint64_t take(struct input *in, unsigned bytes)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < bytes && in->n; i++, in->p++, in->n--)
		v |= (uint64_t)*in->p << (8 * i);
	return v;
}

static void set(struct cpu *c, unsigned f, uint64_t v) { c->vmcs->f[f] = v; }
static uint64_t get(struct cpu *c, unsigned f) { return c->vmcs->f[f]; }

/* Descriptors, an IDT whose gates lead to HLT, both dimensions' tables. */
static void memory(struct machine *m)
{
	static const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff };
	struct mem *mem = &m->mem;
	mem_write(mem, HPA(GDT), gdt, sizeof gdt);
	mem_write64(mem, HPA(GDT + 0x40), 0x67 | (uint64_t)TSS << 16 | 0x8bull << 40);
	for (uint64_t v = 0; v < 32; v++) {
		uint64_t stub = STUBS + 16 * v;
		mem_write64(mem, HPA(IDT + 16 * v), (stub & 0xffff) | 8 << 16 | 0x8e00ull << 32);
		mem_write(mem, HPA(stub), "\xf4", 1);
	}
	mem_write64(mem, HPA(TABLES), (TABLES + 0x1000) | 7);
	mem_write64(mem, HPA(TABLES + 0x1000), (TABLES + 0x2000) | 7);
	mem_write64(mem, HPA(TABLES + 0x2000), 0x87);
	for (unsigned level = 0; level < 3; level++)
		mem_write64(mem, HPA(EPT + 0x1000 * level), (EPT + 0x1000 * (level + 1)) | 7);
	for (uint64_t i = 0; i < 512; i++)
		mem_write64(mem, HPA(EPT + 0x3000 + 8 * i), i << 12 | 0x37);
	mem_write32(mem, HPA(AT_VMXON), VMCS_REVISION);
	mem_write32(mem, HPA(AT_VMCS), VMCS_REVISION);
	mem_write32(mem, HPA(AT_LINK), VMCS_REVISION | (uint32_t)BIT(31));
}

static void processor(struct cpu *c)
{
	struct cpu_state *s = &c->s;
	entry_long64(c, HOST_CODE, TABLES);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s->seg[i] = (struct seg){ .sel = 0x10, .limit = 0xffffffff,
		                          .attr = SEG_G | SEG_DB | SEG_P | SEG_S | 3 };
	s->seg[SEG_CS].sel = 8;
	s->seg[SEG_CS].attr = SEG_G | SEG_L | SEG_P | SEG_S | 11;
	s->seg[SEG_TR] = (struct seg){ .sel = 0x40, .base = TSS, .limit = 0x67, .attr = SEG_P | 11 };
	s->gdtr = (struct dtr){ .base = GDT, .limit = 0x4f };
	s->idtr = (struct dtr){ .base = IDT, .limit = 32 * 16 - 1 };
	s->cr0 |= CR0_NE | CR0_WP;
	s->cr4 |= CR4_VMXE;
	s->r[R_RSP] = HOST_STACK;
	cpu_restored(c);
}

static const unsigned control_field[VMX_WORDS] = {
	VMCS_PIN_CONTROLS, VMCS_PROC_CONTROLS, VMCS_PROC2_CONTROLS, VMCS_EXIT_CONTROLS,
	VMCS_ENTRY_CONTROLS,
};

/* What VMLAUNCH accepts before the input bends it. */
static void vmcs(struct cpu *c, struct input *in)
{
	const struct cpu_state *s = &c->s;
	for (unsigned w = 0; w < VMX_WORDS; w++) {
		uint32_t must, may, bits = (uint32_t)take(in, 4);
		vmx_allowed(c, (enum vmx_word)w, false, &must, &may);
		set(c, control_field[w], must | (bits & may));
	}
	set(c, VMCS_PROC_CONTROLS, get(c, VMCS_PROC_CONTROLS) | VMX_CTL(SECONDARY_CONTROLS));
	set(c, VMCS_PROC2_CONTROLS, get(c, VMCS_PROC2_CONTROLS) | VMX_CTL(ENABLE_EPT));
	set(c, VMCS_EXIT_CONTROLS, get(c, VMCS_EXIT_CONTROLS) | VMX_CTL(EXIT_HOST_64));
	set(c, VMCS_ENTRY_CONTROLS, get(c, VMCS_ENTRY_CONTROLS) | VMX_CTL(ENTRY_GUEST_64));
	for (unsigned i = SEG_ES; i <= SEG_TR; i++) {
		if (i != SEG_LDTR)
			set(c, i <= SEG_GS ? VMCS_HOST_ES + i : VMCS_HOST_TR, s->seg[i].sel);
		set(c, VMCS_GUEST_ES + i, s->seg[i].sel);
		set(c, VMCS_GUEST_ES_BASE + i, s->seg[i].base);
		set(c, VMCS_GUEST_ES_LIMIT + i, s->seg[i].limit);
		set(c, VMCS_GUEST_ES_ACCESS + i, s->seg[i].attr);
	}
	const struct { unsigned field; uint64_t v; } same[] = {
		{ VMCS_HOST_TR_BASE, TSS }, { VMCS_HOST_GDTR_BASE, GDT }, { VMCS_HOST_IDTR_BASE, IDT },
		{ VMCS_HOST_CR0, s->cr0 }, { VMCS_HOST_CR3, s->cr3 }, { VMCS_HOST_CR4, s->cr4 },
		{ VMCS_HOST_EFER, s->efer }, { VMCS_HOST_PAT, s->pat }, { VMCS_HOST_RSP, HOST_STACK },
		{ VMCS_HOST_RIP, HOST_CODE }, { VMCS_GUEST_GDTR_BASE, GDT },
		{ VMCS_GUEST_GDTR_LIMIT, 0x4f }, { VMCS_GUEST_IDTR_BASE, IDT },
		{ VMCS_GUEST_IDTR_LIMIT, 32 * 16 - 1 }, { VMCS_GUEST_CR0, s->cr0 },
		{ VMCS_GUEST_CR3, s->cr3 }, { VMCS_GUEST_CR4, s->cr4 }, { VMCS_GUEST_EFER, s->efer },
		{ VMCS_GUEST_PAT, s->pat }, { VMCS_GUEST_DR7, 0x400 }, { VMCS_GUEST_RSP, GUEST_STACK },
		{ VMCS_GUEST_RIP, GUEST_CODE }, { VMCS_GUEST_RFLAGS, 2 }, { VMCS_EPTP, EPT | 3 << 3 | 6 },
		{ VMCS_VPID, 1 }, { VMCS_PML_INDEX, 511 },
		{ VMCS_LINK_POINTER, get(c, VMCS_PROC2_CONTROLS) & VMX_CTL(VMCS_SHADOWING) ? AT_LINK : VMCS_NONE },
		{ VMCS_IO_BITMAP_A, PAGES }, { VMCS_IO_BITMAP_B, PAGES + 0x1000 },
		{ VMCS_MSR_BITMAPS, PAGES + 0x2000 }, { VMCS_VMREAD_BITMAP, PAGES + 0x3000 },
		{ VMCS_VMWRITE_BITMAP, PAGES + 0x4000 }, { VMCS_VIRTUAL_APIC_ADDR, PAGES + 0x5000 },
		{ VMCS_APIC_ACCESS_ADDR, PAGES + 0x6000 }, { VMCS_EPTP_LIST_ADDR, PAGES + 0x7000 },
		{ VMCS_PML_ADDR, PAGES + 0x8000 }, { VMCS_VE_INFO_ADDR, PAGES + 0x9000 },
		{ VMCS_POSTED_DESC_ADDR, PAGES + 0xa000 }, { VMCS_ENTRY_MSR_LOAD_ADDR, AREA },
		{ VMCS_EXIT_MSR_STORE_ADDR, AREA }, { VMCS_EXIT_MSR_LOAD_ADDR, AREA },
	};
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		set(c, same[i].field, same[i].v);
}

static void bend(struct machine *m, struct cpu *c, struct input *in)
{
	for (unsigned n = take(in, 1) & 15; n; n--) {
		unsigned field = take(in, 1) % VMCS_N, how = (unsigned)take(in, 1);
		uint64_t v = take(in, 8);
		if (how & 1)
			v = get(c, field) ^ BIT(how >> 1 & 63);
		else if (how & 2)
			v &= 0xff;
		set(c, field, v & vmcs_mask((enum vmcs_field)field));
	}
	for (unsigned n = take(in, 1) & 15; n; n--) {
		uint64_t where = take(in, 2), entry = take(in, 6);
		mem_write64(&m->mem, HPA(EPT + (where & 0x3ff8)), entry | (entry >> 40 & 1) << 63);
	}
	for (unsigned i = 0; i < 4; i++)
		mem_write64(&m->mem, HPA(AREA + 8 * i), take(in, 8));
}

/* RIP past the instruction that exited, and back: mov edx, GUEST_RIP; vmread rax, rdx; mov edx,
 * EXIT_INSN_LENGTH; vmread rcx, rdx; add rax, rcx; mov edx, GUEST_RIP; vmwrite rdx, rax; vmresume; hlt */
static const uint8_t resume[] = {
	0xba, 0x1e, 0x68, 0, 0, 0x0f, 0x78, 0xd0, 0xba, 0x0c, 0x44, 0, 0, 0x0f, 0x78, 0xd1, 0x48, 0x01, 0xc8,
	0xba, 0x1e, 0x68, 0, 0, 0x0f, 0x79, 0xd0, 0x0f, 0x01, 0xc3, 0xf4,
};
static const uint8_t launch[] = { 0x0f, 0x01, 0xc2, 0xf4 };

int fuzz_vmx(const uint8_t *data, size_t n)
{
	static struct fuzz_machine f;
	struct machine *m = fuzz_machine(&f, RAM);
	struct cpu *c = m->cpu[0];
	struct input in = { data, n };
	uint64_t choice = take(&in, 8);
	machine_set_fast(m, choice & 1);
	memory(m);
	processor(c);
	vmx_root_vmxon(c, AT_VMXON);
	vmx_root_vmclear(c, AT_VMCS);
	vmx_root_vmptrld(c, AT_VMCS);
	vmcs(c, &in);
	bend(m, c, &in);
	for (unsigned i = 0; i < 5; i++)        /* the bitmaps: nothing, or everything */
		if (choice >> (1 + i) & 1)
			for (unsigned k = 0; k < PAGE_SIZE; k += 8)
				mem_write64(&m->mem, HPA(PAGES + i * PAGE_SIZE + k), ~0ull);
	size_t host = take(&in, 1) & 63;
	host = host < in.n ? host : in.n;
	mem_write(&m->mem, HPA(HOST_CODE), in.p, host);
	mem_write(&m->mem, HPA(HOST_CODE + host), resume, sizeof resume);
	mem_write(&m->mem, HPA(HOST_CODE + 0x800), launch, sizeof launch);
	in.p += host, in.n -= host;
	mem_write(&m->mem, HPA(GUEST_CODE), in.p, in.n < CODE_MAX ? in.n : CODE_MAX);
	for (unsigned i = 0; i < 16; i++)
		if (i != R_RSP)
			c->s.r[i] = choice >> (8 + i) & 1 ? DATA + 64 * i : choice >> (2 * i + 24) & 0xff;
	c->s.rip = HOST_CODE + 0x800;
	cpu_restored(c);
	machine_run(m, 300000, 3000);
	if (!ledger_audit(&c->ledger))
		abort();
	if (choice >> 60)
		return 0;
	struct snap *s = snap_take(m->snaps, "end");
	uint64_t now = machine_hash(m);
	machine_run(m, machine_now(m) + 10000, 100);
	snap_restore(m->snaps, s);
	snap_drop(m->snaps, s);
	if (machine_hash(m) != now)
		abort();
	return 0;
}
