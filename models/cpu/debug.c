/* debug.c - debug registers: instruction, data and I/O breakpoints, general detect.
 *
 *   instruction  a fault, before the instruction at the address; RF holds it off (event.c asks at
 *                each boundary)
 *   data, I/O    a trap, after the instruction: DR6 bits collect in s.pending_dbg
 *   GD           MOV to or from a debug register faults with DR6.BD
 * While a data breakpoint is enabled every access takes the slow way (c->watch): exact, and free
 * when none is.
 *
 *   DR7: 31:30 LEN3 29:28 R/W3 .. 17:16 R/W0 | 13 GD | 10 1 | 9 GE | 8 LE | 7 G3 6 L3 .. 1 G0 0 L0
 *   DR6: 16 RTM (1) | 15 BT | 14 BS | 13 BD | 3:0 B3..B0; the rest reads as ones
 * Source: SDM Vol. 3B, "Debug Registers", "Debug Exceptions".
 * Simplified: IA32_DEBUGCTL.LBR is kept but there are no last-branch records; under BTF a branch to the very next
 * instruction does not count as one. */
#include "models/cpu/access.h"
#include "models/cpu/block.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

enum { RW_EXEC, RW_WRITE, RW_IO, RW_DATA };

static bool enabled(const struct cpu *c, unsigned i) { return c->s.dr[7] >> (2 * i) & 3; }
static unsigned rw(const struct cpu *c, unsigned i) { return c->s.dr[7] >> (16 + 4 * i) & 3; }
static unsigned length(const struct cpu *c, unsigned i)
{
	static const uint8_t bytes[] = { 1, 2, 8, 4 };
	return bytes[c->s.dr[7] >> (18 + 4 * i) & 3];
}

/* Any byte of [addr, addr+size) within the breakpoint, which is aligned to its length. */
static bool overlaps(const struct cpu *c, unsigned i, uint64_t addr, unsigned size)
{
	uint64_t first = c->s.dr[i] & ~(uint64_t)(length(c, i) - 1),
		 last = first + length(c, i) - 1;
	return addr <= last && addr + size - 1 >= first;
}

void debug_changed(struct cpu *c)
{
	uint8_t watch = 0;
	for (unsigned i = 0; i < 4; i++)
		if (enabled(c, i) && rw(c, i) & 1)
			watch |= 1u << i;
	if (watch != c->watch) {
		c->watch = watch;
		cpu_mode_changed(c);
	}
	if (debug_fetch_armed(c))
		cpu_attention(c);
}

void debug_data(struct cpu *c, uint64_t lin, unsigned size, bool write)
{
	for (unsigned i = 0; i < 4; i++) {
		if (!(c->watch >> i & 1) || (rw(c, i) == RW_WRITE && !write) ||
		    !overlaps(c, i, lin, size))
			continue;
		c->s.pending_dbg |= BIT(i);
		cpu_attention(c);
	}
}

/* "R/W = 10: break on I/O reads or writes", when CR4.DE is set. */
void debug_io(struct cpu *c, uint16_t port, unsigned size)
{
	if (likely(!(c->s.dr[7] & 0xff)) || !(c->s.cr4 & CR4_DE))
		return;
	for (unsigned i = 0; i < 4; i++) {
		if (!enabled(c, i) || rw(c, i) != RW_IO || !overlaps(c, i, port, size))
			continue;
		c->s.pending_dbg |= BIT(i);
		cpu_attention(c);
	}
}

bool debug_fetch_armed(const struct cpu *c)
{
	for (unsigned i = 0; i < 4 && c->s.dr[7] & 0xff; i++)
		if (enabled(c, i) && rw(c, i) == RW_EXEC)
			return true;
	return false;
}

uint64_t debug_fetch(struct cpu *c, uint64_t lin)
{
	uint64_t hit = 0;
	for (unsigned i = 0; i < 4; i++)
		if (enabled(c, i) && rw(c, i) == RW_EXEC && c->s.dr[i] == lin)
			hit |= BIT(i);
	return hit;
}

uint64_t debug_rip_behind(const struct cpu *c)
{
	uint8_t bytes[INSN_BYTES_MAX];
	struct uop u;
	unsigned n = 0;
	uint64_t lin = block_linear(c);
	while (n < sizeof bytes && mmu_peek_bytes(&c->mmu, (lin + n) & c->lin_mask, bytes + n, 1))
		n++;
	return decode(c->decoder, c->profile, block_key(c), bytes, n, &u) ? (c->s.rip + u.len) & c->lin_mask : c->s.rip;
}

/* ---- the registers ---- */

uint64_t dr_read(const struct cpu *c, unsigned i)
{
	return c->s.dr[i == 4 ? 6 : i == 5 ? 7 : i];
}

void dr_write(struct cpu *c, unsigned i, uint64_t v)
{
	switch (i) {
	case 4: case 6:
		c->s.dr[6] = (v & 0xe00f) | 0xffff0ff0;
		break;
	case 5: case 7:
		c->s.dr[7] = (v & 0xffff23ff) | 0x400;
		debug_changed(c);
		break;
	default:
		c->s.dr[i] = v;
		break;
	}
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE makes them #UD. GD comes after privilege. */
static void check_access(struct cpu *c, const struct uop *u, unsigned i, bool from)
{
	if (i > 7)
		cpu_raise(c, VEC_UD);
	/* "they take priority over ... general-protection exceptions based on privilege level; and invalid-opcode
	 * exceptions that occur because CR4.DE = 1" */
	vmx_mov_dr(c, u, i, from);
	if (c->s.cr4 & CR4_DE && (i == 4 || i == 5))
		cpu_raise(c, VEC_UD);
	need_cpl0(c);
	if (c->s.dr[7] & BIT(13))
		cpu_raise_event(c, &(struct cpu_event){ .vector = VEC_DB,
		                                        .type = EVENT_HARDWARE,
		                                        .dr6 = BIT(13) });
}

void insn_mov_from_dr(struct cpu *c, const struct uop *u)
{
	check_access(c, u, u->reg[1], true);
	reg_set(c, u->reg[0], cpu_long64(c) ? 8 : 4, dr_read(c, u->reg[1]));
}

void insn_mov_to_dr(struct cpu *c, const struct uop *u)
{
	unsigned i = u->reg[0];
	check_access(c, u, i, false);
	uint64_t v = reg_get(c, u->reg[1], cpu_long64(c) ? 8 : 4);
	if (i >= 4 && v >> 32)
		cpu_gp0(c);
	dr_write(c, i, v);
}
