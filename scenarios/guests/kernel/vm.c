/* vm.c - page tables, address spaces, demand paging, copy-on-write.
 *
 * Both images use tables of 512 64-bit entries, pages of 4 KiB and 2 MiB:
 *
 *	Intel 64, 4 levels	47......39 38......30 29......21 20......12 11.........0
 *				 level 4    level 3    level 2    level 1    offset
 *	IA-32, PAE, 3 levels	           31..30     29......21 20......12 11.........0
 *				           level 3    level 2    level 1    offset
 *
 * A large leaf (PTE_PS) sits at level 2.  Every address space shares the kernel's upper half by
 * copying the entries of kernel_root.
 *
 * Rules kept here, for the benefit of anyone who shadows these tables:
 *	- entries change through pte_write(), table_link() and table_unlink() only, and are read by
 *	  pte_read(): a paravirtual kernel's hold other addresses than this file's;
 *	- after an entry that was present has changed, INVLPG its address, or reload CR3;
 *	- a table is empty again before its frame is freed.
 *
 * User pages are filled in by page faults: space_fault() below is the heart of this file.
 * Source: SDM Vol. 3A, "Paging"; for IA-32, "PDPTE Registers": the four level-3 entries are read
 * only when CR3 is loaded and have no RW, US or A bit. */
#include "kernel.h"

#ifdef __x86_64__
enum { TOP = 4, ROOT_USER_ENTRIES = 256, ROOT_ENTRIES = 512 };
#else
enum { TOP = 3, ROOT_USER_ENTRIES = 2, ROOT_ENTRIES = 4 };
#endif
enum { TABLE_ENTRIES = 512 };

#define PTE_FRAME	0x000FFFFFFFFFF000ull
/* A paravirtual kernel's entries of a batch change at its end: the child's is made without PTE_RW. */
#ifdef PV
#define FORK_RIGHTS	PTE_RW
#else
#define FORK_RIGHTS	0
#endif
#define KERNEL_LEAF	(PTE_P | PTE_RW | PTE_A | PTE_D | PTE_G)

extern pte_t kernel_pd[], device_pd[];

/* --- tables ----------------------------------------------------------------------------------- */

static pte_t *table_of(pte_t entry)
{
	return direct((uintptr_t)(entry & PTE_FRAME));
}

static unsigned index_of(uintptr_t address, int level)
{
	return (unsigned)(address >> (PAGE_SHIFT + 9 * (level - 1))) & (TABLE_ENTRIES - 1);
}

/* An entry at `level` that points to the table at `frame`; rights are decided in the leaf. */
static pte_t table_entry(uintptr_t frame, int level)
{
	bool pdpte = TOP == 3 && level == 3;

	return frame | (pdpte ? PTE_P : PTE_P | PTE_RW | PTE_US | PTE_A);
}

/* vm_entry - the entry that maps `address` with a page of page_bytes; tables on the way are made
 * if `create` says so, else NULL is returned where one is missing.                              */
pte_t *vm_entry(uintptr_t root, uintptr_t address, uintptr_t page_bytes, bool create)
{
	int leaf_level = page_bytes == LARGE_PAGE_BYTES ? 2 : 1;
	pte_t *entry = (pte_t *)direct(root) + index_of(address, TOP);

	for (int level = TOP; level > leaf_level; level--) {
		if (!(*entry & PTE_P)) {
			if (!create)
				return NULL;
			table_link(entry, table_entry(frame_alloc_zeroed(PAGE_BYTES), level), level);
		}
		entry = table_of(pte_read(entry)) + index_of(address, level - 1);
	}
	return entry;
}

/* Empty a table and free all tables below it; the leaves are gone already. */
static void tables_free(pte_t *table, unsigned entries, int level)
{
	for (unsigned i = 0; i < entries; i++) {
		pte_t entry = pte_read(&table[i]);

		if (!(entry & PTE_P))
			continue;
		if (level > 2)
			tables_free(table_of(entry), TABLE_ENTRIES, level - 1);
		table_unlink(&table[i], level);
		frame_free((uintptr_t)(entry & PTE_FRAME), PAGE_BYTES);
	}
}

/* --- the kernel's half ------------------------------------------------------------------------ */

#ifndef PV				/* pv.c: the loader made it */

/* boot.S mapped the first 1 GiB twice.  Drop the low copy, end the other where RAM ends, and map
 * the local APIC uncached. */
void vm_init(void)
{
	pte_write(&kernel_root[0], 0);
	for (uintptr_t p = 0; p < RAM_LIMIT; p += LARGE_PAGE_BYTES)
		if (p >= boot_info.ram_bytes)
			pte_write(&kernel_pd[p / LARGE_PAGE_BYTES], 0);
	pte_write(&device_pd[0], DEVICE_PHYSICAL | KERNEL_LEAF | PTE_PS | 0x10 /* PCD */);
	root_load(physical_of(kernel_root));
	tlb_flush_all();
}

/* Rebuild the direct map from pages of the given size.  Translations stay what they are. */
void vm_direct_map(uintptr_t page_bytes)
{
	bool large = page_bytes == LARGE_PAGE_BYTES;

	if (large == !!(kernel_pd[0] & PTE_PS))
		return;
	for (uintptr_t p = 0; p < boot_info.ram_bytes; p += LARGE_PAGE_BYTES) {
		pte_t *entry = &kernel_pd[p / LARGE_PAGE_BYTES];
		pte_t old = *entry;

		if (large) {
			pte_write(entry, p | KERNEL_LEAF | PTE_PS);
			tlb_flush_all();
			for (unsigned i = 0; i < TABLE_ENTRIES; i++)
				pte_write(&table_of(old)[i], 0);
			frame_free((uintptr_t)(old & PTE_FRAME), PAGE_BYTES);
		} else {
			uintptr_t frame = frame_alloc_zeroed(PAGE_BYTES);
			pte_t *table = direct(frame);

			for (unsigned i = 0; i < TABLE_ENTRIES; i++)
				pte_write(&table[i], (p + i * PAGE_BYTES) | KERNEL_LEAF);
			pte_write(entry, table_entry(frame, 2));
			tlb_flush_all();
		}
	}
}

#endif

/* --- address spaces --------------------------------------------------------------------------- */

void space_create(struct space *s)
{
	pte_t *root;

	memset(s, 0, sizeof(*s));
	s->root = frame_alloc_zeroed(PAGE_BYTES);
	root = direct(s->root);
	for (unsigned i = ROOT_USER_ENTRIES; i < ROOT_ENTRIES; i++)
		if (kernel_root[i])
			pte_write(&root[i], pte_read(&kernel_root[i]));
	root_made(s->root);
	if (TOP == 3)		/* PDPTEs must be there before CR3 is loaded */
		for (unsigned i = 0; i < ROOT_USER_ENTRIES; i++)
			table_link(&root[i], table_entry(frame_alloc_zeroed(PAGE_BYTES), TOP), TOP);
}

/* Unmap and free all pages of a region; the caller flushes. */
static void region_empty(struct space *s, const struct region *r)
{
	for (uintptr_t a = r->start; a < r->end; a += r->page_bytes) {
		pte_t *entry = vm_entry(s->root, a, r->page_bytes, false);

		if (entry && *entry & PTE_P) {
			pte_t old = pte_read(entry);

			pte_write(entry, 0);
			frame_free((uintptr_t)(old & PTE_FRAME), r->page_bytes);
		}
	}
}

/* The space must not be the loaded one. */
void space_destroy(struct space *s)
{
	pte_t *root = direct(s->root);

	root_leaving(s->root);
	for (unsigned i = 0; i < REGIONS; i++)
		region_empty(s, &s->region[i]);
	tables_free(root, ROOT_USER_ENTRIES, TOP);
	for (unsigned i = ROOT_USER_ENTRIES; i < ROOT_ENTRIES; i++)
		if (root[i])
			pte_write(&root[i], 0);
	frame_free(s->root, PAGE_BYTES);
	memset(s, 0, sizeof(*s));
}

/* Share every page of `from`, the current space, with `to`; writable ones become read-only in both,
 * and the first write to either copies (space_fault). */
void space_fork(struct space *to, struct space *from)
{
	space_create(to);
	updates_begin();
	for (unsigned i = 0; i < REGIONS; i++) {
		struct region *r = &from->region[i];

		to->region[i] = *r;
		for (uintptr_t a = r->start; a < r->end; a += r->page_bytes) {
			pte_t *entry = vm_entry(from->root, a, r->page_bytes, false);

			if (!entry || !(*entry & PTE_P))
				continue;
			if (*entry & PTE_RW)
				pte_write(entry, pte_read(entry) & ~(pte_t)PTE_RW);
			frame_share((uintptr_t)(pte_read(entry) & PTE_FRAME));
			pte_write(vm_entry(to->root, a, r->page_bytes, true),
				  pte_read(entry) & ~(pte_t)(PTE_A | PTE_D | FORK_RIGHTS));
		}
	}
	tlb_flush_user();
	updates_end();
}

void space_add(struct space *s, struct region r)
{
	for (unsigned i = 0; i < REGIONS; i++)
		if (!s->region[i].end) {
			s->region[i] = r;
			return;
		}
	panic("a process has more than %d regions", REGIONS);
}

static struct region *region_over(struct space *s, uintptr_t start, uintptr_t end)
{
	for (unsigned i = 0; i < REGIONS; i++)
		if (s->region[i].start < end && s->region[i].end > start)
			return &s->region[i];
	return NULL;
}

/* Where large pages are to come, drop the tables that unmapped small ones left; they are empty. */
static void tables_drop(struct space *s, uintptr_t start, uintptr_t end)
{
	for (uintptr_t a = start; a < end; a += LARGE_PAGE_BYTES) {
		pte_t *entry = vm_entry(s->root, a, LARGE_PAGE_BYTES, false);

		if (entry && *entry & PTE_P) {
			uintptr_t table = (uintptr_t)(pte_read(entry) & PTE_FRAME);

			table_unlink(entry, 2);
			tlb_flush_page(a);
			frame_free(table, PAGE_BYTES);
		}
	}
}

/* The lowest free stretch from USER_MMAP on; 0 if there is none or no slot is left. */
uintptr_t space_map(struct space *s, uintptr_t bytes, uintptr_t page_bytes, bool writable)
{
	uintptr_t start = USER_MMAP;
	struct region *r;
	unsigned used = 0;

	for (unsigned i = 0; i < REGIONS; i++)
		used += s->region[i].end != 0;
	if (!bytes || bytes > USER_TOP || used == REGIONS)
		return 0;
	bytes = (bytes + page_bytes - 1) & -page_bytes;
	while ((r = region_over(s, start, start + bytes)))
		start = (r->end + page_bytes - 1) & -page_bytes;
	if (start + bytes > USER_STACK_TOP - USER_STACK_BYTES)
		return 0;
	if (page_bytes == LARGE_PAGE_BYTES)
		tables_drop(s, start, start + bytes);
	space_add(s, (struct region){ start, start + bytes, page_bytes, 0, writable });
	return start;
}

/* Of the current space. */
bool space_unmap(struct space *s, uintptr_t start)
{
	for (unsigned i = 0; i < REGIONS; i++) {
		struct region *r = &s->region[i];

		if (r->start != start || start < USER_MMAP || !r->end)
			continue;
		updates_begin();
		for (uintptr_t a = r->start; a < r->end; a += r->page_bytes) {
			struct region page = { a, a + r->page_bytes, r->page_bytes, 0, false };

			region_empty(s, &page);
			tlb_flush_page(a);
		}
		updates_end();
		memset(r, 0, sizeof(*r));
		return true;
	}
	return false;
}

/* --- page faults ------------------------------------------------------------------------------ */

/* A private copy of a page's contents. */
static uintptr_t frame_copy(uintptr_t frame, uintptr_t bytes)
{
	uintptr_t copy = frame_alloc(bytes);

	memcpy(direct(copy), direct(frame), bytes);
	return copy;
}

/* space_fault - make the page at `address` present, and writable if `write`.
 * false: the program may not do that.
 *
 *	nothing mapped yet	  zeroes: a new frame, zeroed
 *				  image:  the image's own frame, shared and read-only
 *	mapped, shared, write	  a copy of the frame
 *	mapped, not shared, write just allow it: the other users are gone */
bool space_fault(struct space *s, uintptr_t address, bool write)
{
	struct region *r = region_over(s, address, address + 1);
	pte_t rights = PTE_P | PTE_US, *entry;
	uintptr_t page, frame;

	if (!r || (write && !r->writable))
		return false;
	page = address & -r->page_bytes;
	entry = vm_entry(s->root, page, r->page_bytes, true);
	if (r->page_bytes == LARGE_PAGE_BYTES)
		rights |= PTE_PS;

	if (*entry & PTE_P) {
		frame = (uintptr_t)(pte_read(entry) & PTE_FRAME);
	} else if (r->image) {
		frame = r->image + (page - r->start);
		frame_share(frame);
	} else {
		frame = frame_alloc_zeroed(r->page_bytes);
	}
	if (write && frame_is_shared(frame)) {
		uintptr_t copy = frame_copy(frame, r->page_bytes);

		frame_free(frame, r->page_bytes);
		frame = copy;
	}
	if (r->writable && !frame_is_shared(frame))
		rights |= PTE_RW;
	updates_begin();
	pte_write(entry, frame | rights);
	tlb_flush_page(page);
	updates_end();
	return true;
}

/* Have every page of the space in place now, so that no page fault comes later. */
void space_populate(struct space *s)
{
	for (unsigned i = 0; i < REGIONS; i++) {
		struct region *r = &s->region[i];

		for (uintptr_t a = r->start; a < r->end; a += r->page_bytes)
			space_fault(s, a, r->writable);
	}
}

/* --- the kernel reads and writes user memory -------------------------------------------------- */

/* The kernel's own pointer to the byte at `address`, after any page fault has been dealt with by a
 * call and not by an exception; NULL if the program may not touch it. */
void *space_touch(struct space *s, uintptr_t address, bool write)
{
	struct region *r = region_over(s, address, address + 1);
	pte_t *entry;

	if (!r)
		return NULL;
	entry = vm_entry(s->root, address, r->page_bytes, true);
	if (!(*entry & PTE_P) || (write && !(*entry & PTE_RW)))
		if (!space_fault(s, address, write))
			return NULL;
	return direct((uintptr_t)(pte_read(entry) & PTE_FRAME) + (address & (r->page_bytes - 1)));
}

static bool copy(struct space *s, uintptr_t user, char *kernel, uintptr_t bytes, bool to_user)
{
	while (bytes) {
		uintptr_t room = PAGE_BYTES - (user & (PAGE_BYTES - 1));
		uintptr_t part = bytes < room ? bytes : room;
		void *p = space_touch(s, user, to_user);

		if (!p)
			return false;
		memcpy(to_user ? p : kernel, to_user ? kernel : p, part);
		user += part;
		kernel += part;
		bytes -= part;
	}
	return true;
}

bool copy_in(struct space *s, void *to, uintptr_t from, uintptr_t bytes)
{
	return copy(s, from, to, bytes, false);
}

bool copy_out(struct space *s, uintptr_t to, const void *from, uintptr_t bytes)
{
	return copy(s, to, (char *)from, bytes, true);
}
