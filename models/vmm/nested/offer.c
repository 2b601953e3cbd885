/* offer.c - what a virtual CPU is offered of VMX, and what L0 keeps for it.
 *
 * Capability MSRs come from the virtual CPU's model with the controls hidden that L0 does not emulate, so the MSRs, the checks of
 * vmcs12 and the fields L1 may name cannot differ. Hidden: posted interrupts, the virtual APIC but for its TPR,
 * VM functions, VMCS shadowing (for L1's own guests), page-modification logging, virtualization exceptions, mode-based execute, TSC
 * scaling; EPT's accessed and dirty flags and the advanced exit information; the activity states shutdown and wait-for-SIPI.
 * Source: SDM Vol. 3D, "VMX Capability Reporting Facility". */
#include "models/vmm/nested/nested.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t not_emulated[] = {
	VMX_POSTED_INTERRUPTS, VMX_VIRTUALIZE_APIC, VMX_VIRTUALIZE_X2APIC, VMX_APIC_REGISTERS,
	VMX_VIRTUAL_INTERRUPTS, VMX_ENABLE_VMFUNC, VMX_VMCS_SHADOWING, VMX_PML, VMX_EPT_VE, VMX_MODE_EXECUTE, VMX_TSC_SCALING,
};

const struct stat_row nested_stat_rows[NESTED_STAT_N] = {
#define STAT(NAME, name, unit, sentence) { name, STAT_##unit, sentence },
#include "models/vmm/nested/nested_stat.def"
#define REASON(NAME, number, name, sentence) \
	{ "nested.reflected." name, STAT_COUNT, "VM exits of L2 that L1 was given: " sentence }, \
	{ "nested.served." name, STAT_COUNT, "VM exits of L2 that L0 served itself: " sentence }, \
	{ "nested.l1_exits." name, STAT_COUNT, "exits L0 took from L1 while L1 served: " sentence },
#include "models/cpu/vmx/exit_reason.def"
};

int nested_able(const struct cpu *c, const struct vm_config *k, const struct virt *virt, const struct pager *p, struct err *e)
{
	if (k->vmcs_shadowing && !k->nested)
		return err_set(e, NULL, "add nested = true", "vmcs_shadowing is of use to a VM that is offered VMX");
	if (!k->nested)
		return 0;
	if (virt == &virt_trap && !c->profile->trap_critical)
		return err_set(e, NULL, "trap.critical = 1", "a VM under %s can host another on a machine whose critical instructions trap", virt->name);
	if (virt == &virt_trap)
		return 0;               /* its virtual CPU is such a machine too: nothing of VMX is offered */
	if (virt != &virt_vmx || p != &pager_ept)
		return err_set(e, NULL, "cpu = vmx, mmu = ept", "nested VMX under %s/%s is not modelled", virt->name, p->name);
	if (!vmx_may_be(c, VMX_UNRESTRICTED))
		return err_set(e, NULL, "use a profile from sandybridge on",
		               "profile %s has no \"unrestricted guest\", which nested VMX needs", c->profile->name);
	if (k->vmcs_shadowing && !vmx_may_be(c, VMX_VMCS_SHADOWING))
		return err_set(e, NULL, "use a profile from haswell on", "profile %s has no VMCS shadowing", c->profile->name);
	return 0;
}

/* What L0's arithmetic relies on. */
static bool valid(void *who, const void *state)
{
	const struct vcpu *v = who;
	const struct mem *m = v->vm->vmm->p.mem;
	struct nested_state s;
	memcpy(&s, state, sizeof s);
	const uint64_t page[] = { s.other, s.cache, s.shadow, s.maps, s.scratch };
	for (size_t i = 0; i < ARRAY_LEN(page); i++)
		if (page[i] % PAGE_SIZE || page[i] >= m->low_size)
			return false;
	if (s.running > 1 || s.launched > 1 || s.other_launched > 1 || s.other_apicv > APICV_OFF || s.serving > EXIT_REASONS || s.pages > NESTED_TABLES)
		return false;
	if ((s.running || s.current != VMCS_NONE) && s.vmxon == VMCS_NONE)
		return false;
	for (unsigned i = 0; i < NESTED_ROOTS; i++)
		if (s.root[i].table % PAGE_SIZE || s.root[i].table >= m->low_size)
			return false;
	for (unsigned i = 0; i < NESTED_TABLES; i++)
		if (s.owner[i] > NESTED_ROOTS || (uint64_t)s.page[i] << PAGE_SHIFT >= m->low_size)
			return false;
	return true;
}

static void outside(struct nested_state *n)
{
	n->vmxon = n->current = VMCS_NONE;
	n->launched = n->rare_in_02 = n->entering = n->fresh = n->mtf = n->serving = 0;
	n->dirty = n->shadow_old = 1;
}

void nested_new(struct vcpu *v)
{
	const struct vmm_parts *p = &v->vm->vmm->p;
	char name[32];
	if (!v->vm->config.nested || v->vm->virt->ring)
		return;
	struct nested *n = v->nested = xcalloc(1, sizeof *n);
	outside(&n->s);
	for (unsigned i = 0; i < NESTED_ROOTS; i++)
		n->s.root[i].eptp12 = VMCS_NONE;
	for (size_t i = 0; i < ARRAY_LEN(not_emulated); i++)
		v->model->hidden_vmx.control[not_emulated[i] / 64] |= BIT(not_emulated[i] % 64);
	v->model->hidden_vmx.misc = BIT(7) | BIT(8);
	v->model->hidden_vmx.ept_vpid = EPT_CAP_AD | EPT_CAP_ADVANCED | EPT_CAP_SSS | EPT_CAP_WALK_5;
	snprintf(name, sizeof name, "vm%u.vcpu%u.nested", v->vm->number, v->number);
	snaps_section(p->snaps, name, 1, &n->s, sizeof n->s);
	snaps_valid(p->snaps, name, valid, v);
	snprintf(name, sizeof name, "vm%u.vcpu%u.nstat", v->vm->number, v->number);
	snaps_section(p->snaps, name, 1, n->stat, sizeof n->stat);
	if (p->stats) {
		snprintf(name, sizeof name, "vm%u.vcpu%u", v->vm->number, v->number);
		stats_add(p->stats, name, nested_stat_rows, NESTED_STAT_N, n->stat);
	}
}

void nested_free(struct vcpu *v) { free(v->nested); }

/* Bits of fields that exit: all but those of shadow_field.def. */
static void write_maps(struct vcpu *v)
{
	static const struct { enum vmcs_field f; bool write; } clear[] = {
#define R false
#define RW true
#define SHADOW(NAME, access) { VMCS_##NAME, access },
#include "models/vmm/nested/shadow_field.def"
#undef R
#undef RW
	};
	uint8_t map[2][PAGE_SIZE];
	memset(map, 0xff, sizeof map);
	for (size_t i = 0; i < ARRAY_LEN(clear); i++) {
		unsigned bit = vmcs_rows[clear[i].f].encoding;
		if (!vmcs_exists(v->model, clear[i].f))
			continue;
		map[0][bit >> 3] &= (uint8_t)~(1u << (bit & 7));
		if (clear[i].write)
			map[1][bit >> 3] &= (uint8_t)~(1u << (bit & 7));
	}
	mem_write(v->vm->vmm->p.mem, HPA(v->nested->s.maps), map, sizeof map);
}

/* Everything of vmcs02 that never changes is as in vmcs01. */
static void make_vmcs02(struct vcpu *v)
{
	static const enum vmcs_field same[] = {
		VMCS_PIN_CONTROLS, VMCS_PROC_CONTROLS, VMCS_PROC2_CONTROLS, VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS,
		VMCS_PLE_GAP, VMCS_PLE_WINDOW, VMCS_LINK_POINTER,
		VMCS_HOST_CR0, VMCS_HOST_CR3, VMCS_HOST_CR4, VMCS_HOST_CS, VMCS_HOST_SS, VMCS_HOST_TR, VMCS_HOST_RIP, VMCS_HOST_RSP,
		VMCS_HOST_EFER, VMCS_HOST_PAT,
	};
	struct nested_state *n = &v->nested->s;
	uint64_t x[ARRAY_LEN(same)] = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (vcpu_has(v, same[i]))
			x[i] = vcpu_get(v, same[i]);
	vmx_root_vmclear(v->cpu, n->other);
	vmx_root_vmptrld(v->cpu, n->other);
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (vcpu_has(v, same[i]))
			vcpu_set(v, same[i], x[i]);
	vcpu_set(v, VMCS_MSR_BITMAPS, n->other + PAGE_SIZE);
	vcpu_set(v, VMCS_LINK_POINTER, VMCS_NONE);
	if (v->vm->config.tags)
		vcpu_set(v, VMCS_VPID, 0x8000 | vcpu_vpid(v));
	vmx_root_vmptrld(v->cpu, v->s.vmcs);
}

/* Pages in a row: a VMCS is followed by its MSR bitmap and the copy of the general registers (virt_vmx.c). */
void nested_create(struct vcpu *v)
{
	struct vmm *m = v->vm->vmm;
	if (!v->nested)
		return;
	struct nested_state *n = &v->nested->s;
	hpa_t page[8];
	uint8_t ones[PAGE_SIZE];
	for (unsigned i = 0; i < ARRAY_LEN(page); i++)
		page[i] = vmm_page(m);
	n->other = page[0].v;
	n->cache = page[3].v;
	n->maps = page[4].v;
	n->scratch = page[7].v;
	n->other_apicv = APICV_OFF;
	mem_write32(m->p.mem, page[0], VMCS_REVISION);
	memset(ones, 0xff, sizeof ones);
	mem_write(m->p.mem, page[1], ones, sizeof ones);
	make_vmcs02(v);
	if (!v->vm->config.vmcs_shadowing)
		return;
	n->shadow = page[6].v;
	mem_write32(m->p.mem, page[6], VMCS_REVISION | (uint32_t)BIT(31));
	write_maps(v);
	vcpu_set(v, VMCS_PROC2_CONTROLS, vcpu_get(v, VMCS_PROC2_CONTROLS) | VMX_CTL(VMCS_SHADOWING));
	vcpu_set(v, VMCS_VMREAD_BITMAP, n->maps);
	vcpu_set(v, VMCS_VMWRITE_BITMAP, n->maps + PAGE_SIZE);
}

void nested_reset(struct vcpu *v)
{
	if (!v->nested)
		return;
	struct nested_state *n = &v->nested->s;
	if (n->running) {               /* whoever holds the CPU goes on with its own: sched.c */
		nested_switch(v, false);
		nested_invept(v, 0, true);
	}
	outside(n);
	vmcs12_shadow_link(v);
}

/* vmcs02's translations carry a VPID of their own, whatever L1 calls it. */
unsigned nested_vpid(const struct vcpu *v)
{
	return nested_running(v) ? 0x8000 | vcpu_vpid(v) : vcpu_vpid(v);
}
