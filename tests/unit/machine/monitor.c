/* monitor.c - one CPU waits in MWAIT for another one's store, or for a device's. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "models/cpu/sys.h"
#include "models/machine.h"

enum { CODE0 = 0x1000, CODE1 = 0x2000, LINE = 0x3000 };

static struct machine *m;

/* A CPU in real mode with flat zero segments at `ip`. */
static void start(struct cpu *c, uint64_t ip)
{
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		c->s.seg[i].base = c->s.seg[i].sel = 0;
		seg_derive(c, (enum seg_reg)i);
	}
	c->s.rip = ip;
	c->s.activity = ACTIVITY_ACTIVE;
	c->s.r[R_RAX] = LINE;
	c->s.r[R_RCX] = c->s.r[R_RDX] = 0;
}

static void set_up(void)
{
	/* monitor; mwait; inc byte [LINE]; jmp $ */
	static const uint8_t waiter[] = { 0x0f, 0x01, 0xc8, 0x0f, 0x01, 0xc9, 0xfe, 0x06, LINE & 0xff, LINE >> 8, 0xeb, 0xfe };
	/* mov cx, 4000; loop $; inc byte [LINE]; jmp $ */
	static const uint8_t storer[] = { 0xb9, 0xa0, 0x0f, 0xe2, 0xfe, 0xfe, 0x06, LINE & 0xff, LINE >> 8, 0xeb, 0xfe };
	struct machine_config k;
	struct err e = { "" };
	machine_config_defaults(&k);
	k.ram = 16 << 20;
	k.cpus = 2;
	m = machine_new(&k, &e);
	cr_assert(m != NULL, "%s", e.text);
	mem_write(&m->mem, HPA(CODE0), waiter, sizeof waiter);
	mem_write(&m->mem, HPA(CODE1), storer, sizeof storer);
	start(m->cpu[0], CODE0);
	start(m->cpu[1], CODE1);
}
static void done(void) { machine_free(m); }
TestSuite(machine_monitor, .init = set_up, .fini = done);

static uint8_t stored(void) { uint8_t v = 0; mem_peek(&m->mem, HPA(LINE), &v, 1); return v; }

Test(machine_monitor, another_cpus_store_wakes)
{
	machine_run(m, 2000, 0);
	cr_expect(eq(int, m->cpu[0]->s.mwait, MWAIT_OPEN));
	cr_expect(eq(int, stored(), 0));
	machine_run(m, 40000, 0);
	cr_expect(eq(int, m->cpu[0]->s.mwait, MWAIT_NOT));
	cr_expect(eq(int, stored(), 2));
	cr_expect(eq(u64, m->cpu[0]->stat[CPU_STAT_MWAIT_STORE], 1));
	cr_expect(lt(u64, 3000, ledger_by_acct(&m->cpu[0]->ledger, ACCT_IDLE)), "it idled meanwhile");
}
Test(machine_monitor, in_pieces_it_is_the_same_run)
{
	struct machine *whole = m;
	machine_run(whole, 40000, 0);
	uint64_t hash = machine_hash(whole);
	set_up();
	while (machine_now(m) < 40000)
		machine_run(m, machine_now(m) + 7 < 40000 ? machine_now(m) + 7 : 40000, 0);
	cr_expect(eq(u64, machine_hash(m), hash));
	machine_free(whole);
}
Test(machine_monitor, a_snapshot_taken_meanwhile_goes_on_alike)
{
	machine_run(m, 2000, 0);
	struct snap *s = snap_take(m->snaps, "waiting");
	machine_run(m, 40000, 0);
	uint64_t hash = machine_hash(m);
	snap_restore(m->snaps, s);
	cr_expect(eq(int, m->cpu[0]->s.mwait, MWAIT_OPEN));
	machine_run(m, 40000, 0);
	cr_expect(eq(u64, machine_hash(m), hash));
}
/* What a disk's DMA does: a store by no CPU. */
Test(machine_monitor, a_devices_store_wakes)
{
	machine_run(m, 2000, 0);
	mem_write(&m->mem, HPA(LINE + 60), "\1", 1);
	machine_run(m, 4000, 0);
	cr_expect(eq(int, m->cpu[0]->s.mwait, MWAIT_NOT));
	cr_expect(eq(int, stored(), 1));
}
