/* pmu.c - counters that overflow and interrupt in a run that is cut up, or restored in the middle: the same run. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/machine.h"

enum { CODE = 0x1000, HANDLER = 0x2000, END = 60000 };

static struct machine *m;

static void set_up(void)
{
	/* loop: add ax, [bx]; mul cx; inc bx; jmp loop */
	static const uint8_t code[] = { 0x03, 0x07, 0xf7, 0xe1, 0x43, 0xeb, 0xf9 };
	/* NMI: inc word [3000H]; unmask the entry (mov dword [si + 340H], 400H); counter again (wrmsr), status clear (wrmsr); iret */
	static const uint8_t handler[] = {
		0xff, 0x06, 0x00, 0x30, 0x66, 0xb9, 0xc1, 0, 0, 0, 0x66, 0xb8, 0x18, 0xfc, 0xff, 0xff, 0x66, 0x31, 0xd2, 0x0f, 0x30,
		0x66, 0xb9, 0x90, 3, 0, 0, 0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0x30,
		0x67, 0x66, 0xc7, 0x06, 0x00, 0x04, 0, 0, 0xcf,
	};
	struct machine_config k;
	struct err e = { "" };
	machine_config_defaults(&k);
	k.ram = 16 << 20;
	m = machine_new(&k, &e);
	cr_assert(m != NULL, "%s", e.text);
	mem_write(&m->mem, HPA(CODE), code, sizeof code);
	mem_write(&m->mem, HPA(HANDLER), handler, sizeof handler);
	mem_write32(&m->mem, HPA(4 * VEC_NMI), HANDLER);
	struct cpu *c = m->cpu[0];
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		c->s.seg[i].base = c->s.seg[i].sel = 0;
		c->s.seg[i].limit = 0xffffffff;         /* so that the local APIC is in reach */
		seg_derive(c, (enum seg_reg)i);
	}
	c->s.idtr = (struct dtr){ .limit = 0x3ff };
	c->s.rip = CODE;
	c->s.r[R_RSP] = 0x8000;
	c->s.r[R_RSI] = 0xfee00340;
	lapic_mmio_write(c->lapic, 0xf0, 0x1ff);
	lapic_mmio_write(c->lapic, 0x340, 0x400);
	cr_assert(msr_write(c, 0x186, 0xc0 | 1 << 17 | 1 << 20 | 1 << 22));
	cr_assert(msr_write(c, 0xc1, (uint32_t)-1000));
}
static void done(void) { machine_free(m); }
TestSuite(machine_pmu, .init = set_up, .fini = done);

static unsigned interrupts(void) { return mem_read32(&m->mem, HPA(0x3000)) & 0xffff; }

Test(machine_pmu, overflows_interrupt_again_and_again)
{
	machine_run(m, END, 0);
	cr_expect(lt(u32, 3, interrupts()));
}
Test(machine_pmu, in_pieces_and_restored_it_is_the_same_run)
{
	struct machine *whole = m;
	machine_run(whole, END, 0);
	uint64_t hash = machine_hash(whole);
	set_up();
	struct snap *s = snap_take(m->snaps, "start");
	while (machine_now(m) < END / 2)
		machine_run(m, machine_now(m) + 13, 0);
	snap_restore(m->snaps, s);
	for (unsigned i = 0; machine_now(m) < END; i++) {
		machine_run(m, machine_now(m) + 977 < END ? machine_now(m) + 977 : END, 0);
		if (i % 7 == 0) {
			struct snap *here = snap_take(m->snaps, "here");
			machine_run(m, machine_now(m) + 500 < END ? machine_now(m) + 500 : END, 0);
			snap_restore(m->snaps, here);
		}
	}
	cr_expect(eq(u64, machine_hash(m), hash));
	machine_free(whole);
}
