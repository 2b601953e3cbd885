/* space.c - see space.h. */
#include "ui/tui/space.h"

#include <Zydis/Zydis.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/sys.h"
#include "models/vmm/virt.h"

const struct vcpu *space_vcpu(const struct tui *t)
{
	const struct vmm *v = t->m->vmm;
	const uint32_t n = v ? v->s.current[t->cpu] : 0;
	return n && n <= v->vcpus ? v->vcpu[n - 1] : NULL;
}

/* A VMM has the CPU, and a guest that has run is to run again. */
static bool waits(const struct cpu *c)
{
	return !c->vmx.guest && c->vmcs && c->vmcs->launched && (!c->root.run || cpu_root_modelled(c));
}

/* A guest of a VMM without VMX: both live in one address space, the one that is loaded. */
static bool beside(const struct tui *t)
{
	const struct vcpu *v = space_vcpu(t);
	return v && v->vm->virt->ring && looked_at(t)->vmx.deprivileged;
}

bool space_in_vm(const struct tui *t)
{
	const struct cpu *c = looked_at(t);
	return c->vmx.guest || waits(c) || beside(t);
}

bool space_shadowed(const struct tui *t)
{
	if (beside(t))
		return !strncmp(space_vcpu(t)->vm->pager->name, "shadow", 6);
	return space_in_vm(t) && !vmx_on(looked_at(t), ENABLE_EPT);
}

static void of_vmcs(const struct cpu *c, struct mmu *lens)
{
	const bool ept = vmx_on(c, ENABLE_EPT), long_mode = vmx_on(c, ENTRY_GUEST_64);
	struct mmu_regs r = {
		.cr0 = vmx_get(c, GUEST_CR0), .cr3 = vmx_get(c, GUEST_CR3), .cr4 = vmx_get(c, GUEST_CR4),
		.efer = (vmx_on(c, ENTRY_LOAD_EFER) ? vmx_get(c, GUEST_EFER) & ~(uint64_t)EFER_LMA : c->s.efer & EFER_NXE) | (long_mode ? EFER_LMA : 0),
		.eptp = ept ? vmx_get(c, EPTP) : 0, .shadow = !ept, .agile = c->vmx.agile && ept && long_mode,
		.mode_execute = vmx_on(c, MODE_EXECUTE),
	};
	for (unsigned i = 0; i < 4; i++)
		r.pdpte[i] = c->vmcs->f[VMCS_GUEST_PDPTE0 + i];
	if (!ept && r.cr0 & CR0_PG && r.cr4 & CR4_PAE && !long_mode)
		mem_peek(c->mmu.mem, HPA(r.cr3 & 0xffffffe0), r.pdpte, sizeof r.pdpte);
	mmu_lens(lens, &c->mmu, c->mmu.mem, &r);
}

const struct mmu *space_of(const struct tui *t, enum space_id id)
{
	static struct mmu hardware, guest;
	const struct cpu *c = looked_at(t);
	if (id == SPACE_GUEST && space_shadowed(t)) {
		const struct vcpu *v = space_vcpu(t);
		if (!v)
			return NULL;            /* somebody else's VMM: how it keeps its guest's registers is not known */
		struct mmu_regs r = { .cr0 = v->s.cr0, .cr3 = v->s.cr3, .cr4 = v->s.cr4, .efer = v->s.efer, .ac = c->mmu.ac };
		memcpy(r.pdpte, v->s.pdpte, sizeof r.pdpte);
		mmu_lens(&guest, &v->model->mmu, (struct mem *)(uintptr_t)&v->vm->mem, &r);
		return &guest;
	}
	if (!waits(c))
		return &c->mmu;
	of_vmcs(c, &hardware);
	return &hardware;
}

/* ---- the next instruction ---- */

uint64_t space_rip(const struct tui *t)
{
	const struct cpu *c = looked_at(t);
	if (beside(t) && cpu_root_modelled(c))
		return vcpu_peek(space_vcpu(t), VMCS_GUEST_CS_BASE) + vcpu_peek(space_vcpu(t), VMCS_GUEST_RIP);
	if (!waits(c) || !cpu_root_modelled(c))
		return block_linear(c);
	return vmx_get(c, GUEST_CS_BASE) + vmx_get(c, GUEST_RIP);
}

static uint64_t register_value(const struct cpu *c, ZydisRegister r, uint64_t next)
{
	const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
	if (whole == ZYDIS_REGISTER_RIP)
		return next;
	if (whole < ZYDIS_REGISTER_RAX || whole > ZYDIS_REGISTER_R15)
		return 0;
	const unsigned bits = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, r);
	return c->s.r[whole - ZYDIS_REGISTER_RAX] & (bits >= 64 ? ~0ull : MASK(bits));
}

unsigned operands(const struct tui *t, struct operand *o, unsigned n)
{
	static const struct { uint8_t machine, stack; } modes[] = {
		[MODE_REAL16] = { ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 }, [MODE_REAL32] = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		[MODE_V86] = { ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 }, [MODE_PROT16] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
		[MODE_PROT32] = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		[MODE_COMPAT16] = { ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16 },
		[MODE_COMPAT32] = { ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32 },
		[MODE_LONG64] = { ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	};
	const struct cpu *c = looked_at(t);
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	uint8_t bytes[15];
	size_t have = 15;
	unsigned found = 0;
	if (cpu_root_modelled(c))
		return 0;               /* registers and segments are the VMM's now */
	const uint64_t rip = block_linear(c);
	while (have && !mmu_peek_bytes(&c->mmu, rip, bytes, have))
		have--;
	ZydisDecoderInit(&decoder, (ZydisMachineMode)modes[c->s.mode].machine, (ZydisStackWidth)modes[c->s.mode].stack);
	if (!have || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, have, &insn, operand)))
		return 0;
	for (unsigned i = 0; i < insn.operand_count && found < n; i++) {
		const ZydisDecodedOperand *k = &operand[i];
		if (k->type != ZYDIS_OPERAND_TYPE_MEMORY || k->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
			continue;
		uint64_t at = k->mem.disp.has_displacement ? (uint64_t)k->mem.disp.value : 0;
		at += register_value(c, k->mem.base, rip + insn.length - c->s.seg[SEG_CS].base);
		at += register_value(c, k->mem.index, 0) * k->mem.scale;
		if (insn.address_width < 64)
			at &= MASK(insn.address_width);
		const unsigned size = (unsigned)k->size / 8;
		const bool reads = k->actions & ZYDIS_OPERAND_ACTION_MASK_READ, writes = k->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
		if (writes && !reads && k->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN && k->mem.base != ZYDIS_REGISTER_NONE &&
		    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, k->mem.base) == ZYDIS_REGISTER_RSP)
			at -= size;             /* a push goes below the stack pointer */
		const unsigned seg = k->mem.segment >= ZYDIS_REGISTER_ES && k->mem.segment <= ZYDIS_REGISTER_GS ?
		                         (unsigned)(k->mem.segment - ZYDIS_REGISTER_ES) : (unsigned)SEG_DS;
		o[found++] = (struct operand){
			.lin = (c->s.seg[seg].base + at) & c->lin_mask, .size = size,
			.access = (writes ? (reads ? ACC_RMW : ACC_WRITE) : ACC_READ) | (c->s.cpl == 3 ? ACC_USER : 0),
		};
	}
	return found;
}
