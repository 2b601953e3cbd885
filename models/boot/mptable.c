/* mptable.c - the MP floating pointer and configuration table: CPUs, buses, the I/O APIC and interrupt routing.
 * Source: Intel MultiProcessor Specification 1.4, "MP Configuration Table". */
#include <string.h>

#include "models/boot/firmware.h"

struct floating { char signature[4]; uint32_t table; uint8_t length, revision, checksum, type, features[4]; };
struct config {
	char signature[4];
	uint16_t length;
	uint8_t revision, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_size, entries;
	uint32_t lapic;
	uint16_t ext_length;
	uint8_t ext_checksum, reserved;
};
struct processor { uint8_t type, apic_id, apic_version, flags; uint32_t signature, features, reserved[2]; };
struct entry8 { uint8_t b[8]; };        /* bus, I/O APIC, interrupt entries */

enum { ENTRY_PROCESSOR, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_IOINT, ENTRY_LINT };
enum { INT_VECTORED = 0, INT_NMI = 1, INT_EXTINT = 3 };
enum { CPU_ENABLED = 1, CPU_BSP = 2 };
#define ISA_BUS    0
#define IOAPIC_ID  0

struct writer { uint8_t b[2048]; size_t n; unsigned entries; };

static void add(struct writer *w, const void *entry, size_t n)
{
	if (w->n + n > sizeof w->b)
		BUG("the MP table outgrew its buffer");
	memcpy(w->b + w->n, entry, n);
	w->n += n;
	w->entries++;
}
static void add8(struct writer *w, uint8_t type, uint8_t a, uint8_t b, uint8_t c, uint8_t d,
                 uint8_t e, uint8_t f, uint8_t g)
{
	add(w, &(struct entry8){ { type, a, b, c, d, e, f, g } }, 8);
}
static uint8_t checksum(const void *p, size_t n)
{
	uint8_t sum = 0;
	for (const uint8_t *b = p; n--; b++)
		sum += *b;
	return (uint8_t)-sum;
}

void mptable_install(struct machine *m)
{
	struct writer w = { .n = sizeof(struct config) };
	for (unsigned i = 0; i < m->config.cpus; i++) {
		struct processor p = { ENTRY_PROCESSOR, (uint8_t)i, 0x14,
		                       (uint8_t)(CPU_ENABLED | (i ? 0 : CPU_BSP)), 0x600, 0x201,
		                       { 0 } };
		add(&w, &p, sizeof p);
	}
	add8(&w, ENTRY_BUS, ISA_BUS, 'I', 'S', 'A', ' ', ' ', ' ');
	add8(&w, ENTRY_IOAPIC, IOAPIC_ID, 0x20, 1, 0, 0, 0xC0, 0xFE);
	for (uint8_t irq = 0; irq < 16; irq++) {
		if (irq == 2)
			continue;       /* the cascade: its pin belongs to IRQ 0 */
		add8(&w, ENTRY_IOINT, INT_VECTORED, 0, 0, ISA_BUS, irq, IOAPIC_ID, irq ? irq : 2);
	}
	add8(&w, ENTRY_LINT, INT_EXTINT, 0, 0, ISA_BUS, 0, 0xff, 0);
	add8(&w, ENTRY_LINT, INT_NMI, 0, 0, ISA_BUS, 0, 0xff, 1);

	struct config c = { .signature = { 'P', 'C', 'M', 'P' }, .revision = 4,
	                    .lapic = 0xFEE00000u };
	memcpy(c.oem, "VMSCOPE ", 8);
	memcpy(c.product, "PC          ", 12);
	c.length = (uint16_t)w.n;
	c.entries = (uint16_t)w.entries;
	memcpy(w.b, &c, sizeof c);
	c.checksum = checksum(w.b, w.n);
	memcpy(w.b, &c, sizeof c);

	struct floating f = { .signature = { '_', 'M', 'P', '_' }, .table = FIRMWARE_MP + 16,
	                      .length = 1, .revision = 4 };
	f.checksum = checksum(&f, sizeof f);
	mem_write(&m->mem, HPA(FIRMWARE_MP), &f, sizeof f);
	mem_write(&m->mem, HPA(FIRMWARE_MP + 16), w.b, w.n);
}
