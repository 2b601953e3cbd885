/* An instruction whose bytes lie on two pages: stopping in the middle of it, with snapshots, does not show in the
 * time; and its second half is code that is seen to change. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/boot/image.h"
#include "models/machine.h"

#define CODE   0x20ffeu         /* the instruction's last two bytes lie on the next page */
#define TABLES 0x10000u
#define COUNT  300

static struct machine *start(const uint8_t *code, size_t n)
{
	struct machine_config k;
	struct err e = { "" };
	machine_config_defaults(&k);
	k.ram = 2 << 20;
	struct machine *m = machine_new(&k, &e);
	cr_assert(m != NULL, "%s", e.text);
	mem_write(&m->mem, HPA(CODE), code, n);
	for (unsigned i = 0; i < 512; i++)
		mem_write64(&m->mem, HPA(TABLES + 0x3000 + i * 8), i << 12 | 7);
	for (unsigned level = 0; level < 3; level++)
		mem_write64(&m->mem, HPA(TABLES + level * 0x1000), (TABLES + (level + 1) * 0x1000) | 7);
	struct cpu *c = m->cpu[0];
	entry_long64(c, CODE, TABLES);
	c->s.r[R_RCX] = COUNT;
	c->s.r[R_RSI] = 0x40ff0;
	c->s.r[R_RDI] = 0x60ff8;
	c->s.r[R_RAX] = 0x90;
	cpu_restored(c);
	return m;
}

static const uint8_t program[] = {
	0x67, 0x2e, 0xf3, 0xa4,                 /* rep movsb, with two prefixes before */
	0xf4,
};

Test(crossing, snapshots_in_the_middle_do_not_show)
{
	struct machine *a = start(program, sizeof program), *b = start(program, sizeof program);
	machine_run(a, NEVER, 0);
	unsigned taken = 0;
	for (enum machine_stop why = MACHINE_STOP_CYCLES; why == MACHINE_STOP_CYCLES; taken++) {
		struct snap *s = snap_take(b->snaps, "middle");
		machine_run(b, machine_now(b) + 100, 0);
		snap_restore(b->snaps, s);
		snap_drop(b->snaps, s);
		why = machine_run(b, machine_now(b) + 7, 0);
	}
	cr_expect(lt(uint, 20, taken));
	cr_expect(eq(u64, a->cpu[0]->s.r[R_RCX], 0));
	cr_expect(eq(u64, machine_now(a), machine_now(b)));
	cr_expect(eq(u64, machine_hash(a), machine_hash(b)));
	machine_free(a);
	machine_free(b);
}

/* The same with both halves on one physical page: REP STOSB runs over its own last bytes. */
static void over_itself(bool restored)
{
	static const uint8_t halves[] = { 0x67, 0x2e, 0xf3, 0xaa };     /* rep stosb */
	struct machine *m = start(halves, 2);
	struct cpu *c = m->cpu[0];
	mem_write64(&m->mem, HPA(TABLES + 0x3000 + 0x21 * 8), 0x20000 | 7);
	mem_write(&m->mem, HPA(0x20000), halves + 2, 2);
	memset(m->mem.ram + 0x20002, 0xf4, 64);
	c->s.r[R_RDI] = 0x1fff0;
	cpu_restored(c);
	cycle_t cold = machine_now(m);
	do {
		machine_run(m, machine_now(m) + 3, 0);
		if (restored) {
			struct snap *s = snap_take(m->snaps, "middle");
			snap_restore(m->snaps, s);
			snap_drop(m->snaps, s);
		}
	} while (c->s.r[R_RDI] < 0x20001 && machine_now(m) < cold + 100000);
	machine_run(m, machine_now(m) + 10000, 0);
	/* its 17th byte made a NOP and a single STOSB out of it */
	cr_expect(eq(u64, c->s.r[R_RCX], COUNT - 17));
	cr_expect(eq(u64, c->s.r[R_RDI], 0x20002));
	cr_expect(eq(uint, m->mem.ram[0x20002], 0xf4));
	machine_free(m);
}
Test(crossing, its_second_half_changes) { over_itself(false); }
Test(crossing, its_second_half_changes_after_a_restore) { over_itself(true); }
