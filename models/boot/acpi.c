/* acpi.c - ACPI tables: RSDP, RSDT, FADT, FACS, MADT, and a DSDT with the PCI root and sleep states.
 * Source: ACPI Specification 1.0b, "ACPI Software Programming Model"; "ACPI Machine Language (AML) Specification".
 * Simplified: what an operating system needs to find CPUs, I/O APIC, PM registers and the PCI bus; no thermal, no battery. */
#include <string.h>

#include "models/boot/firmware.h"

/* The hardware these tables describe (models/io): */
#define LAPIC_BASE   0xFEE00000u
#define IOAPIC_BASE  0xFEC00000u
#define PM_BASE      0x600u     /* PM1a event; +4 PM1a control; +8 PM timer */
#define GPE0_BASE    0xAFE0u
#define SCI_IRQ      9
#define PCI_MMIO     0xE0000000u
#define PCI_MMIO_END 0xFEBFFFFFu

/* A table being written. Everything is bounded by construction; running over is our defect. */
struct table {
	uint8_t b[6144];
	size_t n;
};

static void put(struct table *t, uint64_t v, unsigned bytes)
{
	if (t->n + bytes > sizeof t->b)
		BUG("an ACPI table outgrew its buffer");
	for (unsigned i = 0; i < bytes; i++)
		t->b[t->n++] = (uint8_t)(v >> (8 * i));
}
static void put_text(struct table *t, const char *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(t, (uint8_t)(*s ? *s++ : ' '), 1);
}

static uint8_t checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;
	while (n--)
		sum += *p++;
	return (uint8_t)-sum;
}

static void header(struct table *t, const char *signature, unsigned revision)
{
	t->n = 0;
	put_text(t, signature, 4);
	put(t, 0, 4);                   /* length, then */
	put(t, revision, 1);
	put(t, 0, 1);                   /* checksum: finish() */
	put_text(t, "VMSCOP", 6);
	put_text(t, "VMSCOPE", 8);
	put(t, 1, 4);
	put_text(t, "VMSC", 4);
	put(t, 1, 4);
}

/* Close the table, write it at the next 64-byte boundary of *at, advance *at; returns
 * its address. */
static uint32_t finish(struct machine *m, struct table *t, uint32_t *at)
{
	uint32_t here = *at, n = (uint32_t)t->n;
	memcpy(t->b + 4, &n, 4);
	t->b[9] = 0;
	t->b[9] = checksum(t->b, t->n);
	if (here + t->n > FIRMWARE_END)
		BUG("the ACPI tables do not fit below 1 MB");
	mem_write(&m->mem, HPA(here), t->b, t->n);
	*at = (uint32_t)(here + t->n + 63) & ~63u;
	return here;
}

/* ---- AML ---- */
enum { AML_NAME = 0x08, AML_BYTE = 0x0a, AML_WORD = 0x0b, AML_DWORD = 0x0c, AML_SCOPE = 0x10,
       AML_BUFFER = 0x11,
       AML_PACKAGE = 0x12, AML_EXT = 0x5b, AML_EXT_DEVICE = 0x82 };

/* A PkgLength of two bytes: written when the contents are known. */
static size_t aml_open(struct table *t)
{
	put(t, 0, 2);
	return t->n - 2;
}
static void aml_close(struct table *t, size_t at)
{
	size_t n = t->n - at;           /* counts itself */
	t->b[at] = (uint8_t)(0x40 | (n & 15));
	t->b[at + 1] = (uint8_t)(n >> 4);
}
static void aml_name(struct table *t, const char *name)
{
	put(t, AML_NAME, 1);
	put_text(t, name, 4);
}
static void aml_int(struct table *t, uint32_t v)
{
	if (v < 2) {
		put(t, v, 1);           /* ZeroOp, OneOp */
	} else if (v < 0x100) {
		put(t, AML_BYTE, 1);
		put(t, v, 1);
	} else {
		put(t, AML_DWORD, 1);
		put(t, v, 4);
	}
}

/* Resource descriptors (ACPI "Resource Data Types for ACPI"): address spaces the root
 * bridge decodes. */
enum { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_BUS = 2 };
static void word_space(struct table *t, unsigned type, unsigned flags, uint32_t min, uint32_t max)
{
	put(t, 0x88, 1);
	put(t, 13, 2);
	put(t, type, 1);
	put(t, 0x0c, 1);                /* minimum and maximum fixed, producer, positive decode */
	put(t, flags, 1);
	put(t, 0, 2);
	put(t, min, 2);
	put(t, max, 2);
	put(t, 0, 2);
	put(t, max - min + 1, 2);
}
static void dword_space(struct table *t, unsigned type, unsigned flags, uint32_t min, uint32_t max)
{
	put(t, 0x87, 1);
	put(t, 23, 2);
	put(t, type, 1);
	put(t, 0x0c, 1);
	put(t, flags, 1);
	put(t, 0, 4);
	put(t, min, 4);
	put(t, max, 4);
	put(t, 0, 4);
	put(t, max - min + 1, 4);
}

static void pci_resources(struct table *t)
{
	aml_name(t, "_CRS");
	put(t, AML_BUFFER, 1);
	size_t len = aml_open(t);
	put(t, AML_WORD, 1);
	size_t size_at = t->n;
	put(t, 0, 2);
	size_t start = t->n;
	word_space(t, SPACE_BUS, 0, 0, 255);
	/* I/O port descriptor: CF8-CFF belongs to the bridge itself */
	put(t, 0x47, 1);
	put(t, 1, 1);
	put(t, 0xcf8, 2);
	put(t, 0xcf8, 2);
	put(t, 1, 1);
	put(t, 8, 1);
	word_space(t, SPACE_IO, 3, 0x0000, 0x0cf7);
	word_space(t, SPACE_IO, 3, 0x0d00, 0xffff);
	dword_space(t, SPACE_MEMORY, 3, 0x000a0000, 0x000bffff);
	dword_space(t, SPACE_MEMORY, 3, PCI_MMIO, PCI_MMIO_END);
	put(t, 0x79, 1);                /* end tag, no checksum */
	put(t, 0, 1);
	uint16_t size = (uint16_t)(t->n - start);
	memcpy(t->b + size_at, &size, 2);
	aml_close(t, len);
}

/* _PRT: INTx of each slot goes to I/O APIC pins 16..19, swizzled as bridges do. */
static void pci_routing(struct table *t)
{
	enum { SLOTS = 32, PINS = 4, FIRST_GSI = 16 };
	aml_name(t, "_PRT");
	put(t, AML_PACKAGE, 1);
	size_t len = aml_open(t);
	put(t, (SLOTS - 1) * PINS, 1);
	for (uint32_t slot = 1; slot < SLOTS; slot++)
		for (uint32_t pin = 0; pin < PINS; pin++) {
			put(t, AML_PACKAGE, 1);
			size_t entry = aml_open(t);
			put(t, 4, 1);
			aml_int(t, slot << 16 | 0xffff);
			aml_int(t, pin);
			aml_int(t, 0);
			aml_int(t, FIRST_GSI + (slot + pin) % PINS);
			aml_close(t, entry);
		}
	aml_close(t, len);
}

/* _S3, _S5: SLP_TYP values for PM1a and PM1b control. */
static void sleep_state(struct table *t, const char *name, uint32_t type)
{
	aml_name(t, name);
	put(t, AML_PACKAGE, 1);
	size_t len = aml_open(t);
	put(t, 4, 1);
	aml_int(t, type);
	aml_int(t, type);
	aml_int(t, 0);
	aml_int(t, 0);
	aml_close(t, len);
}

static uint32_t dsdt(struct machine *m, struct table *t, uint32_t *at)
{
	header(t, "DSDT", 1);
	put(t, AML_SCOPE, 1);
	size_t scope = aml_open(t);
	put_text(t, "\\_SB_", 5);
	put(t, AML_EXT, 1);
	put(t, AML_EXT_DEVICE, 1);
	size_t device = aml_open(t);
	put_text(t, "PCI0", 4);
	aml_name(t, "_HID");
	aml_int(t, 0x030ad041);         /* EISA ID PNP0A03: PCI bus */
	aml_name(t, "_UID");
	aml_int(t, 0);
	pci_resources(t);
	pci_routing(t);
	aml_close(t, device);
	aml_close(t, scope);
	sleep_state(t, "_S3_", 1);
	sleep_state(t, "_S5_", 0);
	return finish(m, t, at);
}

static uint32_t fadt(struct machine *m, struct table *t, uint32_t *at, uint32_t facs_at,
                     uint32_t dsdt_at)
{
	header(t, "FACP", 1);
	put(t, facs_at, 4);
	put(t, dsdt_at, 4);
	put(t, 1, 1);                   /* INT_MODEL: multiple APIC */
	put(t, 0, 1);
	put(t, SCI_IRQ, 2);
	put(t, 0, 4);                   /* SMI_CMD: none, the system is always in ACPI mode */
	put(t, 0, 4);                   /* ACPI_ENABLE .. PSTATE_CNT */
	put(t, PM_BASE, 4);             /* PM1a_EVT_BLK */
	put(t, 0, 4);
	put(t, PM_BASE + 4, 4);         /* PM1a_CNT_BLK */
	put(t, 0, 4);
	put(t, 0, 4);                   /* PM2_CNT_BLK */
	put(t, PM_BASE + 8, 4);         /* PM_TMR_BLK */
	put(t, GPE0_BASE, 4);
	put(t, 0, 4);
	put(t, 4, 1);                   /* PM1_EVT_LEN */
	put(t, 2, 1);                   /* PM1_CNT_LEN */
	put(t, 0, 1);
	put(t, 4, 1);                   /* PM_TMR_LEN */
	put(t, 4, 1);                   /* GPE0_BLK_LEN */
	put(t, 0, 3);                   /* GPE1 none, CST_CNT */
	put(t, 0xfff, 2);               /* P_LVL2_LAT: no C2 */
	put(t, 0xfff, 2);               /* no C3 */
	put(t, 0, 6);                   /* FLUSH_SIZE .. DAY_ALRM, MON_ALRM */
	put(t, 0x32, 1);                /* CENTURY: CMOS index */
	put(t, 0, 3);
	/* WBINVD, PROC_C1, SLP_BUTTON none, TMR_VAL_EXT (32-bit timer) */
	put(t, BIT(0) | BIT(2) | BIT(5) | BIT(8), 4);
	return finish(m, t, at);
}

static uint32_t madt(struct machine *m, struct table *t, uint32_t *at)
{
	header(t, "APIC", 1);
	put(t, LAPIC_BASE, 4);
	put(t, 1, 4);                   /* PCAT_COMPAT: 8259s are there too */
	for (unsigned i = 0; i < m->config.cpus; i++) {
		put(t, 0x0800, 2);      /* processor local APIC, 8 bytes */
		put(t, i, 1);
		put(t, i, 1);
		put(t, 1, 4);
	}
	put(t, 0x0c01, 2);              /* I/O APIC, 12 bytes */
	put(t, 0, 1);                   /* its ID */
	put(t, 0, 1);
	put(t, IOAPIC_BASE, 4);
	put(t, 0, 4);
	put(t, 0x0a02, 2);              /* interrupt source override: IRQ 0 is pin 2 */
	put(t, 0, 1);
	put(t, 0, 1);
	put(t, 2, 4);
	put(t, 0, 2);
	put(t, 0x0a02, 2);              /* the SCI: level, active high */
	put(t, 0, 1);
	put(t, SCI_IRQ, 1);
	put(t, SCI_IRQ, 4);
	put(t, 0x000d, 2);
	put(t, 0x0604, 2);              /* local APIC NMI: LINT1 of all */
	put(t, 0xff, 1);
	put(t, 0, 2);
	put(t, 1, 1);
	return finish(m, t, at);
}

void acpi_install(struct machine *m)
{
	struct table t;
	uint32_t at = FIRMWARE_ACPI, facs_at = at;
	/* FACS: no checksum; 64 bytes; the waking vector at offset 12 */
	memset(&t, 0, sizeof t);
	put_text(&t, "FACS", 4);
	put(&t, 64, 4);
	mem_write(&m->mem, HPA(facs_at), t.b, 64);
	at += 64;

	uint32_t dsdt_at = dsdt(m, &t, &at);
	uint32_t fadt_at = fadt(m, &t, &at, facs_at, dsdt_at);
	uint32_t madt_at = madt(m, &t, &at);
	header(&t, "RSDT", 1);
	put(&t, fadt_at, 4);
	put(&t, madt_at, 4);
	uint32_t rsdt_at = finish(m, &t, &at);

	t.n = 0;
	put_text(&t, "RSD PTR ", 8);
	put(&t, 0, 1);
	put_text(&t, "VMSCOP", 6);
	put(&t, 0, 1);                  /* revision 0: ACPI 1.0 */
	put(&t, rsdt_at, 4);
	t.b[8] = checksum(t.b, 20);
	mem_write(&m->mem, HPA(FIRMWARE_RSDP), t.b, 20);
}
