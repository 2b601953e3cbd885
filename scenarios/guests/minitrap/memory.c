/* memory.c - the guest's memory: relocation and bounds, and its descriptors with both applied.
 * Source: SDM Vol. 3A, "Segment Descriptors", "Limit Checking". */
#include "minitrap.h"

/* In the upper half of a descriptor. */
enum { S = 1 << 12, P = 1 << 15, CODE = 1 << 11, EXPAND_DOWN = 1 << 10, ACCESSED = 1 << 8, G = 1 << 23 };

bool guest_read(uint32_t at, void *to, uint32_t n)
{
	if (at >= guest.bytes || n > guest.bytes - at)
		return false;
	memcpy(to, (const void *)(guest.base + at), n);
	return true;
}

bool guest_write(uint32_t at, const void *from, uint32_t n)
{
	if (at >= guest.bytes || n > guest.bytes - at)
		return false;
	memcpy((void *)(guest.base + at), from, n);
	return true;
}

uint64_t guest_descriptor(uint32_t selector)
{
	uint64_t d;

	if (selector & 4 || (selector | 7u) > guest.gdt.limit || !guest_read(guest.gdt.base + (selector & ~7u), &d, 8))
		return 0;
	return d;
}

uint32_t segment_base(uint64_t d) { return (uint32_t)(d >> 16 & 0xFFFFFF) | (uint32_t)(d >> 32 & 0xFF000000); }
uint32_t segment_dpl(uint64_t d) { return (uint32_t)(d >> 45) & 3; }

uint32_t segment_limit(uint64_t d)
{
	uint32_t limit = (uint32_t)(d & 0xFFFF) | (uint32_t)(d >> 32 & 0xF0000);

	return d >> 32 & G ? limit << 12 | 0xFFF : limit;
}

/* R applied: base + l, limit at most b - base, ring 0 to 1. What is no segment of memory, or cannot be bounded, is absent for the
 * hardware, so that its use traps. */
static uint64_t relocated(uint64_t d)
{
	uint32_t base = segment_base(d), limit = segment_limit(d), high = (uint32_t)(d >> 32);
	bool page;

	if (!(high & S) || !(high & P) || base >= guest.bytes || (!(high & CODE) && high & EXPAND_DOWN))
		return 0;
	if (limit > guest.bytes - 1 - base)
		limit = guest.bytes - 1 - base;
	page = limit > 0xFFFFF;
	if (page)
		limit = ((limit + 1) >> 12) - 1;
	if (!segment_dpl(d))
		high |= 1 << 13;
	base += guest.base;
	high = (high & ~(0xFF0F00FFu | G)) | ACCESSED | (page ? G : 0) | (base >> 16 & 0xFF) | (base & 0xFF000000) | (limit & 0xF0000);
	return (uint64_t)high << 32 | base << 16 | (limit & 0xFFFF);
}

/* The hardware's CS and SS are of the ring that stands for the guest's. */
void segment_set(struct frame *f, unsigned r, uint32_t selector, uint64_t descriptor)
{
	uint32_t *const reg[] = { &f->es, &f->cs, &f->ss, &f->ds, &f->fs, &f->gs };

	guest.segment[r] = (struct segment){ selector, descriptor };
	descriptor = relocated(descriptor);
	if (gdt[GDT_GUEST + r] != descriptor)	/* dear, when a VMM outside looks at each such write */
		gdt[GDT_GUEST + r] = descriptor;
	*reg[r] = descriptor ? (GDT_GUEST + r) * 8 : 0;
	if (r == CS || r == SS)
		*reg[r] |= guest.cpl ? guest.cpl : 1;
}

/* Guest-physical address of n bytes at an offset in a segment; false: beyond it. */
static bool segment_at(const struct segment *s, uint32_t offset, uint32_t n, uint32_t *at)
{
	uint32_t limit = segment_limit(s->descriptor);

	if (!(s->descriptor >> 32 & P) || offset > limit || n - 1 > limit - offset)
		return false;
	*at = segment_base(s->descriptor) + offset;
	return true;
}

bool segment_read(const struct segment *s, uint32_t offset, void *to, uint32_t n)
{
	uint32_t at;

	return segment_at(s, offset, n, &at) && guest_read(at, to, n);
}

bool segment_write(const struct segment *s, uint32_t offset, const void *from, uint32_t n)
{
	uint32_t at;

	return segment_at(s, offset, n, &at) && guest_write(at, from, n);
}
