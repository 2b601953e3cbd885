/* QEMU's firmware configuration device. */
#include "rig.h"

#include "models/io/fw_cfg.h"

Test(fw_cfg, items)
{
	struct rig *r = rig_new(0);
	struct fw_cfg f = { 0 };
	chip_init(&f.chip, "fw_cfg", &fw_cfg_dev, &r->env);
	bus_map(&r->bus, BUS_PORT, 0x510, 2, &fw_cfg_io, &f);
	fw_cfg_standard(&f, 512ull << 20, 3);
	const struct { uint16_t key; uint8_t bytes[9]; unsigned n; } row[] = {
		{ 0x00, "QEMU", 4 }, { 0x01, { 1, 0, 0, 0 }, 4 }, { 0x03, { 0, 0, 0, 0x20, 0, 0, 0, 0 }, 8 }, { 0x05, { 3, 0 }, 2 },
		{ 0x0f, { 3, 0 }, 2 }, { 0x19, { 0, 0, 0, 0 }, 4 }, { 0x11, { 0, 0 }, 2 }, { 0xffff, { 0 }, 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		rig_out(r, 0x510, 2, row[i].key);
		for (unsigned k = 0; k < row[i].n; k++)
			cr_expect(eq(u8, in8(r, 0x511), row[i].bytes[k]), "item %#x byte %u", row[i].key, k);
		cr_expect(eq(u8, in8(r, 0x511), 0), "beyond the end");
	}
	rig_out(r, 0x510, 2, 0);
	cr_expect(eq(u64, rig_in(r, 0x511, 4) & 0xff, 'Q'));
	fw_cfg_fini(&f);
	rig_free(r);
}
