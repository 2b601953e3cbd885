/* prot.h - what tests of the protected architecture share, on top of fixture.h: descriptors in the GDT, one
 * instruction, and the exception it must or must not raise. */
#ifndef TESTS_CPU_PROT_H
#define TESTS_CPU_PROT_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "tests/unit/cpu/fixture.h"

#define GDT_BASE  0x5000u
#define TSS_BASE  0x5800u
#define IDT_BASE  0x6000u
#define STUB(v)   (0x8000u + 16u * (v))
#define NONE      (-1)

/* Access rights as in struct seg: present, by privilege level */
#define DATA(dpl)   (0x93u | (dpl) << 5)        /* writable, accessed */
#define RODATA(dpl) (0x91u | (dpl) << 5)
#define CODE(dpl)   (0x9bu | (dpl) << 5)        /* readable */
#define XCODE(dpl)  (0x99u | (dpl) << 5)        /* execute-only */
#define CONF(dpl)   (0x9fu | (dpl) << 5)        /* conforming */
#define SYS(type, dpl) (0x80u | (type) | (dpl) << 5)
#define ABSENT(attr) ((attr) & ~0x80u)
#define G32         (SEG_G | SEG_DB)
#define G64         (SEG_G | SEG_L)

/* limit: 20 bits, in the unit that attr's G says */
static inline uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t attr)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(attr & 0xf0ff) << 40 |
	       (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)(base >> 24) << 56;
}
static inline uint64_t gate(uint16_t sel, uint32_t off, unsigned type, unsigned dpl, unsigned params)
{
	return (off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)params << 32 | (uint64_t)(0x80 | type | dpl << 5) << 40 |
	       (uint64_t)(off >> 16) << 48;
}
static inline void put(struct fixture *f, uint64_t pa, uint64_t v, unsigned n) { mem_write(&f->mem, HPA(pa), &v, n); }
static inline uint64_t get(struct fixture *f, uint64_t pa, unsigned n) { uint64_t v = 0; mem_peek(&f->mem, HPA(pa), &v, n); return v; }
static inline void put_desc(struct fixture *f, uint16_t sel, uint64_t raw) { put(f, GDT_BASE + (sel & 0xfff8), raw, 8); }
static inline uint64_t get_desc(struct fixture *f, uint16_t sel) { return get(f, GDT_BASE + (sel & 0xfff8), 8); }

/* A fixture whose GDT has room: selectors 48H and up are the test's. 40H is the TSS it runs on. */
static inline struct fixture *prot_new(enum fixture_mode mode, unsigned cpl)
{
	struct fixture *f = fixture_new(mode);
	if (mode != FIXTURE_REAL16) {
		f->cpu->s.gdtr.limit = 0x7ff;
		put_desc(f, 0x40, descriptor(TSS_BASE, 0x67, SYS(DESC_TSS32_BUSY, 0)));
	}
	if (cpl == 3)
		fixture_ring3(f);
	return f;
}

#define CODE_BYTES(f, ...) fixture_code((f), (uint8_t[]){ __VA_ARGS__ }, sizeof (uint8_t[]){ __VA_ARGS__ })
/* Run one instruction of these bytes; the exception's vector or NONE. */
#define STEP(f, ...) (CODE_BYTES(f, __VA_ARGS__), fixture_run((f), 1))

#define EXPECT_FAULT(f, got, vec, ec) do { \
	cr_expect(eq(int, (got), (vec))); \
	if ((vec) != NONE) \
		cr_expect(eq(u32, (f)->error, (uint32_t)(ec))); \
} while (0)

#define RIP(f) ((f)->cpu->s.rip)
#define REG(f, i) ((f)->cpu->s.r[i])

#endif
