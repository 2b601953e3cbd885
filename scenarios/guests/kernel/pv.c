/* pv.c - the paravirtual kernel's side of the hypercalls: page tables, traps, clock, console.
 *
 * Page tables.  A new tree is built in ordinary memory.  When it is loaded for the first time its
 * tables become read-only in the direct map and the root is pinned: the VMM checks it once, and
 * from then on each change is a hypercall, several in one where the callers say so
 * (updates_begin, updates_end).  Before it is taken down it is unpinned, and emptied by plain
 * stores.  Bits of `pinned` say which frames are tables of a pinned tree.
 *
 * Intel 64 under pv/direct: the kernel runs in ring 3 as programs do, so that these have a root of
 * their own which lacks the kernel's half.  The kernel's root remembers it in entry USER_ROOT_AT, not
 * present; entries of the user half are written to both.
 *
 * Under pv/shadow the same happens with pv_base = 0 and one root, and the hypercalls are what
 * tells the VMM of changes. */
#include "kernel.h"

#ifdef __x86_64__
enum { TOP = 4, ROOT_USER_ENTRIES = 1, USER_ROOT_AT = 300 };
#else
enum { TOP = 3, ROOT_USER_ENTRIES = 2, USER_ROOT_AT = 300 };
#endif
enum { TABLE_ENTRIES = 512, QUEUE = PV_BATCH_MAX, TEXT = 128 };
#define PTE_FRAME	0x000FFFFFFFFFF000ull

uint64_t pv_base;
pte_t *kernel_root;
static const struct pv_start *start;
static uint8_t pinned[RAM_LIMIT / PAGE_BYTES / 8];
static struct pv_update queue[QUEUE];
static unsigned queued, depth;
static uint32_t tick_ns;

void pv_begin(const struct pv_start *s);
void pv_entry_write(pte_t *entry, pte_t value);

static bool direct_paging(void)
{
	return start->flags & PV_DIRECT;
}

/* Asks again while the VMM still takes an old table apart: it goes on with each call. */
static uintptr_t must(unsigned nr, const char *what, uintptr_t a, uintptr_t b)
{
	intptr_t result;

	do
		result = pv_call(nr, a, b, 0, 0);
	while (result == PV_EAGAIN);
	if (result < 0)
		panic("hypercall %s: error %d", what, -(int)result);
	return (uintptr_t)result;
}

/* --- updates ------------------------------------------------------------------------------------ */

static void flush_queue(void)
{
	unsigned done = 0;

	while (done < queued)
		done += must(PV_CALL_MMU_UPDATE_, "mmu_update", (uintptr_t)(queue + done), queued - done);
	queued = 0;
}

static void ask(uint64_t at, uint64_t value)
{
	queue[queued++] = (struct pv_update){ at, value };
	if (queued == QUEUE || !depth)
		flush_queue();
}

void updates_begin(void)
{
	depth++;
}

void updates_end(void)
{
	if (!--depth)
		flush_queue();
}

static bool is_pinned(uintptr_t physical)
{
	return pinned[physical >> PAGE_SHIFT >> 3] >> (physical >> PAGE_SHIFT & 7) & 1;
}

static void set_pinned(uintptr_t physical, bool on)
{
	uint8_t bit = (uint8_t)(1 << (physical >> PAGE_SHIFT & 7));

	if (on)
		pinned[physical >> PAGE_SHIFT >> 3] |= bit;
	else
		pinned[physical >> PAGE_SHIFT >> 3] &= (uint8_t)~bit;
}

static uint64_t machine(uint64_t physical)
{
	return physical + pv_base;
}

static void write_raw(pte_t *entry, pte_t value)
{
	if (is_pinned(physical_of(entry)))
		ask(machine(physical_of(entry)) | PV_UPDATE_ENTRY, value);
	else
		*(volatile pte_t *)entry = value;
}

void pte_write(pte_t *entry, pte_t value)
{
	write_raw(entry, value & PTE_P ? value + pv_base : value);
}

/* Of the measured loop: a value as it was read from the table. */
void pv_entry_write(pte_t *entry, pte_t value)
{
	write_raw(entry, value);
}

void tlb_flush_page(uintptr_t address)
{
	ask(PV_UPDATE_FLUSH, address);
}

void tlb_flush_all(void)
{
	ask(PV_UPDATE_FLUSH_ALL, 0);
}

/* --- tables ------------------------------------------------------------------------------------- */

/* In the direct map, so that the VMM accepts the frame as a table; or memory again. */
static void map_read_only(uintptr_t table, bool on)
{
	uint64_t at = start->map + 8 * (table >> PAGE_SHIFT);
	pte_t *entry = direct((uintptr_t)at);

	if (direct_paging())
		ask(machine(at) | PV_UPDATE_ENTRY,
		    on ? *entry & ~(pte_t)PTE_RW : *entry | PTE_RW);
	set_pinned(table, on);
}

static pte_t *user_root_of(uintptr_t root)
{
	uintptr_t user = (uintptr_t)((pte_t *)direct(root))[USER_ROOT_AT];

	return start->flags & PV_TWO_ROOTS && user ? direct(user) : NULL;
}

static void link(pte_t *entry, pte_t value, int level)
{
	uintptr_t root = physical_of(entry) & ~(uintptr_t)(PAGE_BYTES - 1);
	pte_t *user = level == TOP ? user_root_of(root) : NULL;

	pte_write(entry, value);
	if (user)
		pte_write(user + (entry - (pte_t *)direct(root)), value);
}

void table_link(pte_t *entry, pte_t value, int level)
{
	if (!is_pinned(physical_of(entry))) {
		link(entry, value, level);
		return;
	}
	map_read_only((uintptr_t)(value & PTE_FRAME), true);
	link(entry, value, level);
	flush_queue();			/* the caller goes on into the table */
}

void table_unlink(pte_t *entry, int level)
{
	uintptr_t table = (uintptr_t)(pte_read(entry) & PTE_FRAME);
	bool was_pinned = is_pinned(physical_of(entry));

	link(entry, 0, level);
	if (was_pinned) {
		map_read_only(table, false);
		flush_queue();
	}
}

/* All tables of the user half below a table, itself last. */
static void tree_read_only(uintptr_t table, int level, unsigned entries, bool on)
{
	for (unsigned i = 0; level > 1 && i < entries; i++) {
		pte_t entry = pte_read((pte_t *)direct(table) + i);

		if (entry & PTE_P && !(level == 2 && entry & PTE_PS))
			tree_read_only((uintptr_t)(entry & PTE_FRAME), level - 1, TABLE_ENTRIES, on);
	}
	map_read_only(table, on);
}

void root_made(uintptr_t root)
{
	if (start->flags & PV_TWO_ROOTS)
		((pte_t *)direct(root))[USER_ROOT_AT] = frame_alloc_zeroed(PAGE_BYTES);
}

static void root_pin(uintptr_t root)
{
	pte_t *user = user_root_of(root);

	updates_begin();
	tree_read_only(root, TOP, ROOT_USER_ENTRIES, true);
	if (user)
		map_read_only(physical_of(user), true);
	updates_end();
	must(PV_CALL_PIN_, "pin", (uintptr_t)(machine(root) >> PAGE_SHIFT), TOP);
	if (user)
		must(PV_CALL_PIN_, "pin", (uintptr_t)(machine(physical_of(user)) >> PAGE_SHIFT), TOP);
}

void root_leaving(uintptr_t root)
{
	pte_t *user = user_root_of(root);

	if (is_pinned(root)) {
		if (user)
			must(PV_CALL_UNPIN_, "unpin", (uintptr_t)(machine(physical_of(user)) >> PAGE_SHIFT), 0);
		must(PV_CALL_UNPIN_, "unpin", (uintptr_t)(machine(root) >> PAGE_SHIFT), 0);
		updates_begin();
		tree_read_only(root, TOP, ROOT_USER_ENTRIES, false);
		if (user)
			map_read_only(physical_of(user), false);
		updates_end();
	}
	if (user) {
		for (unsigned i = 0; i < ROOT_USER_ENTRIES; i++)
			user[i] = 0;
		((pte_t *)direct(root))[USER_ROOT_AT] = 0;
		frame_free(physical_of(user), PAGE_BYTES);
	}
}

void root_load(uintptr_t physical)
{
	pte_t *user;

	if (!is_pinned(physical))
		root_pin(physical);
	user = user_root_of(physical);
	must(PV_CALL_NEW_ROOT_, "new_root", (uintptr_t)(machine(physical) >> PAGE_SHIFT),
	     user ? (uintptr_t)(machine(physical_of(user)) >> PAGE_SHIFT) : 0);
}

void vm_init(void)
{
}

/* It is made of 4 KiB pages always: page tables are read-only in it. */
void vm_direct_map(uintptr_t page_bytes)
{
	(void)page_bytes;
}

/* --- the beginning ------------------------------------------------------------------------------ */

void pv_begin(const struct pv_start *s)
{
	start = s;
	pv_base = s->base;
	kernel_root = direct((uintptr_t)s->root);
	for (uint64_t table = s->root & ~(uint64_t)(PAGE_BYTES - 1); table < s->end; table += PAGE_BYTES)
		set_pinned((uintptr_t)table, true);
	pv_page.mask = 1;
	pv_call(PV_CALL_SET_SHARED_, (uintptr_t)&pv_page, 0, 0, 0);
}

void *image_end(void)
{
	return direct((uintptr_t)start->end);
}

void machine_end(uint32_t value)
{
	pv_call(PV_CALL_SHUTDOWN_, value, 0, 0, 0);
}

/* --- console ------------------------------------------------------------------------------------ */

void console_put(char c)
{
	static char text[TEXT];
	static unsigned n;

	text[n++] = c;
	if (c == '\n' || n == TEXT) {
		pv_call(PV_CALL_CONSOLE_WRITE_, (uintptr_t)text, n, 0, 0);
		n = 0;
	}
}

/* --- traps and segments --------------------------------------------------------------------------- */

void entry_fast(void);
extern char trap_stubs[];

static struct gate *idt_in_force;

static struct pv_trap trap_of(const struct gate *g, unsigned vector)
{
	uint64_t handler = (g->word[0] & 0xFFFF) | (g->word[1] & 0xFFFF0000);
	bool user = g->word[1] & 0x6000;

#ifdef __x86_64__
	handler |= (uint64_t)g->word[2] << 32;
#endif
	return (struct pv_trap){ vector, user ? PV_TRAP_USER | PV_TRAP_FAST : 0, handler };
}

void idt_load(const void *table, unsigned bytes)
{
	static struct pv_trap traps[VECTORS];
	unsigned n = 0;

	idt_in_force = (struct gate *)table;
	for (unsigned v = 0; v < bytes / sizeof(struct gate); v++)
		if (idt_in_force[v].word[1])
			traps[n++] = trap_of(&idt_in_force[v], v);
	must(PV_CALL_SET_TRAPS_, "set_traps", (uintptr_t)traps, n);
	must(PV_CALL_SET_CALLBACKS_, "set_callbacks", (uintptr_t)trap_stubs + 16 * VEC_IRQ,
	     (uintptr_t)entry_fast);
}

void idt_write(struct gate *gate, struct gate value)
{
	*gate = value;
	if (idt_in_force) {
		struct pv_trap t = trap_of(gate, (unsigned)(gate - idt_in_force));

		must(PV_CALL_SET_TRAPS_, "set_traps", (uintptr_t)&t, 1);
	}
}

void gdt_load(const void *table, unsigned bytes)
{
	must(PV_CALL_SET_GDT_, "set_gdt", (uintptr_t)table, bytes);
}

void stack_set(uintptr_t *slot, uintptr_t top)
{
	*slot = top;
	pv_call(PV_CALL_STACK_SWITCH, top, 0, 0, 0);
}

/* set_callbacks and set_traps said it. */
void msr_write(uint32_t msr, uint64_t v)
{
	(void)msr;
	(void)v;
}

/* --- events ------------------------------------------------------------------------------------- */

void irq_each(unsigned irq, void (*handler)(unsigned))
{
	(void)irq;
	pv_page.upcall = 0;
	for (unsigned port = 0; port < 16; port++) {
		volatile uint8_t *bits = (volatile uint8_t *)&pv_page.pending + port / 8;

		if (*bits >> port % 8 & 1) {
			__asm__ volatile("lock andb %1, %0" : "+m"(*bits) : "q"((uint8_t)~(1 << port % 8)));
			handler(port);
		}
	}
}

/* The clock's event needs no answer, a device's line does: its 8259 is the VMM's model. */
bool irq_acknowledge(unsigned irq)
{
	return irq == PV_PORT_TIMER || pic_acknowledge(irq);
}

void clock_start(uint32_t hz)
{
	tick_ns = hz ? 1000000000 / hz : 0;
	tick_next();
}

void tick_next(void)
{
	pv_call(PV_CALL_SET_TIMER_, tick_ns, 0, 0, 0);
}

/* --- what there is not --------------------------------------------------------------------------- */

void bench_smp(const struct params *p);

void bench_smp(const struct params *p)
{
	panic("%u more processors: a paravirtual kernel has one", p->n);
}
