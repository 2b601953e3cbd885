/* board.h - the devices of the PC, wired to each other; the machine wires the board to
 * CPUs and memory.
 *
 * The board's own map (ports and addresses) is the list in board.c. */
#ifndef IO_BOARD_H
#define IO_BOARD_H

#include "models/mmu/mem.h"
#include "models/profile.h"
#include "sim/err.h"
#include "sim/evq.h"
#include "sim/field.h"
#include "sim/snap.h"
#include "sim/stat.h"
#include "sim/trace.h"
#include "sim/wire.h"

struct board_config {
	const struct profile *profile;  /* clock rate, port and MMIO latencies */
	unsigned cpus;
	uint64_t ram, low_ram;
	const char *disk[4];
	const char *disk_where;
	uint64_t rtc_epoch;
	bool test_device;
};

/* What the board hangs on; borrowed. */
struct board_wiring {
	const char *prefix;             /* before the names of its sections, fields and statistics: "" or "vm1." */
	struct mem *mem;
	struct evq *evq;
	struct trace *trace;
	struct stats *stats;
	struct fields *fields;
	struct snaps *snaps;
	struct apic_wire apic;          /* I/O APIC and MSIs send here */
	struct irq_wire intr;           /* INTR of the 8259 pair, to LINT0 of every CPU */
	struct irq_wire nmi;
	struct machine_wire machine;    /* reset, exit, power-off */
};

struct board;
struct board *board_new(const struct board_config *c, const struct board_wiring *w, struct err *e);
void board_free(struct board *b);
void board_reset(struct board *b);

struct io_wire board_ports(struct board *b);
struct io_wire board_mmio(struct board *b);
struct pic_wire board_pic(struct board *b);
struct ferr_wire board_ferr(struct board *b);           /* for the bootstrap processor */
void board_eoi(struct board *b, uint8_t vector);        /* EOI broadcast from a local APIC */

unsigned board_component(const struct board *b);        /* in the trace: the first of its own, which follow each other */
bool board_line(const struct board *b, unsigned irq);   /* an ISA interrupt line's level */

/* COM1, keyboard, screen. */
void board_on_console(struct board *b, void (*fn)(void *who, const uint8_t *bytes, size_t n),
                      void *who);
void board_serial_input(struct board *b, const uint8_t *bytes, size_t n);
void board_key_input(struct board *b, const uint8_t *scancodes, size_t n);
void board_screen_text(const struct board *b, char lines[25][80 * 4 + 1]);

/* For `vmscope list devices`: the rows of devices.def and of the board's map. */
struct device_row { const char *name, *summary; };
extern const struct device_row device_list[];
extern const size_t device_list_n;

/* fw_cfg files and the address where firmware tables were put are set by models/firmware.c. */
void board_fw_cfg_add(struct board *b, uint16_t key, const void *bytes, size_t n);

#endif
