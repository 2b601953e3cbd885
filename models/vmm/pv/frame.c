/* frame.c - types and counts of a paravirtual guest's page frames: see frame.h.
 *
 * In the table, 16 bytes a frame, behind 16 bytes of control:
 *
 *   first   63.....32  count; while it is taken apart: the next such frame, plus one (0: the last)
 *           25.....16  while it is taken apart: the entry to go on with
 *                   6  is taken apart
 *                   5  pinned
 *                 3:0  type
 *   second  63.....32  refs
 *           31......0  the flush its last use was after
 *
 *   control 63.....32  first frame to be taken apart, plus one      31......0  flushes so far */
#include "models/vmm/pv/frame.h"

#include <string.h>

#include "models/mmu/mem.h"
#include "models/mmu/pte.h"
#include "models/vmm/pv/abi.h"

#define PINNED  BIT(5)
#define APART   BIT(6)

const char *const frame_type_names[FRAME_TYPES] = { "none", "writable", "L1", "L2", "L3", "L4", "L2 with the corner" };

/* ---- the table ---- */

uint64_t frames_bytes(uint64_t pages) { return 16 + 16 * pages; }

static uint64_t at_first(const struct frames *f, uint64_t i) { return f->table + 16 + 16 * i; }
static uint64_t at_second(const struct frames *f, uint64_t i) { return f->table + 24 + 16 * i; }
static uint64_t read_first(const struct frames *f, uint64_t i) { return f->read(f->who, at_first(f, i)); }
static uint64_t read_second(const struct frames *f, uint64_t i) { return f->read(f->who, at_second(f, i)); }
static void write_first(const struct frames *f, uint64_t i, uint64_t x) { f->write(f->who, at_first(f, i), x); }
static void write_second(const struct frames *f, uint64_t i, uint64_t x) { f->write(f->who, at_second(f, i), x); }
static enum frame_type type_of(uint64_t first) { return (enum frame_type)(first & 15); }
static uint32_t high(uint64_t x) { return (uint32_t)(x >> 32); }
static uint64_t join(uint32_t top, uint64_t rest) { return (uint64_t)top << 32 | (rest & MASK(32)); }

static uint64_t page_pa(const struct frames *f, uint64_t i) { return f->base + (i << PAGE_SHIFT); }

int64_t frame_number(const struct frames *f, uint64_t machine)
{
	uint64_t i = (machine - f->base) >> PAGE_SHIFT;
	return machine < f->base || i >= f->n ? -1 : (int64_t)i;
}

static void spent(const struct frames *f, enum frame_spent what)
{
	if (f->spent)
		f->spent(f->who, what);
}

/* ---- levels ---- */

static bool is_table(enum frame_type t) { return t >= FRAME_L1; }

enum frame_type frame_root_type(const struct frames *f) { return f->wide ? FRAME_L4 : FRAME_L3; }

static unsigned level_of(enum frame_type t) { return t == FRAME_L2_TOP ? 2 : (unsigned)t - FRAME_L1 + 1; }

static unsigned entries_of(const struct frames *f, enum frame_type t) { return t == FRAME_L3 && !f->wide ? 4 : 512; }

/* The VMM's own entry there, or NULL. */
static const uint64_t *corner_at(const struct frames *f, enum frame_type t, unsigned index)
{
	if (t == FRAME_L4)
		return index == 256 ? &f->corner[0] : NULL;
	return t == FRAME_L2_TOP && index >= 510 ? &f->corner[index - 510] : NULL;
}

static enum frame_type type_below(const struct frames *f, enum frame_type t, unsigned index)
{
	if (t == FRAME_L3 && !f->wide)
		return index == 3 ? FRAME_L2_TOP : FRAME_L2;
	return t == FRAME_L2_TOP ? FRAME_L1 : (enum frame_type)(t - 1);
}

/* ---- counts ---- */

static void refs_add(struct frames *f, uint64_t i, int n)
{
	uint64_t second = read_second(f, i);
	write_second(f, i, join(high(second) + (uint32_t)n, second));
}

static uint32_t flushes(const struct frames *f) { return (uint32_t)f->read(f->who, f->table); }

void frames_flushed(struct frames *f)
{
	uint64_t control = f->read(f->who, f->table);
	f->write(f->who, f->table, join(high(control), control + 1));
	f->flush = false;
}

static void entry_put(struct frames *f, enum frame_type table, uint64_t entry);
static int entry_get(struct frames *f, enum frame_type table, unsigned index, uint64_t entry);

/* All its entries are counted, or none: what was counted before the one that is refused goes back. */
static int check_table(struct frames *f, uint64_t i, enum frame_type t)
{
	if (!f->budget)
		return PV_E2BIG;
	f->budget--;
	spent(f, FRAME_SPENT_TABLE);
	unsigned n = entries_of(f, t), k;
	int error = 0;
	for (k = 0; k < n && !error; k++) {
		uint64_t pa = page_pa(f, i) + 8 * k, entry = f->read(f->who, pa);
		const uint64_t *corner = corner_at(f, t, k);
		if (corner && entry && entry != *corner)
			error = PV_EPERM;
		else if (!corner)
			error = entry_get(f, t, k, entry);
	}
	if (!error && t == FRAME_L3 && !f->wide && !(f->read(f->who, page_pa(f, i) + 24) & PTE_P))
		error = PV_EINVAL;      /* no corner without it */
	if (error) {
		for (k--; k-- > 0;)     /* the one refused is the last that was looked at */
			if (!corner_at(f, t, k))
				entry_put(f, t, f->read(f->who, page_pa(f, i) + 8 * k));
		return error;
	}
	for (k = 0; k < n; k++)
		if (corner_at(f, t, k))
			f->write(f->who, page_pa(f, i) + 8 * k, *corner_at(f, t, k));
	return 0;
}

static int type_get(struct frames *f, uint64_t i, enum frame_type t)
{
	uint64_t first = read_first(f, i);
	if (first & APART)
		return PV_EAGAIN;
	if (high(first)) {
		if (type_of(first) != t || high(first) >= FRAME_COUNT_MAX)
			return PV_EBUSY;
		write_first(f, i, join(high(first) + 1, first));
		return 0;
	}
	if (type_of(first) != t && type_of(first) != FRAME_NONE && (uint32_t)read_second(f, i) == flushes(f))
		f->flush = true;
	/* first of all, so that one of its own entries cannot have it otherwise */
	write_first(f, i, join(1, (first & ~15ull) | t));
	int error = is_table(t) ? check_table(f, i, t) : 0;
	if (error)
		write_first(f, i, first);
	return error;
}

static void type_put(struct frames *f, uint64_t i)
{
	uint64_t first = read_first(f, i);
	uint32_t n = high(first) - 1;
	if (n) {
		write_first(f, i, join(n, first));
		return;
	}
	uint64_t second = read_second(f, i), control = f->read(f->who, f->table);
	write_second(f, i, join(high(second), control));
	if (!is_table(type_of(first))) {
		write_first(f, i, join(0, first));
		return;
	}
	write_first(f, i, join(high(control), (first & 15) | APART));
	f->write(f->who, f->table, join((uint32_t)i + 1, control));
}

int frame_get(struct frames *f, uint64_t i, enum frame_type t)
{
	int error = type_get(f, i, t);
	if (!error)
		refs_add(f, i, 1);
	return error;
}

void frame_put(struct frames *f, uint64_t i)
{
	type_put(f, i);
	refs_add(f, i, -1);
}

/* ---- entries ---- */

#define SOFTWARE_BITS (7ull << 9)
#define ADDRESS       (MASK(52) & PAGE_MASK)

static uint64_t allowed(const struct frames *f, enum frame_type table, bool leaf)
{
	if (table == FRAME_L3 && !f->wide)
		return ADDRESS | SOFTWARE_BITS | PTE_P | PTE_PWT | PTE_PCD;
	uint64_t bits = ADDRESS | SOFTWARE_BITS | PTE_P | PTE_RW | PTE_US | PTE_PWT | PTE_PCD | PTE_A | (f->nx ? PTE_XD : 0);
	if (leaf)
		bits |= PTE_D | (level_of(table) == 2 ? PTE_PS : 0);
	else
		bits |= PTE_D;          /* ignored there */
	return bits;
}

/* Of `n` frames that one leaf maps: counted, or none. */
static int leaf_get(struct frames *f, uint64_t i, unsigned n, bool writable)
{
	int error = 0;
	unsigned k;
	for (k = 0; k < n; k++) {
		if (writable && (error = type_get(f, i + k, FRAME_WRITABLE)))
			break;
		refs_add(f, i + k, 1);
	}
	while (error && k-- > 0) {
		type_put(f, i + k);
		refs_add(f, i + k, -1);
	}
	return error;
}

static int entry_get(struct frames *f, enum frame_type table, unsigned index, uint64_t entry)
{
	if (!(entry & PTE_P))
		return 0;
	const unsigned level = level_of(table);
	const bool large = level == 2 && entry & PTE_PS, leaf = level == 1 || large;
	int64_t i = frame_number(f, entry & ADDRESS);
	spent(f, FRAME_SPENT_ENTRY);
	if (entry & ~allowed(f, table, leaf))
		return PV_EINVAL;
	if (i < 0)
		return PV_EPERM;
	if (!leaf)
		return frame_get(f, (uint64_t)i, type_below(f, table, index));
	if (large && (entry & ADDRESS & MASK(21)))
		return PV_EINVAL;
	if (large && (uint64_t)i + 512 > f->n)
		return PV_EPERM;
	if (large && !f->budget)
		return PV_E2BIG;
	f->budget -= large;     /* as much work as a table */
	return leaf_get(f, (uint64_t)i, large ? 512 : 1, entry & PTE_RW);
}

static void entry_put(struct frames *f, enum frame_type table, uint64_t entry)
{
	if (!(entry & PTE_P))
		return;
	const unsigned level = level_of(table);
	const bool large = level == 2 && entry & PTE_PS, leaf = level == 1 || large;
	uint64_t i = (uint64_t)frame_number(f, entry & ADDRESS);
	spent(f, FRAME_SPENT_ENTRY);
	for (unsigned k = 0; k < (large ? 512u : 1u); k++) {
		if (!leaf || entry & PTE_RW)
			type_put(f, i + k);
		refs_add(f, i + k, -1);
	}
}

/* ---- calls ---- */

void frames_begin(struct frames *f)
{
	f->budget = FRAME_TABLES_MAX;
	frames_work(f, FRAME_WORK);
}

void frames_work(struct frames *f, unsigned entries)
{
	uint64_t control;
	while (entries && (control = f->read(f->who, f->table)) >> 32) {
		uint64_t i = high(control) - 1, first = read_first(f, i);
		enum frame_type t = type_of(first);
		unsigned k = (unsigned)(first >> 16 & 1023), n = entries_of(f, t);
		/* off the list while its entries put others on it */
		f->write(f->who, f->table, join(high(first), control));
		for (; k < n && entries; k++) {
			uint64_t pa = page_pa(f, i) + 8 * k, entry = f->read(f->who, pa);
			unsigned work = level_of(t) == 2 && entry & PTE_P && entry & PTE_PS ? 512 : 1;
			if (corner_at(f, t, k))
				f->write(f->who, pa, 0);
			else
				entry_put(f, t, entry);
			entries -= work < entries ? work : entries;
		}
		if (k == n) {
			write_first(f, i, t);
			continue;
		}
		control = f->read(f->who, f->table);
		write_first(f, i, join(high(control), APART | t | (uint64_t)k << 16));
		f->write(f->who, f->table, join((uint32_t)i + 1, control));
	}
}

int frame_pin(struct frames *f, uint64_t i, unsigned level)
{
	enum frame_type t = (enum frame_type)(FRAME_L1 + level - 1);
	if (level < 1 || level > (f->wide ? 4u : 3u))
		return PV_EINVAL;
	if (read_first(f, i) & PINNED)
		return PV_EBUSY;
	int error = frame_get(f, i, t);
	if (!error)
		write_first(f, i, read_first(f, i) | PINNED);
	return error;
}

int frame_unpin(struct frames *f, uint64_t i)
{
	uint64_t first = read_first(f, i);
	if (!(first & PINNED))
		return PV_ENOENT;
	write_first(f, i, first & ~PINNED);
	frame_put(f, i);
	return 0;
}

/* The new value is counted before the old one is let go: what is refused changes nothing. */
int frame_update(struct frames *f, uint64_t at, uint64_t value)
{
	int64_t i = frame_number(f, at);
	unsigned index = (unsigned)(at & MASK(12)) / 8;
	if (i < 0)
		return PV_EPERM;
	uint64_t first = read_first(f, (uint64_t)i);
	enum frame_type t = type_of(first);
	if (at & 7 || !is_table(t))
		return PV_EINVAL;
	if (first & APART)
		return PV_EAGAIN;
	if (!high(first) || index >= entries_of(f, t))
		return PV_EINVAL;
	if (corner_at(f, t, index))
		return PV_EPERM;
	const bool root = t == FRAME_L3 && !f->wide;
	if (root && index == 3 && !(value & PTE_P))
		return PV_EINVAL;
	int error = entry_get(f, t, index, value);
	if (error)
		return error;
	uint64_t pa = at & ~7ull, old = f->read(f->who, pa);
	f->write(f->who, pa, value);
	entry_put(f, t, old);
	f->top |= root;
	return 0;
}

/* ---- for who looks ---- */

struct frame_view frame_view(const struct frames *f, uint64_t i)
{
	uint64_t first = read_first(f, i), second = read_second(f, i);
	bool apart = first & APART;
	return (struct frame_view){ type_of(first), apart ? 0 : high(first), high(second), first & PINNED, apart };
}

struct audit { const struct frames *f; uint32_t *types, *refs; const char *wrong; uint64_t where; };

static void found(struct audit *a, const char *what, uint64_t i)
{
	if (!a->wrong) {
		a->wrong = what;
		a->where = i;
	}
}

static void audit_entry(struct audit *a, uint64_t i, enum frame_type t, unsigned index, uint64_t entry, bool whole)
{
	const struct frames *f = a->f;
	const uint64_t *corner = corner_at(f, t, index);
	if (corner && whole && entry != *corner)
		found(a, "a root without the VMM's corner", i);
	if (corner || !(entry & PTE_P))
		return;
	int64_t target = frame_number(f, entry & ADDRESS);
	const bool large = level_of(t) == 2 && entry & PTE_PS, leaf = level_of(t) == 1 || large;
	if (target < 0 || (uint64_t)target + (large ? 512 : 1) > f->n) {
		found(a, "an entry names a page that is not the VM's", i);
		return;
	}
	for (unsigned k = 0; k < (large ? 512u : 1u); k++) {
		uint64_t to = (uint64_t)target + k;
		struct frame_view v = frame_view(f, to);
		enum frame_type wants = leaf ? entry & PTE_RW ? FRAME_WRITABLE : v.type : type_below(f, t, index);
		if (wants != v.type)
			found(a, leaf ? "a table is mapped writable" : "an entry leads to a frame of another type", to);
		a->refs[to]++;
		if (!leaf || entry & PTE_RW)
			a->types[to]++;
	}
}

const char *frames_audit(const struct frames *f, const uint64_t *roots, unsigned roots_n, uint32_t *scratch, uint64_t *where)
{
	struct audit a = { f, scratch, scratch + f->n, NULL, 0 };
	memset(scratch, 0, 2 * f->n * sizeof *scratch);
	for (unsigned k = 0; k < roots_n; k++) {
		a.types[roots[k]]++;
		a.refs[roots[k]]++;
	}
	for (uint64_t i = 0; i < f->n; i++) {
		uint64_t first = read_first(f, i);
		enum frame_type t = type_of(first);
		const bool apart = first & APART, used = is_table(t) && (apart || high(first));
		if (t >= FRAME_TYPES)
			found(&a, "no type", i);
		if (first & PINNED) {
			a.types[i]++;
			a.refs[i]++;
		}
		for (unsigned k = apart ? (unsigned)(first >> 16 & 1023) : 0; used && k < entries_of(f, t); k++)
			audit_entry(&a, i, t, k, f->read(f->who, page_pa(f, i) + 8 * k), !apart);
	}
	for (uint64_t i = 0; i < f->n; i++) {
		struct frame_view v = frame_view(f, i);
		if (v.count != a.types[i])
			found(&a, "the count of its uses is wrong", i);
		if (v.refs != a.refs[i])
			found(&a, "the count of references is wrong", i);
	}
	*where = a.where;
	return a.wrong;
}
