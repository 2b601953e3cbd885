/* Fuzz target: random machine code at random privilege with random page tables, descriptors and control registers.
 *
 * Input: 16 bytes choose mode and registers, the next 512 fill descriptor tables, the next 256 page-table entries,
 * the rest is code. Whatever happens must be a guest's fault, never ours; and the ledger must balance. */
#include <stdlib.h>
#include <string.h>

#include "models/machine.h"
#include "models/boot/image.h"
#include "tests/fuzz/fuzz.h"

#define RAM     (2u << 20)
#define GDT     0x1000u
#define IDT     0x2000u
#define TABLES  0x10000u        /* 16 pages of paging structures */
#define CODE    0x20000u
#define CODE_N  0x4000u

static uint64_t take(const uint8_t **p, size_t *n, unsigned bytes)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < bytes && *n; i++, (*p)++, (*n)--)
		v |= (uint64_t)**p << (8 * i);
	return v;
}

/* Paging structures: identity for the low 2 MB through every level, then entries of the fuzzer's choice. */
static void page_tables(struct machine *m, const uint8_t **p, size_t *n)
{
	for (unsigned level = 0; level < 3; level++)
		mem_write64(&m->mem, HPA(TABLES + level * 0x1000), (TABLES + (level + 1) * 0x1000) | 7);
	for (uint64_t i = 0; i < 512; i++)
		mem_write64(&m->mem, HPA(TABLES + 0x3000 + i * 8), i << 12 | 7);
	for (unsigned i = 0; i < 32; i++) {
		uint64_t where = take(p, n, 2), entry = take(p, n, 6);
		mem_write64(&m->mem, HPA(TABLES + (where & 0x3ff8)), entry | (entry >> 40 & 1) << 63);
	}
}

int fuzz_exec(const uint8_t *data, size_t n)
{
	static struct fuzz_machine f;
	struct machine *m = fuzz_machine(&f, RAM);
	uint64_t choice = take(&data, &n, 8), more = take(&data, &n, 8);
	machine_set_fast(m, choice >> 63);
	struct cpu *c = m->cpu[0];
	for (unsigned i = 0; i < 64; i++)
		mem_write64(&m->mem, HPA((i & 32 ? IDT : GDT) + (i & 31) * 8), take(&data, &n, 8));
	page_tables(m, &data, &n);
	size_t code = n < CODE_N ? n : CODE_N;
	mem_write(&m->mem, HPA(CODE), data, code);

	switch (choice & 3) {
	case 0: entry_real(c, CODE >> 4, 0); break;
	case 1: entry_protected32(c, CODE); break;
	default: entry_long64(c, CODE, TABLES); break;
	}
	c->s.gdtr = (struct dtr){ GDT, (uint32_t)(more & 0xff), 0 };
	c->s.idtr = (struct dtr){ (choice & 3) ? IDT : 0, (uint32_t)(more >> 8 & 0x3ff), 0 };
	for (unsigned i = 0; i < 16; i++)
		c->s.r[i] = (choice >> (i + 2) & 1 ? CODE : 0) + (more >> i & 0xffff);
	c->s.flags |= more & (RFLAGS_IF | RFLAGS_DF | RFLAGS_TF | RFLAGS_IOPL | RFLAGS_AC | RFLAGS_NT);
	if (choice & 3) {
		unsigned dpl = choice >> 32 & 3;        /* the ring to start in */
		for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++) {
			c->s.seg[i].attr |= dpl << 5;
			c->s.seg[i].sel |= dpl;
		}
		if ((choice & 3) == 1 && choice >> 34 & 1) {
			c->s.cr3 = TABLES + (choice >> 35 & 3) * 0x1000;
			c->s.cr0 |= CR0_PG;
			c->s.cr4 |= choice >> 37 & 1 ? CR4_PAE : CR4_PSE;
		}
	}
	if (choice >> 38 & 1)
		c->s.cr0 |= CR0_WP | CR0_AM;
	if (choice >> 39 & 1)
		c->s.cr4 |= CR4_OSFXSR | CR4_SMEP | CR4_SMAP | CR4_UMIP;
	if (choice >> 40 & 1) {         /* control-flow enforcement, shadow stacks in reach */
		c->s.cr0 |= CR0_WP;
		c->s.cr4 |= CR4_CET;
		c->s.u_cet = choice >> 41 & 0x3f;
		c->s.s_cet = choice >> 47 & 0x3f;
		for (unsigned i = 0; i < 4; i++)
			c->s.pl_ssp[i] = CODE + (more >> (16 + 8 * i) & 0xff) * 4;
		c->s.ssp = c->s.pl_ssp[choice >> 53 & 3];
		c->s.ssp_table = CODE + (more >> 48 & 0xfff) * 8;
	}
	cpu_restored(c);
	machine_run(m, 200000, 3000);
	if (!ledger_audit(&c->ledger))
		abort();
	return 0;
}
