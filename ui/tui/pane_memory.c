/* pane_memory.c - the panes about memory: bytes, stack, the last walk, the tables of one address. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/sys.h"
#include "models/mmu/pte.h"
#include "ui/tui/tui.h"

void draw_memory(struct tui *t, struct pane_out *o);
void draw_stack(struct tui *t, struct pane_out *o);
void draw_tables(struct tui *t, struct pane_out *o);

void draw_memory(struct tui *t, struct pane_out *o)
{
	const struct cpu *c = looked_at(t);
	uint64_t at = o->view->address == ~0ull ? c->s.r[R_RSP] & ~15ull : o->view->address;
	at += (uint64_t)(int64_t)o->view->choice * 16 * (uint64_t)(o->h > 1 ? o->h : 1);
	unsigned per = o->w >= 68 ? 16 : 8;
	for (int i = 0; i < o->h; i++, at += per) {
		uint8_t b[16];
		put(o, STYLE_DIM, "%08" PRIx64 " ", at);
		for (unsigned k = 0; k < per; k++) {
			bool ok = mmu_peek_bytes(&c->mmu, at + k, b + k, 1);
			put(o, ok ? STYLE_NORMAL : STYLE_DIM, ok ? "%02x " : "-- ", b[k]);
			if (!ok)
				b[k] = ' ';
		}
		for (unsigned k = 0; k < per; k++)
			put(o, STYLE_DIM, "%c", b[k] >= ' ' && b[k] < 0x7f ? b[k] : '.');
		nl(o);
	}
}

void draw_stack(struct tui *t, struct pane_out *o)
{
	const struct cpu *c = looked_at(t);
	unsigned size = c->s.mode == MODE_LONG64 ? 8 : c->s.seg[SEG_SS].attr & SEG_DB ? 4 : 2;
	uint64_t at = (c->s.seg[SEG_SS].base + c->s.r[R_RSP]) & c->lin_mask;
	char name[120];
	for (int i = 0; i < o->h; i++, at += size) {
		uint64_t v = 0;
		put(o, i ? STYLE_DIM : STYLE_HERE, "+%03x", (unsigned)(i * (int)size));
		if (!mmu_peek_bytes(&c->mmu, at, &v, size)) {
			put(o, STYLE_BAD, " not mapped");
			nl(o);
			return;
		}
		put(o, STYLE_NORMAL, " %0*" PRIx64, (int)size * 2, v);
		if (symbol_text(t, v, name, sizeof name)[0])
			put(o, STYLE_KERNEL, " %s", name);
		nl(o);
	}
}

/* ---- walks ---- */

static const char *const served_names[] = { "L1", "L2", "L3", "memory", "walk cache", "nested TLB", "" };
static const char *const dims[] = { "guest", "EPT", "shadow" };

static void entry_bits(struct pane_out *o, const struct walk_ref *r)
{
	if (r->dim == WALK_EPT) {
		put(o, r->entry & 7 ? STYLE_GOOD : STYLE_BAD, "%c%c%c", r->entry & 1 ? 'r' : '-', r->entry & 2 ? 'w' : '-', r->entry & 4 ? 'x' : '-');
		return;
	}
	put(o, r->entry & PTE_P ? STYLE_GOOD : STYLE_BAD, "%s", r->entry & PTE_P ? "P" : "not present");
	if (r->entry & PTE_P)
		put(o, STYLE_NORMAL, "%s%s%s%s%s", r->entry & PTE_RW ? " W" : " -", r->entry & PTE_US ? "U" : "-", r->entry & PTE_A ? "A" : "-",
		    r->entry & PTE_D ? "D" : "-", r->level > 1 && r->entry & PTE_PS ? " large" : "");
}

static void list_walk(struct pane_out *o, const struct walk_record *w, bool timed)
{
	static const char *const level[] = { "", "PT", "PD", "PDPT", "PML4", "PML5" };
	put(o, STYLE_DIM, "linear ");
	put(o, STYLE_NUMBER, "%#" PRIx64, w->lin);
	put(o, STYLE_DIM, " %s%s%s", w->access & ACC_EXEC ? "fetch" : w->access & (ACC_WRITE | ACC_RMW) ? "write" : "read",
	    w->access & ACC_USER ? " by user code" : "", w->n ? "" : ": nothing walked");
	nl(o);
	for (uint32_t i = 0; i < w->n && i < WALK_REFS_MAX; i++) {
		const struct walk_ref *r = &w->ref[i];
		put(o, STYLE_DIM, "%2u ", i + 1);
		put(o, r->dim == WALK_EPT ? STYLE_VMM : STYLE_KERNEL, "%*s%-5s %-4s", r->dim == WALK_EPT ? 2 : 0, "", dims[r->dim], level[r->level <= 5 ? r->level : 0]);
		put(o, STYLE_NORMAL, "[%3u] ", r->index);
		if (r->served == LEVEL_PSC || r->served == LEVEL_NTLB)
			put(o, STYLE_DIM, "%s: no reference", served_names[r->served]);
		else {
			put(o, STYLE_DIM, "at %" PRIx64 " ", r->entry_pa);
			put(o, STYLE_NORMAL, "%016" PRIx64 " ", r->entry);
			entry_bits(o, r);
			if (timed)
				put(o, STYLE_HARDWARE, " %s %u", served_names[r->served <= LEVEL_NONE ? r->served : LEVEL_NONE], r->cycles);
		}
		nl(o);
	}
	if (w->fault.kind == MMU_PF) {
		put(o, STYLE_BAD, "page fault, error code %#x:%s%s%s%s%s", w->fault.error_code, w->fault.error_code & PFEC_P ? " rights" : " not present",
		    w->fault.error_code & PFEC_WR ? ", write" : "", w->fault.error_code & PFEC_US ? ", user" : "",
		    w->fault.error_code & PFEC_RSVD ? ", reserved bit" : "", w->fault.error_code & PFEC_ID ? ", fetch" : "");
	} else if (w->fault.kind != MMU_OK) {
		put(o, STYLE_BAD, w->fault.kind == MMU_EPT_VIOLATION ? "EPT violation at guest-physical %#" PRIx64 : "EPT misconfiguration at guest-physical %#" PRIx64,
		    w->fault.gpa.v);
	} else if (w->page_shift) {
		put(o, STYLE_DIM, "%s physical ", w->page_shift >= 30 ? "1 GB page," : w->page_shift >= 21 ? "large page," : "4 KB page,");
		put(o, STYLE_NUMBER, "%#" PRIx64, w->hpa.v);
		if (timed)
			put(o, STYLE_HARDWARE, ", %u cycles", w->cycles);
	}
	nl(o);
}

void draw_tables(struct tui *t, struct pane_out *o)
{
	const struct cpu *c = looked_at(t);
	struct walk_record w = { 0 };
	uint64_t lin = o->view->address == ~0ull ? block_linear(c) : o->view->address;
	put(o, STYLE_DIM, "where %#" PRIx64 " leads now%s", lin, o->view->address == ~0ull ? " (the next instruction; :mem ADDRESS for another)" : "");
	nl(o);
	if (!c->mmu.paging.levels) {
		put(o, STYLE_NORMAL, "paging is off: the address is physical");
		nl(o);
		return;
	}
	mmu_peek(&c->mmu, lin, &w);
	list_walk(o, &w, false);
}
