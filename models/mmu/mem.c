/* mem.c - RAM: one lazily backed mapping, a byte of flags per page.
 *
 * Untimed: whoever must pay for a reference pays in access.c. Every write but those through a cached
 * pointer comes by mem_before_write(), which keeps snapshots and decoded code honest. */
#include <string.h>
#include <sys/mman.h>

#include "models/mmu/mem.h"

int mem_init(struct mem *m, uint64_t ram_size, struct err *e)
{
	memset(m, 0, sizeof *m);
	void *ram = mmap(NULL, ram_size, PROT_READ | PROT_WRITE,
	                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram == MAP_FAILED)
		return err_set(e, NULL, "less 'ram' needs less of it",
		               "the host has no address space for %llu bytes of RAM",
		               (unsigned long long)ram_size);
	void *flags = mmap(NULL, ram_size >> PAGE_SHIFT, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (flags == MAP_FAILED) {
		munmap(ram, ram_size);
		return err_set(e, NULL, "less 'ram' needs less of it",
		               "the host has no address space for the flags of %llu bytes of RAM",
		               (unsigned long long)ram_size);
	}
	m->ram = ram;
	m->flags = flags;
	m->ram_size = ram_size;
	m->low_size = ram_size < MEM_LOW_MAX ? ram_size : MEM_LOW_MAX;
	return 0;
}

int mem_window(struct mem *m, struct mem *of, hpa_t base, uint64_t size, struct err *e)
{
	int64_t first = mem_offset(of, base), last = mem_offset(of, HPA(base.v + size - 1));
	memset(m, 0, sizeof *m);
	if (first < 0 || last < 0 || (uint64_t)(last - first) != size - 1)
		return err_set(e, NULL, "less memory for the VM, or more for the machine",
		               "the machine has no %llu bytes of memory at %#llx", (unsigned long long)size,
		               (unsigned long long)base.v);
	m->ram = of->ram + first;
	m->flags = of->flags + (first >> PAGE_SHIFT);
	m->ram_size = size;
	m->low_size = size < MEM_LOW_MAX ? size : MEM_LOW_MAX;
	m->first_page = (uint64_t)first >> PAGE_SHIFT;
	m->window_on = of;
	m->snaps = of->snaps;
	return 0;
}

void mem_fini(struct mem *m)
{
	if (m->window_on)
		return;
	if (m->ram)
		munmap(m->ram, m->ram_size);
	if (m->flags)
		munmap(m->flags, m->ram_size >> PAGE_SHIFT);
	m->ram = m->flags = NULL;
}

void mem_flag_set(struct mem *m, hpa_t page, uint8_t flag)
{
	uint8_t *flags = mem_flags(m, page);
	if (!flags)
		return;
	bool gained = flag & PAGE_SLOW_WRITE & ~*flags;
	*flags |= flag;
	if (gained && *flags & PAGE_WRITER) {
		*flags &= (uint8_t)~PAGE_WRITER;
		if (m->drop_writable)
			m->drop_writable(m->who, HPA(page.v & PAGE_MASK));
	}
}

void mem_before_write(struct mem *m, hpa_t pa, unsigned len, enum mem_by by)
{
	int64_t off = mem_offset(m, pa);
	if (off < 0)
		return;
	uint8_t *flags = &m->flags[off >> PAGE_SHIFT];
	if (likely(!(*flags & PAGE_SLOW_WRITE)))
		return;
	if (*flags & RAM_CLEAN) {
		if (m->snaps)
			snap_before_write(m->snaps, m->first_page + ((uint64_t)off >> PAGE_SHIFT));
		*flags &= (uint8_t)~RAM_CLEAN;
	}
	if (*flags & PAGE_WATCH && m->watched)
		m->watched(m->who, pa, len, true, by);
	if (*flags & PAGE_CODE && m->code_written)
		m->code_written(m->who, pa, len);
	if (*flags & PAGE_MONITOR && m->monitored)
		m->monitored(m->who, pa, len);
}

void mem_read_seen(struct mem *m, hpa_t pa, unsigned len, enum mem_by by)
{
	const uint8_t *flags = mem_flags(m, pa);
	if (flags && *flags & PAGE_WATCH && m->watched)
		m->watched(m->who, pa, len, false, by);
}

/* Bytes from pa to the end of its page, at most n. */
static size_t within_page(hpa_t pa, size_t n)
{
	size_t room = PAGE_SIZE - (pa.v & ~PAGE_MASK);
	return n < room ? n : room;
}

bool mem_peek(const struct mem *m, hpa_t pa, void *buf, size_t n)
{
	bool all = true;
	for (uint8_t *to = buf; n;) {
		size_t k = within_page(pa, n);
		const uint8_t *from = mem_ptr(m, pa);
		if (from)
			memcpy(to, from, k);
		else
			memset(to, 0xff, k), all = false;
		pa.v += k, to += k, n -= k;
	}
	return all;
}

bool mem_read(struct mem *m, hpa_t pa, void *buf, size_t n)
{
	for (uint64_t at = pa.v, left = n; unlikely(m->watching) && left;) {
		size_t k = within_page(HPA(at), left);
		mem_read_seen(m, HPA(at), (unsigned)k, MEM_BY_OTHER);
		at += k, left -= k;
	}
	return mem_peek(m, pa, buf, n);
}

bool mem_write(struct mem *m, hpa_t pa, const void *buf, size_t n)
{
	return mem_write_by(m, pa, buf, n, MEM_BY_OTHER);
}

bool mem_write_by(struct mem *m, hpa_t pa, const void *buf, size_t n, enum mem_by by)
{
	bool all = true;
	for (const uint8_t *from = buf; n;) {
		size_t k = within_page(pa, n);
		uint8_t *to = mem_ptr(m, pa);
		if (to) {
			mem_before_write(m, pa, (unsigned)k, by);
			memcpy(to, from, k);
		} else {
			all = false;
		}
		pa.v += k, from += k, n -= k;
	}
	return all;
}
