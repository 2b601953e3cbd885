/* fpstate.c - saving and restoring floating-point state: FXSAVE, FXRSTOR, XSAVE and its relatives,
 * MXCSR.
 *
 *   0 FCW | 2 FSW | 4 FTW, a bit a register | 6 FOP | 8 FIP | 12 FCS | 16 FDP | 20 FDS
 *     (with REX.W FIP and FDP are 8 bytes)
 *   24 MXCSR | 28 MXCSR_MASK | 32 ST(0)..ST(7), 16 bytes each | 160 XMM0.. | 416..511 untouched
 *   512 XSTATE_BV | 520 XCOMP_BV | 528..575 zero | 576 PKRU
 *     then, compacted: IA32_U_CET, IA32_PL3_SSP (CET_U) | IA32_PL0_SSP, PL1, PL2 (CET_S)
 *
 * XSAVE writes every component asked for; XSAVEOPT, XSAVEC and XSAVES leave out those in their
 * initial configuration.
 * Source: SDM Vol. 1, "Managing State Using the XSAVE Feature Set"; Vol. 2A, "FXSAVE", "FXRSTOR".
 * Simplified: the modified optimization (skipping what has not changed since XRSTOR) is never
 * taken. */
#include "models/cpu/fpstate.h"

#include "models/cpu/cet.h"
#include "models/cpu/sse.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

#define MSR_XSS 0xda0

/* ---- the image ---- */
static unsigned xmm_count(const struct uop *u) { return u->flags & UOP_LONG ? 16 : 8; }

static void image_x87(const struct cpu *c, uint8_t *m, bool wide)
{
	uint8_t tags = x87_abridged(c);
	memcpy(m, &c->s.fcw, 2);
	memcpy(m + 2, &c->s.fsw, 2);
	m[4] = tags;
	m[5] = 0;
	memcpy(m + 6, &c->s.fop, 2);
	memcpy(m + 8, &c->s.fip, 8);
	memcpy(m + 16, &c->s.fdp, 8);
	if (!wide) {
		uint32_t fcs = c->s.fcs, fds = c->s.fds;
		memcpy(m + 12, &fcs, 4);
		memcpy(m + 20, &fds, 4);
	}
	for (unsigned i = 0; i < 8; i++) {
		struct x87_reg r = x87_raw(c, i);
		memset(m + 32 + 16 * i, 0, 16);
		memcpy(m + 32 + 16 * i, &r.mant, 8);
		memcpy(m + 40 + 16 * i, &r.se, 2);
	}
}

static void take_x87(struct cpu *c, const uint8_t *m, bool wide)
{
	uint16_t w;
	uint32_t d;
	memcpy(&w, m, 2);
	c->s.fcw = (w & FCW_WRITABLE) | FCW_ONES;
	memcpy(&c->s.fsw, m + 2, 2);
	memcpy(&w, m + 6, 2);
	c->s.fop = w & 0x7ff;
	memcpy(&c->s.fip, m + 8, 8);
	memcpy(&c->s.fdp, m + 16, 8);
	c->s.fcs = c->s.fds = 0;
	if (!wide) {
		c->s.fip = (uint32_t)c->s.fip;
		c->s.fdp = (uint32_t)c->s.fdp;
		memcpy(&d, m + 12, 4);
		c->s.fcs = (uint16_t)d;
		memcpy(&d, m + 20, 4);
		c->s.fds = (uint16_t)d;
	}
	for (unsigned i = 0; i < 8; i++) {
		struct x87_reg *r = &c->s.st[x87_phys(c, i)];
		memcpy(&r->mant, m + 32 + 16 * i, 8);
		memcpy(&r->se, m + 40 + 16 * i, 2);
	}
	x87_set_abridged(c, m[4]);
	x87_update_es(c);
}

static void image_mxcsr(const struct cpu *c, uint8_t *m)
{
	uint32_t mask = MXCSR_MASK;
	memcpy(m + 24, &c->s.mxcsr, 4);
	memcpy(m + 28, &mask, 4);
}

/* #GP(0) when a reserved bit is set */
static uint32_t image_get_mxcsr(struct cpu *c, const uint8_t *m)
{
	uint32_t v;
	memcpy(&v, m + 24, 4);
	if (v & ~MXCSR_MASK)
		cpu_raise_ec(c, VEC_GP, 0);
	return v;
}

/* ---- the area in memory: in pieces, checked as a whole first ---- */
struct range { unsigned from, to; };

static void area_store(struct cpu *c, const struct uop *u, uint64_t lin, const uint8_t *m,
                       const struct range *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		cpu_probe(c, u, (lin + r[i].from) & c->lin_mask, r[i].to - r[i].from, ACC_WRITE);
	for (unsigned i = 0; i < n; i++)
		for (unsigned at = r[i].from, next; at < r[i].to; at = next) {
			next = (at | 63) + 1 < r[i].to ? (at | 63) + 1 : r[i].to;
			cpu_store_bytes(c, u, (lin + at) & c->lin_mask, m + at, next - at);
		}
}

static void area_load(struct cpu *c, const struct uop *u, uint64_t lin, uint8_t *m, struct range r)
{
	for (unsigned at = r.from, next; at < r.to; at = next) {
		next = (at | 63) + 1 < r.to ? (at | 63) + 1 : r.to;
		cpu_load_bytes(c, u, (lin + at) & c->lin_mask, m + at, next - at);
	}
}

static uint64_t area_linear(struct cpu *c, const struct uop *u, unsigned size, unsigned align,
                            bool write)
{
	uint64_t lin = ea_linear(c, u, size, write);
	if (lin & (align - 1))
		cpu_raise_ec(c, VEC_GP, 0);
	return lin;
}

/* ---- FXSAVE, FXRSTOR ---- */
static void fxsave(struct cpu *c, const struct uop *u, bool wide)
{
	uint8_t m[512];
	x87_enter_control(c);
	uint64_t lin = area_linear(c, u, 512, 16, true);
	bool sse = c->s.cr4 & CR4_OSFXSR;
	struct range r = { 0, 160 + (sse ? 16 * xmm_count(u) : 0) };
	image_x87(c, m, wide);
	image_mxcsr(c, m);
	memcpy(m + 160, c->s.xmm, 256);
	area_store(c, u, lin, m, &r, 1);
}
void fp_fxsave(struct cpu *c, const struct uop *u) { fxsave(c, u, false); }
void fp_fxsave64(struct cpu *c, const struct uop *u) { fxsave(c, u, true); }

static void fxrstor(struct cpu *c, const struct uop *u, bool wide)
{
	uint8_t m[512];
	x87_enter_control(c);
	uint64_t lin = area_linear(c, u, 512, 16, false);
	area_load(c, u, lin, m, (struct range){ 0, 512 });
	if (c->s.cr4 & CR4_OSFXSR) {
		c->s.mxcsr = image_get_mxcsr(c, m);
		memcpy(c->s.xmm, m + 160, 16 * xmm_count(u));
	}
	take_x87(c, m, wide);
}
void fp_fxrstor(struct cpu *c, const struct uop *u) { fxrstor(c, u, false); }
void fp_fxrstor64(struct cpu *c, const struct uop *u) { fxrstor(c, u, true); }

/* ---- XSAVE ---- */
static bool x87_in_use(const struct cpu *c)
{
	bool used = c->s.fcw != 0x37f || c->s.fsw || c->s.ftw != 0xffff || c->s.fop ||
	            c->s.fip || c->s.fdp || c->s.fcs || c->s.fds;
	for (unsigned i = 0; i < 8; i++)
		used |= c->s.st[i].mant || c->s.st[i].se;
	return used;
}

static uint64_t in_use(const struct cpu *c, unsigned xmms)
{
	uint64_t v = x87_in_use(c) ? XSTATE_X87 : 0;
	for (unsigned i = 0; i < xmms; i++)
		v |= c->s.xmm[i][0] | c->s.xmm[i][1] ? XSTATE_SSE : 0;
	return v | (c->s.pkru ? XSTATE_PKRU : 0);
}

uint64_t xsave_in_use(const struct cpu *c)
{
	uint64_t v = in_use(c, c->s.mode == MODE_LONG64 ? 16 : 8);
	if (c->s.mxcsr != MXCSR_INIT)
		v |= XSTATE_SSE;
	return v & c->s.xcr0;
}

/* With XSAVES and XRSTORS supervisor state too. */
static uint64_t enabled(struct cpu *c, bool supervisor_form)
{
	uint64_t xss = 0;
	if (supervisor_form)
		(void)msr_read(c, MSR_XSS, &xss);
	return c->s.xcr0 | xss;
}

static uint64_t requested(struct cpu *c, bool supervisor_form)
{
	return ((uint64_t)(uint32_t)c->s.r[R_RDX] << 32 | (uint32_t)c->s.r[R_RAX]) & enabled(c, supervisor_form);
}

static void xsave_enter(struct cpu *c)
{
	if (!(c->s.cr4 & CR4_OSXSAVE))
		cpu_raise(c, VEC_UD);
	if (c->s.cr0 & CR0_TS)
		cpu_raise(c, VEC_NM);
}

/* The CET components: MSRs in the order of the image. False: one of them could not hold its value. */
static const struct { uint16_t bit, n, nr[3]; } cet_states[] = {
	{ XSTATE_CET_U, 2, { 0x6a0, 0x6a7 } }, { XSTATE_CET_S, 3, { 0x6a4, 0x6a5, 0x6a6 } },
};
static uint64_t cet_used(const struct cpu *c)
{
	return (c->s.u_cet || c->s.pl_ssp[3] ? XSTATE_CET_U : 0) |
	       (c->s.pl_ssp[0] || c->s.pl_ssp[1] || c->s.pl_ssp[2] ? XSTATE_CET_S : 0);
}
static void image_cet(struct cpu *c, uint8_t *m, unsigned i)
{
	for (unsigned k = 0; k < cet_states[i].n; k++) {
		uint64_t v = 0;
		(void)msr_read(c, cet_states[i].nr[k], &v);     /* none: shadow stacks may be absent */
		memcpy(m + 8 * k, &v, 8);
	}
}
static bool cet_legal(const struct cpu *c, const uint8_t *m, unsigned i)
{
	for (unsigned k = 0; k < cet_states[i].n; k++) {
		uint64_t v;
		memcpy(&v, m + 8 * k, 8);
		if (v && !msr_valid(c, cet_states[i].nr[k], v))
			return false;
	}
	return true;
}
static void take_cet(struct cpu *c, const uint8_t *m, unsigned i)
{
	for (unsigned k = 0; k < cet_states[i].n; k++) {
		uint64_t v;
		memcpy(&v, m + 8 * k, 8);
		(void)msr_write(c, cet_states[i].nr[k], v);
	}
}

enum xsave_kind { XSAVE_PLAIN, XSAVE_OPT, XSAVE_COMPACT, XSAVE_SUPERVISOR /* compact too */ };

static void xsave(struct cpu *c, const struct uop *u, enum xsave_kind kind, bool wide)
{
	uint8_t m[XSAVE_MAX] = { 0 };
	struct range r[8];
	unsigned n = 0;
	const bool compact = kind >= XSAVE_COMPACT;
	uint64_t asked = requested(c, kind == XSAVE_SUPERVISOR), used = in_use(c, xmm_count(u)) | cet_used(c), saved, bv, comp;
	unsigned size = xsave_size(compact ? asked : c->s.xcr0);
	uint64_t lin = area_linear(c, u, size, 64, true);
	if (compact) {
		if (c->s.mxcsr != MXCSR_INIT)
			used |= XSTATE_SSE;
		saved = bv = asked & used;
		comp = asked | BIT(63);
		memcpy(m + XSAVE_HEADER + 8, &comp, 8);
	} else {
		area_load(c, u, lin, m, (struct range){ XSAVE_HEADER, XSAVE_HEADER + 8 });
		memcpy(&bv, m + XSAVE_HEADER, 8);
		bv = (bv & ~asked) | (asked & used);
		saved = kind == XSAVE_OPT ? asked & used : asked;
	}
	if (saved & XSTATE_X87) {
		image_x87(c, m, wide);
		r[n++] = (struct range){ 0, 24 };
		r[n++] = (struct range){ 32, 160 };
	}
	if ((compact ? saved : asked) & (XSTATE_SSE | XSTATE_AVX)) {
		image_mxcsr(c, m);
		r[n++] = (struct range){ 24, 32 };
	}
	if (saved & XSTATE_SSE) {
		memcpy(m + 160, c->s.xmm, 256);
		r[n++] = (struct range){ 160, 160 + 16 * xmm_count(u) };
	}
	if (saved & XSTATE_PKRU) {
		memcpy(m + XSAVE_PKRU_OFFSET, &c->s.pkru, 4);
		r[n++] = (struct range){ XSAVE_PKRU_OFFSET, XSAVE_PKRU_OFFSET + XSAVE_PKRU_SIZE };
	}
	for (unsigned i = 0; i < ARRAY_LEN(cet_states); i++) {
		if (!(saved & cet_states[i].bit))
			continue;
		unsigned at = xsave_offset(asked, cet_states[i].bit);
		image_cet(c, m + at, i);
		r[n++] = (struct range){ at, at + 8 * cet_states[i].n };
	}
	memcpy(m + XSAVE_HEADER, &bv, 8);
	r[n++] = (struct range){ XSAVE_HEADER, XSAVE_HEADER + (compact ? 16 : 8) };
	area_store(c, u, lin, m, r, n);
}
void fp_xsave(struct cpu *c, const struct uop *u)
{
	xsave_enter(c);
	xsave(c, u, XSAVE_PLAIN, false);
}
void fp_xsave64(struct cpu *c, const struct uop *u)
{
	xsave_enter(c);
	xsave(c, u, XSAVE_PLAIN, true);
}
void fp_xsaveopt(struct cpu *c, const struct uop *u)
{
	xsave_enter(c);
	xsave(c, u, XSAVE_OPT, false);
}
void fp_xsaveopt64(struct cpu *c, const struct uop *u)
{
	xsave_enter(c);
	xsave(c, u, XSAVE_OPT, true);
}
void fp_xsavec(struct cpu *c, const struct uop *u)
{
	xsave_enter(c);
	xsave(c, u, XSAVE_COMPACT, false);
}
void fp_xsavec64(struct cpu *c, const struct uop *u)
{
	xsave_enter(c);
	xsave(c, u, XSAVE_COMPACT, true);
}

static void supervisor(struct cpu *c, const struct uop *u, bool restore)
{
	if (vmx_guest(c) && !vmx_on(c, XSAVES))
		cpu_raise(c, VEC_UD);
	xsave_enter(c);
	if (c->s.cpl)
		cpu_raise_ec(c, VEC_GP, 0);
	vmx_xsaves(c, u, restore);
}
void fp_xsaves(struct cpu *c, const struct uop *u)
{
	supervisor(c, u, false);
	xsave(c, u, XSAVE_SUPERVISOR, false);
}
void fp_xsaves64(struct cpu *c, const struct uop *u)
{
	supervisor(c, u, false);
	xsave(c, u, XSAVE_SUPERVISOR, true);
}

/* ---- XRSTOR ---- */
/* The header's rules; false is #GP(0). Bit 63 of XCOMP_BV: the compacted format. */
static bool header_legal(struct cpu *c, const uint8_t *h, bool supervisor_form)
{
	uint64_t w[8], zero = 0;
	memcpy(w, h, 64);
	bool compact = w[1] >> 63;
	for (unsigned i = compact || supervisor_form ? 2 : 1; i < 8; i++)
		if (i < 3 || compact || supervisor_form)        /* the standard form: bytes 23:8 alone */
			zero |= w[i];
	if (zero || (supervisor_form && !compact))
		return false;
	if (compact)
		return !(w[1] & MASK(63) & ~enabled(c, supervisor_form)) && !(w[0] & ~w[1]) && !(w[0] >> 63);
	return !(w[0] & ~c->s.xcr0);
}

static void init_x87(struct cpu *c)
{
	x87_init(c);
	memset(c->s.st, 0, sizeof c->s.st);
}

static void xrstor(struct cpu *c, const struct uop *u, bool wide, bool supervisor_form)
{
	uint8_t m[XSAVE_MAX] = { 0 }, cet[ARRAY_LEN(cet_states)][24] = { 0 };
	uint64_t asked = requested(c, supervisor_form), bv, comp;
	uint64_t lin = area_linear(c, u, xsave_size(c->s.xcr0), 64, false);
	area_load(c, u, lin, m, (struct range){ XSAVE_HEADER, XSAVE_EXTENDED });
	if (!header_legal(c, m + XSAVE_HEADER, supervisor_form))
		cpu_raise_ec(c, VEC_GP, 0);
	memcpy(&bv, m + XSAVE_HEADER, 8);
	memcpy(&comp, m + XSAVE_HEADER + 8, 8);
	bool compact = comp >> 63;
	uint64_t take = asked & bv, reset = asked & ~bv;
	unsigned xmms = xmm_count(u);
	/* everything that can fault */
	bool load_mxcsr = compact ? take & XSTATE_SSE : asked & (XSTATE_SSE | XSTATE_AVX);
	uint32_t mxcsr = c->s.mxcsr;
	if (take & XSTATE_X87) {
		area_load(c, u, lin, m, (struct range){ 0, 24 });
		area_load(c, u, lin, m, (struct range){ 32, 160 });
	}
	if (load_mxcsr) {
		area_load(c, u, lin, m, (struct range){ 24, 32 });
		mxcsr = image_get_mxcsr(c, m);
	} else if (compact && (reset & XSTATE_SSE)) {
		mxcsr = MXCSR_INIT;
	}
	if (take & XSTATE_SSE)
		area_load(c, u, lin, m, (struct range){ 160, 160 + 16 * xmms });
	if (take & XSTATE_PKRU)
		area_load(c, u, lin, m, (struct range){ XSAVE_PKRU_OFFSET, XSAVE_PKRU_OFFSET + XSAVE_PKRU_SIZE });
	for (unsigned i = 0; i < ARRAY_LEN(cet_states); i++) {
		unsigned at = xsave_offset(comp, cet_states[i].bit);
		if (!(take & cet_states[i].bit))
			continue;
		area_load(c, u, lin, m, (struct range){ at, at + 8 * cet_states[i].n });
		if (!cet_legal(c, m + at, i))
			cpu_raise_ec(c, VEC_GP, 0);
		memcpy(cet[i], m + at, 8 * cet_states[i].n);
	}
	/* and everything that changes; what is not loaded is zero in m */
	c->s.mxcsr = mxcsr;
	if (take & XSTATE_X87)
		take_x87(c, m, wide);
	else if (reset & XSTATE_X87)
		init_x87(c);
	if (asked & XSTATE_SSE)
		memcpy(c->s.xmm, m + 160, 16 * xmms);
	if (asked & XSTATE_PKRU) {
		memcpy(&c->s.pkru, m + XSAVE_PKRU_OFFSET, 4);
		mmu_set_pkru(&c->mmu, c->s.pkru);
	}
	for (unsigned i = 0; i < ARRAY_LEN(cet_states); i++)
		if (asked & cet_states[i].bit)
			take_cet(c, cet[i], i);
}
void fp_xrstor(struct cpu *c, const struct uop *u) { xsave_enter(c); xrstor(c, u, false, false); }
void fp_xrstor64(struct cpu *c, const struct uop *u) { xsave_enter(c); xrstor(c, u, true, false); }
void fp_xrstors(struct cpu *c, const struct uop *u) { supervisor(c, u, true); xrstor(c, u, false, true); }
void fp_xrstors64(struct cpu *c, const struct uop *u) { supervisor(c, u, true); xrstor(c, u, true, true); }

/* ---- MXCSR ---- */
void fp_ldmxcsr(struct cpu *c, const struct uop *u)
{
	sse_enter(c);
	uint32_t v = cpu_load32(c, u, ea_linear(c, u, 4, false));
	if (v & ~MXCSR_MASK)
		cpu_raise_ec(c, VEC_GP, 0);
	c->s.mxcsr = v;
}

void fp_stmxcsr(struct cpu *c, const struct uop *u)
{
	sse_enter(c);
	cpu_store32(c, u, ea_linear(c, u, 4, true), c->s.mxcsr);
}

/* ---- RESET ---- */
void fpu_reset(struct cpu *c)
{
	x87_reset(c);
	memset(c->s.xmm, 0, sizeof c->s.xmm);
	c->s.mxcsr = MXCSR_INIT;
	c->s.xcr0 = XSTATE_X87;
	c->s.pkru = 0;
}
