/* seg.c - segment registers: descriptors, hidden parts, what an access is checked against, the mode
 * they make.
 *
 * Source: SDM Vol. 3A, "Protected-Mode Memory Management", "Segment Descriptors", "Limit Checking",
 * "Type Checking", "Segmentation in IA-32e Mode".
 * Timing: descriptor reads and accessed-bit writes are ordinary timed references; the rest is the
 * instruction's base cost.
 * Simplified: an access that wraps around the top of a 4 GB segment faults (the manual leaves it to
 * the implementation). */
#include "models/cpu/access.h"
#include "models/cpu/cet.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "sim/err.h"

/* ---- derived limits ---- */

/* Readable or writable in the present mode, so that seg_linear() need only compare with one
 * number. */
static uint64_t usable_limit(const struct cpu *c, const struct seg *s, bool write)
{
	if (c->s.mode == MODE_LONG64)
		return ~0ull;   /* no limits and no type checks in 64-bit mode */
	if (s->attr & SEG_UNUSABLE || !(s->attr & SEG_P))
		return 0;
	if (cpu_real(c))
		return s->attr & TYPE_DOWN && !(s->attr & TYPE_CODE) ? 0 : (uint64_t)s->limit + 1;
	if (s->attr & TYPE_CODE)
		return write || !(s->attr & TYPE_READ) ? 0 : (uint64_t)s->limit + 1;
	if (write && !(s->attr & TYPE_WRITE))
		return 0;
	return s->attr & TYPE_DOWN ? 0 : (uint64_t)s->limit + 1;
}

void seg_derive(struct cpu *c, enum seg_reg i)
{
	struct seg *s = &c->s.seg[i];
	s->lim_r = usable_limit(c, s, false);
	s->lim_w = usable_limit(c, s, true);
}

/* "the processor causes a general-protection exception (or, if the segment is SS, a stack-fault
 * exception) any time an attempt is made to access ... addresses in a segment" outside it. SDM Vol.
 * 3A, "Limit Checking". */
uint64_t seg_check(struct cpu *c, const struct uop *u, enum seg_reg i, uint64_t off, unsigned size,
                   bool write)
{
	const struct seg *s = &c->s.seg[i];
	if (u)
		c->cur = u;
	if (c->s.mode == MODE_LONG64)
		return s->base + off;
	bool ok = !(s->attr & SEG_UNUSABLE) && s->attr & SEG_P;
	bool code = s->attr & TYPE_CODE;
	if (ok && !cpu_real(c))
		ok = code ? !write && s->attr & TYPE_READ : !write || s->attr & TYPE_WRITE;
	if (ok && !code && s->attr & TYPE_DOWN) {
		/* expand-down: the valid offsets lie above the limit, up to FFFFH or FFFFFFFFH by
		 * the B flag */
		uint64_t top = s->attr & SEG_DB ? 0xffffffff : 0xffff;
		ok = off > s->limit && off + size - 1 <= top;
	} else if (ok) {
		ok = off + size - 1 <= s->limit;
	}
	if (!ok)
		cpu_raise_ec(c, i == SEG_SS ? VEC_SS : VEC_GP, 0);
	return (s->base + off) & c->lin_mask;
}

/* ---- descriptors ---- */

static void desc_decode(struct desc *d)
{
	uint32_t lo = (uint32_t)d->raw, hi = (uint32_t)(d->raw >> 32);
	d->base = lo >> 16 | (hi & 0xff) << 16 | (hi & 0xff000000);
	d->limit = (lo & 0xffff) | (hi & 0xf0000);
	d->attr = hi >> 8 & 0xf0ff;
	if (d->attr & SEG_G)
		d->limit = d->limit << 12 | 0xfff;
}

static uint64_t sys_mask(const struct cpu *c)
{
	return cpu_lma(c) ? ~0ull : 0xffffffff;
}

/* Address of n bytes of the descriptor at sel, or false outside the table. */
static bool desc_place(const struct cpu *c, uint16_t sel, unsigned n, uint64_t *lin)
{
	uint64_t base = c->s.gdtr.base;
	uint32_t limit = c->s.gdtr.limit;
	if (sel & 4) {
		const struct seg *l = &c->s.seg[SEG_LDTR];
		if (l->attr & SEG_UNUSABLE || !(l->attr & SEG_P))
			return false;
		base = l->base;
		limit = l->limit;
	}
	uint32_t off = sel & 0xfff8;
	if (off + n - 1 > limit)
		return false;
	*lin = (base + off) & sys_mask(c);
	return true;
}

bool desc_read(struct cpu *c, uint16_t sel, struct desc *d)
{
	memset(d, 0, sizeof *d);
	if (!desc_place(c, sel, 8, &d->lin))
		return false;
	d->raw = cpu_sys_load(c, d->lin, 8);
	desc_decode(d);
	return true;
}

void desc_need(struct cpu *c, uint16_t sel, enum vector v, struct desc *d)
{
	if (!desc_read(c, sel, d))
		cpu_raise_ec(c, v, sel_error(sel));
}

uint64_t desc_upper(struct cpu *c, uint16_t sel, const struct desc *d, enum vector v)
{
	uint64_t lin;
	if (!desc_place(c, sel, 16, &lin))
		cpu_raise_ec(c, v, sel_error(sel));
	uint64_t hi = cpu_sys_load(c, (lin + 8) & sys_mask(c), 8);
	/* the upper half's type field must be 0: it shall not look like a descriptor */
	if (hi >> 40 & 0x1f)
		cpu_raise_ec(c, v, sel_error(sel));
	return d->base | hi << 32;
}

void desc_accessed(struct cpu *c, struct desc *d)
{
	if (d->attr & TYPE_ACCESSED)
		return;
	d->attr |= TYPE_ACCESSED;
	d->raw |= BIT(40);
	cpu_sys_store(c, (d->lin + 4) & sys_mask(c), 4, d->raw >> 32);
}

/* ---- hidden parts ---- */

void seg_set(struct cpu *c, enum seg_reg i, uint16_t sel, const struct desc *d)
{
	struct seg *s = &c->s.seg[i];
	s->sel = sel;
	s->attr = d->attr;
	s->limit = d->limit;
	s->base = d->base;
	if (i <= SEG_DS && c->s.mode == MODE_LONG64) {
		s->desc_base = (uint32_t)d->base;
		s->base = 0;
	}
	seg_derive(c, i);
}

/* Null: "segment register is loaded with a null selector: any use of it for memory is #GP" outside
 * 64-bit mode.
 * SS keeps the privilege level in its DPL, as the VMCS would show it. Intel clears the base. */
void seg_set_null(struct cpu *c, enum seg_reg i, uint16_t sel)
{
	struct seg *s = &c->s.seg[i];
	s->sel = sel;
	s->attr = SEG_UNUSABLE | (i == SEG_SS ? (uint32_t)c->s.cpl << 5 | SEG_DB : 0);
	s->limit = 0;
	s->base = 0;
	s->desc_base = 0;
	seg_derive(c, i);
}

void seg_set_v86(struct cpu *c, enum seg_reg i, uint16_t sel)
{
	struct seg *s = &c->s.seg[i];
	s->sel = sel;
	s->base = (uint64_t)sel << 4;
	s->limit = 0xffff;
	s->attr = SEG_P | 3u << 5 | SEG_S | TYPE_WRITE | TYPE_ACCESSED;
	seg_derive(c, i);
}

/* Real mode: the base follows the selector; limit and size stay as they were ("unreal" mode lives
 * on this). */
void seg_load_real(struct cpu *c, enum seg_reg i, uint16_t sel)
{
	struct seg *s = &c->s.seg[i];
	if (c->s.flags & RFLAGS_VM && c->s.cr0 & CR0_PE) {
		seg_set_v86(c, i, sel);
		return;
	}
	s->sel = sel;
	s->base = (uint64_t)sel << 4;
	s->attr = (s->attr & (SEG_DB | SEG_G)) | SEG_P | SEG_S | TYPE_WRITE | TYPE_ACCESSED;
	seg_derive(c, i);
}

/* ---- loads with checks ---- */

void seg_check_stack(struct cpu *c, uint16_t sel, unsigned cpl, enum vector v, struct desc *d)
{
	if (sel_null(sel))
		cpu_raise_ec(c, v, v == VEC_TS ? sel_error(sel) : 0);
	desc_need(c, sel, v, d);
	if ((sel & 3) != cpl || !desc_is_data(d) || !(d->attr & TYPE_WRITE) || desc_dpl(d) != cpl)
		cpu_raise_ec(c, v, sel_error(sel));
	if (!(d->attr & SEG_P))
		cpu_raise_ec(c, VEC_SS, sel_error(sel));
}

/* SDM Vol. 2B, "MOV": "Loading a segment register while in protected mode results in special checks
 * and actions". */
void seg_load(struct cpu *c, enum seg_reg i, uint16_t sel)
{
	struct desc d;
	if (c->s.mode <= MODE_V86) {
		seg_load_real(c, i, sel);
		return;
	}
	if (i == SEG_SS) {
		if (sel_null(sel)) {
			/* 64-bit mode lets rings 0-2 run without a stack segment */
			if (!cpu_long64(c) || c->s.cpl == 3 || (sel & 3) != c->s.cpl)
				cpu_gp0(c);
			seg_set_null(c, i, sel);
			return;
		}
		seg_check_stack(c, sel, c->s.cpl, VEC_GP, &d);
	} else {
		if (sel_null(sel)) {
			seg_set_null(c, i, sel);
			return;
		}
		desc_need(c, sel, VEC_GP, &d);
		if (!(desc_is_data(&d) || (desc_is_code(&d) && d.attr & TYPE_READ)))
			cpu_raise_ec(c, VEC_GP, sel_error(sel));
		if (desc_is_data(&d) || !(d.attr & TYPE_CONFORMING)) {
			if ((sel & 3) > desc_dpl(&d) || c->s.cpl > desc_dpl(&d))
				cpu_raise_ec(c, VEC_GP, sel_error(sel));
		}
		if (!(d.attr & SEG_P))
			cpu_raise_ec(c, VEC_NP, sel_error(sel));
	}
	desc_accessed(c, &d);
	seg_set(c, i, sel, &d);
}

/* "If the segment register ... is not accessible at the new privilege level, it is loaded with a
 * null selector." */
void seg_drop_inner(struct cpu *c)
{
	static const enum seg_reg data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
		struct seg *s = &c->s.seg[data[i]];
		bool conforming =
			(s->attr & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING);
		if (s->attr & SEG_UNUSABLE || conforming || SEG_DPL(s->attr) >= c->s.cpl)
			continue;
		/* invalid, but the base stays: 64-bit code goes on using FS's and GS's */
		s->sel = 0;
		s->attr = SEG_UNUSABLE;
		seg_derive(c, data[i]);
	}
}

/* ---- code segments ---- */

void cs_check_offset(struct cpu *c, const struct desc *d, uint64_t off)
{
	if (cpu_lma(c) && d->attr & SEG_L) {
		if (!canonical_now(c, off))
			cpu_gp0(c);
	} else if (off > d->limit) {
		cpu_gp0(c);
	}
}

void cs_load(struct cpu *c, uint16_t sel, const struct desc *d, unsigned cpl)
{
	struct seg *s = &c->s.seg[SEG_CS];
	s->sel = (sel & 0xfffc) | cpl;
	s->attr = d->attr;
	s->limit = d->limit;
	s->base = d->base;
	if (c->s.mode == MODE_LONG64) {
		s->desc_base = (uint32_t)d->base;
		s->base = 0;
	}
	cpu_set_cpl(c, cpl);
	cpu_mode_changed(c);
	seg_derive(c, SEG_CS);
}

/* ---- modes ---- */

static bool canonical(uint64_t a, unsigned bits)
{
	return (uint64_t)((int64_t)(a << (64 - bits)) >> (64 - bits)) == a;
}

bool canonical_max(const struct cpu *c, uint64_t a)
{
	return canonical(a, cpu_has(c, FEATURE_LA57) ? 57 : 48);
}

bool canonical_now(const struct cpu *c, uint64_t a)
{
	return canonical(a, c->s.cr4 & CR4_LA57 ? 57 : 48);
}

static enum cpu_mode mode_now(const struct cpu *c)
{
	bool big = c->s.seg[SEG_CS].attr & SEG_DB;
	if (!(c->s.cr0 & CR0_PE))
		return big ? MODE_REAL32 : MODE_REAL16;
	if (c->s.efer & EFER_LMA) {
		if (c->s.seg[SEG_CS].attr & SEG_L)
			return MODE_LONG64;
		return big ? MODE_COMPAT32 : MODE_COMPAT16;
	}
	if (c->s.flags & RFLAGS_VM)
		return MODE_V86;
	return big ? MODE_PROT32 : MODE_PROT16;
}

void cpu_set_cpl(struct cpu *c, unsigned cpl)
{
	c->s.cpl = (uint8_t)cpl;
}

/* Who spends this CPU's time. A guest of root software that does not number its VMs is VM 1's; once there is VMX
 * operation, CPL 0 outside the guest is the VMM. A guest in rings above 0 is at the CPL it believes in. */
static uint32_t account(const struct cpu *c, bool user)
{
	if (c->vmx.guest)
		return ACCT_GUEST + 2u * (c->vmx.vm ? c->vmx.vm : 1) + user;
	if (c->vmx.deprivileged && c->s.cpl)
		return ACCT_GUEST + 2u * c->vmx.vm + c->vmx.virtual_user;
	if (c->root.run || (c->vmx.vmxon != VMCS_NONE && !user))
		return ACCT_VMM;
	return ACCT_GUEST + user;
}

void cpu_mode_loaded(struct cpu *c)
{
	c->s.mode = (uint8_t)mode_now(c);
	for (unsigned i = SEG_ES; i <= SEG_DS; i++) {
		struct seg *s = &c->s.seg[i];
		s->desc_base = 0;
		if (c->s.mode == MODE_LONG64) {
			s->desc_base = (uint32_t)s->base;
			s->base = 0;
		}
	}
	cpu_mode_changed(c);
	for (unsigned i = SEG_ES; i < SEG_N; i++)
		seg_derive(c, (enum seg_reg)i);
}

void cpu_mode_changed(struct cpu *c)
{
	enum cpu_mode old = c->s.mode, mode = mode_now(c);
	if (mode <= MODE_REAL32)
		c->s.cpl = 0;
	else if (mode == MODE_V86)
		c->s.cpl = 3;
	if (mode != old) {
		c->s.mode = (uint8_t)mode;
		bool was64 = old == MODE_LONG64, is64 = mode == MODE_LONG64;
		for (unsigned i = SEG_ES; i <= SEG_DS && was64 != is64; i++) {
			struct seg *s = &c->s.seg[i];
			if (is64) {
				s->desc_base = (uint32_t)s->base;
				s->base = 0;
			} else {
				s->base = s->desc_base;
			}
		}
		for (unsigned i = SEG_ES; i <= SEG_GS; i++)
			seg_derive(c, i);
	}
	c->lin_mask = mode == MODE_LONG64 ? ~0ull : 0xffffffff;
	if (unlikely(c->s.cr4 & CR4_CET || c->cet))
		cet_changed(c);
	bool user = c->s.cpl == 3, ac = c->s.flags & RFLAGS_AC;
	c->align_check = user && ac && c->s.cr0 & CR0_AM;
	mmu_set_cpl(&c->mmu, user, ac, c->align_check || c->watch);
	if (c->ledger.acct >= ACCT_GUEST || c->ledger.acct == ACCT_VMM)
		c->ledger.acct = account(c, user);
	if (c->seen_mode != mode)
		trace(c->trace, c->ledger.now, c->number, CPU_TRACE_MODE, c->seen_mode, mode, 0, 0);
	if (c->seen_cpl != c->s.cpl)
		trace(c->trace, c->ledger.now, c->number, CPU_TRACE_CPL, c->seen_cpl, c->s.cpl, 0,
		      0);
	if (c->s.pmu.enabled && c->s.pmu.user != (c->s.cpl > 0))
		pmu_changed(c);
	c->seen_mode = (uint8_t)mode;
	c->seen_cpl = c->s.cpl;
}
