/* insn_vmx.c - VMXON, VMXOFF, VMCLEAR, VMPTRLD, VMPTRST, VMREAD, VMWRITE, VMLAUNCH, VMRESUME, VMCALL, INVEPT, INVVPID, VMFUNC;
 * and the same operations for modelled software in VMX root operation.
 *
 * All but VMCALL and VMFUNC begin alike: #UD where VMX instructions do not exist; in VMX non-root operation a VM exit,
 * whatever the CPL; #GP(0) when CPL > 0. Then they succeed, or fail by flags:
 *   VMsucceed      CF, PF, AF, ZF, SF, OF = 0
 *   VMfailInvalid  CF = 1, the others 0: no current VMCS could take the error number
 *   VMfailValid    ZF = 1, the others 0; the number is in the VM-instruction error field
 * Source: SDM Vol. 3C, "VMX Instruction Reference"; "VM Functions".
 * Timing: profile rows vmread, vmwrite, vmptrld; cost row VMX for the others; references to VMCS regions and bitmaps.
 * Simplified: no SMM, hence no dual-monitor treatment; A20 is always open. */
#include "models/cpu/access.h"
#include "models/cpu/insn.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "sim/err.h"

/* ---- outcomes ---- */

static void succeed(struct cpu *c) { cpu_set_rflags(c, 0, RFLAGS_STATUS); }
static void fail_invalid(struct cpu *c) { cpu_set_rflags(c, RFLAGS_CF, RFLAGS_STATUS); }

static void fail_valid(struct cpu *c, unsigned error)
{
	vmx_put(c, INSN_ERROR, error);
	cpu_set_rflags(c, RFLAGS_ZF, RFLAGS_STATUS);
}

static void fail(struct cpu *c, unsigned error)
{
	if (c->vmcs)
		fail_valid(c, error);
	else
		fail_invalid(c);
}

/* ---- what all check first ---- */

/* Protected mode, not virtual-8086, not compatibility mode. */
static void need_mode(struct cpu *c)
{
	if (c->s.mode <= MODE_V86 || (cpu_lma(c) && !cpu_long64(c)))
		cpu_raise(c, VEC_UD);
}

static void need_vmx(struct cpu *c)
{
	if (c->vmx.vmxon == VMCS_NONE)
		cpu_raise(c, VEC_UD);
}

static void check(struct cpu *c, const struct uop *u, enum vmx_intercept i)
{
	need_vmx(c);
	need_mode(c);
	vmx_intercept(c, u, i);
	need_cpl0(c);
}

/* The charge for an instruction with a row in the profile, beyond the one cycle of its base cost. */
static void charge(struct cpu *c, uint64_t row)
{
	ledger_charge(&c->ledger, WHY_VMCS, row - 1);
}

static uint64_t pointer_operand(struct cpu *c, const struct uop *u)
{
	return cpu_load64(c, u, ea_linear(c, u, 8, false));
}

/* "not 4-KByte aligned or sets bits beyond the processor's physical-address width" */
static bool pointer_valid(const struct cpu *c, uint64_t pa)
{
	return !(pa & (PAGE_SIZE - 1)) && !(pa & ~MASK(c->profile->phys_bits));
}

static uint32_t region_head(struct cpu *c, uint64_t pa)
{
	return (uint32_t)mmu_phys_read(&c->mmu, HPA(pa), 4, WHY_VMCS);
}

/* ---- VMXON, VMXOFF ---- */

static void enter_operation(struct cpu *c, uint64_t pa)
{
	c->vmx.vmxon = pa;
	c->vmx.current = -1;
	monitor_off(c);
	vmx_derive(c);
	cpu_mode_changed(c);    /* CPL 0 is the VMM's from here on */
}

/* "the values of CR0 and CR4 are not supported in VMX operation" */
static bool registers_fixed(const struct cpu *c)
{
	uint64_t cr0 = c->s.cr0, cr4 = c->s.cr4;
	return (cr0 & vmx_cr0_fixed0(c)) == vmx_cr0_fixed0(c) && !(cr0 & ~vmx_cr0_fixed1(c)) &&
	       (cr4 & vmx_cr4_fixed0(c)) == vmx_cr4_fixed0(c) && !(cr4 & ~vmx_cr4_fixed1(c));
}

enum { FEATURE_CONTROL_LOCK = 1, FEATURE_CONTROL_VMX = 4 };

void insn_vmxon(struct cpu *c, const struct uop *u)
{
	/* A guest's CR4.VMXE is always 1. */
	if (!(c->s.cr4 & CR4_VMXE))
		cpu_raise(c, VEC_UD);
	need_mode(c);
	vmx_intercept(c, u, VMX_I_VMXON);
	need_cpl0(c);
	if (c->vmx.vmxon != VMCS_NONE) {
		fail(c, VMX_ERR_VMXON_ROOT);
		return;
	}
	uint64_t need = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX;
	if (!registers_fixed(c) || (c->s.feature_control & need) != need)
		cpu_gp0(c);
	uint64_t pa = pointer_operand(c, u);
	if (!pointer_valid(c, pa) || region_head(c, pa) != VMCS_REVISION) {
		fail_invalid(c);
		return;
	}
	enter_operation(c, pa);
	succeed(c);
}

/* VMCSs stay active on chip. INIT is not blocked any longer. */
void insn_vmxoff(struct cpu *c, const struct uop *u)
{
	check(c, u, VMX_I_VMXOFF);
	c->vmx.vmxon = VMCS_NONE;
	c->vmx.current = -1;
	vmx_derive(c);
	cpu_mode_changed(c);
	succeed(c);
	cpu_attention(c);
}

/* ---- VMCLEAR, VMPTRLD, VMPTRST ---- */

void insn_vmclear(struct cpu *c, const struct uop *u)
{
	check(c, u, VMX_I_VMCLEAR);
	uint64_t pa = pointer_operand(c, u);
	if (!pointer_valid(c, pa)) {
		fail(c, VMX_ERR_VMCLEAR_ADDR);
		return;
	}
	if (pa == c->vmx.vmxon) {
		fail(c, VMX_ERR_VMCLEAR_VMXON);
		return;
	}
	vmcs_clear(c, pa);
	succeed(c);
}

/* The revision identifier must be ours; the shadow-VMCS indicator may be set where there are shadow VMCSs. */
static bool region_valid(struct cpu *c, uint64_t pa)
{
	uint32_t head = region_head(c, pa);
	if (head & BIT(31) && !vmx_may_be(c, VMX_VMCS_SHADOWING))
		return false;
	return (head & ~(uint32_t)BIT(31)) == VMCS_REVISION && mem_ptr(c->mmu.mem, HPA(pa));
}

static void load_pointer(struct cpu *c, uint64_t pa)
{
	struct vmcs *v = vmcs_activate(c, pa);
	v->shadow = mem_read32(c->mmu.mem, HPA(pa)) >> 31;
	c->vmx.current = (int32_t)(v - c->vmx.slot);
	vmx_derive(c);
}

void insn_vmptrld(struct cpu *c, const struct uop *u)
{
	check(c, u, VMX_I_VMPTRLD);
	uint64_t pa = pointer_operand(c, u);
	charge(c, c->profile->vmptrld);
	if (!pointer_valid(c, pa)) {
		fail(c, VMX_ERR_VMPTRLD_ADDR);
		return;
	}
	if (pa == c->vmx.vmxon) {
		fail(c, VMX_ERR_VMPTRLD_VMXON);
		return;
	}
	if (!region_valid(c, pa)) {
		fail(c, VMX_ERR_VMPTRLD_REVISION);
		return;
	}
	load_pointer(c, pa);
	succeed(c);
}

void insn_vmptrst(struct cpu *c, const struct uop *u)
{
	check(c, u, VMX_I_VMPTRST);
	cpu_store64(c, u, ea_linear(c, u, 8, true), c->vmcs ? c->vmcs->pa : VMCS_NONE);
	succeed(c);
}

/* ---- VMREAD, VMWRITE ---- */

static unsigned reg_size(const struct cpu *c) { return cpu_long64(c) ? 8 : 4; }

static int field_of(const struct cpu *c, uint64_t encoding)
{
	int f = encoding >> 15 ? -1 : vmcs_find((uint32_t)encoding);
	return f >= 0 && vmcs_exists(c, (enum vmcs_field)f) ? f : -1;
}

/* In a guest under VMCS shadowing, the bit of this field in the VMREAD or VMWRITE bitmap; else 1: exits. */
static bool shadow_exits(struct cpu *c, uint64_t encoding, uint64_t bitmap)
{
	if (!vmx_on(c, VMCS_SHADOWING) || encoding >> 15)
		return true;
	return mmu_phys_read(&c->mmu, HPA(bitmap + (encoding >> 3)), 1, WHY_VMCS) >> (encoding & 7) & 1;
}

/* The checks of both up to the VMCS they work on: NULL, none (VMfailInvalid). */
static struct vmcs *operand_vmcs(struct cpu *c, const struct uop *u, uint64_t encoding, enum vmx_intercept i, enum vmcs_field bitmap)
{
	need_vmx(c);
	need_mode(c);
	if (vmx_guest(c) && shadow_exits(c, encoding, c->vmcs->f[bitmap]))
		vmx_intercept(c, u, i);
	need_cpl0(c);
	if (!vmx_guest(c))
		return c->vmcs;
	uint64_t link = vmx_get(c, LINK_POINTER);
	return !pointer_valid(c, link) || !mem_ptr(c->mmu.mem, HPA(link)) ? NULL : vmcs_activate(c, link);
}

void insn_vmread(struct cpu *c, const struct uop *u)
{
	uint64_t encoding = reg_get(c, u->reg[1], reg_size(c));
	struct vmcs *v = operand_vmcs(c, u, encoding, VMX_I_VMREAD, VMCS_VMREAD_BITMAP);
	charge(c, c->profile->vmread);
	if (!v) {
		fail_invalid(c);
		return;
	}
	if (field_of(c, encoding) < 0) {
		fail_valid(c, VMX_ERR_FIELD);
		return;
	}
	uint64_t value = vmcs_get(v, (uint32_t)encoding);
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VMREAD, encoding, value, 0, 0);
	if (u->kind[0] == OPK_REG)
		reg_set(c, u->reg[0], reg_size(c), value);
	else if (reg_size(c) == 8)
		cpu_store64(c, u, ea_linear(c, u, 8, true), value);
	else
		cpu_store32(c, u, ea_linear(c, u, 4, true), (uint32_t)value);
	succeed(c);
}

/* Outside 64-bit mode the upper half of a 64-bit or natural-width field becomes 0. */
void insn_vmwrite(struct cpu *c, const struct uop *u)
{
	uint64_t encoding = reg_get(c, u->reg[0], reg_size(c)), value;
	struct vmcs *v = operand_vmcs(c, u, encoding, VMX_I_VMWRITE, VMCS_VMWRITE_BITMAP);
	charge(c, c->profile->vmwrite);
	if (!v) {
		fail_invalid(c);
		return;
	}
	if (u->kind[1] == OPK_REG)
		value = reg_get(c, u->reg[1], reg_size(c));
	else if (reg_size(c) == 8)
		value = cpu_load64(c, u, ea_linear(c, u, 8, false));
	else
		value = cpu_load32(c, u, ea_linear(c, u, 4, false));
	int f = field_of(c, encoding);
	if (f < 0) {
		fail_valid(c, VMX_ERR_FIELD);
		return;
	}
	if (vmcs_type((enum vmcs_field)f) == VMCS_READ_ONLY && !(vmx_misc(c) & VMX_MISC_WRITE_ALL)) {
		fail_valid(c, VMX_ERR_READ_ONLY);
		return;
	}
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VMWRITE, encoding, value, vmcs_get(v, (uint32_t)encoding), 0);
	vmcs_set(v, (uint32_t)encoding, value);
	succeed(c);
}

/* ---- VMLAUNCH, VMRESUME ---- */

/* From the launch state on. */
static enum vmx_result enter(struct cpu *c, bool launch, unsigned *error)
{
	if (!c->vmcs || c->vmcs->shadow)
		return VMX_FAIL_INVALID;
	*error = launch ? VMX_ERR_LAUNCH_NOT_CLEAR : VMX_ERR_RESUME_NOT_LAUNCHED;
	if (launch == c->vmcs->launched)
		return VMX_FAIL_VALID;
	c->vmx.ple_first = c->vmx.ple_last = 0;
	return vmx_enter(c, launch, error);
}

static void insn_enter(struct cpu *c, bool launch)
{
	unsigned error = VMX_ERR_ENTRY_MOV_SS;
	enum vmx_result r = VMX_FAIL_VALID;
	/* "events are being blocked by MOV SS" */
	if (!(c->vmcs && !c->vmcs->shadow && c->s.shadow & 2))
		r = enter(c, launch, &error);
	if (r == VMX_FAIL_INVALID)
		fail_invalid(c);
	else if (r == VMX_FAIL_VALID)
		fail_valid(c, error);
	else
		c->next_rip = c->s.rip;         /* the guest's, or the host's when the guest's state was not good */
}

void insn_vmlaunch(struct cpu *c, const struct uop *u)
{
	check(c, u, VMX_I_VMLAUNCH);
	insn_enter(c, true);
}
void insn_vmresume(struct cpu *c, const struct uop *u)
{
	check(c, u, VMX_I_VMRESUME);
	insn_enter(c, false);
}

/* ---- VMCALL ---- */

void insn_vmcall(struct cpu *c, const struct uop *u)
{
	need_vmx(c);
	vmx_intercept(c, u, VMX_I_VMCALL);
	need_mode(c);
	need_cpl0(c);
	fail(c, VMX_ERR_VMCALL_ROOT);
}

/* ---- INVEPT, INVVPID ---- */

static void descriptor(struct cpu *c, const struct uop *u, uint64_t d[2])
{
	cpu_load_bytes(c, u, ea_linear(c, u, 16, false), d, 16);
}

/* Descriptor: 63:0 EPT pointer | 127:64 0. */
void insn_invept(struct cpu *c, const struct uop *u)
{
	if (!vmx_may_be(c, VMX_ENABLE_EPT))
		cpu_raise(c, VEC_UD);
	check(c, u, VMX_I_INVEPT);
	uint64_t type = reg_get(c, u->reg[0], reg_size(c)), d[2];
	if (type != INVEPT_SINGLE && type != INVEPT_ALL) {
		fail(c, VMX_ERR_INVEPT_INVVPID);
		return;
	}
	descriptor(c, u, d);
	if (d[1] || (type == INVEPT_SINGLE && !vmx_eptp_valid(c, d[0]))) {
		fail(c, VMX_ERR_INVEPT_INVVPID);
		return;
	}
	mmu_invept(&c->mmu, (enum invept_type)type, d[0]);
	succeed(c);
}

/* Descriptor: 15:0 VPID | 63:16 0 | 127:64 linear address. */
void insn_invvpid(struct cpu *c, const struct uop *u)
{
	if (!vmx_may_be(c, VMX_VPID))
		cpu_raise(c, VEC_UD);
	check(c, u, VMX_I_INVVPID);
	uint64_t type = reg_get(c, u->reg[0], reg_size(c)), d[2];
	if (type > INVVPID_SINGLE_NOT_GLOBAL) {
		fail(c, VMX_ERR_INVEPT_INVVPID);
		return;
	}
	descriptor(c, u, d);
	if (d[0] >> 16 || (type != INVVPID_ALL && !d[0]) || (type == INVVPID_ADDRESS && !canonical_max(c, d[1]))) {
		fail(c, VMX_ERR_INVEPT_INVVPID);
		return;
	}
	mmu_invvpid(&c->mmu, (enum invvpid_type)type, (unsigned)d[0], d[1]);
	succeed(c);
}

/* ---- VMFUNC ---- */

static void vmfunc_exit(struct cpu *c, const struct uop *u) NORETURN;
static void vmfunc_exit(struct cpu *c, const struct uop *u)
{
	vmx_exit(c, &(struct vmx_exit){ .reason = EXIT_VMFUNC, .insn_length = u->len });
}

/* EPTP switching: ECX chooses one of the 512 EPT pointers in the list. */
static void switch_eptp(struct cpu *c, const struct uop *u)
{
	uint32_t i = (uint32_t)c->s.r[R_RCX];
	if (i > 511)
		vmfunc_exit(c, u);
	uint64_t eptp = mmu_phys_read(&c->mmu, HPA(vmx_get(c, EPTP_LIST_ADDR) + 8 * i), 8, WHY_VMCS);
	if (!vmx_eptp_valid(c, eptp))
		vmfunc_exit(c, u);
	vmx_put(c, EPTP, eptp);
	if (vmx_on(c, EPT_VE))
		vmx_put(c, EPTP_INDEX, i & 0xffff);
	struct mmu_guest g = c->mmu.guest;
	g.eptp = eptp;
	mmu_set_guest(&c->mmu, &g);
}

void insn_vmfunc(struct cpu *c, const struct uop *u)
{
	uint32_t n = (uint32_t)c->s.r[R_RAX];
	if (!vmx_guest_with(c, vmx_on(c, ENABLE_VMFUNC)) || n > 63)
		cpu_raise(c, VEC_UD);
	if (n || !(vmx_get(c, VMFUNC_CONTROLS) & VMFUNC_EPTP_SWITCHING))
		vmfunc_exit(c, u);
	switch_eptp(c, u);
}

/* ---- for modelled software in VMX root operation ----
 * It is ours: misuse is a defect. */

static void charge_vmx(struct cpu *c) { ledger_charge(&c->ledger, WHY_VMCS, c->profile->cost[COST_VMX]); }

bool vmx_root_vmread(struct cpu *c, uint32_t encoding, uint64_t *v)
{
	ledger_charge(&c->ledger, WHY_VMCS, c->profile->vmread);
	if (!c->vmcs || field_of(c, encoding) < 0)
		return false;
	*v = vmcs_get(c->vmcs, encoding);
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VMREAD, encoding, *v, 0, 0);
	return true;
}

bool vmx_root_vmwrite(struct cpu *c, uint32_t encoding, uint64_t v)
{
	ledger_charge(&c->ledger, WHY_VMCS, c->profile->vmwrite);
	int f = c->vmcs ? field_of(c, encoding) : -1;
	if (f < 0 || (vmcs_type((enum vmcs_field)f) == VMCS_READ_ONLY && !(vmx_misc(c) & VMX_MISC_WRITE_ALL)))
		return false;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VMWRITE, encoding, v, vmcs_get(c->vmcs, encoding), 0);
	vmcs_set(c->vmcs, encoding, v);
	return true;
}

void vmx_root_vmclear(struct cpu *c, uint64_t pa)
{
	charge_vmx(c);
	if (!pointer_valid(c, pa) || pa == c->vmx.vmxon)
		BUG("VMCLEAR of %#llx", (unsigned long long)pa);
	vmcs_clear(c, pa);
}

void vmx_root_vmptrld(struct cpu *c, uint64_t pa)
{
	ledger_charge(&c->ledger, WHY_VMCS, c->profile->vmptrld);
	if (!pointer_valid(c, pa) || pa == c->vmx.vmxon || !region_valid(c, pa))
		BUG("VMPTRLD of %#llx", (unsigned long long)pa);
	load_pointer(c, pa);
}

void vmx_root_vmxon(struct cpu *c, uint64_t pa)
{
	charge_vmx(c);
	if (!pointer_valid(c, pa) || region_head(c, pa) != VMCS_REVISION)
		BUG("VMXON of %#llx", (unsigned long long)pa);
	enter_operation(c, pa);
}

void vmx_root_invept(struct cpu *c, unsigned type, uint64_t eptp)
{
	charge_vmx(c);
	if ((type != INVEPT_SINGLE && type != INVEPT_ALL) || (type == INVEPT_SINGLE && !vmx_eptp_valid(c, eptp)))
		BUG("INVEPT of type %u, EPTP %#llx", type, (unsigned long long)eptp);
	mmu_invept(&c->mmu, (enum invept_type)type, eptp);
}

void vmx_root_invvpid(struct cpu *c, unsigned type, unsigned vpid, uint64_t lin)
{
	charge_vmx(c);
	if (type > INVVPID_SINGLE_NOT_GLOBAL || vpid > 0xffff || (type != INVVPID_ALL && !vpid))
		BUG("INVVPID of type %u, VPID %u", type, vpid);
	mmu_invvpid(&c->mmu, (enum invvpid_type)type, vpid, lin);
}

enum vmx_result vmx_root_enter(struct cpu *c, bool launch, unsigned *error)
{
	charge_vmx(c);
	return enter(c, launch, error);
}
