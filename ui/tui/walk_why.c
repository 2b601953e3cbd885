/* walk_why.c - a walk in words: the bits of its entries, and why it faulted.
 * Source: SDM Vol. 3A, "Access Rights", "Page-Fault Exceptions"; Vol. 3C, "EPT Violations", "EPT Misconfigurations". */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/mmu/ept.h"
#include "models/mmu/pte.h"
#include "ui/tui/walk_view.h"

const char *table_name(enum walk_dim dim, unsigned level)
{
	static const char *const names[3][6] = {
		{ "address", "PT", "PD", "PDPT", "PML4", "PML5" },
		{ "address", "EPT PT", "EPT PD", "EPT PDPT", "EPT PML4", "EPT PML5" },
		{ "address", "shadow PT", "shadow PD", "shadow PDPT", "shadow PML4", "shadow PML5" },
	};
	return names[dim <= WALK_SHADOW ? dim : 0][level <= 5 ? level : 0];
}

const char *page_text(unsigned shift)
{
	return shift == 30 ? "1 GB" : shift == 22 ? "4 MB" : shift == 21 ? "2 MB" : "4 KB";
}

const char *access_text(unsigned access, char *buf, size_t n)
{
	snprintf(buf, n, "%s %s%s", access & ACC_USER ? "user" : "kernel", access & ACC_EXEC ? "fetch" : access & (ACC_WRITE | ACC_RMW) ? "write" : "read",
	         access & ACC_IMPLICIT ? " (implicit)" : "");
	return buf;
}

static void add(char *buf, size_t n, const char *name)
{
	const size_t at = strlen(buf);
	snprintf(buf + at, n - at, "%s%s", at ? " " : "", name);
}

const char *entry_bits(const struct walk_ref *r, bool narrow, char *buf, size_t n)
{
	const uint64_t e = r->entry;
	const bool large = r->level > 1 && e & PTE_PS;
	buf[0] = '\0';
	if (r->dim == WALK_EPT) {
		if (narrow) {
			snprintf(buf, n, "%c%c%c%s%s%s", e & EPT_R ? 'r' : '-', e & EPT_W ? 'w' : '-', e & EPT_X ? 'x' : '-', e & EPT_A ? "A" : "", e & EPT_D ? "D" : "",
			         r->level > 1 && e & EPT_PS ? "L" : "");
			return buf;
		}
		static const struct { uint64_t bit; const char *name; } bits[] = {
			{ EPT_R, "R" }, { EPT_W, "W" }, { EPT_X, "X" }, { EPT_A, "A" }, { EPT_D, "D" }, { EPT_XU, "XU" }, { EPT_SVE, "SVE" } };
		static const char *const types[8] = { "UC", "WC", "type 2", "type 3", "WT", "WP", "WB", "type 7" };
		for (size_t i = 0; i < ARRAY_LEN(bits); i++)
			if (e & bits[i].bit)
				add(buf, n, bits[i].name);
		if (!(e & 7))
			add(buf, n, "not present");
		else if (r->level == 1 || e & EPT_PS)
			add(buf, n, types[EPT_MT(e)]);
		if (r->level > 1 && e & EPT_PS)
			add(buf, n, "PS");
		return buf;
	}
	if (narrow) {
		if (!(e & PTE_P))
			snprintf(buf, n, "absent");
		else
			snprintf(buf, n, "%c%c%c%c%s%s", e & PTE_RW ? 'W' : '-', e & PTE_US ? 'U' : '-', e & PTE_A ? 'A' : '-', e & PTE_D ? 'D' : '-', large ? "L" : "",
			         e & PTE_XD ? "n" : "");
		return buf;
	}
	static const struct { uint64_t bit; const char *name; } bits[] = { { PTE_P, "P" }, { PTE_RW, "RW" }, { PTE_US, "US" }, { PTE_PWT, "PWT" },
		{ PTE_PCD, "PCD" }, { PTE_A, "A" }, { PTE_D, "D" } };
	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		if (e & bits[i].bit)
			add(buf, n, bits[i].name);
	if (!(e & PTE_P))
		add(buf, n, "not present");
	if (large)
		add(buf, n, "PS");
	if (e & PTE_G && (large || r->level == 1))
		add(buf, n, "G");
	if (e & PTE_XD)
		add(buf, n, "XD");
	return buf;
}

void walk_of_peek(struct micro_walk *w, const struct walk_record *rec, const struct mmu *m)
{
	memset(w, 0, sizeof *w);
	w->rec = *rec;
	w->here = -1;
	w->levels = m->paging.levels;
	w->ept_levels = m->guest.ept ? (unsigned)BITS(m->guest.eptp, 5, 3) + 1 : 0;
	w->eptp = m->guest.ept ? m->guest.eptp & MASK(52) & PAGE_MASK : 0;
	w->root = m->cr3 & MASK(52) & PAGE_MASK;
	w->done = true;
	for (uint32_t i = 0; i < rec->n; i++) {
		w->lit[i] = true;
		w->number[i] = ++w->refs;
	}
	/* whose place the EPT rows look for: the guest table that comes next */
	for (uint32_t i = rec->n, at = rec->n; i-- > 0;) {
		if (rec->ref[i].dim != WALK_EPT)
			at = i;
		else
			w->gpa[i] = GPA(rec->ref[i].for_level && at < rec->n ? rec->ref[at].table + rec->ref[at].index * (w->levels == 2 ? 4u : 8u) : rec->gpa.v);
	}
}

/* ---- why ---- */

struct telling { char (*line)[WHY_WIDTH]; unsigned n; };
static void say(struct telling *y, const char *fmt, ...) PRINTF(2, 3);
static void say(struct telling *y, const char *fmt, ...)
{
	va_list ap;
	if (y->n == WHY_LINES)
		return;
	va_start(ap, fmt);
	vsnprintf(y->line[y->n++], WHY_WIDTH, fmt, ap);
	va_end(ap);
}

static const char *error_bits(uint32_t code, char *buf, size_t n)
{
	static const struct { uint32_t bit; const char *set, *clear; } bits[] = {
		{ PFEC_P, "P=1 rights", "P=0 not present" }, { PFEC_WR, "W/R=1 write", "W/R=0 read" }, { PFEC_US, "U/S=1 user", "U/S=0 supervisor" },
		{ PFEC_RSVD, "RSVD=1", NULL }, { PFEC_ID, "I/D=1 fetch", NULL }, { PFEC_PK, "PK=1", NULL } };
	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		const char *text = code & bits[i].bit ? bits[i].set : bits[i].clear;
		if (text)
			snprintf(buf + strlen(buf), n - strlen(buf), "%s%s", *buf ? ", " : "", text);
	}
	return buf;
}

static bool translates(const struct walk_ref *r)
{
	return r->dim != WALK_EPT && r->served != LEVEL_PSC;
}

static void entry_place(const struct walk_ref *r, char *buf, size_t n)
{
	snprintf(buf, n, "the %s entry %#x at %#" PRIx64, table_name((enum walk_dim)r->dim, r->level), r->index, r->entry_pa);
}

/* The first entry on the way down that stands against the access. */
static const struct walk_ref *denier(const struct micro_walk *w, uint64_t bit, bool set)
{
	for (uint32_t i = 0; i < w->rec.n; i++)
		if (translates(&w->rec.ref[i]) && !!(w->rec.ref[i].entry & bit) == set)
			return &w->rec.ref[i];
	return NULL;
}

static void denied(struct telling *y, const struct micro_walk *w, uint32_t code)
{
	char place[80];
	const bool user = code & PFEC_US, write = code & PFEC_WR, fetch = w->rec.access & ACC_EXEC;
	const struct walk_ref *r;
	if (code & PFEC_PK) {
		say(y, "PKRU denies it: the page's protection key");
		return;
	}
	if (user && (r = denier(w, PTE_US, false))) {
		entry_place(r, place, sizeof place);
		say(y, "%s has U/S = 0: it is the supervisor's, the access is the user's", place);
	} else if (fetch && (r = denier(w, PTE_XD, true))) {
		entry_place(r, place, sizeof place);
		say(y, "%s has XD = 1: nothing below it may be executed", place);
	} else if (write && (r = denier(w, PTE_RW, false))) {
		entry_place(r, place, sizeof place);
		say(y, "%s has R/W = 0: what is below it may only be read", place);
	} else if (!user) {
		say(y, "all entries have U/S = 1: %s keeps the supervisor from user pages", fetch ? "CR4.SMEP" : "CR4.SMAP (EFLAGS.AC = 0)");
	} else {
		say(y, "what a walk cache or the TLB held denied it; the tables as they were then");
	}
}

/* Would the guest's own tables let it through? Asked of them as they are now. */
static void whose(const struct tui *t, struct telling *y, const struct micro_walk *w, bool shadow_row)
{
	struct walk_record rec;
	char bits[120];
	if (!space_in_vm(t)) {
		say(y, "whose: the system's own page fault; its #PF handler gets it, CR2 = %#" PRIx64, w->rec.lin);
		return;
	}
	if (!shadow_row) {
		say(y, "whose: the guest's own page fault; its #PF handler gets it without its VMM");
		return;
	}
	const struct mmu *own = space_of(t, SPACE_GUEST);
	if (!own) {
		say(y, "whose: a VM exit: its VMM finds out whether the guest's own tables deny it too");
	} else if (!own->paging.levels || mmu_peek_access(own, w->rec.lin, w->rec.access, &rec)) {
		say(y, "whose: hidden: the guest's own tables allow it (guest-physical %#" PRIx64 "); its VMM fixes the shadow, the guest never hears of it",
		    own->paging.levels ? rec.gpa.v : w->rec.lin);
		if (w->rec.fault.error_code & PFEC_P && w->rec.fault.error_code & PFEC_WR)
			say(y, "present but not writable in the shadow: a page not yet dirty, or a guarded page table whose writes the VMM carries out");
	} else {
		say(y, "whose: the guest's own: its tables deny it too, #PF %#x (%s); the VMM injects it", rec.fault.error_code,
		    error_bits(rec.fault.error_code, bits, sizeof bits));
	}
}

static void page_fault(const struct tui *t, struct telling *y, const struct micro_walk *w)
{
	char place[80], bits[120];
	const uint32_t code = w->rec.fault.error_code;
	const struct walk_ref *last = NULL;
	for (uint32_t i = 0; i < w->rec.n; i++)
		if (translates(&w->rec.ref[i]))
			last = &w->rec.ref[i];
	say(y, "#PF, error code %#x: %s", code, error_bits(code, bits, sizeof bits));
	if (!last) {
		say(y, w->levels == 3 ? "PDPTE %u has P = 0 (a register of the CPU, loaded with CR3)" : "denied before any entry was read (entry %u of the top table)",
		    (unsigned)BITS(w->rec.lin, 31, 30));
	} else if (!(code & PFEC_P)) {
		entry_place(last, place, sizeof place);
		say(y, "%s has P = 0: nothing is mapped there", place);
	} else if (code & PFEC_RSVD) {
		entry_place(last, place, sizeof place);
		say(y, "%s = %#" PRIx64 " has a bit set that is reserved in it", place, last->entry);
	} else {
		denied(y, w, code);
	}
	whose(t, y, w, last ? last->dim == WALK_SHADOW : space_shadowed(t));
}

static const char *rwx(uint64_t bits, char *buf)
{
	snprintf(buf, 4, "%c%c%c", bits & 1 ? 'r' : '-', bits & 2 ? 'w' : '-', bits & 4 ? 'x' : '-');
	return buf;
}

static void ept_whose(const struct tui *t, struct telling *y, gpa_t gpa)
{
	const struct vcpu *v = space_vcpu(t);
	hpa_t hpa;
	if (v && !vm_gpa_to_hpa(v->vm, gpa, &hpa))
		say(y, "whose: the VMM's: no RAM of VM %u is there, the instruction is emulated on a device model", v->vm->number);
	else
		say(y, "whose: the VMM's: it maps the page%s; the guest never hears of it", v && v->vm->pager->page_fault ? " or carries a guarded write out" : "");
}

static void ept_violation(const struct tui *t, struct telling *y, const struct micro_walk *w)
{
	char want[4], have[4], place[80];
	const struct mmu_fault *f = &w->rec.fault;
	const uint64_t q = f->qualification;
	const struct walk_ref *by = NULL, *last = NULL;
	/* of the last question asked: the first entry that lacks what is wanted */
	for (uint32_t i = w->rec.n; i-- > 0 && w->rec.ref[i].dim == WALK_EPT && (!last || w->rec.ref[i].for_level == last->for_level);) {
		last = &w->rec.ref[i];
		if (w->number[i] && q & 7 & ~last->entry)
			by = last;
	}
	say(y, "EPT violation at guest-physical %#" PRIx64 ", qualification %#" PRIx64 ": wanted %s, allowed %s, %s", f->gpa.v, q, rwx(q, want),
	    rwx(q >> 3, have), q & BIT(8) ? "for the final address" : "for a guest table on the way");
	if (by) {
		entry_place(by, place, sizeof place);
		if (!(by->entry & 7))
			say(y, "%s has R = W = X = 0: nothing is mapped there", place);
		else
			say(y, "%s allows %s", place, rwx(by->entry, have));
	}
	ept_whose(t, y, f->gpa);
}

static void ept_misconfig(struct telling *y, const struct micro_walk *w)
{
	char place[80];
	const struct walk_ref *last = NULL;
	for (uint32_t i = 0; i < w->rec.n; i++)
		if (w->rec.ref[i].dim == WALK_EPT)
			last = &w->rec.ref[i];
	say(y, "EPT misconfiguration at guest-physical %#" PRIx64, w->rec.fault.gpa.v);
	if (last) {
		const uint64_t e = last->entry;
		entry_place(last, place, sizeof place);
		say(y, "%s = %#" PRIx64 ": %s", place, e,
		    e & EPT_W && !(e & EPT_R) ? "W without R" : (last->level == 1 || e & EPT_PS) && (EPT_MT(e) == 2 || EPT_MT(e) == 3 || EPT_MT(e) == 7) ?
		    "a memory type that does not exist" : "a reserved bit is set, or X without R on a CPU that has no such pages");
	}
	say(y, "whose: the VMM's own mistake, or its mark for device memory");
}

unsigned walk_why(const struct tui *t, const struct micro_walk *w, char line[WHY_LINES][WHY_WIDTH])
{
	struct telling y = { line, 0 };
	switch (w->rec.fault.kind) {
	case MMU_PF:            page_fault(t, &y, w); break;
	case MMU_NONCANONICAL:  say(&y, "%#" PRIx64 " is not canonical: #GP or #SS, no walk is made", w->rec.lin); break;
	case MMU_EPT_VIOLATION: ept_violation(t, &y, w); break;
	case MMU_EPT_MISCONFIG: ept_misconfig(&y, w); break;
	case MMU_PML_FULL:
		say(&y, "the page-modification log is full (index %u is not 0-511): a VM exit, and the VMM empties it", looked_at(t)->mmu.guest.pml_index);
		break;
	default: break;
	}
	return y.n;
}
