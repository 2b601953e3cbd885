/* pv.c - what a paravirtual kernel finds at its beginning: page tables and a struct pv_start (models/vmm/pv/abi.h).
 *
 * Behind the image and the modules, in the guest's memory, from a page boundary on:
 *
 *   Intel 64   root | L3 | L2 | L1 ... for each 2 MB of RAM up to 1 GB | struct pv_start
 *   IA-32      root | L2 for the 1 GB at note.base | L2 for the last 1 GB, empty | L1 ... | struct pv_start
 *
 * All RAM is mapped at note.base by 4 KB pages, writable but for these tables: no page can be writable and a table. The
 * entries hold guest-physical addresses; the pager of pv/direct makes machine addresses of them (models/vmm/pv/direct.c).
 * As Xen's domain builder does, and as little timed as any loader here. */
#include <string.h>

#include "models/boot/firmware.h"
#include "models/boot/image.h"
#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/mmu/pte.h"
#include "models/vmm/pv/abi.h"
#include "models/vmm/vmm.h"

#define MAP_MAX (1ull << 30)
#define TABLE   (PTE_P | PTE_RW | PTE_US | PTE_A)
#define LEAF    (PTE_P | PTE_A | PTE_D)

static bool read_note(const struct file *f, struct pv_note *n)
{
	uint32_t size;
	const uint8_t *d = elf_note(f, "vmscope", PV_NOTE, &size);
	if (!d || size < sizeof *n)
		return false;
	*n = (struct pv_note){ le32(d), le32(d + 4), le64(d + 8), le64(d + 16) };
	return true;
}

bool pv_image(const struct file *f)
{
	struct pv_note n;
	return read_note(f, &n);
}

/* Under the VMM the technique is known when the image is loaded. */
static bool paravirtual(const struct machine *m)
{
	return m->host && m->number && !strcmp(m->host->vmm->vm[m->number - 1]->config.cpu, "pv");
}

int pv_check(const struct machine *m, const struct file *f, struct err *e)
{
	struct pv_note n;
	if (!read_note(f, &n)) {
		if (!paravirtual(m))
			return 0;
		return err_set(e, f->path, "boot one that was built for it, as kernel64-pv.elf, or choose another technique: vmscope list techniques",
		               "not a paravirtual kernel: --cpu pv wants one with the ELF note \"vmscope\"");
	}
	if (!paravirtual(m))
		return err_set(e, f->path, "--cpu pv --mmu direct, or boot the same kernel without -pv",
		               "a paravirtual kernel: it runs under hypercalls, not on a bare machine or what looks like one");
	if (n.version != PV_VERSION)
		return err_set(e, f->path, NULL, "a paravirtual kernel for version %u of the hypercalls; this is version %d", n.version, PV_VERSION);
	const uint64_t base = n.base, end = base + MAP_MAX - 1;
	bool placed = !(base & (MAP_MAX - 1)) && n.entry >= base && n.entry <= end;
	if (n.wide ? base >> 47 != 0x1ffff : base >> 32 || base < MAP_MAX || base >= 3 * MAP_MAX)
		placed = false;
	if (!placed)
		return err_set(e, f->path, n.wide ? "base: in the upper half, a multiple of 1 GB; entry: within 1 GB of it" : "base: 0x40000000 or 0x80000000; entry: within 1 GB of it",
		               "the note of a paravirtual kernel: base %#llx and entry %#llx are not possible", (unsigned long long)base, (unsigned long long)n.entry);
	if (m->config.cpus > 1)
		return err_set(e, f->path, "--cpus 1", "a paravirtual kernel has one CPU");
	return 0;
}

struct tables { struct machine *m; uint64_t next, base; };

static uint64_t page(struct tables *t)
{
	t->next += PAGE_SIZE;
	return t->next - PAGE_SIZE;
}

static void put(struct tables *t, uint64_t table, unsigned i, uint64_t entry)
{
	mem_write64(&t->m->mem, HPA(table + 8 * i), entry);
}

int pv_finish(struct machine *m, const struct file *f, uint64_t top, struct err *e)
{
	struct pv_note n;
	read_note(f, &n);
	const uint64_t ram = m->mem.low_size < MAP_MAX ? m->mem.low_size : MAP_MAX, tables_n = (ram + (2 << 20) - 1) >> 21;
	struct tables t = { m, (top + PAGE_SIZE - 1) & PAGE_MASK, n.base };
	const uint64_t first = t.next, end = first + (4 + tables_n) * PAGE_SIZE;
	if (end > ram)
		return err_set(e, f->path, "give it more memory: --ram 64M", "no room for the page tables behind the image: they end at %#llx",
		               (unsigned long long)end);
	uint64_t zero[PAGE_SIZE / 8] = { 0 };
	for (uint64_t at = first; at < end; at += PAGE_SIZE)
		mem_write(&m->mem, HPA(at), zero, sizeof zero);

	uint64_t root = page(&t), mid = page(&t), low = page(&t);
	struct pv_start s = { .version = PV_VERSION, .root = root, .map = t.next, .end = end };
	uint64_t map = n.wide ? low : mid;
	if (n.wide) {
		put(&t, root, n.base >> 39 & 511, mid | TABLE);
		put(&t, mid, n.base >> 30 & 511, low | TABLE);
	} else {
		put(&t, root, (unsigned)(n.base >> 30), mid | PTE_P);
		put(&t, root, 3, low | PTE_P);
	}
	for (uint64_t i = 0; i < tables_n; i++) {
		uint64_t table = page(&t);
		put(&t, map, (unsigned)i, table | TABLE);
		for (unsigned k = 0; k < 512 && (i << 21) + k * PAGE_SIZE < ram; k++) {
			uint64_t at = (i << 21) + k * PAGE_SIZE;
			bool is_table = at >= first && at < end - PAGE_SIZE;
			put(&t, table, k, at | LEAF | (is_table ? 0 : PTE_RW));
		}
	}
	uint64_t start = page(&t);
	mem_write(&m->mem, HPA(start), &s, sizeof s);

	struct cpu *c = m->cpu[0];
	if (n.wide) {
		entry_long64(c, n.entry, root);
		mem_write64(&m->mem, HPA(FIRMWARE_GDT + MULTIBOOT_CS), 0x00af9b000000ffff);
		for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++)
			c->s.seg[i].sel = i == SEG_CS ? MULTIBOOT_CS : MULTIBOOT_DS;
	} else {
		c->s.cr4 = CR4_PAE;
		c->s.cr3 = root;
		c->s.rip = n.entry;
	}
	c->s.cr0 = CR0_PE | CR0_ET | CR0_WP | CR0_PG;
	c->s.r[R_RSI] = n.base + start;
	cpu_restored(c);
	return 0;
}
