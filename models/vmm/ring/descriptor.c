/* descriptor.c - a guest's segment descriptor as ring compression lets the hardware have it.
 *
 * IA-32: the guest's kernel runs in ring 1, so what was DPL 0 becomes DPL 1; and no offset may lead into the corner, for ring 1 is a
 * supervisor to paging. A segment is one run of offsets, from 0 (expand-up, code) or to the top (expand-down): of the guest's
 * run the hardware gets what hangs together with that end and does not touch the corner. The rest (beyond the corner, where
 * base + offset wraps round) is reached by instructions that trap and are carried out in software:
 *
 *   base 0, limit 4 GB            0 ─────────────── corner      cut at the corner
 *   base 3 GB, limit 4 GB         3 GB ─ corner │ 0 ─── 3 GB    the part after the wrap traps
 *   expand-down, base 0           empty for the hardware: its run ends in the corner
 *   expand-down, base 1 MB        corner │ 0 ─ 1 MB             limit raised to the end of the corner
 *
 * Intel 64: the guest is in ring 3, and paging protects the corner, out of reach of 32-bit offsets anyway: nothing is cut. Kernel and
 * user are in one ring, so descriptors the user may not load are not present: only DPL 3 is loaded without the VMM.
 *
 * Not present for the hardware, so that their use traps: system descriptors and gates; descriptors whose accessed bit is still
 * clear (the CPU would set it in the copy); DPL 1 and 2, which ring 1 would see as its own; code in the corner.
 * Source: SDM Vol. 3A, "Segment Descriptors", "Limit Checking", "Privilege Level Checking"; Robin and Irvine (USENIX Security 2000) on
 * what ring compression lets through.
 * Timing: none, a function.
 * Simplified: a guest's kernel that loads DPL 0 with RPL 1 is not stopped here, as it would be in ring 0 (translated code looks itself). */
#include "models/cpu/sys.h"
#include "models/vmm/ring/ring.h"

/*  63:56 base 31:24 | 55 G | 54 D/B | 53 L | 52 AVL | 51:48 limit 19:16 | 47 P | 46:45 DPL | 44 S | 43:40 type | 39:16 base 23:0 | 15:0 limit 15:0 */
#define RAW_P    BIT(47)
#define RAW_S    BIT(44)
#define RAW_A    BIT(40)
#define RAW_G    BIT(55)
#define RAW_DB   BIT(54)
#define RAW_DPL  (3ull << 45)
#define RAW_LIMIT (0xfull << 48 | 0xffff)
#define RAW_TYPE(d) ((d) >> 40 & 15)

static uint32_t base_of(uint64_t d) { return (uint32_t)(d >> 16 & 0xffffff) | (uint32_t)(d >> 56) << 24; }

static uint32_t limit_of(uint64_t d)
{
	uint32_t n = (uint32_t)(d & 0xffff) | (uint32_t)(d >> 48 & 15) << 16;
	return d & RAW_G ? n << 12 | 0xfff : n;
}

static uint64_t with_limit(uint64_t d, uint32_t n, bool pages)
{
	d &= ~(RAW_LIMIT | RAW_G);
	return d | (n & 0xffff) | (uint64_t)(n >> 16 & 15) << 48 | (pages ? RAW_G : 0);
}

static unsigned dpl_of(uint64_t d) { return d >> 45 & 3; }
static uint64_t with_dpl(uint64_t d, unsigned dpl) { return (d & ~RAW_DPL) | (uint64_t)dpl << 45; }

/* No offset is inside: the run begins beyond its end. B stays: it is the width of a stack pointer. */
static uint64_t emptied(uint64_t d) { return with_limit(d | BIT(42), 0xfffff, true); }

/* Data that expand down: offsets limit + 1 to top. The nearest offset below top that leads into the corner is at the end
 * of the linear space, where the run wraps round. */
static uint64_t cut_down(uint64_t d)
{
	uint64_t top = d & RAW_DB ? 0xffffffff : 0xffff, limit = limit_of(d), last = (base_of(d) + top) & 0xffffffff;
	if (limit >= top)
		return d;
	if (last >= RING_CORNER_32)
		return emptied(d);
	if (top <= last || limit >= top - last - 1)
		return d;
	uint64_t need = top - last - 1;
	return need <= 0xfffff ? with_limit(d, (uint32_t)need, false) : with_limit(d, (uint32_t)(need >> 12), true);
}

static uint64_t cut(uint64_t d)
{
	uint32_t base = base_of(d), type = RAW_TYPE(d);
	if (!(type & TYPE_CODE) && type & TYPE_DOWN)
		return cut_down(d);
	if (base >= RING_CORNER_32)
		return type & TYPE_CODE ? 0 : emptied(d);
	uint32_t last = RING_CORNER_32 - 1 - base;
	if (limit_of(d) <= last)
		return d;
	return last <= 0xfffff ? with_limit(d, last, false) : with_limit(d, ((last + 1) >> 12) - 1, true);
}

static bool conforming(uint64_t d) { return (RAW_TYPE(d) & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING); }

uint64_t ring_descriptor(uint64_t guest, bool wide)
{
	unsigned dpl = dpl_of(guest);
	uint64_t absent = (!dpl && !wide ? with_dpl(guest, 1) : guest) & ~RAW_P;        /* LAR and the like find what they may */
	if (!(guest & RAW_P) || !(guest & RAW_S) || !(guest & RAW_A))
		return absent;
	if (wide)
		return (conforming(guest) ? dpl == 0 : dpl == 3) ? guest : absent;
	if (dpl == 1 || dpl == 2)
		return absent;
	uint64_t d = cut(guest);
	return !d ? absent : dpl || conforming(d) ? d : with_dpl(d, 1);
}

uint64_t ring_descriptor_own(uint64_t guest, enum seg_reg i, bool wide)
{
	uint64_t d = guest | RAW_A;
	if (!(guest & RAW_P) || !(guest & RAW_S))
		return 0;
	if (!wide)
		d = cut(d);
	if (!d && i == SEG_CS)
		return 0;
	if (!d)         /* code that is only read: data nobody may write, or execute */
		d = emptied(with_limit(guest | RAW_A, 0, false) & ~(BIT(43) | BIT(41)));
	if (conforming(d))
		return wide && i != SEG_CS ? with_dpl(d, 3) : d;
	return wide ? with_dpl(d, 3) : dpl_of(d) ? d : with_dpl(d, 1);
}

bool ring_descriptor_of(uint64_t base, uint32_t limit, uint32_t attr, uint64_t *raw)
{
	const bool pages = attr & SEG_G;
	if (pages ? (limit & 0xfff) != 0xfff : limit > 0xfffff)
		return false;
	uint64_t d = (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56 | (uint64_t)(attr & 0xf0ff) << 40;
	*raw = with_limit(d, pages ? limit >> 12 : limit, pages);
	return true;
}
