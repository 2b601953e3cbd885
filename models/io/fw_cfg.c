/* fw_cfg.c - QEMU's firmware configuration device: a word written to 510H selects an item, bytes read from 511H are
 * its contents in turn.
 * Source: QEMU's docs/specs/fw_cfg ("Selector (Control) Register", "Data Register").
 *
 * An unknown item, and what lies beyond an item's end, reads 0.
 * Simplified: no DMA interface (the ID item does not offer it), writes to items are ignored, the directory of named
 * files is empty. */
#include "models/io/fw_cfg.h"

#include <stdlib.h>
#include <string.h>

void fw_cfg_add(struct fw_cfg *f, uint16_t key, const void *bytes, size_t n)
{
	unsigned i = 0;
	while (i < f->n && f->item[i].key != key)
		i++;
	if (i == FW_CFG_ITEMS_MAX)
		BUG("more than %d fw_cfg items", FW_CFG_ITEMS_MAX);
	if (i == f->n)
		f->n++;
	free(f->item[i].bytes);
	f->item[i].key = key;
	f->item[i].size = (uint32_t)n;
	f->item[i].bytes = xcalloc(n ? n : 1, 1);
	memcpy(f->item[i].bytes, bytes, n);
}

void fw_cfg_standard(struct fw_cfg *f, uint64_t ram, unsigned cpus)
{
	const uint32_t id = 1, no_files = 0;            /* the traditional interface only */
	const uint16_t n = (uint16_t)cpus;
	fw_cfg_add(f, FW_CFG_SIGNATURE, "QEMU", 4);
	fw_cfg_add(f, FW_CFG_ID, &id, sizeof id);
	fw_cfg_add(f, FW_CFG_RAM_SIZE, &ram, sizeof ram);
	fw_cfg_add(f, FW_CFG_NB_CPUS, &n, sizeof n);
	fw_cfg_add(f, FW_CFG_MAX_CPUS, &n, sizeof n);
	fw_cfg_add(f, FW_CFG_FILE_DIR, &no_files, sizeof no_files);
}

void fw_cfg_fini(struct fw_cfg *f)
{
	for (unsigned i = 0; i < f->n; i++)
		free(f->item[i].bytes);
	f->n = 0;
}

static uint8_t next_byte(struct fw_cfg *f)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->item[i].key == f->s.key)
			return f->s.offset < f->item[i].size ? f->item[i].bytes[f->s.offset++] : 0;
	return 0;
}

static uint64_t cfg_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	(void)size, (void)at;
	return off == 1 ? next_byte(dev) : 0;
}
static void cfg_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct fw_cfg *f = dev;
	(void)at;
	if (off == 0 && size == 2) {
		f->s.key = (uint16_t)v;
		f->s.offset = 0;
	}
}
const struct io_ops fw_cfg_io = { cfg_read, cfg_write, 1, 2, false };

static void reset(void *dev)
{
	struct fw_cfg *f = dev;
	f->s = (struct fw_cfg_state){ 0 };
}

static const struct field_row fields[] = {
	FIELD(fw_cfg_state, key, "key", "item selected"),
	FIELD(fw_cfg_state, offset, "offset", "bytes of it read"),
};

const struct dev_ops fw_cfg_dev = { DEV_STATE(fw_cfg), .reset = reset, DEV_FIELDS(fields) };
