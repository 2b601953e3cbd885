/* intercept.c - which instructions cause VM exits in VMX non-root operation, and what they tell.
 *
 * Bodies call in here where the manual places the exit: after #UD and faults by privilege (CPL, IOPL, the TSS's I/O bitmap),
 * before every other fault; MOV DR before privilege too; LMSW after its operand is fetched, because it looks at it.
 *
 * VM-exit instruction information, one layout with parts that only some instructions have:
 *   31:28 second register | 27 no base, 26:23 base | 22 no index, 21:18 index | 17:15 segment | 11 operand size (LGDT ...)
 *   29:28 identity (LGDT ..., LLDT ...) | 10 register operand | 9:7 address size | 6:3 first register | 1:0 scale
 * Bits the manual calls undefined are 0.
 * Source: SDM Vol. 3C, "Relative Priority of Faults and VM Exits", "Instructions That Cause VM Exits Conditionally",
 * "Changes to Instruction Behavior in VMX Non-Root Operation", "Exit Qualification", "VM-Exit Instruction-Information Field".
 * Timing: bitmaps are references of their own. */
#include "models/cpu/access.h"
#include "models/cpu/insn.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

struct intercept_row { uint8_t reason, control, info; };
static const struct intercept_row rows[VMX_INTERCEPTS] = {
#define INTERCEPT(NAME, reason, control, info) [VMX_I_##NAME] = { reason, control, info },
#include "models/cpu/vmx/intercept.def"
};

static bool control_on(const struct cpu *c, unsigned n)
{
	return n == VMX_ALWAYS || c->ctl[vmx_control_rows[n].word] >> vmx_control_rows[n].bit & 1;
}

/* ---- operands ---- */

static uint32_t address_size(const struct uop *u)
{
	return u->ash == 48 ? 0 : u->ash == 32 ? 1 : 2;
}

/* The memory operand's part. */
static uint32_t memory_info(const struct uop *u)
{
	uint32_t v = u->scale | address_size(u) << 7 | (uint32_t)u->seg << 15;
	v |= u->index < 16 ? (uint32_t)u->index << 18 : BIT(22);
	v |= u->base < 16 ? (uint32_t)u->base << 23 : BIT(27);
	return v;
}

static uint32_t operand_info(const struct uop *u, unsigned i)
{
	return u->kind[i] == OPK_MEM ? memory_info(u) : BIT(10) | (uint32_t)u->reg[i] << 3;
}

uint32_t vmx_insn_info(struct cpu *c, const struct uop *u)
{
	switch (u->row) {
	case INSN_INSB: case INSN_INSW: case INSN_INSD:
		return address_size(u) << 7;
	case INSN_OUTSB: case INSN_OUTSW: case INSN_OUTSD:
		return address_size(u) << 7 | (uint32_t)u->seg << 15;
	case INSN_INVEPT: case INSN_INVPCID: case INSN_INVVPID:
		return memory_info(u) | (uint32_t)u->reg[0] << 28;
	case INSN_SGDT: case INSN_SIDT: case INSN_LGDT: case INSN_LIDT: {
		static const uint8_t identity[] = {
			[INSN_SGDT - INSN_LGDT] = 0, [INSN_SIDT - INSN_LGDT] = 1, [INSN_LGDT - INSN_LGDT] = 2, [INSN_LIDT - INSN_LGDT] = 3,
		};
		uint32_t size32 = !cpu_long64(c) && u->osz == 4;
		return memory_info(u) | size32 << 11 | (uint32_t)identity[u->row - INSN_LGDT] << 28;
	}
	case INSN_SLDT: return operand_info(u, 0);
	case INSN_STR:  return operand_info(u, 0) | 1 << 28;
	case INSN_LLDT: return operand_info(u, 0) | 2 << 28;
	case INSN_LTR:  return operand_info(u, 0) | 3u << 28;
	/* 12:11 operand size | 6:3 destination register */
	case INSN_RDRAND: case INSN_RDSEED:
		return (uint32_t)(u->osz == 8 ? 2 : u->osz == 4) << 11 | (uint32_t)u->reg[0] << 3;
	case INSN_VMREAD:
		return operand_info(u, 0) | (uint32_t)u->reg[1] << 28;
	case INSN_VMWRITE:
		return operand_info(u, 1) | (uint32_t)u->reg[0] << 28;
	case INSN_VMCLEAR: case INSN_VMPTRLD: case INSN_VMPTRST: case INSN_VMXON:
	case INSN_XSAVES: case INSN_XSAVES64: case INSN_XRSTORS: case INSN_XRSTORS64:
		return memory_info(u);
	default:
		return 0;
	}
}

/* "the value of the instruction's displacement field ... If the instruction uses RIP-relative addressing, the displacement
 * is added to the value of RIP that references the following instruction" */
static uint64_t displacement(const struct cpu *c, const struct uop *u)
{
	if (u->kind[0] != OPK_MEM && u->kind[1] != OPK_MEM)
		return 0;
	return (uint64_t)u->disp + (u->base == R_RIP ? c->s.r[R_RIP] : 0);
}

/* ---- instructions of intercept.def ---- */

void vmx_intercept_slow(struct cpu *c, const struct uop *u, enum vmx_intercept i)
{
	const struct intercept_row *r = &rows[i];
	if (!control_on(c, r->control))
		return;
	struct vmx_exit x = { .reason = r->reason, .insn_length = u->len };
	if (r->info) {
		x.insn_info = vmx_insn_info(c, u);
		x.qualification = displacement(c, u);
	}
	vmx_exit(c, &x);
}

/* INVLPG: the qualification is the linear address, whatever its segment's limit says. */
void vmx_invlpg(struct cpu *c, const struct uop *u, uint64_t lin)
{
	if (vmx_guest_with(c, vmx_on(c, INVLPG_EXITING)))
		vmx_exit(c, &(struct vmx_exit){ .reason = EXIT_INVLPG, .insn_length = u->len, .qualification = lin });
}

/* XSAVES, XRSTORS: "if any bit is set in the logical-AND of EDX:EAX, the IA32_XSS MSR, and the XSS-exiting bitmap" */
void vmx_xsaves(struct cpu *c, const struct uop *u, bool restore)
{
	if (!vmx_guest(c))
		return;
	uint64_t mask = c->s.r[R_RDX] << 32 | (uint32_t)c->s.r[R_RAX], xss = 0;
	(void)msr_read(c, 0xda0, &xss);
	if (mask & xss & vmx_get(c, XSS_EXITING))
		vmx_exit(c, &(struct vmx_exit){ .reason = restore ? EXIT_XRSTORS : EXIT_XSAVES, .insn_length = u->len,
		                                .insn_info = vmx_insn_info(c, u), .qualification = displacement(c, u) });
}

/* MWAIT: the qualification says whether the address-range monitoring hardware is armed. */
void vmx_mwait(struct cpu *c, const struct uop *u)
{
	if (vmx_guest_with(c, vmx_on(c, MWAIT_EXITING)))
		vmx_exit(c, &(struct vmx_exit){ .reason = EXIT_MWAIT, .insn_length = u->len,
		                                .qualification = c->s.monitor_pa != MONITOR_NONE });
}

/* PAUSE-loop exiting: two PAUSEs at CPL 0 no more than PLE_Gap apart belong to one loop; a loop longer than PLE_Window exits. */
void vmx_pause(struct cpu *c, const struct uop *u)
{
	if (!vmx_guest(c))
		return;
	cycle_t now = c->ledger.now;
	bool out = vmx_on(c, PAUSE_EXITING);
	if (!out && vmx_on(c, PAUSE_LOOP) && c->s.cpl == 0) {
		if (!c->vmx.ple_last || now - c->vmx.ple_last > vmx_get(c, PLE_GAP))
			c->vmx.ple_first = now;
		else
			out = now - c->vmx.ple_first > vmx_get(c, PLE_WINDOW);
		c->vmx.ple_last = now;
	}
	if (out)
		vmx_exit(c, &(struct vmx_exit){ .reason = EXIT_PAUSE, .insn_length = u->len });
}

/* 15:0 selector of the new TSS | 31:30 source: 0 CALL, 1 IRET, 2 JMP, 3 task gate in the IDT */
void vmx_task_switch(struct cpu *c, uint16_t sel, unsigned source)
{
	if (!vmx_guest(c))
		return;
	/* A task gate reached by an event has no instruction but the software event's own. */
	unsigned length = source != VMX_TASK_GATE ? c->cur->len : c->delivering ? c->delivering->len : 0;
	vmx_exit(c, &(struct vmx_exit){ .reason = EXIT_TASK_SWITCH, .insn_length = length, .qualification = sel | source << 30 });
}

/* ---- I/O ---- */

/* "If an I/O operation wraps around the 16-bit I/O-port space, the I/O instruction causes a VM exit." */
static bool port_exits(struct cpu *c, uint16_t port, unsigned size)
{
	if (!vmx_on(c, IO_BITMAPS))
		return vmx_on(c, IO_EXITING);
	if (port + size > 0x10000)
		return true;
	bool out = false;
	for (unsigned p = port; p < port + size; p++) {
		uint64_t map = p & 0x8000 ? vmx_get(c, IO_BITMAP_B) : vmx_get(c, IO_BITMAP_A);
		out |= mmu_phys_read(&c->mmu, HPA(map + ((p & 0x7fff) >> 3)), 1, WHY_VM_EXIT) >> (p & 7) & 1;
	}
	return out;
}

/* 2:0 size - 1 | 3 IN | 4 string | 5 REP | 6 immediate operand | 31:16 port */
void vmx_port(struct cpu *c, const struct uop *u, uint16_t port, unsigned size, bool in)
{
	if (!vmx_guest(c) || !port_exits(c, port, size))
		return;
	bool string = u->row != INSN_IN && u->row != INSN_OUT, rep = u->flags & (UOP_REP | UOP_REPNE);
	bool immediate = u->kind[in ? 1 : 0] == OPK_IMM;
	struct vmx_exit x = { .reason = EXIT_IO, .insn_length = u->len };
	x.qualification = (size - 1) | (unsigned)in << 3 | (unsigned)string << 4 | (unsigned)(string && rep) << 5 |
	                  (unsigned)(!string && immediate) << 6 | (uint32_t)port << 16;
	if (string) {
		uint64_t off = c->s.r[in ? R_RDI : R_RSI] << u->ash >> u->ash;
		x.insn_info = vmx_insn_info(c, u);
		x.linear = (c->s.seg[in ? SEG_ES : u->seg].base + off) & c->lin_mask;
	}
	vmx_exit(c, &x);
}

/* ---- MSRs ---- */

/* Four bitmaps of 1 KB: reads of 0-1FFFH, of C0000000H-C0001FFFH, then writes. An MSR outside both ranges exits. */
void vmx_msr_access(struct cpu *c, const struct uop *u, uint32_t nr, bool write)
{
	if (!vmx_guest(c))
		return;
	uint32_t low = nr & 0x1fff;
	bool high = nr - 0xc0000000 <= 0x1fff, out = !vmx_on(c, MSR_BITMAPS) || !(nr <= 0x1fff || high);
	if (!out) {
		uint64_t at = vmx_get(c, MSR_BITMAPS) + (write ? 2048 : 0) + (high ? 1024 : 0) + (low >> 3);
		out = mmu_phys_read(&c->mmu, HPA(at), 1, WHY_VM_EXIT) >> (low & 7) & 1;
	}
	if (out)
		vmx_exit(c, &(struct vmx_exit){ .reason = write ? EXIT_WRMSR : EXIT_RDMSR, .insn_length = u->len });
}

/* ---- control and debug registers ---- */

enum cr_access { CR_TO, CR_FROM, CR_CLTS, CR_LMSW };

/* 3:0 register | 5:4 access | 6 LMSW from memory | 11:8 general register | 31:16 LMSW's source */
static void cr_exit(struct cpu *c, const struct uop *u, uint64_t qualification, uint64_t lin) NORETURN;
static void cr_exit(struct cpu *c, const struct uop *u, uint64_t qualification, uint64_t lin)
{
	vmx_exit(c, &(struct vmx_exit){ .reason = EXIT_CR_ACCESS, .insn_length = u->len, .qualification = qualification, .linear = lin });
}

/* A guest's value with the bits the host owns as they are. True: one of those differs from the read shadow. */
static bool owned(uint64_t *v, uint64_t mask, uint64_t shadow, uint64_t now)
{
	bool differs = (*v ^ shadow) & mask;
	*v = (*v & ~mask) | (now & mask);
	return differs;
}

static bool cr3_target(const struct cpu *c, uint64_t v)
{
	for (unsigned i = 0; i < vmx_get(c, CR3_TARGET_COUNT) && i < 4; i++)
		if (c->vmcs->f[VMCS_CR3_TARGET0 + i] == v)
			return true;
	return false;
}

void vmx_cr_write(struct cpu *c, const struct uop *u, unsigned cr, uint64_t *v)
{
	bool out = false;
	if (!vmx_guest(c))
		return;
	switch (cr) {
	case 0: out = owned(v, vmx_get(c, CR0_MASK), vmx_get(c, CR0_SHADOW), c->s.cr0); break;
	case 3: out = vmx_on(c, CR3_LOAD_EXITING) && !cr3_target(c, *v); break;
	case 4: out = owned(v, vmx_get(c, CR4_MASK), vmx_get(c, CR4_SHADOW), c->s.cr4); break;
	case 8: out = vmx_on(c, CR8_LOAD_EXITING); break;
	default: break;
	}
	if (out)
		cr_exit(c, u, cr | CR_TO << 4 | (uint32_t)u->reg[1] << 8, 0);
}

uint64_t vmx_cr_read(struct cpu *c, const struct uop *u, unsigned cr)
{
	uint64_t mask;
	bool out = false;
	switch (cr) {
	case 0:
		mask = vmx_get(c, CR0_MASK);
		return (c->s.cr0 & ~mask) | (vmx_get(c, CR0_SHADOW) & mask);
	case 4:
		mask = vmx_get(c, CR4_MASK);
		return (c->s.cr4 & ~mask) | (vmx_get(c, CR4_SHADOW) & mask);
	case 3: out = vmx_on(c, CR3_STORE_EXITING); break;
	case 8: out = vmx_on(c, CR8_STORE_EXITING); break;
	default: break;
	}
	if (out)
		cr_exit(c, u, cr | CR_FROM << 4 | (uint32_t)u->reg[0] << 8, 0);
	return cr == 3 ? c->s.cr3 : c->lapic ? lapic_cr8(c->lapic) : 0;
}

/* CLTS: "If the bits in position 3 (corresponding to CR0.TS) are set in both the CR0 guest/host mask and the CR0 read shadow",
 * it exits; if the host owns TS and the shadow has it clear, nothing happens (false). */
bool vmx_clts(struct cpu *c, const struct uop *u)
{
	if (!vmx_guest(c) || !(vmx_get(c, CR0_MASK) & CR0_TS))
		return true;
	if (vmx_get(c, CR0_SHADOW) & CR0_TS)
		cr_exit(c, u, CR_CLTS << 4, 0);
	return false;
}

/* LMSW: the new CR0; exits when it would change one of the low four bits the host owns. It cannot clear PE. */
uint64_t vmx_lmsw(struct cpu *c, const struct uop *u, uint16_t src)
{
	uint64_t now = c->s.cr0, v = (now & ~0xeull) | (src & 0xf);
	if (!vmx_guest(c))
		return v;
	uint64_t mask = vmx_get(c, CR0_MASK) & 0xf, shadow = vmx_get(c, CR0_SHADOW);
	uint64_t differs = (src ^ shadow) & mask;
	if (!(src & CR0_PE))
		differs &= ~(uint64_t)CR0_PE;
	if (differs) {
		bool memory = u->kind[0] == OPK_MEM;
		uint64_t lin = memory ? (c->s.seg[u->seg].base + ea_offset(c, u)) & c->lin_mask : 0;
		cr_exit(c, u, CR_LMSW << 4 | (memory ? BIT(6) : 0) | (uint32_t)src << 16, lin);
	}
	return (v & ~mask) | (now & mask);
}

/* 2:0 register | 4 from the register | 11:8 general register */
void vmx_mov_dr(struct cpu *c, const struct uop *u, unsigned dr, bool from)
{
	if (vmx_guest_with(c, vmx_on(c, MOV_DR_EXITING)))
		vmx_exit(c, &(struct vmx_exit){ .reason = EXIT_MOV_DR, .insn_length = u->len,
		                                .qualification = dr | (unsigned)from << 4 | (uint32_t)u->reg[from ? 0 : 1] << 8 });
}

/* ---- time ---- */

/* "the product of the TSC and the TSC multiplier, shifted right 48 bits, plus the TSC offset" */
uint64_t vmx_tsc(const struct cpu *c)
{
	uint64_t t = cpu_tsc(c);
	if (!vmx_guest(c) || !vmx_on(c, TSC_OFFSETTING))
		return t;
	if (vmx_on(c, TSC_SCALING)) {
		unsigned __int128 wide = (unsigned __int128)t * vmx_get(c, TSC_MULTIPLIER);
		t = (uint64_t)(wide >> 48);
	}
	return t + vmx_get(c, TSC_OFFSET);
}
