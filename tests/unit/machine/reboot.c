/* Resets: the run ends, or the same image boots again over the memory that is there. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "models/cpu/lapic.h"
#include "models/machine.h"

/* Counts its boots at 2000H; the third one exits with the count, the others reset: through CF9H, or by INIT to itself. */
static const uint8_t program[] = {
	0xFE, 0x06, 0x00, 0x20,                         /* inc byte [2000H] */
	0x80, 0x3E, 0x00, 0x20, 0x03,                   /* cmp byte [2000H], 3 */
	0x73, 0x09,                                     /* jae done */
	0xBA, 0xF9, 0x0C,                               /* mov dx, 0CF9H */
	0xB0, 0x06, 0xEE,                               /* mov al, 6; out dx, al */
	0xF4, 0xEB, 0xFD,                               /* hlt; jmp $-1 */
	0xA0, 0x00, 0x20, 0xE6, 0xF4,                   /* done: mov al, [2000H]; out 0F4H, al */
	0xEB, 0xFE,
};

static struct machine *boot(bool reboot, uint8_t how)
{
	struct machine_config k;
	struct err e = { "" };
	char path[] = "/tmp/vmscope-reboot-XXXXXX";
	int fd = mkstemp(path);
	uint8_t image[512] = { 0 };
	for (size_t i = 0; i < sizeof program; i++)
		image[i] = program[i];
	image[15] = how;
	image[510] = 0x55, image[511] = 0xaa;
	cr_assert(eq(sz, (size_t)write(fd, image, sizeof image), sizeof image));
	close(fd);
	machine_config_defaults(&k);
	k.ram = 16 << 20;
	k.reboot = reboot;
	struct machine *m = machine_new(&k, &e);
	cr_assert(m != NULL, "%s", e.text);
	cr_assert(eq(int, machine_boot(m, &(struct boot_image){ .kernel = path }, &e), 0), "%s", e.text);
	machine_run(m, 1000, 1);
	if (!reboot)
		unlink(path);
	else {
		enum machine_stop why = machine_run(m, 100000000, 0);
		unlink(path);
		cr_expect(eq(int, why, MACHINE_STOP_GUEST_EXIT));
		cr_expect(eq(u32, m->s.exit_status, 3 * 2 + 1));
		cr_expect(eq(u32, m->s.resets, 2));
	}
	return m;
}

Test(reboot, a_hard_reset_boots_the_image_again) { machine_free(boot(true, 0x06)); }
Test(reboot, a_soft_one_too) { machine_free(boot(true, 0x04)); }

Test(reboot, without_it_the_run_ends)
{
	struct machine *m = boot(false, 0x06);
	cr_expect(eq(int, machine_run(m, 100000000, 0), MACHINE_STOP_RESET));
	machine_free(m);
}

/* "INIT IPI to the bootstrap processor": it is at the reset vector, which is firmware's. */
Test(reboot, init_to_the_bootstrap_processor_is_a_reset)
{
	struct machine *m = boot(false, 0x00);
	const struct apic_msg init = { .delivery = APIC_INIT, .level = 1, .from = 0 };
	lapic_accept(m->cpu[0]->lapic, &init);
	cr_expect(eq(int, machine_run(m, 100000000, 0), MACHINE_STOP_RESET));
	cr_expect(eq(u64, m->cpu[0]->s.rip, 0xfff0));
	machine_free(m);
}
