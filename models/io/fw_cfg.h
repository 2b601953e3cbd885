/* fw_cfg.h - QEMU's firmware configuration device: numbered items of bytes at 510H/511H. */
#ifndef IO_FW_CFG_H
#define IO_FW_CFG_H

#include "models/io/chip.h"

#define FW_CFG_ITEMS_MAX 32

#define FW_CFG_SIGNATURE 0x00
#define FW_CFG_ID        0x01
#define FW_CFG_RAM_SIZE  0x03
#define FW_CFG_NB_CPUS   0x05
#define FW_CFG_MAX_CPUS  0x0f
#define FW_CFG_FILE_DIR  0x19

struct fw_cfg_state { uint32_t offset; uint16_t key, pad; };   /* plain */

struct fw_cfg {
	struct chip chip;
	struct fw_cfg_state s;
	struct { uint16_t key; uint32_t size; uint8_t *bytes; } item[FW_CFG_ITEMS_MAX];
	unsigned n;
};

extern const struct dev_ops fw_cfg_dev;
extern const struct io_ops fw_cfg_io;

void fw_cfg_add(struct fw_cfg *f, uint16_t key, const void *bytes, size_t n);  /* copies; replaces an item of that key */
void fw_cfg_standard(struct fw_cfg *f, uint64_t ram, unsigned cpus);
void fw_cfg_fini(struct fw_cfg *f);

#endif
