/* Segments of a guest in ring 1: two guests that do with segments what can be done, one by a list and one at random, end as on the
 * bare machine, and the VMM's corner is as it was. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/machine.h"
#include "models/vmm/ring/ring.h"

#define SEGMENTS "build/guests/segments32.elf"
#define RANDOM   "build/guests/random32.elf"
#define LIMIT    4000000000

struct run {
	struct machine *m, *guest;
	char text[16384];
	size_t n;
};

static void console(void *who, const uint8_t *bytes, size_t n)
{
	struct run *r = who;
	for (size_t i = 0; i < n && r->n < sizeof r->text - 1; i++)
		r->text[r->n++] = (char)bytes[i];
}

/* mmu NULL: the bare machine. */
static struct run *boot(const char *cpu, const char *mmu, bool whatif, const char *kernel, const char *cmdline)
{
	struct run *r = calloc(1, sizeof *r);
	struct machine_config k;
	struct err e = { "" };
	machine_config_defaults(&k);
	k.ram = mmu ? 96 << 20 : 16 << 20;
	k.profile.trap_critical = whatif;
	r->m = r->guest = machine_new(&k, &e);
	cr_assert(r->m != NULL, "%s", e.text);
	if (mmu) {
		struct vm_config v = { .cpu = cpu, .mmu = mmu, .vcpus = 1, .page_shift = 12, .tags = true, .shadow_limit = 8 << 20 };
		k.ram = v.ram = 16 << 20;
		r->guest = machine_vm(r->m, &k, &v, &e);
		cr_assert(r->guest != NULL, "%s", e.text);
	}
	struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	cr_assert(eq(int, machine_boot(r->guest, &image, &e), 0), "%s", e.text);
	machine_on_console(r->guest, console, r);
	return r;
}

static void through(struct run *r)
{
	cr_assert(eq(int, machine_run(r->m, LIMIT, 0), MACHINE_STOP_GUEST_EXIT), "%s", r->text);
	cr_assert(ledger_audit(&r->m->cpu[0]->ledger));
}

static void end(struct run *r)
{
	machine_free(r->m);
	free(r);
}

static void same_end(const char *cpu, const char *mmu, const char *kernel, const char *cmdline)
{
	const bool whatif = !strcmp(cpu, "trap");
	struct run *a = boot(NULL, NULL, false, kernel, cmdline), *b = boot(cpu, mmu, whatif, kernel, cmdline);
	through(a), through(b);
	cr_expect(eq(str, b->text, a->text));
	for (uint64_t at = 0; at < a->guest->mem.ram_size; at += PAGE_SIZE)
		cr_assert(memcmp(a->guest->mem.ram + at, b->guest->mem.ram + at, PAGE_SIZE) == 0, "memory differs in the page at %#lx", at);
	end(a), end(b);
}

#define ROW(variant) \
Test(segment, a_kernel_finds_its_segments_as_on_the_bare_machine_##variant) { same_end("trap", "shadow." #variant, SEGMENTS, ""); } \
Test(segment, random_descriptors_end_as_on_the_bare_machine_##variant) \
{ \
	same_end("trap", "shadow." #variant, RANDOM, "1 n=500"); \
	same_end("trap", "shadow." #variant, RANDOM, "2 n=500"); \
}
ROW(flush)
ROW(vtlb)
ROW(wp)
ROW(unsync)
#undef ROW

/* Its own selectors and what leads where, as the translator has them. */
Test(segment, a_translated_kernel_finds_its_segments_as_on_the_bare_machine) { same_end("bt", "shadow.wp", SEGMENTS, ""); }
Test(segment, random_descriptors_of_a_translated_kernel)                      { same_end("bt", "shadow.wp", RANDOM, "6 n=500"); }

Test(segment, nothing_of_the_kernels_list_is_missing)
{
	struct run *r = boot(NULL, NULL, false, SEGMENTS, "");
	through(r);
	cr_expect(strstr(r->text, "\ndone\n") != NULL, "%s", r->text);
	cr_expect(strstr(r->text, "\nwrap three 11223344\n") && strstr(r->text, "\nend down 00000007\n") &&
	          strstr(r->text, "\nfresh after 00cf9300\n") && strstr(r->text, "\nmoved 11223344\n"), "%s", r->text);
	end(r);
}

/* ---- the corner ---- */

static uint64_t corner_sum(const struct run *r)
{
	const struct vm *vm = r->m->vmm->vm[0];
	uint64_t h = 14695981039346656037u;
	for (unsigned page = 0; page < RING_PAGES; page++) {
		hpa_t at = ring_page_hpa(vm, page);
		/* not the stack, the notes and the copies, which are for changing */
		if (!at.v || (page >= RING_CPU + 1 && page < RING_CPU + 4) || (page >= RING_GDT && page < RING_GDT + 15))
			continue;
		const bool own = page == RING_GDT + 15;         /* the first of it: CS, SS, TSS */
		for (unsigned i = 0; i < (own ? 0x30u : PAGE_SIZE); i++)
			h = own && i / 8 == RING_SEL_SS16 % PAGE_SIZE / 8 ? h : (h ^ *(const uint8_t *)(r->m->mem.ram + at.v + i)) * 1099511628211u;
	}
	return h;
}

static void harmless(bool whatif, const char *kernel, const char *cmdline)
{
	struct run *r = boot("trap", "shadow.wp", whatif, kernel, cmdline);
	machine_run(r->m, 2000000, 0);  /* the VMM has booted */
	uint64_t before = corner_sum(r);
	(void)machine_run(r->m, LIMIT, 0);
	cr_expect(eq(u64, corner_sum(r), before));
	cr_expect(zero(int, r->m->vmm->vm[0]->refused[0]), "%s", r->m->vmm->vm[0]->refused);
	cr_assert(ledger_audit(&r->m->cpu[0]->ledger));
	end(r);
}

Test(segment, the_corner_is_as_it_was_whatever_is_loaded) { harmless(true, SEGMENTS, ""); }
Test(segment, the_corner_is_as_it_was_at_random)          { harmless(true, RANDOM, "3 n=500"); }
Test(segment, the_corner_is_as_it_was_on_plain_x86)       { harmless(false, RANDOM, "4 n=500"); }

/* No descriptor that the guest may load leads there, at whatever moment one looks; those of the VMM are in ring 0. */
Test(segment, no_copy_ever_leads_into_the_corner)
{
	struct run *r = boot("trap", "shadow.wp", true, RANDOM, "5 n=300");
	unsigned seen = 0;
	for (bool on = true; on;) {
		on = machine_run(r->m, r->m->cpu[0]->ledger.now + 50000, 0) != MACHINE_STOP_GUEST_EXIT && r->m->cpu[0]->ledger.now < LIMIT;
		for (unsigned sel = 8; sel < 0x10000; sel += 8) {
			hpa_t at = ring_page_hpa(r->m->vmm->vm[0], RING_GDT + sel / PAGE_SIZE);
			uint64_t d = mem_read64(&r->m->mem, HPA(at.v + sel % PAGE_SIZE));
			unsigned type = d >> 40 & 15, dpl = d >> 45 & 3;
			if (!(d >> 47 & 1) || !(d >> 44 & 1) || !dpl)
				continue;
			uint64_t base = (d >> 16 & 0xffffff) | (d >> 56) << 24, limit = (d & 0xffff) | (d >> 32 & 0xf0000);
			uint64_t top = d >> 54 & 1 ? 0xffffffff : 0xffff, from, to;
			limit = d >> 55 & 1 ? limit << 12 | 0xfff : limit;
			from = (type & 12) == 4 ? limit + 1 : 0, to = (type & 12) == 4 ? top : limit;
			seen++;
			if (from > to)
				continue;
			from += base, to += base;
			if (from >> 32)
				from -= BIT(32), to -= BIT(32);
			cr_assert(to < RING_CORNER_32 || (from > 0xffffffff), "%#x: %016lx", sel, d);
		}
	}
	cr_expect(lt(uint, 100, seen));
	end(r);
}
