/* mem.h - physical memory: RAM, and the door to memory-mapped I/O.
 *
 * Layout as on a PC: RAM from 0 to 640 KB, a hole for VGA and ROMs of devices (A0000-BFFFF is I/O),
 * RAM from C0000 (firmware tables live there) up to `low_size` (at most 3 GB), the rest from 4 GB
 * up. What is not RAM goes out on the mmio wire. RAM is one lazily backed mapping: pages never
 * touched cost no host memory.
 *
 * Each page has flags. Whoever caches a host pointer for writing sets PAGE_WRITER and must drop
 * the pointer when the page gains PAGE_CODE, PAGE_MONITOR or RAM_CLEAN: mem->drop_writable / the snapshot
 * hook say so. */
#ifndef MMU_MEM_H
#define MMU_MEM_H

#include "sim/base.h"
#include "sim/err.h"
#include "sim/snap.h"
#include "sim/wire.h"

#define PAGE_CODE     0x01      /* decoded blocks exist: writes must be reported through code_written */
#define PAGE_WRITER   0x04      /* somebody may hold a pointer to write through: cleared when they were told to drop it */
#define PAGE_WATCH    0x02      /* somebody watches this page (models/watch.h): no soft entry for it, mem->watched is told */
#define PAGE_MONITOR  0x08      /* a CPU's MONITOR has a line of it: writes must be reported through monitored */
/*      RAM_CLEAN     0x80         from sim/snap.h */
#define PAGE_SLOW_WRITE (PAGE_CODE | PAGE_WATCH | PAGE_MONITOR | RAM_CLEAN)

#define MEM_LOW_MAX   0xC0000000ull     /* RAM below the PCI hole */
#define MEM_HIGH      0x100000000ull    /* the rest of it */

enum mem_by { MEM_BY_CPU, MEM_BY_WALKER, MEM_BY_OTHER };        /* whose access: an instruction's, a page walk's, or not said */

struct mem {
	uint8_t *ram;
	uint8_t *flags;                 /* one byte a page */
	uint64_t ram_size, low_size;    /* bytes */
	uint64_t first_page;            /* of a window: its first page among those the snapshots know; else 0 */
	struct mem *window_on;          /* the memory `ram` is a part of, or NULL: its own */
	struct snaps *snaps;            /* told before a clean page is written; may be NULL */
	struct io_wire mmio;
	/* Decoded code in [pa, pa+len) was overwritten. One listener: the machine fans
	 * out to CPUs. */
	void (*code_written)(void *who, hpa_t pa, unsigned len);
	/* [pa, pa+len) of a page with PAGE_MONITOR is about to be written. */
	void (*monitored)(void *who, hpa_t pa, unsigned len);
	/* A page with PAGE_WRITER gained one of PAGE_SLOW_WRITE: drop cached writable
	 * pointers to it. */
	void (*drop_writable)(void *who, hpa_t page);
	/* An access to a page with PAGE_WATCH; writes before the bytes change. Looking (mem_peek) is none. */
	void (*watched)(void *who, hpa_t pa, unsigned len, bool write, enum mem_by by);
	bool watching;                  /* some page has PAGE_WATCH: reads look for it */
	void *who;
	/* A VM's: may a device write there? NULL: anywhere (models/vmm/pv/direct.c: not to page tables that the hardware walks). */
	bool (*device_may)(void *who, hpa_t pa, uint64_t n);
	void *device_who;
	/* A VM's: a device has written there. NULL: nobody keeps copies of anything (models/vmm/vm.c). */
	void (*device_wrote)(void *who, hpa_t pa, uint64_t n);
	void *wrote_who;
};

int mem_init(struct mem *m, uint64_t ram_size, struct err *e);
void mem_fini(struct mem *m);
/* A virtual machine's RAM: `size` bytes of another memory from host-physical `base` on (contiguous RAM there), laid out
 * like a PC's. The owner sets mmio and the hooks. -1: not RAM. */
int mem_window(struct mem *m, struct mem *of, hpa_t base, uint64_t size, struct err *e);

/* Offset into ram, or -1 when pa is not RAM. */
static inline int64_t mem_offset(const struct mem *m, hpa_t pa)
{
	if (pa.v < m->low_size)
		return unlikely(pa.v - 0xA0000 < 0x20000) ? -1 : (int64_t)pa.v;
	if (pa.v >= MEM_HIGH && pa.v - MEM_HIGH < m->ram_size - m->low_size)
		return (int64_t)(pa.v - MEM_HIGH + m->low_size);
	return -1;
}
static inline uint8_t *mem_ptr(const struct mem *m, hpa_t pa)
{
	int64_t off = mem_offset(m, pa);
	return off < 0 ? NULL : m->ram + off;
}
static inline uint8_t *mem_flags(const struct mem *m, hpa_t pa)
{
	int64_t off = mem_offset(m, pa);
	return off < 0 ? NULL : m->flags + (off >> PAGE_SHIFT);
}

void mem_flag_set(struct mem *m, hpa_t page, uint8_t flag);    /* may call drop_writable */

/* Before [pa, pa+len) within one page of RAM is written by any means but a cached pointer:
 * saves the page for snapshots, reports overwritten code. */
void mem_before_write(struct mem *m, hpa_t pa, unsigned len, enum mem_by by);

/* [pa, pa+len) within one page is read by any means but a cached pointer. */
void mem_read_seen(struct mem *m, hpa_t pa, unsigned len, enum mem_by by);
static inline void mem_before_read(struct mem *m, hpa_t pa, unsigned len, enum mem_by by)
{
	if (unlikely(m->watching))
		mem_read_seen(m, pa, len, by);
}

/* Untimed access for walkers, devices (DMA), loaders: bytes of RAM; not RAM: reads all ones, writes
 * are lost, and false is returned. May cross pages. Devices' DMA and walkers use these. */
bool mem_read(struct mem *m, hpa_t pa, void *buf, size_t n);
bool mem_write(struct mem *m, hpa_t pa, const void *buf, size_t n);
bool mem_write_by(struct mem *m, hpa_t pa, const void *buf, size_t n, enum mem_by by);
static inline uint64_t mem_read64(struct mem *m, hpa_t pa)
{
	uint64_t v = ~0ull;
	mem_read(m, pa, &v, 8);
	return v;
}
static inline uint32_t mem_read32(struct mem *m, hpa_t pa)
{
	uint32_t v = ~0u;
	mem_read(m, pa, &v, 4);
	return v;
}
static inline void mem_write64(struct mem *m, hpa_t pa, uint64_t v) { mem_write(m, pa, &v, 8); }
static inline void mem_write32(struct mem *m, hpa_t pa, uint32_t v) { mem_write(m, pa, &v, 4); }

/* Looking: RAM only, changes nothing at all. */
bool mem_peek(const struct mem *m, hpa_t pa, void *buf, size_t n);

#endif
