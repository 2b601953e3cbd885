/* insn.c - L1's VMX instructions, carried out by L0: VMXON ... INVVPID.
 *
 * In VMX non-root operation they all exit, before the checks of privilege and operand, which are L0's then: #UD outside VMX operation, #GP(0)
 * with CPL > 0, the operand's own faults; then VMsucceed, VMfailInvalid or VMfailValid in RFLAGS, as insn_vmx.c has them. That they
 * are executed in protected or 64-bit mode the hardware has checked.
 * VM-exit instruction information:
 *   31:28 second register | 27 no base, 26:23 base | 22 no index, 21:18 index | 17:15 segment | 10 register operand
 *   9:7 address size | 6:3 first register | 1:0 scale; the displacement is the exit qualification
 * Source: SDM Vol. 3C, "VMX Instruction Reference", "VM-Exit Instruction-Information Field".
 * Timing: NESTED_INSN; a memory operand is a software walk of L1's tables. */
#include "models/vmm/exit.h"
#include "models/vmm/nested/nested.h"

#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/vmm/guest_walk.h"

/* ---- outcomes ---- */

static void outcome(struct vcpu *v, uint64_t set)
{
	uint64_t fl = vcpu_get(v, VMCS_GUEST_RFLAGS);
	vcpu_set(v, VMCS_GUEST_RFLAGS, (fl & ~(uint64_t)RFLAGS_STATUS) | set);
	vcpu_skip(v);
}

static void succeed(struct vcpu *v) { outcome(v, 0); }

/* VMfailValid when there is a VMCS to take the number, else VMfailInvalid. */
static void fail(struct vcpu *v, unsigned error)
{
	if (v->nested->s.current == VMCS_NONE) {
		outcome(v, RFLAGS_CF);
		return;
	}
	vmcs12_put(v, VMCS_INSN_ERROR, error);
	outcome(v, RFLAGS_ZF);
}

static void fail_invalid(struct vcpu *v) { outcome(v, RFLAGS_CF); }

/* ---- what all check first ---- */

static bool cpl0(struct vcpu *v)
{
	if (SEG_DPL(vcpu_get(v, VMCS_GUEST_SS_ACCESS)) == 0)
		return true;
	vcpu_gp0(v);
	return false;
}

/* False: a fault is injected. */
static bool may(struct vcpu *v)
{
	vmm_cost(v->cpu, VMM_COST_NESTED_INSN);
	if (!nested_operation(v)) {
		vcpu_inject(v, VEC_UD, false, 0);
		return false;
	}
	return cpl0(v);
}

/* ---- operands ---- */

static uint64_t truncated(uint64_t x, unsigned address_size)
{
	return address_size == 0 ? x & 0xffff : address_size == 1 ? x & 0xffffffff : x;
}

static bool canonical(const struct vcpu *v, uint64_t lin)
{
	unsigned n = vcpu_peek(v, VMCS_GUEST_CR4) & CR4_LA57 ? 57 : 48;
	return (uint64_t)((int64_t)(lin << (64 - n)) >> (64 - n)) == lin;
}

/* Its linear address; false: a fault is injected. */
static bool operand_linear(struct vcpu *v, uint32_t info, unsigned size, uint64_t *lin)
{
	unsigned seg = info >> 15 & 7;
	uint64_t off = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	if (!(info >> 27 & 1))
		off += vcpu_reg(v, info >> 23 & 15);
	if (!(info >> 22 & 1))
		off += vcpu_reg(v, info >> 18 & 15) << (info & 3);
	off = truncated(off, info >> 7 & 7);
	if (vcpu_long64(v)) {
		*lin = off + (seg >= SEG_FS ? vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_BASE + seg)) : 0);
		if (canonical(v, *lin) && canonical(v, *lin + size - 1))
			return true;
	} else {
		uint32_t rights = (uint32_t)vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + seg));
		uint32_t limit = (uint32_t)vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + seg));
		bool down = (rights & 0xc) == 4;        /* data, expand-down */
		*lin = (off + vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_BASE + seg))) & 0xffffffff;
		if (!(rights & SEG_UNUSABLE) && (down ? off > limit : off + size - 1 <= limit))
			return true;
	}
	vcpu_inject(v, seg == SEG_SS ? VEC_SS : VEC_GP, true, 0);
	return false;
}

/* A memory operand of up to 16 bytes that may lie on two pages. False: a fault is injected. */
static bool operand(struct vcpu *v, uint32_t info, unsigned size, bool write, uint64_t x[2])
{
	uint64_t lin;
	gpa_t gpa[2];
	uint32_t error = 0;
	if (!operand_linear(v, info, size, &lin))
		return false;
	unsigned room = PAGE_SIZE - (lin & 0xfff), first = size < room ? size : room;
	for (unsigned i = 0; i < (first < size ? 2u : 1u); i++) {
		uint64_t at = i ? lin + first : lin;
		if (vcpu_walk(v, at, write ? ACC_WRITE : ACC_READ, &gpa[i], &error) == PAGED_FIXED)
			continue;
		v->cpu->s.cr2 = at;
		vcpu_inject(v, VEC_PF, true, error);
		return false;
	}
	uint8_t *bytes = (uint8_t *)x;
	for (unsigned i = 0; i < 2; i++) {
		unsigned n = i ? size - first : first;
		if (!n)
			break;
		if (!(write ? vcpu_write_gpa(v, gpa[i], bytes, n) : vcpu_read_gpa(v, gpa[i], bytes, n)) && !write)
			memset(bytes, 0xff, n);         /* a device's registers are no place for it */
		bytes += n;
	}
	return true;
}

static bool pointer(struct vcpu *v, uint64_t *pa)
{
	uint64_t x[2] = { 0, 0 };
	if (!operand(v, (uint32_t)vcpu_get(v, VMCS_EXIT_INSN_INFO), 8, false, x))
		return false;
	*pa = x[0];
	return true;
}

static bool pointer_valid(const struct vcpu *v, uint64_t pa)
{
	return !(pa & (PAGE_SIZE - 1)) && !(pa & ~MASK((unsigned)v->model->profile->phys_bits));
}

static uint32_t region_head(struct vcpu *v, uint64_t pa)
{
	uint64_t x;
	l1_read(v, pa, 4, &x);
	return (uint32_t)x;
}

/* ---- VMXON, VMXOFF ---- */

void serve_vmxon(struct vcpu *v)
{
	const uint64_t enabled = 5;             /* IA32_FEATURE_CONTROL: lock, VMX outside SMX */
	uint64_t pa;
	if (!v->nested || !(vcpu_get(v, VMCS_CR4_SHADOW) & CR4_VMXE)) {
		vcpu_inject(v, VEC_UD, false, 0);
		return;
	}
	vmm_cost(v->cpu, VMM_COST_NESTED_INSN);
	if (!cpl0(v))
		return;
	if (nested_operation(v)) {
		fail(v, VMX_ERR_VMXON_ROOT);
		return;
	}
	uint64_t cr0 = vcpu_get(v, VMCS_GUEST_CR0), mask = vcpu_get(v, VMCS_CR0_MASK), fixed = vmx_cr0_fixed0(v->model);
	cr0 = (cr0 & ~mask) | (vcpu_get(v, VMCS_CR0_SHADOW) & mask);
	if ((cr0 & fixed) != fixed || (v->model->s.feature_control & enabled) != enabled) {
		vcpu_gp0(v);
		return;
	}
	if (!pointer(v, &pa))
		return;
	if (!pointer_valid(v, pa) || region_head(v, pa) != VMCS_REVISION) {
		fail_invalid(v);
		return;
	}
	v->nested->s.vmxon = pa;
	succeed(v);
}

/* Fields written and not yet in memory stay "active" on a processor; here they go to their regions. */
void serve_vmxoff(struct vcpu *v)
{
	if (!may(v))
		return;
	vmcs12_flush(v);
	v->nested->s.vmxon = VMCS_NONE;
	v->nested->s.serving = 0;
	succeed(v);
}

/* ---- VMCLEAR, VMPTRLD, VMPTRST ---- */

void serve_vmclear(struct vcpu *v)
{
	uint64_t pa;
	if (!may(v) || !pointer(v, &pa))
		return;
	if (!pointer_valid(v, pa)) {
		fail(v, VMX_ERR_VMCLEAR_ADDR);
		return;
	}
	if (pa == v->nested->s.vmxon) {
		fail(v, VMX_ERR_VMCLEAR_VMXON);
		return;
	}
	if (pa == v->nested->s.current) {
		v->nested->s.launched = 0;
		vmcs12_flush(v);
	} else {
		l1_write(v, pa + 8, 8, 0);
	}
	succeed(v);
}

void serve_vmptrld(struct vcpu *v)
{
	uint64_t pa;
	if (!may(v) || !pointer(v, &pa))
		return;
	if (!pointer_valid(v, pa)) {
		fail(v, VMX_ERR_VMPTRLD_ADDR);
		return;
	}
	if (pa == v->nested->s.vmxon) {
		fail(v, VMX_ERR_VMPTRLD_VMXON);
		return;
	}
	if (region_head(v, pa) != VMCS_REVISION) {      /* its bit 31: L1 is not offered shadow VMCSs */
		fail(v, VMX_ERR_VMPTRLD_REVISION);
		return;
	}
	if (pa != v->nested->s.current) {
		vmcs12_flush(v);
		vmcs12_load(v, pa);
	}
	succeed(v);
}

void serve_vmptrst(struct vcpu *v)
{
	uint64_t x[2] = { 0, 0 };
	if (!may(v))
		return;
	x[0] = v->nested->s.current;
	if (operand(v, (uint32_t)vcpu_get(v, VMCS_EXIT_INSN_INFO), 8, true, x))
		succeed(v);
}

/* ---- VMREAD, VMWRITE ---- */

static int field_of(const struct vcpu *v, uint64_t encoding)
{
	int f = encoding >> 15 ? -1 : vmcs_find((uint32_t)encoding);
	return f >= 0 && vmcs_exists(v->model, (enum vmcs_field)f) ? f : -1;
}

/* Guest-state fields that L2 left in vmcs02. */
static void fetch(struct vcpu *v, enum vmcs_field f)
{
	if (vmcs_type(f) == VMCS_GUEST && !vmcs12_common(f))
		vmcs12_sync_rare(v);
}

static uint64_t encoding_of(struct vcpu *v, uint32_t info, bool wide)
{
	uint64_t x = vcpu_reg(v, info >> 28);
	return wide ? x : x & 0xffffffff;
}

void serve_vmread(struct vcpu *v)
{
	if (!may(v))
		return;
	v->nested->stat[NESTED_STAT_VMREAD]++;
	uint32_t info = (uint32_t)vcpu_get(v, VMCS_EXIT_INSN_INFO);
	bool wide = vcpu_long64(v);
	uint64_t encoding = encoding_of(v, info, wide), x[2] = { 0, 0 };
	if (v->nested->s.current == VMCS_NONE) {
		fail_invalid(v);
		return;
	}
	int f = field_of(v, encoding);
	if (f < 0) {
		fail(v, VMX_ERR_FIELD);
		return;
	}
	fetch(v, (enum vmcs_field)f);
	x[0] = vmcs12_get(v, (enum vmcs_field)f) >> (encoding & 1 ? 32 : 0);
	if (!wide)
		x[0] &= 0xffffffff;
	if (info >> 10 & 1)
		vcpu_reg_set(v, info >> 3 & 15, x[0]);
	else if (!operand(v, info, wide ? 8 : 4, true, x))
		return;
	succeed(v);
}

static void put(struct vcpu *v, enum vmcs_field f, bool high, uint64_t x)
{
	fetch(v, f);
	if (high)
		x = (vmcs12_get(v, f) & 0xffffffff) | x << 32;
	vmcs12_put(v, f, x);
	if (!vmcs12_common(f) && vmcs_type(f) != VMCS_HOST)
		v->nested->s.dirty = 1;
}

void serve_vmwrite(struct vcpu *v)
{
	if (!may(v))
		return;
	v->nested->stat[NESTED_STAT_VMWRITE]++;
	uint32_t info = (uint32_t)vcpu_get(v, VMCS_EXIT_INSN_INFO);
	bool wide = vcpu_long64(v);
	uint64_t encoding = encoding_of(v, info, wide), x[2] = { 0, 0 };
	if (v->nested->s.current == VMCS_NONE) {
		fail_invalid(v);
		return;
	}
	if (info >> 10 & 1)
		x[0] = vcpu_reg(v, info >> 3 & 15);
	else if (!operand(v, info, wide ? 8 : 4, false, x))
		return;
	if (!wide)
		x[0] &= 0xffffffff;
	int f = field_of(v, encoding);
	if (f < 0) {
		fail(v, VMX_ERR_FIELD);
		return;
	}
	if (vmcs_type((enum vmcs_field)f) == VMCS_READ_ONLY && !(vmx_misc(v->model) & VMX_MISC_WRITE_ALL)) {
		fail(v, VMX_ERR_READ_ONLY);
		return;
	}
	if (v->nested->s.shadow && vmcs12_common((enum vmcs_field)f)) {         /* one that is not writable there */
		vmcs12_from_shadow(v);
		v->nested->s.shadow_old = 1;
	}
	put(v, (enum vmcs_field)f, encoding & 1, x[0]);
	succeed(v);
}

/* ---- VMLAUNCH, VMRESUME ---- */

static void serve_enter(struct vcpu *v, bool launch)
{
	struct nested_state *n = v->nested ? &v->nested->s : NULL;
	if (!may(v))
		return;
	if (n->current == VMCS_NONE) {
		fail_invalid(v);
		return;
	}
	unsigned error = VMX_ERR_ENTRY_MOV_SS;
	if (!(vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY) & 2)) {  /* blocking by MOV SS */
		if (launch == n->launched)
			error = launch ? VMX_ERR_LAUNCH_NOT_CLEAR : VMX_ERR_RESUME_NOT_LAUNCHED;
		else
			error = nested_enter(v, launch);
	}
	if (!error)
		return;
	v->nested->stat[NESTED_STAT_FAILED]++;
	fail(v, error);
}
void serve_vmlaunch(struct vcpu *v) { serve_enter(v, true); }
void serve_vmresume(struct vcpu *v) { serve_enter(v, false); }

/* ---- VMCALL ---- */

/* In VMX root operation: there is no SMM monitor to call. L2's go to L1 (reflect.def). */
void serve_vmcall(struct vcpu *v)
{
	if (may(v))
		fail(v, VMX_ERR_VMCALL_ROOT);
}

/* ---- INVEPT, INVVPID ---- */

static bool type_and_descriptor(struct vcpu *v, uint64_t *type, unsigned highest, unsigned lowest, uint64_t d[2])
{
	uint32_t info = (uint32_t)vcpu_get(v, VMCS_EXIT_INSN_INFO);
	*type = vcpu_reg(v, info >> 28);
	if (!vcpu_long64(v))
		*type &= 0xffffffff;
	if (*type < lowest || *type > highest) {
		fail(v, VMX_ERR_INVEPT_INVVPID);
		return false;
	}
	return operand(v, info, 16, false, d);
}

void serve_invept(struct vcpu *v)
{
	uint64_t type, d[2] = { 0, 0 };
	if (!may(v) || !type_and_descriptor(v, &type, INVEPT_ALL, INVEPT_SINGLE, d))
		return;
	if (d[1] || (type == INVEPT_SINGLE && !vmx_eptp_valid(v->model, d[0]))) {
		fail(v, VMX_ERR_INVEPT_INVVPID);
		return;
	}
	nested_invept(v, d[0], type == INVEPT_ALL);
	succeed(v);
}

/* One hardware VPID stands for all of L1's: more goes than need to. */
void serve_invvpid(struct vcpu *v)
{
	uint64_t type, d[2] = { 0, 0 };
	if (!may(v) || !type_and_descriptor(v, &type, INVVPID_SINGLE_NOT_GLOBAL, INVVPID_ADDRESS, d))
		return;
	if (d[0] >> 16 || (type != INVVPID_ALL && !d[0]) || (type == INVVPID_ADDRESS && !canonical_max(v->model, d[1]))) {
		fail(v, VMX_ERR_INVEPT_INVVPID);
		return;
	}
	if (v->vm->config.tags)
		vmx_root_invvpid(v->cpu, type == INVVPID_ALL ? INVVPID_SINGLE : (unsigned)type, 0x8000 | vcpu_vpid(v), d[1]);
	succeed(v);
}
