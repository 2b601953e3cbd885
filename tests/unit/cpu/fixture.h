/* fixture.h - a CPU with RAM and nothing else, in a chosen mode, for tests of instructions.
 *
 *     struct fixture *f = fixture_new(FIXTURE_LONG64);
 *     fixture_code(f, (uint8_t[]){ 0x48, 0xff, 0xc0 }, 3);         inc rax
 *     fixture_run(f, 1);
 *     cr_assert(eq(u64, f->cpu->s.r[R_RAX], 1));
 *
 * Memory (16 MB, flat in the protected modes, identity-mapped with 2 MB pages in 64-bit mode; user code may touch all):
 *   0x1000 PML4, 0x2000 PDPT, 0x3000 page directory | 0x5000 GDT | 0x5800 TSS (ring-0 stack at 0x7f00) | 0x6000 IDT
 *   0x8000 + 16 * v: HLT, where the gate of vector v leads
 *   FIXTURE_CODE code | FIXTURE_DATA data, 64 KB below it is the stack's top (SP = 0xfff0 in real mode)
 * Selectors: 0x08 64-bit code, 0x10 data, 0x18 32-bit code, 0x20 16-bit code; 0x28, 0x30, 0x38 the same for ring 3
 * (64-bit code, data, 32-bit code).
 * An exception is delivered to its HLT: fixture_run() returns its vector. */
#ifndef TESTS_CPU_FIXTURE_H
#define TESTS_CPU_FIXTURE_H

#include "models/cpu/cpu.h"
#include "models/mmu/mem.h"

#define FIXTURE_RAM   (16u << 20)
#define FIXTURE_CODE  0x10000u
#define FIXTURE_DATA  0x200000u
#define FIXTURE_STACK 0x1f0000u

enum fixture_mode { FIXTURE_REAL16, FIXTURE_PROT32, FIXTURE_LONG64 };

struct fixture {
	struct cpu *cpu;
	struct mem mem;
	struct profile profile;
	struct cache_hier *caches;
	struct trace trace;
	struct evq evq;
	int vector;                     /* of the last exception delivered, or -1 */
	uint64_t fault_rip;             /* where it struck, */
	uint32_t error;                 /* its error code */
};

struct fixture *fixture_new(enum fixture_mode mode);
void fixture_free(struct fixture *f);
/* Put n bytes at FIXTURE_CODE (real mode: 0x1000:0) and RIP before them; a halted CPU wakes. */
void fixture_code(struct fixture *f, const void *bytes, unsigned n);
void fixture_ring3(struct fixture *f);  /* go on at CPL 3 with the selectors above */
/* Run n instructions, fewer when the CPU stops; the vector of an exception meanwhile, or -1. */
int fixture_run(struct fixture *f, uint64_t n);
static inline void *fixture_at(struct fixture *f, uint64_t pa) { return f->mem.ram + pa; }

#endif
