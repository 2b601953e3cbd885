/* cr.c - control registers: what may be written when, and what follows.
 *
 * CR0  PG needs PE; NW needs CD; with EFER.LME, PG needs PAE and CS.L = 0; clearing PG in 64-bit
 *      mode or with CR4.PCIDE is refused. Setting PG with LME sets LMA.
 * CR3  with PCIDE bit 63 asks to keep the PCID's translations; bits beyond MAXPHYADDR are reserved.
 *      CR4.CET needs WP.
 * CR4  unadvertised features' bits are reserved; PAE stays while LMA; LA57 does not change while
 *      LMA; PCIDE is set only in IA-32e mode with CR3[11:0] = 0.
 * Source: SDM Vol. 3A, "Control Registers", "IA-32e Mode Initialization"; Vol. 2B, "MOV - Move
 * to/from Control Registers".
 * Timing: base costs CR_READ, CR_WRITE, CR3_WRITE, CR8_WRITE; what a flush costs emerges from the
 * misses after it. */
#include "models/cpu/access.h"
#include "models/cpu/cet.h"
#include "models/cpu/lapic.h"
#include "models/cpu/fpstate.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

static void traced(struct cpu *c, unsigned i, uint64_t v)
{
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_CR, i, v, 0, 0);
}

uint64_t cr4_valid_bits(const struct cpu *c)
{
	static const struct { uint8_t feature, bit; } bits[] = {
		{ FEATURE_VME, 0 }, { FEATURE_VME, 1 }, { FEATURE_TSC, 2 }, { FEATURE_DE, 3 },
		{ FEATURE_PSE, 4 }, { FEATURE_PAE, 5 }, { FEATURE_MCE, 6 }, { FEATURE_PGE, 7 },
		{ FEATURE_TSC, 8 /* PCE */ }, { FEATURE_FXSR, 9 }, { FEATURE_SSE, 10 },
		{ FEATURE_UMIP, 11 }, { FEATURE_LA57, 12 }, { FEATURE_VMX, 13 },
		{ FEATURE_FSGSBASE, 16 }, { FEATURE_PCID, 17 }, { FEATURE_XSAVE, 18 },
		{ FEATURE_SMEP, 20 }, { FEATURE_SMAP, 21 }, { FEATURE_PKU, 22 },
		{ FEATURE_SHSTK, 23 }, { FEATURE_IBT, 23 },
	};
	uint64_t v = 0;
	for (unsigned i = 0; i < ARRAY_LEN(bits); i++)
		if (cpu_has(c, bits[i].feature))
			v |= BIT(bits[i].bit);
	return v;
}

uint64_t efer_valid_bits(const struct cpu *c)
{
	return EFER_SCE | EFER_LME | EFER_LMA | (cpu_has(c, FEATURE_NX) ? EFER_NXE : 0);
}

bool efer_valid(const struct cpu *c, uint64_t v)
{
	return !(v & ~efer_valid_bits(c)) && !((v ^ c->s.efer) & EFER_LME && c->s.cr0 & CR0_PG);
}

bool efer_write(struct cpu *c, uint64_t v)
{
	if (!efer_valid(c, v))
		return false;
	/* LMA follows LME and PG; writes do not matter */
	v = (v & ~(uint64_t)EFER_LMA) | (c->s.efer & EFER_LMA);
	c->s.efer = v;
	mmu_set_paging(&c->mmu, c->s.cr0, c->s.cr4, v);
	return true;
}

/* With PAE paging the page-directory-pointer entries are read as the registers are written: reserved
 * bits set in one is #GP(0); in a guest EPT may stand in the way. */
static void load_failed(struct cpu *c)
{
	if (c->mmu.load_fault.kind != MMU_OK)
		cpu_raise_mmu(c, &c->mmu.load_fault, SEG_DS);
	cpu_gp0(c);
}

static void set_paging(struct cpu *c, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	if (mmu_set_paging(&c->mmu, cr0, cr4, efer))
		load_failed(c);
	c->s.cr0 = cr0;
	c->s.cr4 = cr4;
	c->s.efer = efer;
	cpu_mode_changed(c);
	cpu_attention(c);
}

/* In VMX operation some bits are fixed: "attempts to change them cause #GP(0)". An unrestricted guest may clear PE and PG. */
static void check_fixed(struct cpu *c, uint64_t v, uint64_t fixed0, uint64_t fixed1)
{
	if (c->vmx.vmxon == VMCS_NONE)
		return;
	if (vmx_guest_with(c, vmx_on(c, UNRESTRICTED)))
		fixed0 &= ~(uint64_t)(CR0_PE | CR0_PG);
	if ((v & fixed0) != fixed0 || v & ~fixed1)
		cpu_gp0(c);
}

void cr0_write(struct cpu *c, uint64_t v)
{
	uint64_t old = c->s.cr0, efer = c->s.efer;
	if (v >> 32)
		cpu_gp0(c);
	v = (v & (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |
	          CR0_PG)) |
	    CR0_ET;
	if ((v & CR0_PG && !(v & CR0_PE)) || (v & CR0_NW && !(v & CR0_CD)))
		cpu_gp0(c);
	if (!(v & CR0_WP) && c->s.cr4 & CR4_CET)
		cpu_gp0(c);
	check_fixed(c, v, vmx_cr0_fixed0(c), vmx_cr0_fixed1(c));
	if (v & CR0_PG && !(old & CR0_PG) && efer & EFER_LME) {
		/* activating IA-32e mode: not without PAE, not from code with CS.L = 1, not with a
		 * 16-bit TSS in TR */
		if (!(c->s.cr4 & CR4_PAE) || c->s.seg[SEG_CS].attr & SEG_L)
			cpu_gp0(c);
		if (SEG_TYPE(c->s.seg[SEG_TR].attr) == DESC_TSS16_BUSY)
			cpu_gp0(c);
		efer |= EFER_LMA;
	}
	if (!(v & CR0_PG) && old & CR0_PG) {
		if (cpu_long64(c) || c->s.cr4 & CR4_PCIDE)
			cpu_gp0(c);
		efer &= ~(uint64_t)EFER_LMA;
	}
	if (!(v & CR0_PE) && old & CR0_PE && c->s.flags & RFLAGS_VM)
		cpu_gp0(c);
	set_paging(c, v, c->s.cr4, efer);
	traced(c, 0, v);
}

void cr3_write(struct cpu *c, uint64_t v)
{
	uint64_t keep = 0;
	if (c->s.cr4 & CR4_PCIDE && v & BIT(63)) {
		keep = BIT(63);
		v &= ~BIT(63);
	}
	if (cpu_lma(c) && v & ~MASK(c->profile->phys_bits))
		cpu_gp0(c);
	if (!cpu_lma(c))
		v &= 0xffffffff;
	if (mmu_set_cr3(&c->mmu, v | keep))
		load_failed(c);
	c->s.cr3 = v;
	c->stat[CPU_STAT_CR3_WRITE]++;
	traced(c, 3, v);
}

void cr4_write(struct cpu *c, uint64_t v)
{
	uint64_t old = c->s.cr4, changed = v ^ old;
	if (v & ~cr4_valid_bits(c))
		cpu_gp0(c);
	check_fixed(c, v, vmx_cr4_fixed0(c), vmx_cr4_fixed1(c));
	if (cpu_lma(c) && (!(v & CR4_PAE) || changed & CR4_LA57))
		cpu_gp0(c);
	if (v & CR4_CET && !(c->s.cr0 & CR0_WP))
		cpu_gp0(c);
	if (v & CR4_PCIDE && !(old & CR4_PCIDE) && (!cpu_lma(c) || c->s.cr3 & 0xfff))
		cpu_gp0(c);
	set_paging(c, c->s.cr0, v, c->s.efer);
	debug_changed(c);
	traced(c, 4, v);
}

/* ---- instructions ---- */

static unsigned reg_size(const struct cpu *c)
{
	return cpu_long64(c) ? 8 : 4;
}

enum { CR_OF_GUEST = 0x100 };   /* what the host may own or want to know of */

void insn_mov_from_cr(struct cpu *c, const struct uop *u)
{
	uint64_t v;
	bool guest = vmx_guest(c);
	need_cpl0(c);
	switch (guest && u->reg[1] != 2 ? CR_OF_GUEST : u->reg[1]) {
	case CR_OF_GUEST:
		if (u->reg[1] > 8 || !(0x119 >> u->reg[1] & 1))
			cpu_raise(c, VEC_UD);
		if (u->reg[1] != 8 || vmx_on(c, CR8_STORE_EXITING) || !vmx_tpr_read(c, &v))
			v = vmx_cr_read(c, u, u->reg[1]);
		break;
	case 0: v = c->s.cr0; break;
	case 2: v = c->s.cr2; break;
	case 3: v = c->s.cr3; break;
	case 4: v = c->s.cr4; break;
	case 8: v = c->lapic ? lapic_cr8(c->lapic) : 0; break;
	default: cpu_raise(c, VEC_UD);
	}
	reg_set(c, u->reg[0], reg_size(c), v);
}

void insn_mov_to_cr(struct cpu *c, const struct uop *u)
{
	need_cpl0(c);
	uint64_t v = reg_get(c, u->reg[1], reg_size(c));
	vmx_cr_write(c, u, u->reg[0], &v);
	switch (u->reg[0]) {
	case 0: cr0_write(c, v); break;
	case 2: c->s.cr2 = v; break;
	case 3: cr3_write(c, v); break;
	case 4: cr4_write(c, v); break;
	case 8:
		if (v >> 4)
			cpu_gp0(c);
		if (vmx_guest(c) && vmx_tpr_write(c, u, v))
			break;
		if (c->lapic)
			lapic_set_cr8(c->lapic, (unsigned)v);
		cpu_attention(c);
		break;
	default: cpu_raise(c, VEC_UD);
	}
}

void insn_clts(struct cpu *c, const struct uop *u)
{
	need_cpl0(c);
	if (vmx_clts(c, u))
		cr0_write(c, c->s.cr0 & ~(uint64_t)CR0_TS);
}

/* LMSW can set PE but not clear it. */
void insn_lmsw(struct cpu *c, const struct uop *u)
{
	need_cpl0(c);
	uint64_t v = u->kind[0] == OPK_REG ? c->s.r[u->reg[0]] :
	                                     cpu_load16(c, u, ea_linear(c, u, 2, false));
	cr0_write(c, vmx_lmsw(c, u, (uint16_t)v));
}

void insn_smsw(struct cpu *c, const struct uop *u)
{
	need_umip(c);
	uint64_t cr0 = vmx_guest(c) ? vmx_cr_read(c, u, 0) : c->s.cr0;
	if (u->kind[0] == OPK_REG)
		reg_set(c, u->reg[0], u->osz, cr0);
	else
		cpu_store16(c, u, ea_linear(c, u, 2, true), (uint16_t)cr0);
}

/* ---- XCR0, PKRU ---- */

uint64_t xcr0_valid_bits(const struct cpu *c)
{
	return XSTATE_X87 | XSTATE_SSE | (cpu_has(c, FEATURE_AVX) ? XSTATE_AVX : 0) |
	       (cpu_has(c, FEATURE_PKU) ? XSTATE_PKRU : 0);
}

uint64_t xss_valid_bits(const struct cpu *c)
{
	return cet_exists(c) ? XSTATE_CET_U | XSTATE_CET_S : 0;
}

static void need_osxsave(struct cpu *c)
{
	if (!(c->s.cr4 & CR4_OSXSAVE))
		cpu_raise(c, VEC_UD);
}

void insn_xgetbv(struct cpu *c, const struct uop *u)
{
	(void)u;
	need_osxsave(c);
	uint32_t i = (uint32_t)c->s.r[R_RCX];
	if (i != 0 && !(i == 1 && cpu_has(c, FEATURE_XGETBV1)))
		cpu_gp0(c);
	uint64_t v = i ? xsave_in_use(c) : c->s.xcr0;
	c->s.r[R_RAX] = (uint32_t)v;
	c->s.r[R_RDX] = v >> 32;
}

/* Bit 0 (x87) must be set; AVX needs SSE. */
void insn_xsetbv(struct cpu *c, const struct uop *u)
{
	need_osxsave(c);
	need_cpl0(c);
	vmx_intercept(c, u, VMX_I_XSETBV);
	uint64_t v = c->s.r[R_RDX] << 32 | (uint32_t)c->s.r[R_RAX];
	if ((uint32_t)c->s.r[R_RCX] || v & ~xcr0_valid_bits(c) || !(v & 1) || (v & 4 && !(v & 2)))
		cpu_gp0(c);
	c->s.xcr0 = v;
}

void insn_rdpkru(struct cpu *c, const struct uop *u)
{
	(void)u;
	if (!(c->s.cr4 & CR4_PKE))
		cpu_raise(c, VEC_UD);
	if ((uint32_t)c->s.r[R_RCX])
		cpu_gp0(c);
	c->s.r[R_RAX] = c->s.pkru;
	c->s.r[R_RDX] = 0;
}

void insn_wrpkru(struct cpu *c, const struct uop *u)
{
	(void)u;
	if (!(c->s.cr4 & CR4_PKE))
		cpu_raise(c, VEC_UD);
	if ((uint32_t)c->s.r[R_RCX] || (uint32_t)c->s.r[R_RDX])
		cpu_gp0(c);
	c->s.pkru = (uint32_t)c->s.r[R_RAX];
	mmu_set_pkru(&c->mmu, c->s.pkru);
}
