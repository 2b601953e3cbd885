/* x87 errors the old way (CR0.NE = 0): FERR#, IRQ 13, port F0H, IGNNE#. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/boot/image.h"
#include "models/machine.h"

#define CODE    0x7c00
#define HANDLER 0x7d00          /* of IRQ 13: vector 75H */
#define COUNT   0x2000          /* how often it ran */

/* 1 / 0 with the divide error unmasked, then an FLD1 that has to wait. */
static const uint8_t program[] = {
	0x0f, 0x20, 0xc0, 0x24, 0xdf, 0x0f, 0x22, 0xc0, /* mov eax, cr0; and al, ~NE; mov cr0, eax */
	0xb0, 0xfb, 0xe6, 0x21,                         /* the master's mask: the cascade alone */
	0xb0, 0xdf, 0xe6, 0xa1,                         /* the slave's: IR5 alone */
	0xdb, 0xe3,                                     /* fninit */
	0xd9, 0x2e, 0x00, 0x20 + 0x10,                  /* fldcw [3000H] */
	0xfb,                                           /* sti */
	0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9,             /* fld1; fldz; fdivp */
	0xd9, 0xe8,                                     /* fld1 */
	0xfa, 0xf4,                                     /* cli; hlt */
};

static struct machine *start(const uint8_t *handler, size_t n)
{
	struct machine_config k;
	struct err e = { "" };
	machine_config_defaults(&k);
	k.ram = 1 << 20;
	struct machine *m = machine_new(&k, &e);
	cr_assert(m != NULL, "%s", e.text);
	mem_write(&m->mem, HPA(CODE), program, sizeof program);
	mem_write(&m->mem, HPA(HANDLER), handler, n);
	mem_write(&m->mem, HPA(0x3000), (uint8_t[]){ 0x7b, 0x03 }, 2);
	mem_write(&m->mem, HPA(0x75 * 4), (uint8_t[]){ HANDLER & 0xff, HANDLER >> 8, 0, 0 }, 4);
	entry_real(m->cpu[0], 0, CODE);
	m->cpu[0]->s.r[R_RSP] = 0x7000;
	return m;
}

static unsigned top(const struct machine *m) { return m->cpu[0]->s.fsw >> 11 & 7; }
#define EOI 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0xcf    /* mov al, 20H; out 0A0H, al; out 20H, al; iret */
#define INC 0xfe, 0x06, 0x00, 0x20                      /* inc byte [COUNT] */

Test(ferr, the_handler_clears_the_error)
{
	static const uint8_t handler[] = { INC, 0xdb, 0xe2 /* fnclex */, EOI };
	struct machine *m = start(handler, sizeof handler);
	cr_expect(eq(int, machine_run(m, 1000000, 0), MACHINE_STOP_IDLE));
	cr_expect(eq(uint, m->mem.ram[COUNT], 1));
	cr_expect(eq(u64, m->cpu[0]->s.rip, CODE + sizeof program));
	cr_expect(eq(uint, top(m), 5), "two operands left as they were, and the new one");
	machine_free(m);
}

/* "IGNNE# ... the processor ignores the error": the handler may use the FPU before it has cleared it. */
Test(ferr, port_f0_asserts_ignne)
{
	static const uint8_t handler[] = { INC, 0xe6, 0xf0, 0xd9, 0xe8 /* fld1 */, 0xdd, 0xd8 /* fstp st0 */, 0xdb, 0xe2, EOI };
	struct machine *m = start(handler, sizeof handler);
	cr_expect(eq(int, machine_run(m, 1000000, 0), MACHINE_STOP_IDLE));
	cr_expect(eq(uint, m->mem.ram[COUNT], 1));
	cr_expect(eq(u64, m->cpu[0]->s.rip, CODE + sizeof program));
	machine_free(m);
}

Test(ferr, without_it_an_x87_instruction_in_the_handler_stops_for_good)
{
	static const uint8_t handler[] = { INC, 0xd9, 0xe8, EOI };
	struct machine *m = start(handler, sizeof handler);
	cr_expect(eq(int, machine_run(m, 1000000, 0), MACHINE_STOP_IDLE), "interrupts are off");
	cr_expect(eq(uint, m->mem.ram[COUNT], 1));
	cr_expect(eq(u64, m->cpu[0]->s.rip, HANDLER + 4));
	machine_free(m);
}

/* Nothing comes, the CPU stands before the instruction. */
Test(ferr, a_masked_irq_13_leaves_the_cpu_waiting)
{
	static const uint8_t handler[] = { INC, EOI };
	struct machine *m = start(handler, sizeof handler);
	m->mem.ram[CODE + 13] = 0xff;
	cr_expect(eq(int, machine_run(m, 1000000, 0), MACHINE_STOP_IDLE));
	cr_expect(eq(uint, m->mem.ram[COUNT], 0));
	cr_expect(eq(u64, m->cpu[0]->s.rip, CODE + sizeof program - 4));
	cr_expect(eq(uint, top(m), 6));
	cr_expect(ledger_audit(&m->cpu[0]->ledger));
	machine_free(m);
}

Test(ferr, pieces_and_snapshots_do_not_show)
{
	static const uint8_t handler[] = { INC, 0xe6, 0xf0, 0xd9, 0xe8, 0xdd, 0xd8, 0xdb, 0xe2, EOI };
	struct machine *a = start(handler, sizeof handler), *b = start(handler, sizeof handler);
	machine_run(a, 1000000, 0);
	for (enum machine_stop why = MACHINE_STOP_ICOUNT; why == MACHINE_STOP_ICOUNT || why == MACHINE_STOP_CYCLES;) {
		struct snap *s = snap_take(b->snaps, "piece");
		machine_run(b, machine_now(b) + 300, 0);
		snap_restore(b->snaps, s);
		snap_drop(b->snaps, s);
		why = machine_run(b, 1000000, 1);
	}
	cr_expect(eq(u64, machine_now(a), machine_now(b)));
	cr_expect(eq(u64, machine_hash(a), machine_hash(b)));
	machine_free(a);
	machine_free(b);
}
