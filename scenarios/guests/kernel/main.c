/* main.c - the kernel in one page.  boot.S calls kernel_main() on the boot stack, paging on,
 * interrupts off.                                                                            */
#include "kernel.h"

void kernel_main(uintptr_t multiboot_info);

void kernel_main(uintptr_t multiboot_info)
{
	bool ok;

	multiboot_read(multiboot_info);
	frame_init();
	vm_init();
	cpu_init();
	pic_init();
	proc_init();
	ok = workload_run_all(boot_info.line);
	quiesce();
	power_off(ok ? EXIT_OK : EXIT_FAILED);
}
