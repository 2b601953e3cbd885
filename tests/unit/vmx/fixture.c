/* fixture.c - see fixture.h. */
#include "tests/unit/vmx/fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "sim/err.h"

static void put32(struct vmx_fixture *f, uint64_t pa, uint32_t v) { memcpy(fixture_at(f->f, pa), &v, sizeof v); }
static void put64(struct vmx_fixture *f, uint64_t pa, uint64_t v) { memcpy(fixture_at(f->f, pa), &v, sizeof v); }

struct vmx_fixture *vmx_fixture_bare(void)
{
	struct vmx_fixture *f = xcalloc(1, sizeof *f);
	f->f = fixture_new(FIXTURE_LONG64);
	f->c = f->f->cpu;
	f->c->s.cr4 |= CR4_VMXE;
	cpu_restored(f->c);
	put32(f, AT_VMXON, VMCS_REVISION);
	put32(f, AT_VMCS, VMCS_REVISION);
	put32(f, AT_VMCS2, VMCS_REVISION);
	put32(f, AT_SHADOW_VMCS, VMCS_REVISION | (uint32_t)BIT(31));
	*(uint8_t *)fixture_at(f->f, VMX_HOST_RIP) = 0xf4;
	return f;
}

void vmx_fixture_free(struct vmx_fixture *f)
{
	fixture_free(f->f);
	free(f);
}

/* What must be 1. */
static void default_controls(struct vmx_fixture *f)
{
	static const enum vmcs_field field[VMX_WORDS] = { VMCS_PIN_CONTROLS, VMCS_PROC_CONTROLS, VMCS_PROC2_CONTROLS,
		                                          VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS };
	for (unsigned w = 0; w < VMX_WORDS; w++) {
		uint32_t must, may;
		vmx_allowed(f->c, (enum vmx_word)w, false, &must, &may);
		vmx_set_field(f, field[w], must);
	}
	vmx_control(f, VMX_EXIT_HOST_64, true);
	vmx_control(f, VMX_ENTRY_GUEST_64, true);
}

static void host_state(struct vmx_fixture *f)
{
	const struct cpu_state *s = &f->c->s;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		vmx_set_field(f, VMCS_HOST_ES + i, s->seg[i].sel);
	vmx_set_field(f, VMCS_HOST_TR, s->seg[SEG_TR].sel);
	vmx_set_field(f, VMCS_HOST_TR_BASE, s->seg[SEG_TR].base);
	vmx_set_field(f, VMCS_HOST_GDTR_BASE, s->gdtr.base);
	vmx_set_field(f, VMCS_HOST_IDTR_BASE, s->idtr.base);
	vmx_set_field(f, VMCS_HOST_CR0, s->cr0);
	vmx_set_field(f, VMCS_HOST_CR3, s->cr3);
	vmx_set_field(f, VMCS_HOST_CR4, s->cr4);
	vmx_set_field(f, VMCS_HOST_EFER, s->efer);
	vmx_set_field(f, VMCS_HOST_PAT, s->pat);
	vmx_set_field(f, VMCS_HOST_RSP, FIXTURE_STACK);
	vmx_set_field(f, VMCS_HOST_RIP, VMX_HOST_RIP);
}

static void guest_state(struct vmx_fixture *f)
{
	const struct cpu_state *s = &f->c->s;
	for (unsigned i = SEG_ES; i <= SEG_TR; i++) {
		vmx_set_field(f, VMCS_GUEST_ES + i, s->seg[i].sel);
		vmx_set_field(f, VMCS_GUEST_ES_BASE + i, s->seg[i].base);
		vmx_set_field(f, VMCS_GUEST_ES_LIMIT + i, s->seg[i].limit);
		vmx_set_field(f, VMCS_GUEST_ES_ACCESS + i, s->seg[i].attr);
	}
	vmx_set_field(f, VMCS_GUEST_GDTR_BASE, s->gdtr.base);
	vmx_set_field(f, VMCS_GUEST_GDTR_LIMIT, s->gdtr.limit);
	vmx_set_field(f, VMCS_GUEST_IDTR_BASE, s->idtr.base);
	vmx_set_field(f, VMCS_GUEST_IDTR_LIMIT, s->idtr.limit);
	vmx_set_field(f, VMCS_GUEST_CR0, s->cr0);
	vmx_set_field(f, VMCS_GUEST_CR3, s->cr3);
	vmx_set_field(f, VMCS_GUEST_CR4, s->cr4);
	vmx_set_field(f, VMCS_GUEST_EFER, s->efer);
	vmx_set_field(f, VMCS_GUEST_PAT, s->pat);
	vmx_set_field(f, VMCS_GUEST_DR7, 0x400);
	vmx_set_field(f, VMCS_GUEST_RSP, VMX_GUEST_STACK);
	vmx_set_field(f, VMCS_GUEST_RIP, VMX_GUEST_CODE);
	vmx_set_field(f, VMCS_GUEST_RFLAGS, 2);
	vmx_set_field(f, VMCS_LINK_POINTER, VMCS_NONE);
}

static void addresses(struct vmx_fixture *f)
{
	vmx_set_field(f, VMCS_IO_BITMAP_A, AT_IO_A);
	vmx_set_field(f, VMCS_IO_BITMAP_B, AT_IO_B);
	vmx_set_field(f, VMCS_MSR_BITMAPS, AT_MSR_BITMAPS);
	vmx_set_field(f, VMCS_VMREAD_BITMAP, AT_VMREAD_BITMAP);
	vmx_set_field(f, VMCS_VMWRITE_BITMAP, AT_VMWRITE_BITMAP);
	vmx_set_field(f, VMCS_VIRTUAL_APIC_ADDR, AT_VIRTUAL_APIC);
	vmx_set_field(f, VMCS_APIC_ACCESS_ADDR, AT_APIC_ACCESS);
	vmx_set_field(f, VMCS_EPTP_LIST_ADDR, AT_EPTP_LIST);
	vmx_set_field(f, VMCS_PML_ADDR, AT_PML);
	vmx_set_field(f, VMCS_PML_INDEX, 511);
	vmx_set_field(f, VMCS_VE_INFO_ADDR, AT_VE_INFO);
	vmx_set_field(f, VMCS_POSTED_DESC_ADDR, AT_POSTED);
}

struct vmx_fixture *vmx_fixture_new(void)
{
	struct vmx_fixture *f = vmx_fixture_bare();
	vmx_root_vmxon(f->c, AT_VMXON);
	vmx_root_vmclear(f->c, AT_VMCS);
	vmx_root_vmptrld(f->c, AT_VMCS);
	default_controls(f);
	host_state(f);
	guest_state(f);
	addresses(f);
	return f;
}

void vmx_guest_code(struct vmx_fixture *f, const void *bytes, unsigned n)
{
	mem_write(&f->f->mem, HPA(VMX_GUEST_CODE), bytes, n);
	vmx_set_field(f, VMCS_GUEST_RIP, VMX_GUEST_CODE);
}

int vmx_root_code(struct vmx_fixture *f, const void *bytes, unsigned n, uint64_t count)
{
	fixture_code(f->f, bytes, n);
	return fixture_run(f->f, count);
}

uint32_t vmx_run(struct vmx_fixture *f)
{
	static const uint8_t vmlaunch[] = { 0x0f, 0x01, 0xc2, 0xf4 }, vmresume[] = { 0x0f, 0x01, 0xc3, 0xf4 };
	vmx_root_code(f, f->launched ? vmresume : vmlaunch, 4, 100000);
	f->error = 0;
	cr_assert(!f->c->vmx.guest, "the guest ran on, at %#llx", (unsigned long long)f->c->s.rip);
	if (f->c->s.rip != VMX_HOST_RIP + 1) {
		f->error = (unsigned)vmx_field(f, VMCS_INSN_ERROR);
		return VMX_NO_ENTRY;
	}
	f->launched = f->c->vmcs->launched;
	return (uint32_t)vmx_field(f, VMCS_EXIT_REASON);
}

uint32_t vmx_run_code(struct vmx_fixture *f, const void *bytes, unsigned n)
{
	vmx_guest_code(f, bytes, n);
	return vmx_run(f);
}

void vmx_identity_ept(struct vmx_fixture *f)
{
	put64(f, AT_EPT_PML4, AT_EPT_PDPT | 7);
	put64(f, AT_EPT_PDPT, AT_EPT_PD | 7);
	for (uint64_t i = 0; i < FIXTURE_RAM >> 21; i++)
		put64(f, AT_EPT_PD + 8 * i, i << 21 | 0xb7);   /* read, write, execute, write-back, 2 MB */
	vmx_set_field(f, VMCS_EPTP, AT_EPT_PML4 | 3 << 3 | 6);
	vmx_control(f, VMX_ENABLE_EPT, true);
}

void vmx_control(struct vmx_fixture *f, enum vmx_control n, bool on)
{
	static const enum vmcs_field field[VMX_WORDS] = { VMCS_PIN_CONTROLS, VMCS_PROC_CONTROLS, VMCS_PROC2_CONTROLS,
		                                          VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS };
	const struct vmx_control_row *r = &vmx_control_rows[n];
	uint64_t bit = BIT(r->bit), v = vmx_field(f, field[r->word]);
	vmx_set_field(f, field[r->word], on ? v | bit : v & ~bit);
	if (r->word == VMX_WORD_PROC2 && on)
		vmx_control(f, VMX_SECONDARY_CONTROLS, true);
}
