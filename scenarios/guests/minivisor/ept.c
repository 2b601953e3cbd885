/* ept.c - the guest's physical memory: extended page tables that start empty and grow by EPT violations.
 *
 *	bits 47:39 of the guest-physical address -> PML4 entry	 one table
 *	bits 38:30				 -> PDPT entry	 one table
 *	bits 29:21				 -> PD entry	 one table a GiB; a leaf of 2 MiB when pages=2m
 *	bits 20:12				 -> PT entry	 one table for 2 MiB
 *
 * RAM is mapped at guest-physical + offset. With offset 0, the default, devices' DMA goes where the guest means it; with
 * another it does not: nothing translates a device's addresses but an IOMMU.
 * The local APIC and I/O APIC pages are the machine's own, uncached: the guest drives them itself.
 * Source: SDM Vol. 3C, "EPT Translation Mechanism". */
#include "minivisor.h"

enum { EPT_RWX = 7, EPT_WB = 6 << 3, EPT_UC = 0 << 3, EPT_LEAF = 1 << 7, EPTP_WB = 6, EPTP_4_LEVELS = 3 << 3 };
enum { TABLES = 80 };			/* 4 KiB pages for 64 MiB take 32 tables of the last level, devices 2 */
enum { DEVICES = 0xFEC00000, DEVICES_END = 0xFEF00000 };

static uint64_t table[TABLES][PAGE / 8] __attribute__((aligned(PAGE)));
static unsigned tables;

static uint64_t *new_table(void)
{
	if (tables == TABLES)
		die("out of EPT tables");
	return table[tables++];
}

uint64_t ept_start(void)
{
	return (uintptr_t)new_table() | EPTP_4_LEVELS | EPTP_WB;
}

/* The entry for gpa in the table of `level`, tables made on the way down. */
static uint64_t *entry_for(uint64_t gpa, unsigned level)
{
	uint64_t *t = table[0];

	for (unsigned l = 4; ; l--) {
		uint64_t *e = &t[gpa >> (12 + 9 * (l - 1)) & 511];

		if (l == level)
			return e;
		if (!*e)
			*e = (uintptr_t)new_table() | EPT_RWX;
		t = (uint64_t *)(*e & 0xFFFFFFFFF000);
	}
}

bool ept_fault(uint64_t gpa)
{
	if (gpa < options.ram) {
		uint64_t page = gpa & -options.page;

		*entry_for(gpa, options.page == PAGE ? 1 : 2) =
			(page + options.offset) | EPT_RWX | EPT_WB | (options.page == PAGE ? 0 : EPT_LEAF);
		return true;
	}
	if (gpa >= DEVICES && gpa < DEVICES_END) {
		*entry_for(gpa, 1) = (gpa & -(uint64_t)PAGE) | EPT_RWX | EPT_UC;
		return true;
	}
	return false;
}
