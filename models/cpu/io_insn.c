/* io_insn.c - IN, OUT, INS, OUTS: the port space and who may reach it.
 *
 * In protected mode with CPL > IOPL, and always in virtual-8086 mode, the bit of every byte port
 * touched must be 0 in the TSS's I/O permission bitmap. REP forms run one iteration at a time, so
 * interrupts come between.
 * Source: SDM Vol. 1, "Input/Output"; Vol. 2, "IN", "OUT", "INS", "OUTS".
 * Timing: base cost IO, plus what the device answers in io_at.cost, booked as `io`. */
#include "models/cpu/access.h"
#include "models/cpu/insn.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

/* "the processor reads two bytes from the I/O permission bit map" at the port's byte: both must lie
 * in the TSS. */
static void check_port(struct cpu *c, uint16_t port, unsigned size)
{
	if (cpu_real(c) || (!cpu_v86(c) && c->s.cpl <= cpu_iopl(c)))
		return;
	const struct seg *tr = &c->s.seg[SEG_TR];
	uint64_t mask = cpu_lma(c) ? ~0ull : 0xffffffff;
	if (!(SEG_TYPE(tr->attr) & 8) || tr->limit < 103)
		cpu_gp0(c);
	uint32_t map = (uint32_t)cpu_sys_load(c, (tr->base + 102) & mask, 2), off = map + port / 8;
	if (off + 1 > tr->limit)
		cpu_gp0(c);
	uint32_t bits = (uint32_t)cpu_sys_load(c, (tr->base + off) & mask, 2) >> (port & 7);
	if (bits & MASK(size))
		cpu_gp0(c);
}

static uint64_t port_read(struct cpu *c, uint16_t port, unsigned size)
{
	struct io_at at = { .cpu = c->number, .now = c->ledger.now };
	uint64_t v = c->port.read ? c->port.read(c->port.who, port, size, &at) : ~0ull;
	v &= MASK(size * 8);
	ledger_charge(&c->ledger, WHY_IO, at.cost);
	c->stat[CPU_STAT_PORT_IN]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_PORT_IN, port, size, v, 0);
	debug_io(c, port, size);
	return v;
}

static void port_write(struct cpu *c, uint16_t port, unsigned size, uint64_t v)
{
	struct io_at at = { .cpu = c->number, .now = c->ledger.now };
	v &= MASK(size * 8);
	c->stat[CPU_STAT_PORT_OUT]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_PORT_OUT, port, size, v, 0);
	if (c->port.write)
		c->port.write(c->port.who, port, size, v, &at);
	ledger_charge(&c->ledger, WHY_IO, at.cost);
	debug_io(c, port, size);
}

static uint16_t port_operand(const struct cpu *c, const struct uop *u, unsigned i)
{
	return u->kind[i] == OPK_IMM ? (uint8_t)u->imm : (uint16_t)c->s.r[R_RDX];
}

void insn_in(struct cpu *c, const struct uop *u)
{
	uint16_t port = port_operand(c, u, 1);
	check_port(c, port, u->sz[0]);
	vmx_port(c, u, port, u->sz[0], true);
	reg_set(c, u->reg[0], u->sz[0], port_read(c, port, u->sz[0]));
}

void insn_out(struct cpu *c, const struct uop *u)
{
	uint16_t port = port_operand(c, u, 0);
	check_port(c, port, u->sz[1]);
	vmx_port(c, u, port, u->sz[1], false);
	port_write(c, port, u->sz[1], reg_get(c, u->reg[1], u->sz[1]));
}

/* ---- string forms ---- */

/* A register as an address of this instruction's size: 16-bit ones keep the rest, 32-bit ones clear
 * the upper half. */
static uint64_t addr_reg(const struct cpu *c, const struct uop *u, unsigned r)
{
	return c->s.r[r] << u->ash >> u->ash;
}
static void addr_add(struct cpu *c, const struct uop *u, unsigned r, int64_t by)
{
	reg_set(c, r, (64u - u->ash) / 8, c->s.r[r] + (uint64_t)by);
}

typedef void step_fn(struct cpu *c, const struct uop *u, unsigned size);

/* One iteration; with REP, come back for the next until rCX is 0. */
static void string(struct cpu *c, const struct uop *u, unsigned size, unsigned index, step_fn *step)
{
	bool rep = u->flags & (UOP_REP | UOP_REPNE);
	if (rep && !addr_reg(c, u, R_RCX))
		return;
	check_port(c, (uint16_t)c->s.r[R_RDX], size);
	vmx_port(c, u, (uint16_t)c->s.r[R_RDX], size, index == R_RDI);
	step(c, u, size);
	addr_add(c, u, index, c->s.flags & RFLAGS_DF ? -(int64_t)size : (int64_t)size);
	if (!rep)
		return;
	addr_add(c, u, R_RCX, -1);
	if (addr_reg(c, u, R_RCX))
		c->next_rip = c->s.rip;
}

static unsigned size_of(const struct uop *u, enum insn byte)
{
	return 1u << (u->row - byte);   /* the rows stand in the order B, W, D */
}

/* The destination is checked before the port is read: a read may have changed the device. */
static void ins_step(struct cpu *c, const struct uop *u, unsigned size)
{
	uint64_t lin = seg_linear(c, u, SEG_ES, addr_reg(c, u, R_RDI), size, true);
	cpu_probe(c, u, lin, size, ACC_WRITE);
	uint64_t v = port_read(c, (uint16_t)c->s.r[R_RDX], size);
	cpu_store_bytes(c, u, lin, &v, size);
}

static void outs_step(struct cpu *c, const struct uop *u, unsigned size)
{
	uint64_t v = 0;
	cpu_load_bytes(c, u, seg_linear(c, u, u->seg, addr_reg(c, u, R_RSI), size, false), &v,
	               size);
	port_write(c, (uint16_t)c->s.r[R_RDX], size, v);
}

void insn_ins(struct cpu *c, const struct uop *u)
{
	string(c, u, size_of(u, INSN_INSB), R_RDI, ins_step);
}
void insn_outs(struct cpu *c, const struct uop *u)
{
	string(c, u, size_of(u, INSN_OUTSB), R_RSI, outs_step);
}
