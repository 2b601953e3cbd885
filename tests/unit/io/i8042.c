/* The keyboard controller. */
#include "rig.h"

#include "models/io/i8042.h"

struct kbd { struct rig *r; struct i8042 k; };

static struct kbd *kbd_new(void)
{
	struct kbd *k = calloc(1, sizeof *k);
	k->r = rig_new(1000000000);
	k->k.irq = rig_wire(k->r, 1);
	chip_init(&k->k.chip, "kbd", &i8042_dev, &k->r->env);
	bus_map(&k->r->bus, BUS_PORT, 0x60, 1, &i8042_data_io, &k->k);
	bus_map(&k->r->bus, BUS_PORT, 0x64, 1, &i8042_command_io, &k->k);
	bus_map(&k->r->bus, BUS_PORT, 0x92, 1, &port_a_io, &k->k);
	return k;
}
static void kbd_free(struct kbd *k)
{
	rig_free(k->r);
	free(k);
}
/* The next byte, or -1 when none comes. */
static int next(struct kbd *k)
{
	rig_run(k->r, 1000000);
	return in8(k->r, 0x64) & 1 ? in8(k->r, 0x60) : -1;
}
static void config(struct kbd *k, uint8_t v)
{
	out8(k->r, 0x64, 0x60);
	out8(k->r, 0x60, v);
}

Test(i8042, self_test_and_port_tests)
{
	struct kbd *k = kbd_new();
	const struct { uint8_t command, answer; } row[] = { { 0xaa, 0x55 }, { 0xab, 0x00 }, { 0xa9, 0x01 } };
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		out8(k->r, 0x64, row[i].command);
		cr_expect(eq(int, in8(k->r, 0x64) & 1, 1));
		cr_expect(eq(u8, in8(k->r, 0x60), row[i].answer));
		cr_expect(eq(int, in8(k->r, 0x64) & 1, 0));
	}
	kbd_free(k);
}

Test(i8042, the_command_byte_and_ram_read_back)
{
	struct kbd *k = kbd_new();
	out8(k->r, 0x64, 0x20);
	cr_expect(eq(u8, in8(k->r, 0x60), 0x45));
	config(k, 0x65);
	out8(k->r, 0x64, 0x20);
	cr_expect(eq(u8, in8(k->r, 0x60), 0x65));
	out8(k->r, 0x64, 0x7f);
	out8(k->r, 0x60, 0x5a);
	out8(k->r, 0x64, 0x3f);
	cr_expect(eq(u8, in8(k->r, 0x60), 0x5a));
	kbd_free(k);
}

Test(i8042, keys_arrive_one_by_one_with_an_interrupt_each)
{
	struct kbd *k = kbd_new();
	const uint8_t a[] = { 0x1e, 0x9e };
	i8042_keys(&k->k, a, 2);
	cr_expect(not(k->r->lamp[1]));
	rig_run(k->r, 200000);
	cr_expect(k->r->lamp[1]);
	rig_run(k->r, 10000000);
	cr_expect(eq(u8, in8(k->r, 0x60), 0x1e));
	cr_expect(not(k->r->lamp[1]));
	cr_expect(eq(int, next(k), 0x9e));
	cr_expect(eq(int, next(k), -1));
	cr_expect(eq(u32, k->r->rises[1], 2));
	kbd_free(k);
}

Test(i8042, without_translation_the_guest_sees_set_2)
{
	struct kbd *k = kbd_new();
	const uint8_t keys[] = { 0x1e, 0x9e, 0xe0, 0x48 };
	config(k, 0x05);
	i8042_keys(&k->k, keys, sizeof keys);
	const int want[] = { 0x1c, 0xf0, 0x1c, 0xe0, 0x75, -1 };
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		cr_expect(eq(int, next(k), want[i]));
	kbd_free(k);
}

Test(i8042, keyboard_commands)
{
	struct kbd *k = kbd_new();
	const struct { uint8_t in; int out[4]; } row[] = {
		{ 0xff, { 0xfa, 0xaa, -1 } }, { 0xf2, { 0xfa, 0xab, 0x41, -1 } }, { 0xee, { 0xee, -1 } }, { 0xed, { 0xfa, -1 } },
		{ 0x02, { 0xfa, -1 } }, { 0xf5, { 0xfa, -1 } }, { 0xf4, { 0xfa, -1 } }, { 0x01, { 0xfe, -1 } },
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		out8(k->r, 0x60, row[i].in);
		for (size_t j = 0; j < 4; j++) {
			cr_expect(eq(int, next(k), row[i].out[j]), "byte %zu after %#x", j, row[i].in);
			if (row[i].out[j] < 0)
				break;
		}
	}
	kbd_free(k);
}

Test(i8042, a_disabled_keyboard_says_nothing)
{
	struct kbd *k = kbd_new();
	const uint8_t a = 0x1e;
	out8(k->r, 0x64, 0xad);
	i8042_keys(&k->k, &a, 1);
	cr_expect(eq(int, next(k), -1));
	out8(k->r, 0x64, 0xae);
	cr_expect(eq(int, next(k), 0x1e));
	kbd_free(k);
}

Test(i8042, the_queue_is_bounded)
{
	struct kbd *k = kbd_new();
	uint8_t many[1000];
	memset(many, 0x1e, sizeof many);
	i8042_keys(&k->k, many, sizeof many);
	cr_expect(eq(u64, k->r->stat[IO_STAT_INPUT_LOST], 1000 - KBD_QUEUE));
	kbd_free(k);
}

Test(i8042, the_reset_lines_ask_for_init)
{
	struct kbd *k = kbd_new();
	out8(k->r, 0x64, 0xfe);
	cr_expect(eq(u32, k->r->asked.n, 1));
	cr_expect(eq(u32, k->r->asked.value, MACHINE_RESET_INIT));
	out8(k->r, 0x64, 0xd0);
	uint8_t port = in8(k->r, 0x60);
	cr_expect(eq(u8, port & 3, 3), "no reset, A20 open");
	out8(k->r, 0x64, 0xd1);
	out8(k->r, 0x60, port & 0xfe);
	cr_expect(eq(u32, k->r->asked.n, 2));
	out8(k->r, 0x92, 0x02);
	out8(k->r, 0x92, 0x03);
	out8(k->r, 0x92, 0x03);
	cr_expect(eq(u32, k->r->asked.n, 3), "only the rising edge");
	cr_expect(eq(u8, in8(k->r, 0x92), 0x03), "it stays through INIT");
	kbd_free(k);
}

/* Software finds out by the loop command that there is no auxiliary port: the byte is not marked as its. */
Test(i8042, no_auxiliary_port)
{
	struct kbd *k = kbd_new();
	out8(k->r, 0x64, 0xd3);
	out8(k->r, 0x60, 0x5a);
	cr_expect(eq(u8, in8(k->r, 0x64) & 0x21, 0x01));
	kbd_free(k);
}
