/* softint.c - INT n, INT3, INTO, INT1: the program asks for a handler.
 * They leave the instruction as events; deliver.c delivers them with the return address behind the
 * instruction.
 * Source: SDM Vol. 2A, "INT n/INTO/INT3/INT1"; Vol. 3B, "Software Interrupt Handling Methods in
 * Virtual-8086 Mode". */
#include "models/cpu/access.h"
#include "models/cpu/sys.h"

static void software(struct cpu *c, const struct uop *u, uint8_t vector, enum event_type type)
{
	cpu_raise_event(
		c, &(struct cpu_event){ .vector = vector, .type = (uint8_t)type, .len = u->len });
}

/* Bit n of the redirection bitmap, the 32 bytes below the I/O permission bitmap: 0 sends INT n to
 * the 8086 program's own handler. */
static bool redirected(struct cpu *c, uint8_t vector)
{
	const struct seg *tr = &c->s.seg[SEG_TR];
	if (tr->limit < 103)
		cpu_gp0(c);
	uint32_t io = (uint32_t)cpu_sys_load(c, (tr->base + 102) & 0xffffffff, 2),
		 off = io + vector / 8u - 32;
	if (off > tr->limit)
		cpu_gp0(c);
	uint8_t byte = (uint8_t)cpu_sys_load(c, (tr->base + off) & 0xffffffff, 1);
	return !(byte >> (vector & 7) & 1);
}

/* As in real mode, through the table at linear 0, without leaving virtual-8086 mode. */
static void int_in_v86(struct cpu *c, uint8_t vector)
{
	uint64_t fl = cpu_rflags(c);
	uint32_t entry = (uint32_t)cpu_sys_load(c, vector * 4u, 4);
	bool virtual_if = cpu_iopl(c) < 3;
	if (virtual_if)
		fl = (fl & ~(uint64_t)RFLAGS_IF) | (fl & RFLAGS_VIF ? RFLAGS_IF : 0) | RFLAGS_IOPL;
	struct frame st = { .mask = 0xffff, .sp = c->s.r[R_RSP] & 0xffff, .cpl = 3 };
	frame_push(c, &st, 2, fl);
	frame_push(c, &st, 2, c->s.seg[SEG_CS].sel);
	frame_push(c, &st, 2, c->next_rip);
	c->s.r[R_RSP] = (c->s.r[R_RSP] & ~0xffffull) | st.sp;
	c->s.flags &= ~(uint64_t)((virtual_if ? RFLAGS_VIF : RFLAGS_IF) | RFLAGS_TF | RFLAGS_NT);
	seg_set_v86(c, SEG_CS, (uint16_t)(entry >> 16));
	c->next_rip = entry & 0xffff;
	flags_changed(c);
}

void insn_int(struct cpu *c, const struct uop *u)
{
	uint8_t vector = (uint8_t)u->imm;
	if (cpu_v86(c)) {
		if (c->s.cr4 & CR4_VME && redirected(c, vector)) {
			int_in_v86(c, vector);
			return;
		}
		if (cpu_iopl(c) < 3)
			cpu_gp0(c);
	}
	software(c, u, vector, EVENT_SOFTWARE);
}

void insn_int3(struct cpu *c, const struct uop *u) { software(c, u, VEC_BP, EVENT_SOFT_EXC); }

void insn_into(struct cpu *c, const struct uop *u)
{
	if (flag_of(c))
		software(c, u, VEC_OF, EVENT_SOFT_EXC);
}

/* INT1 (ICEBP): a debug trap that checks no privilege. Traps held back by a load of SS are reported
 * with it. */
void insn_int1(struct cpu *c, const struct uop *u)
{
	uint64_t held = c->s.pending_dbg;
	c->s.pending_dbg = 0;
	cpu_raise_event(c, &(struct cpu_event){ .vector = VEC_DB,
	                                        .type = EVENT_PRIV_SOFTWARE,
	                                        .len = u->len,
	                                        .dr6 = held });
}
