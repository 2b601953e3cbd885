/* i8042.c - the keyboard controller at 60H and 64H with a PS/2 keyboard; system control port A at 92H.
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller";
 * port 92H: Intel 82371SB (PIIX3) data sheet.
 *
 *   status (64H)   PERR TO AUXB INH A2 SYS IBF OBF       command byte   0 XLAT DIS2 DIS INH SYS INT2 INT
 *
 * The keyboard speaks scan-code set 2; with XLAT the controller translates to set 1. Bytes from the keyboard come one at
 * a time, 200 us after the last one was read. The controller answers commands at once. There is no auxiliary port: the
 * loop command's byte comes back without AUXB and the port test says the clock line is stuck.
 * The A20 gate reads and writes as expected, but the address line is always on. Pulling the reset line (output port
 * bit 0, or 92H bit 0) initialises the CPUs and leaves devices alone.
 * Simplified: no scan-code sets 1 and 3 in the keyboard itself, no typematic repeat, no password. */
#include "models/io/i8042.h"

#define ST_OBF   0x01
#define ST_IBF   0x02
#define ST_SYS   0x04
#define ST_A2    0x08
#define ST_INH   0x10
#define CB_INT   0x01
#define CB_SYS   0x04
#define CB_DIS   0x10
#define CB_XLAT  0x40
#define OUT_RESET 0x01
#define OUT_A20  0x02
#define OUT_OBF  0x10
#define PORT_A_RESET 0x01
#define PORT_A_A20   0x02

#define KBD_ACK    0xfa
#define KBD_RESEND 0xfe
#define BYTE_NS    200000u

/* Set 1 make code -> set 2 make code, for the plain keys. IBM Technical Reference, keyboard
 * scan codes. */
static const uint8_t set2_of[128] = {
	[0x01] = 0x76, [0x02] = 0x16, [0x03] = 0x1e, [0x04] = 0x26, [0x05] = 0x25, [0x06] = 0x2e, [0x07] = 0x36,
	[0x08] = 0x3d, [0x09] = 0x3e, [0x0a] = 0x46, [0x0b] = 0x45, [0x0c] = 0x4e, [0x0d] = 0x55, [0x0e] = 0x66,
	[0x0f] = 0x0d, [0x10] = 0x15, [0x11] = 0x1d, [0x12] = 0x24, [0x13] = 0x2d, [0x14] = 0x2c, [0x15] = 0x35,
	[0x16] = 0x3c, [0x17] = 0x43, [0x18] = 0x44, [0x19] = 0x4d, [0x1a] = 0x54, [0x1b] = 0x5b, [0x1c] = 0x5a,
	[0x1d] = 0x14, [0x1e] = 0x1c, [0x1f] = 0x1b, [0x20] = 0x23, [0x21] = 0x2b, [0x22] = 0x34, [0x23] = 0x33,
	[0x24] = 0x3b, [0x25] = 0x42, [0x26] = 0x4b, [0x27] = 0x4c, [0x28] = 0x52, [0x29] = 0x0e, [0x2a] = 0x12,
	[0x2b] = 0x5d, [0x2c] = 0x1a, [0x2d] = 0x22, [0x2e] = 0x21, [0x2f] = 0x2a, [0x30] = 0x32, [0x31] = 0x31,
	[0x32] = 0x3a, [0x33] = 0x41, [0x34] = 0x49, [0x35] = 0x4a, [0x36] = 0x59, [0x37] = 0x7c, [0x38] = 0x11,
	[0x39] = 0x29, [0x3a] = 0x58, [0x3b] = 0x05, [0x3c] = 0x06, [0x3d] = 0x04, [0x3e] = 0x0c, [0x3f] = 0x03,
	[0x40] = 0x0b, [0x41] = 0x83, [0x42] = 0x0a, [0x43] = 0x01, [0x44] = 0x09, [0x45] = 0x77, [0x46] = 0x7e,
	[0x47] = 0x6c, [0x48] = 0x75, [0x49] = 0x7d, [0x4a] = 0x7b, [0x4b] = 0x6b, [0x4c] = 0x73, [0x4d] = 0x74,
	[0x4e] = 0x79, [0x4f] = 0x69, [0x50] = 0x72, [0x51] = 0x7a, [0x52] = 0x70, [0x53] = 0x71, [0x54] = 0x84,
	[0x56] = 0x61, [0x57] = 0x78, [0x58] = 0x07, [0x5b] = 0x1f, [0x5c] = 0x27, [0x5d] = 0x2f,
};

static unsigned queued(const struct i8042 *k) { return k->s.head - k->s.tail; }

static void put(struct i8042 *k, uint8_t byte)
{
	if (queued(k) == KBD_QUEUE)
		k->chip.env->stat[IO_STAT_INPUT_LOST]++;
	else
		k->s.queue[k->s.head++ % KBD_QUEUE] = byte;
}

/* A byte enters the output buffer: the controller's own, or one from the keyboard. */
static void output(struct i8042 *k, uint8_t byte)
{
	k->s.out = byte;
	k->s.status |= ST_OBF;
	k->s.outport |= OUT_OBF;
	chip_count(&k->chip, IO_STAT_KBD_BYTE);
	chip_trace(&k->chip, IO_TRACE_KBD_BYTE, byte, 0, 0, 0);
	if (k->s.ram[0] & CB_INT)
		irq_set(&k->irq, true);
}

static void schedule(struct i8042 *k)
{
	evq_cancel(k->chip.env->evq, k->chip.owner, 0);
	if (queued(k) && !(k->s.status & ST_OBF) && !(k->s.ram[0] & CB_DIS))
		evq_add(k->chip.env->evq, k->chip.owner,
		        chip_now(&k->chip) + chip_ns(&k->chip, BYTE_NS), 0, 0);
}

static void event(void *dev, cycle_t now, uint32_t code, uint64_t arg)
{
	struct i8042 *k = dev;
	(void)code, (void)arg;
	bus_clock(k->chip.env->bus, now);
	if (queued(k) && !(k->s.status & ST_OBF) && !(k->s.ram[0] & CB_DIS))
		output(k, k->s.queue[k->s.tail++ % KBD_QUEUE]);
	schedule(k);
}

/* A code of set 1 as the guest wants it: set 2 translates back to itself, else F0 precedes a
 * break code. */
static void key(struct i8042 *k, uint8_t code)
{
	if (k->s.ram[0] & CB_XLAT || code == 0xe0 || code == 0xe1) {
		put(k, code);
		return;
	}
	if (code & 0x80)
		put(k, 0xf0);
	put(k, set2_of[code & 0x7f]);
}

void i8042_keys(struct i8042 *k, const uint8_t *scancodes, size_t n)
{
	for (size_t i = 0; i < n && k->s.kbd_scanning; i++)
		key(k, scancodes[i]);
	schedule(k);
}

/* ---- the keyboard ---- */
static void kbd_defaults(struct i8042 *k)
{
	k->s.kbd_scanning = 1;
	k->s.kbd_leds = 0;
	k->s.kbd_set = 2;
	k->s.kbd_command = 0;
}

static void kbd_data(struct i8042 *k, uint8_t command, uint8_t v)
{
	put(k, KBD_ACK);
	if (command == 0xed)
		k->s.kbd_leds = v & 7;
	else if (command == 0xf0 && v == 0)     /* which set? Translated, 2 reads as 41H */
		put(k, k->s.ram[0] & CB_XLAT ? 0x41 : 0x02);
}

static void kbd_write(struct i8042 *k, uint8_t v)
{
	uint8_t waiting = k->s.kbd_command;
	k->s.kbd_command = 0;
	if (waiting && v < 0xed) {
		kbd_data(k, waiting, v);
		return;
	}
	switch (v) {
	case 0xed: case 0xf0: case 0xf3:                /* LEDs, scan-code set, typematic rate: a byte follows */
		put(k, KBD_ACK);
		k->s.kbd_command = v;
		break;
	case 0xee:                                      /* echo */
		put(k, 0xee);
		break;
	case 0xf2:                                      /* identify: AB 83, translated AB 41 */
		put(k, KBD_ACK);
		put(k, 0xab);
		put(k, k->s.ram[0] & CB_XLAT ? 0x41 : 0x83);
		break;
	case 0xf4: case 0xf5: case 0xf6:                /* enable; default and disable; default */
		k->s.tail = k->s.head;
		kbd_defaults(k);
		k->s.kbd_scanning = v != 0xf5;
		put(k, KBD_ACK);
		break;
	case 0xf7: case 0xf8: case 0xf9: case 0xfa: case 0xfb: case 0xfc: case 0xfd:    /* set 3's key types */
		put(k, KBD_ACK);
		break;
	case 0xfe:
		put(k, k->s.kbd_last);
		break;
	case 0xff:                                      /* reset and self-test */
		k->s.tail = k->s.head;
		kbd_defaults(k);
		put(k, KBD_ACK);
		put(k, 0xaa);
		break;
	default:
		put(k, KBD_RESEND);
	}
}

/* ---- the controller ---- */
static void soft_reset(struct i8042 *k)
{
	chip_trace(&k->chip, IO_TRACE_BOARD_RESET, 1, 0, 0, 0);
	if (k->chip.env->machine.request)
		k->chip.env->machine.request(k->chip.env->machine.who, MACHINE_RESET,
		                             MACHINE_RESET_INIT);
}

static void command_byte(struct i8042 *k, uint8_t v)
{
	k->s.ram[0] = v;
	k->s.status = (uint8_t)((k->s.status & ~ST_SYS) | (v & CB_SYS ? ST_SYS : 0));
	irq_set(&k->irq, k->s.status & ST_OBF && v & CB_INT);
	schedule(k);
}

static void write_outport(struct i8042 *k, uint8_t v)
{
	k->s.outport = (uint8_t)((v & ~OUT_OBF) | (k->s.outport & OUT_OBF));
	if (!(v & OUT_RESET)) {
		k->s.outport |= OUT_RESET;
		soft_reset(k);
	}
}

static void data_of_command(struct i8042 *k, uint8_t command, uint8_t v)
{
	if (command == 0x60)
		command_byte(k, v);
	else if (command > 0x60 && command < 0x80)
		k->s.ram[command & 31] = v;
	else if (command == 0xd1)
		write_outport(k, v);
	else if (command == 0xd2 || command == 0xd3)    /* as if from the keyboard; from the auxiliary device there is none */
		output(k, v);
	/* 0xd4: to the auxiliary device: nobody there */
}

static void command(struct i8042 *k, uint8_t v)
{
	chip_trace(&k->chip, IO_TRACE_KBD_COMMAND, v, 0, 0, 0);
	k->s.command = 0;
	k->s.status |= ST_A2;
	if (v >= 0x20 && v < 0x40) {
		output(k, k->s.ram[v & 31]);
	} else if ((v >= 0x60 && v < 0x80) || (v >= 0xd1 && v <= 0xd4)) {
		k->s.command = v;
	} else if (v >= 0xf0) {                         /* pulse output port bits that are 0 in bits 3:0 */
		if (!(v & OUT_RESET))
			soft_reset(k);
	} else switch (v) {
	case 0xa9: output(k, 0x01); break;              /* auxiliary port test: clock line stuck low */
	case 0xaa:                                      /* self-test */
		k->s.status |= ST_SYS;
		k->s.ram[0] |= CB_SYS;
		output(k, 0x55);
		break;
	case 0xab: output(k, 0x00); break;              /* keyboard port test: no error */
	case 0xad: command_byte(k, k->s.ram[0] | CB_DIS); break;
	case 0xae: command_byte(k, k->s.ram[0] & (uint8_t)~CB_DIS); break;
	case 0xc0: output(k, 0xa0); break;              /* input port: not inhibited, colour display */
	case 0xd0: output(k, k->s.outport); break;
	}
}

static uint64_t data_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct i8042 *k = dev;
	(void)off, (void)size, (void)at;
	if (k->s.status & ST_OBF) {
		k->s.status &= (uint8_t)~ST_OBF;
		k->s.outport &= (uint8_t)~OUT_OBF;
		k->s.kbd_last = k->s.out;
		irq_set(&k->irq, false);
		schedule(k);
	}
	return k->s.out;
}
static void data_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct i8042 *k = dev;
	(void)off, (void)size, (void)at;
	uint8_t waiting = k->s.command;
	k->s.status &= (uint8_t)~ST_A2;
	k->s.command = 0;
	if (waiting) {
		data_of_command(k, waiting, (uint8_t)v);
		return;
	}
	kbd_write(k, (uint8_t)v);
	k->s.ram[0] &= (uint8_t)~CB_DIS;        /* sending to the keyboard enables its interface */
	schedule(k);
}
static uint64_t status_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct i8042 *k = dev;
	(void)off, (void)size, (void)at;
	return k->s.status | ST_INH;
}
static void command_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	(void)off, (void)size, (void)at;
	command(dev, (uint8_t)v);
}

static uint64_t port_a_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct i8042 *k = dev;
	(void)off, (void)size, (void)at;
	return k->s.port_a;
}
static void port_a_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct i8042 *k = dev;
	(void)off, (void)size, (void)at;
	uint8_t old = k->s.port_a;
	k->s.port_a = (uint8_t)v & (PORT_A_RESET | PORT_A_A20);
	if (k->s.port_a & ~old & PORT_A_RESET)
		soft_reset(k);
}

const struct io_ops i8042_data_io = { data_read, data_write, 1, 1, false };
const struct io_ops i8042_command_io = { status_read, command_write, 1, 1, false };
const struct io_ops port_a_io = { port_a_read, port_a_write, 1, 1, false };

/* As a BIOS leaves it: self-test passed, translating, interrupt on, keyboard scanning, A20 open. */
static void reset(void *dev)
{
	struct i8042 *k = dev;
	k->s = (struct i8042_state){ .status = ST_SYS, .outport = 0xcf & (uint8_t)~OUT_OBF,
	                             .port_a = PORT_A_A20 };
	k->s.ram[0] = CB_XLAT | CB_SYS | CB_INT;
	kbd_defaults(k);
	irq_set(&k->irq, false);
	schedule(k);
}

static const struct field_bits status_bits[] = {
	{ 0, 0, "obf", "output buffer full" }, { 2, 2, "sys", "self-test passed" }, { 3, 3, "a2", "last write was a command" },
	{ 0, 0, NULL, NULL },
};
static const struct field_bits command_bits[] = {
	{ 0, 0, "int", "interrupt on output buffer full" }, { 2, 2, "sys", "system flag" }, { 4, 4, "dis", "keyboard disabled" },
	{ 6, 6, "xlat", "translate to set 1" }, { 0, 0, NULL, NULL },
};
static const struct field_row fields[] = {
	FIELD_BITS(i8042_state, status, "status", status_bits, "status register"),
	FIELD_BITS(i8042_state, ram[0], "command", command_bits, "controller command byte"),
	FIELD(i8042_state, out, "out", "output buffer"),
	FIELD(i8042_state, outport, "outport", "output port: reset, A20"),
	FIELD(i8042_state, port_a, "port_a", "system control port A (92H)"),
	FIELD(i8042_state, kbd_leds, "leds", "keyboard LEDs: caps, num, scroll"),
};

const struct dev_ops i8042_dev = { DEV_STATE(i8042), .reset = reset, .event = event,
                                   DEV_FIELDS(fields) };
