/* valid.c - see valid.h. */
#include "tests/unit/vmx/valid.h"

#include <stdio.h>

#include "models/cpu/cpuid.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "models/mmu/pte.h"

#define PUT(NAME, value) (c->vmcs->f[VMCS_##NAME] = (value))

static void segment(struct cpu *c, enum seg_reg s, uint16_t sel, uint64_t base, uint32_t limit, uint32_t access)
{
	c->vmcs->f[VMCS_GUEST_ES + s] = sel;
	c->vmcs->f[VMCS_GUEST_ES_BASE + s] = base;
	c->vmcs->f[VMCS_GUEST_ES_LIMIT + s] = limit;
	c->vmcs->f[VMCS_GUEST_ES_ACCESS + s] = access;
}

static void controls(struct cpu *c)
{
	static const enum vmcs_field field[] = {
		[VMX_WORD_PIN] = VMCS_PIN_CONTROLS, [VMX_WORD_PROC] = VMCS_PROC_CONTROLS, [VMX_WORD_PROC2] = VMCS_PROC2_CONTROLS,
		[VMX_WORD_EXIT] = VMCS_EXIT_CONTROLS, [VMX_WORD_ENTRY] = VMCS_ENTRY_CONTROLS,
	};
	for (enum vmx_word w = 0; w < VMX_WORDS; w++) {
		uint32_t must, may;
		vmx_allowed(c, w, false, &must, &may);
		c->vmcs->f[field[w]] = must;
	}
}

static void host(struct cpu *c, bool is64)
{
	const struct cpu_state *s = &c->s;
	PUT(HOST_CR0, s->cr0);
	PUT(HOST_CR3, s->cr3);
	PUT(HOST_CR4, s->cr4);
	PUT(HOST_CS, is64 ? 0x08 : 0x18);
	PUT(HOST_SS, 0x10);
	PUT(HOST_DS, 0x10);
	PUT(HOST_ES, 0x10);
	PUT(HOST_FS, 0x10);
	PUT(HOST_GS, 0x10);
	PUT(HOST_TR, 0x40);
	PUT(HOST_TR_BASE, s->seg[SEG_TR].base);
	PUT(HOST_GDTR_BASE, s->gdtr.base);
	PUT(HOST_IDTR_BASE, s->idtr.base);
	PUT(HOST_RSP, FIXTURE_STACK);
	PUT(HOST_RIP, VALID_HOST);
	if (is64)
		c->vmcs->f[VMCS_EXIT_CONTROLS] |= VMX_CTL(EXIT_HOST_64);
}

static void guest(struct cpu *c, bool is64)
{
	const struct cpu_state *s = &c->s;
	PUT(GUEST_CR0, s->cr0);
	PUT(GUEST_CR3, s->cr3);
	PUT(GUEST_CR4, s->cr4);
	PUT(GUEST_DR7, 0x400);
	PUT(GUEST_RFLAGS, 2);
	PUT(GUEST_RIP, VALID_GUEST);
	PUT(GUEST_RSP, FIXTURE_STACK - 0x1000);
	PUT(LINK_POINTER, ~0ull);
	for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++)
		segment(c, i, 0x10, 0, 0xffffffff, 0xc093);
	segment(c, SEG_CS, is64 ? 0x08 : 0x18, 0, 0xffffffff, is64 ? 0xa09b : 0xc09b);
	segment(c, SEG_TR, 0x40, 0x5800, 0x67, 0x8b);
	segment(c, SEG_LDTR, 0x48, 0, 0xff, 0x82);
	PUT(GUEST_GDTR_BASE, s->gdtr.base);
	PUT(GUEST_GDTR_LIMIT, s->gdtr.limit);
	PUT(GUEST_IDTR_BASE, s->idtr.base);
	PUT(GUEST_IDTR_LIMIT, s->idtr.limit);
	if (is64)
		c->vmcs->f[VMCS_ENTRY_CONTROLS] |= VMX_CTL(ENTRY_GUEST_64);
}

/* Identity maps for guests whose paging is not the host's. */
static void tables(struct fixture *f, enum valid_base base)
{
	struct cpu *c = f->cpu;
	if (base == VALID_PROT || base == VALID_V86 || base == VALID_HOST32 || base == VALID_CET32) {
		for (uint32_t i = 0; i < FIXTURE_RAM >> 22; i++)
			mem_write32(&f->mem, HPA(VALID_PDPT + 4 * i), i << 22 | PTE_PS | 7);
		PUT(GUEST_CR3, VALID_PDPT);
		PUT(GUEST_CR4, CR4_VMXE | CR4_PSE);
	}
	if (base == VALID_PAE) {
		for (uint64_t i = 0; i < 4; i++)
			mem_write64(&f->mem, HPA(VALID_PDPT + 8 * i), (VALID_PDPT + 0x1000) | PTE_P);
		for (uint64_t i = 0; i < FIXTURE_RAM >> 21; i++)
			mem_write64(&f->mem, HPA(VALID_PDPT + 0x1000 + 8 * i), i << 21 | PTE_PS | 7);
		PUT(GUEST_CR3, VALID_PDPT);
		PUT(GUEST_CR4, CR4_VMXE | CR4_PAE);
	}
	if (base == VALID_REAL) {
		mem_write64(&f->mem, HPA(VALID_EPT), (VALID_EPT + 0x1000) | 7);
		mem_write64(&f->mem, HPA(VALID_EPT + 0x1000), (VALID_EPT + 0x2000) | 7);
		for (uint64_t i = 0; i < FIXTURE_RAM >> 21; i++)
			mem_write64(&f->mem, HPA(VALID_EPT + 0x2000 + 8 * i), i << 21 | 0xb7);
	}
}

static void unrestricted(struct cpu *c)
{
	PUT(PROC_CONTROLS, c->vmcs->f[VMCS_PROC_CONTROLS] | VMX_CTL(SECONDARY_CONTROLS));
	PUT(PROC2_CONTROLS, VMX_CTL(ENABLE_EPT) | VMX_CTL(UNRESTRICTED));
	PUT(EPTP, VALID_EPT | 3 << 3 | 6);
	PUT(GUEST_CR0, CR0_NE | CR0_ET);
	PUT(GUEST_CR4, CR4_VMXE);
	for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++)
		segment(c, i, VALID_GUEST >> 4 & 0xf000, 0, 0xffff, 0x93);
	PUT(GUEST_RIP, 0x1000);
}

struct fixture *valid_new(enum valid_base base)
{
	bool host32 = base == VALID_HOST32 || base == VALID_CET32;
	bool guest64 = base == VALID_LONG || base == VALID_NEHALEM || base == VALID_CET;
	struct fixture *f = fixture_new(host32 ? FIXTURE_PROT32 : FIXTURE_LONG64);
	struct cpu *c = f->cpu;
	if (base == VALID_NEHALEM)
		snprintf(f->profile.name, sizeof f->profile.name, "nehalem");
	if (base == VALID_CET || base == VALID_CET32) {
		f->profile.cet_shstk = f->profile.cet_ibt = 1;
		cpuid_init(c);
	}
	if (host32) {
		for (uint32_t i = 0; i < FIXTURE_RAM >> 22; i++)
			mem_write32(&f->mem, HPA(VALID_PDPT + 4 * i), i << 22 | PTE_PS | 7);
		c->s.cr3 = VALID_PDPT;
		c->s.cr4 |= CR4_PSE;
		c->s.cr0 |= CR0_PG;
	}
	c->s.cr0 |= CR0_NE;
	c->s.cr4 |= CR4_VMXE;
	cpu_restored(c);
	c->vmx.vmxon = VALID_VMXON;
	c->vmx.current = 0;
	c->vmx.slot[0].pa = VALID_VMCS;
	mem_write32(&f->mem, HPA(VALID_VMXON), VMCS_REVISION);
	mem_write32(&f->mem, HPA(VALID_VMCS), VMCS_REVISION);
	vmx_derive(c);
	controls(c);
	host(c, !host32);
	guest(c, guest64);
	tables(f, base);
	if (base == VALID_V86) {
		PUT(GUEST_RFLAGS, RFLAGS_VM | 2);
		for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++)
			segment(c, i, 0x1001, 0x10010, 0xffff, 0xf3);
	}
	if (base == VALID_REAL)
		unrestricted(c);
	vmx_derive(c);
	return f;
}
