/* What a VM's device writes by DMA over code, page tables and descriptors in use is what its processor finds there, whatever copies
 * the VMM keeps: under every technique the guest says so. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "models/vmm/virt.h"
#include "tests/unit/guest_run.h"

static void written_by_the_disk(const char *keys)
{
	char disk[] = "/tmp/vmscope-dma-XXXXXX";
	struct session s;
	int fd = mkstemp(disk);
	cr_assert(fd >= 0 && !ftruncate(fd, 4096));
	close(fd);
	struct run *r = guest_run(&s, "build/guests/dma32.elf", "", "disk=%s %s", disk, keys);
	s.o.max_cycles = 400000000;
	run_until(r->host ? r->host : r, s.o.max_cycles, 0);
	const struct run *guest = run_face(r);
	cr_expect_eq(strncmp(guest->console, "written by the disk: ok\n", guest->console_n), 0, "%s: %.*s", keys, (int)guest->console_n, guest->console);
	cr_expect(guest->console_n > 0, "%s", keys);
	session_fini(&s);
	unlink(disk);
}

#define UNDER(name, keys) Test(vmm_dma, name) { written_by_the_disk(keys); }
UNDER(native, "cpus=1")
UNDER(bt_shadow_wp, "cpu=bt mmu=shadow.wp")
UNDER(bt_shadow_unsync, "cpu=bt mmu=shadow.unsync")
UNDER(bt_shadow_vtlb, "cpu=bt mmu=shadow.vtlb")
UNDER(bt_shadow_flush, "cpu=bt mmu=shadow.flush")
UNDER(trap_shadow_wp, "cpu=trap mmu=shadow.wp trap.critical=1")
UNDER(vmx_shadow_wp, "cpu=vmx mmu=shadow.wp")
UNDER(vmx_shadow_unsync, "cpu=vmx mmu=shadow.unsync")
UNDER(vmx_agile, "cpu=vmx mmu=agile")
UNDER(vmx_ept, "cpu=vmx mmu=ept")
