/* testdev.h - QEMU's pc-testdev and isa-debug-exit, and the POST code port. */
#ifndef IO_TESTDEV_H
#define IO_TESTDEV_H

#include "models/io/chip.h"

#define TESTDEV_RAM_BASE 0xff000000u
#define TESTDEV_RAM_SIZE 0x10000u
#define TESTDEV_IRQS     24

struct testdev_state {          /* plain */
	uint32_t echo;                  /* ports E0H-E3H */
	uint8_t post, pad[3];           /* port 80H */
	uint8_t ram[TESTDEV_RAM_SIZE];
};

struct testdev {
	struct chip chip;
	struct testdev_state s;
	void (*line)(void *who, unsigned pin, bool level);      /* an interrupt line of the board */
	void *who;
};

extern const struct dev_ops testdev_dev;
extern const struct io_ops testdev_echo_io, testdev_flush_io, testdev_irq_io, testdev_ram_io,
        debug_exit_io, post_io;

#endif
