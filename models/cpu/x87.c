/* x87.c - the x87 unit's stack, exceptions, control instructions and environment. See x87.h. */
#include "models/cpu/x87.h"
#include "models/cpu/sys.h"

/* ---- the stack ---- */
unsigned x87_classify(const struct x87_reg *r)
{
	unsigned e = r->se & 0x7fff;
	if (!e && !r->mant)
		return FTW_ZERO;
	return e == 0 || e == 0x7fff || !(r->mant >> 63) ? FTW_SPECIAL : FTW_VALID;
}

static void set_tag(struct cpu *c, unsigned phys, unsigned tag)
{
	c->s.ftw = (uint16_t)((c->s.ftw & ~(3u << 2 * phys)) | tag << 2 * phys);
}

void x87_set_raw(struct cpu *c, unsigned i, struct x87_reg r)
{
	unsigned p = x87_phys(c, i);
	c->s.st[p].mant = r.mant;
	c->s.st[p].se = r.se;
	set_tag(c, p, x87_classify(&r));
}

struct x87_reg x87_pack(struct fnum v)
{
	struct x87_reg r = { 0 };
	r.mant = f_to_f80(v, &r.se);
	return r;
}

void x87_set(struct cpu *c, unsigned i, struct fnum v)
{
	x87_set_raw(c, i, x87_pack(v));
}

void x87_push(struct cpu *c, struct x87_reg r)
{
	x87_set_top(c, x87_top(c) - 1);
	x87_set_raw(c, 0, r);
}

void x87_pop(struct cpu *c)
{
	set_tag(c, x87_phys(c, 0), FTW_EMPTY);
	x87_set_top(c, x87_top(c) + 1);
}

/* ---- the course of an instruction ---- */
void x87_enter_control(struct cpu *c)
{
	if (c->s.cr0 & (CR0_EM | CR0_TS))
		cpu_raise(c, VEC_NM);
}

/* "If ... the NE flag is clear and the IGNNE# pin is deasserted, ... the processor ... stops
 * instruction execution ... and waits for an external interrupt". SDM Vol. 1, "Floating-Point
 * Exception Handling" */
static void pending_error(struct cpu *c)
{
	if (c->s.cr0 & CR0_NE)
		cpu_raise(c, VEC_MF);
	if (ferr_drive(&c->ferr, true, c->ledger.now))
		return;
	c->s.activity = ACTIVITY_HLT;
	c->s.shadow = 0;
	cpu_attention(c);
	cpu_raise_event(c, &(struct cpu_event){ .type = EVENT_NONE });
}

/* No error is pending any more. */
static void no_error(struct cpu *c)
{
	ferr_drive(&c->ferr, false, c->ledger.now);
}

void x87_enter(struct cpu *c)
{
	x87_enter_control(c);
	if (unlikely(c->s.fsw & FSW_ES))
		pending_error(c);
}

void x87_note(struct cpu *c, const struct uop *u)
{
	c->s.fip = cpu_rip(c);
	c->s.fcs = c->s.seg[SEG_CS].sel;
	c->s.fop = u->imm & 0x7ff;
	if (x87_mem(u)) {
		c->s.fdp = ea_offset(c, u);
		c->s.fds = c->s.seg[u->seg].sel;
	}
}

struct fctl x87_ctl_full(const struct cpu *c)
{
	return (struct fctl){ .emin = -16382, .emax = 16383, .prec = 64, .x87 = 1,
	                      .rc = c->s.fcw >> 10 & 3, .mask = c->s.fcw & FP_ALL };
}

struct fctl x87_ctl(const struct cpu *c)
{
	static const uint8_t bits[4] = { 24, 64, 53, 64 };
	struct fctl f = x87_ctl_full(c);
	f.prec = bits[c->s.fcw >> 8 & 3];
	return f;
}

void x87_update_es(struct cpu *c)
{
	if (c->s.fsw & ~c->s.fcw & FP_ALL) {
		c->s.fsw |= FSW_ES | FSW_B;
	} else {
		c->s.fsw &= (uint16_t)~(FSW_ES | FSW_B);
		no_error(c);
	}
}

bool x87_commit(struct cpu *c, unsigned raised, bool c1)
{
	unsigned unmasked = raised & ~c->s.fcw & FP_ALL;
	/* nothing was computed: no later flags */
	if ((unmasked & FP_PRE) && !(raised & FSW_SF)) {
		raised &= FP_PRE;
		c1 = false;
	}
	c->s.fsw = (uint16_t)((c->s.fsw & ~FSW_C1) | raised | (c1 ? FSW_C1 : 0) |
	                      (unmasked ? FSW_ES | FSW_B : 0));
	return !(unmasked & FP_PRE);
}

bool x87_stack_fault(struct cpu *c, bool overflow)
{
	return x87_commit(c, FP_IE | FSW_SF, overflow);
}

/* ---- control ---- */
void x87_init(struct cpu *c)
{
	c->s.fcw = 0x37f;
	c->s.fsw = 0;
	c->s.ftw = 0xffff;
	c->s.fop = c->s.fcs = c->s.fds = 0;
	c->s.fip = c->s.fdp = 0;
	no_error(c);
}

void x87_reset(struct cpu *c)
{
	x87_init(c);
	c->s.fcw = 0x40;
	c->s.ftw = 0x5555;
	for (unsigned i = 0; i < 8; i++)
		c->s.st[i] = (struct x87_reg){ 0 };
}

void x87_fninit(struct cpu *c, const struct uop *u)
{
	(void)u;
	x87_enter_control(c);
	x87_init(c);
}

void x87_fnclex(struct cpu *c, const struct uop *u)
{
	(void)u;
	x87_enter_control(c);
	c->s.fsw &= 0x7f00;
	no_error(c);
}

void x87_fnop(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	x87_note(c, u);
}

/* FENI, FDISI, FSETPM of the 8087 and 80287: nothing since the 80387. */
void x87_nop_control(struct cpu *c, const struct uop *u)
{
	(void)u;
	x87_enter_control(c);
}

void x87_fwait(struct cpu *c, const struct uop *u)
{
	(void)u;
	if ((c->s.cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
		cpu_raise(c, VEC_NM);
	if (c->s.fsw & FSW_ES)
		pending_error(c);
}

static void store16(struct cpu *c, const struct uop *u, uint16_t v)
{
	if (x87_mem(u))
		cpu_store16(c, u, ea_linear(c, u, 2, true), v);
	else
		reg_set(c, R_RAX, 2, v);
}

void x87_fnstcw(struct cpu *c, const struct uop *u)
{
	x87_enter_control(c);
	store16(c, u, c->s.fcw);
}

void x87_fnstsw(struct cpu *c, const struct uop *u)
{
	x87_enter_control(c);
	store16(c, u, c->s.fsw);
}

void x87_fldcw(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	uint16_t v = cpu_load16(c, u, ea_linear(c, u, 2, false));
	c->s.fcw = (v & FCW_WRITABLE) | FCW_ONES;
	x87_update_es(c);
}

void x87_fincstp(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	x87_note(c, u);
	x87_set_top(c, x87_top(c) + 1);
	c->s.fsw &= (uint16_t)~FSW_C1;
}

void x87_fdecstp(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	x87_note(c, u);
	x87_set_top(c, x87_top(c) - 1);
	c->s.fsw &= (uint16_t)~FSW_C1;
}

void x87_ffree(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	x87_note(c, u);
	set_tag(c, x87_phys(c, x87_sti(u)), FTW_EMPTY);
	c->s.fsw &= (uint16_t)~FSW_C1;
}

void x87_ffreep(struct cpu *c, const struct uop *u)     /* undocumented, yet in every decoder */
{
	x87_ffree(c, u);
	x87_pop(c);
}

/* ---- environment: FLDENV, FNSTENV, FRSTOR, FNSAVE ----
 * Seven words of 16 or 32 bits. SDM Vol. 1, "Protected Mode x87 FPU State Image in Memory" and the
 * three figures after:
 *   word   protected mode         real and virtual-8086 mode (linear addresses)
 *   3      FIP                    FIP 15:0
 *   4      FCS | FOP << 16 (32)   FIP 31:16 << 12 | FOP   (16 bits: FIP 19:16 << 12 | FOP)
 *   5      FDP                    FDP 15:0
 *   6      FDS                    FDP 31:16 << 12 */
static bool real_format(const struct cpu *c)
{
	return !(c->s.cr0 & CR0_PE) || (c->s.flags & RFLAGS_VM);
}

static unsigned env_size(const struct uop *u)
{
	return u->osz == 2 ? 14 : 28;
}

static void env_make(const struct cpu *c, const struct uop *u, uint8_t *image)
{
	uint32_t w[7] = { c->s.fcw, c->s.fsw, c->s.ftw };
	uint32_t fip = (uint32_t)c->s.fip, fdp = (uint32_t)c->s.fdp;
	bool wide = u->osz != 2;
	if (real_format(c)) {
		fip += (uint32_t)c->s.fcs << 4;
		fdp += (uint32_t)c->s.fds << 4;
		w[3] = fip & 0xffff;
		w[4] = fip >> 16 << 12 | c->s.fop;
		w[5] = fdp & 0xffff;
		w[6] = fdp >> 16 << 12;
	} else {
		w[3] = fip;
		w[4] = c->s.fcs | (wide ? (uint32_t)c->s.fop << 16 : 0);
		w[5] = fdp;
		w[6] = c->s.fds;
	}
	if (wide) {
		static const uint32_t ones[2][7] = {    /* reserved upper halves read as ones */
			{ 0xffff0000, 0xffff0000, 0xffff0000, 0, 0, 0, 0xffff0000 },
			{ 0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000, 0, 0xffff0000, 0 },
		};
		for (unsigned i = 0; i < 7; i++) {
			w[i] |= ones[real_format(c)][i];
			memcpy(image + 4 * i, &w[i], 4);
		}
	} else {
		for (unsigned i = 0; i < 7; i++)
			memcpy(image + 2 * i, &w[i], 2);
	}
}

static void retag(struct cpu *c, uint16_t empty)        /* non-empty registers: by contents */
{
	c->s.ftw = 0xffff;
	for (unsigned p = 0; p < 8; p++)
		if ((empty >> 2 * p & 3) != FTW_EMPTY)
			set_tag(c, p, x87_classify(&c->s.st[p]));
}

static void env_take(struct cpu *c, const struct uop *u, const uint8_t *image)
{
	uint32_t w[7] = { 0 };
	bool wide = u->osz != 2;
	for (unsigned i = 0; i < 7; i++)
		memcpy(&w[i], image + (wide ? 4 : 2) * i, wide ? 4 : 2);
	c->s.fcw = (w[0] & FCW_WRITABLE) | FCW_ONES;
	c->s.fsw = (uint16_t)w[1];
	if (real_format(c)) {
		c->s.fip = (w[3] & 0xffff) | (uint64_t)(w[4] >> 12 & 0xffff) << 16;
		c->s.fdp = (w[5] & 0xffff) | (uint64_t)(w[6] >> 12 & 0xffff) << 16;
		c->s.fop = w[4] & 0x7ff;
		c->s.fcs = c->s.fds = 0;
	} else {
		c->s.fip = w[3];
		c->s.fcs = (uint16_t)w[4];
		c->s.fop = wide ? w[4] >> 16 & 0x7ff : 0;
		c->s.fdp = w[5];
		c->s.fds = (uint16_t)w[6];
	}
	retag(c, (uint16_t)w[2]);
	x87_update_es(c);
}

uint8_t x87_abridged(const struct cpu *c)
{
	uint8_t t = 0;
	for (unsigned p = 0; p < 8; p++)
		t |= (uint8_t)(((c->s.ftw >> 2 * p & 3) != FTW_EMPTY) << p);
	return t;
}

void x87_set_abridged(struct cpu *c, uint8_t tags)
{
	uint16_t empty = 0;
	for (unsigned p = 0; p < 8; p++)
		empty |= (uint16_t)((tags >> p & 1 ? 0 : 3) << 2 * p);
	retag(c, empty);
}

void x87_fnstenv(struct cpu *c, const struct uop *u)
{
	uint8_t image[28];
	unsigned n = env_size(u);
	x87_enter_control(c);
	env_make(c, u, image);
	cpu_store_bytes(c, u, ea_linear(c, u, n, true), image, n);
	c->s.fcw |= FP_ALL;
	x87_update_es(c);
}

void x87_fldenv(struct cpu *c, const struct uop *u)
{
	uint8_t image[28];
	unsigned n = env_size(u);
	x87_enter(c);
	cpu_load_bytes(c, u, ea_linear(c, u, n, false), image, n);
	env_take(c, u, image);
}

void x87_fnsave(struct cpu *c, const struct uop *u)
{
	uint8_t image[28 + 80];
	unsigned n = env_size(u), total = n + 80;
	x87_enter_control(c);
	env_make(c, u, image);
	for (unsigned i = 0; i < 8; i++) {
		struct x87_reg r = x87_raw(c, i);
		memcpy(image + n + 10 * i, &r.mant, 8);
		memcpy(image + n + 10 * i + 8, &r.se, 2);
	}
	uint64_t lin = ea_linear(c, u, total, true);
	cpu_probe(c, u, lin, total, ACC_WRITE);
	cpu_store_bytes(c, u, lin, image, 54);
	cpu_store_bytes(c, u, (lin + 54) & c->lin_mask, image + 54, total - 54);
	x87_init(c);
}

void x87_frstor(struct cpu *c, const struct uop *u)
{
	uint8_t image[28 + 80];
	unsigned n = env_size(u), total = n + 80;
	x87_enter(c);
	uint64_t lin = ea_linear(c, u, total, false);
	cpu_load_bytes(c, u, lin, image, 54);
	cpu_load_bytes(c, u, (lin + 54) & c->lin_mask, image + 54, total - 54);
	memcpy(&c->s.fsw, image + (u->osz == 2 ? 2 : 4), 2);    /* TOP places the registers */
	for (unsigned i = 0; i < 8; i++) {
		struct x87_reg *r = &c->s.st[x87_phys(c, i)];
		memcpy(&r->mant, image + n + 10 * i, 8);
		memcpy(&r->se, image + n + 10 * i + 8, 2);
	}
	env_take(c, u, image);
}

/* ---- MMX view ---- */
void mmx_enter(struct cpu *c)
{
	if (c->s.cr0 & CR0_EM)
		cpu_raise(c, VEC_UD);
	x87_enter(c);
}

void mmx_touch(struct cpu *c)
{
	x87_set_top(c, 0);
	x87_set_abridged(c, 0xff);
}

void mmx_emms(struct cpu *c, const struct uop *u)
{
	(void)u;
	mmx_enter(c);
	x87_set_top(c, 0);
	c->s.ftw = 0xffff;
}
