/* firmware.h - what a PC's firmware leaves in memory, without the firmware: memory map, BIOS data
 * area, interrupt vectors that return, a GDT, ACPI tables, an MP table, fw_cfg items; and the
 * interrupt controllers and the timer running.
 *
 *   00000-003FF  interrupt vectors, all at an IRET        E0000  the boot GDT
 *   00400-004FF  BIOS data area                           E1000  the IRET, and behind it the timer tick's handler
 *   9FC00-9FFFF  extended BIOS data area (reserved)       F0000  MP table, F1000 RSDP, F2000.. ACPI tables
 *                                                         FFFF0  the reset vector: asks for a reset
 * Simplified: no BIOS services; an INT 10H returns having done nothing. */
#ifndef BOOT_FIRMWARE_H
#define BOOT_FIRMWARE_H

#include "models/machine.h"

#define FIRMWARE_GDT        0xE0000u
#define FIRMWARE_GDT_LIMIT  (4 * 8 - 1)
#define FIRMWARE_CS         0x10        /* as Linux's boot protocol wants it */
#define FIRMWARE_DS         0x18
/* Multiboot leaves the selectors open. xv6 keeps the ones it is entered with and expects those of
 * its own GDT, which are also those of QEMU's loader. */
#define MULTIBOOT_CS        0x08
#define MULTIBOOT_DS        0x10

/* Address map ranges, ACPI Specification "System Address Map Interfaces" types. */
enum { RANGE_RAM = 1, RANGE_RESERVED = 2 };
struct memory_range { uint64_t base, size; uint32_t type; };
#define MEMORY_RANGES_MAX 8
unsigned firmware_memory_map(const struct machine *m, struct memory_range map[MEMORY_RANGES_MAX]);

void firmware_install(struct machine *m);       /* writes everything above into RAM */
void firmware_long_gdt(struct machine *m);      /* make selector 10H a 64-bit code segment */
void firmware_multiboot_gdt(struct machine *m); /* 08H 32-bit code, 10H data */
uint64_t firmware_rsdp(const struct machine *m);

/* acpi.c, mptable.c */
#define FIRMWARE_MP     0xF0000u
#define FIRMWARE_RSDP   0xF1000u
#define FIRMWARE_ACPI   0xF2000u
#define FIRMWARE_END    0x100000u
void acpi_install(struct machine *m);
void mptable_install(struct machine *m);

/* A warm reset asked through the CMOS shutdown byte: continue at the vector at 40:67; S3: at the
 * FACS waking vector. False: a cold reset, which needs firmware we do not have. */
bool firmware_warm_reset(struct machine *m);

#endif
