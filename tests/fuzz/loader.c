/* Fuzz target: any bytes as a kernel image. Refused or loaded, and then run for a moment; never a crash. */
#include <stdlib.h>
#include <string.h>

#include "models/boot/image.h"
#include "tests/fuzz/fuzz.h"

int fuzz_loader(const uint8_t *data, size_t n)
{
	static struct fuzz_machine fm;
	struct machine *m = fuzz_machine(&fm, 4 << 20);
	struct err e = { "" };
	struct file f = { "image", (uint8_t *)data, n };
	struct boot_image image = { .kernel = "image", .cmdline = n & 1 ? "text" : NULL };
	if (!image_load(m, &f, &image, &e))
		machine_run(m, 20000, 2000);
	else if (!e.text[0])
		abort();        /* refused without a word */
	return 0;
}
