/* segment.c - a guest's descriptor tables and segment registers when it does not run in ring 0.
 *
 * The hardware's GDT lies in the corner: 64 KB for each physical CPU, the VMM's own descriptors in its last page, copies of the
 * guest's (descriptor.c) below, at the same index. Its LDT is a page of the corner, for the guest's first 512 descriptors. An entry is
 *   0              not copied yet, or changed by the guest since: its use faults, and the fault copies it (ring_segment_fault())
 *   not present    seen, and not for the hardware: its use faults, and the instruction is interpreted on the guest's own tables, which
 *                  sets accessed bits, enters gates and switches tasks as the guest expects it
 *   present        loaded without the VMM
 * The first 64 of a GDT are copied at once. Pages of the guest's tables are traced (pager->trace): a write to a descriptor forgets its
 * copy.
 *
 * Segment registers. The guest loads ES, DS, FS, GS and user's SS by itself; what it has loaded is noticed when it comes back, by the
 * selectors, and goes into the record with the hidden parts of the guest's own descriptors. CS and SS of its kernel carry the real
 * privilege level in their RPL; the record's have the virtual one. Loading SS with RPL 0 is #GP in ring 1, hence interpreted. On the way in
 * the registers that the VMM has changed are loaded; when no descriptor in the guest's tables has the hidden parts wanted
 * (changed since it was loaded: a non-reversible segment; loaded in real mode; by a boot loader that is gone), one that has is put in its
 * place for the moment of the load; for CS and SS, which IRET loads, one of the VMM's own stands for it (RING_SEL_OWN). So a
 * hidden part survives everything, and the guest reads its own selectors from ES, DS, FS and GS.
 *
 * What traps for a segment that is cut, or empty (descriptor.c), is carried out by the emulator or the interpreter, on the
 * record's hidden parts, which are the guest's, through the guest's own page tables: its own last 4 MB are just slow.
 * Virtual-8086 mode, rings 1 and 2, code in the corner and real mode's segments in protected mode are interpreted (ring_segments_fit());
 * 16-bit segments run as they are.
 *
 * Source: SDM Vol. 3A, "Segment Descriptor Tables", "Segment Registers"; Robin and Irvine; Adams and Agesen, "A Comparison of Software
 * and Hardware Techniques for x86 Virtualization" (2006), on traced descriptor tables.
 * Timing: RING_DESCRIPTOR a copy, walks and references on top; registers are read and loaded by references.
 * Simplified: reloading a register with a selector it holds already, after the descriptor was changed, is noticed by the fault of the
 * first load; other registers that hold it are then taken to have been reloaded too. A kernel's selectors with RPL 1 are as with
 * RPL 0. A FS or GS base of 0 set by MSR over a descriptor's other one stays when the
 * selector is loaded again. */
#include <string.h>

#include "models/cpu/sys.h"
#include "models/vmm/guest_walk.h"
#include "models/vmm/ring/ring.h"

#define EAGER      64           /* descriptors of a GDT that are copied at once */
#define GDT_PAGES  17           /* 64 KB anywhere */
#define LDT_PAGES  2            /* of 4 KB anywhere */
#define TABLE_PAGES (GDT_PAGES + LDT_PAGES)
#define LDT_MAX    512
#define RAW_P      BIT(47)
#define RAW_A      BIT(40)
#define RELOADED   BIT(32)      /* with a register's selector: it may have been loaded again */
#define GDTR_CHANGED BIT(SEG_N)

/* A virtual CPU's page. */
enum { AT_REAL = 0 /* selectors as loaded last, 8 bytes each */, AT_TABLE = 64 /* GDT, LDT: base, size; 0: none */,
       AT_SPACE = 96 /* CR3 they were found through, mode */, AT_CS_LIMIT = 104 /* of the real CS */,
       AT_SS_BIG = 112 /* SS.B: pushes use ESP, not SP */, AT_OPEN = 120 /* RING_SEL_CODE_32 is there */, AT_PAGE = 128 /* where the guest's tables are: gpa | 1, 0 unknown */,
       AT_SEEN = 512 /* the guest's first descriptors */ };
/* A physical CPU's page. */
enum { AT_OWNER = 0 /* whose copies they are: VPID */, AT_FILLED = 8 /* GDT, LDT: entries that may be other than 0 */ };
enum table { GDT, LDT };

static uint64_t ref(struct vcpu *v, uint64_t pa) { return mmu_phys_read(&v->cpu->mmu, HPA(pa), 8, WHY_EXIT_SERVICE); }
static void put(struct vcpu *v, uint64_t pa, uint64_t x) { mmu_phys_write(&v->cpu->mmu, HPA(pa), 8, x, WHY_EXIT_SERVICE); }
static uint64_t own(struct vcpu *v, unsigned at) { return ref(v, v->s.segments + at); }
static void own_set(struct vcpu *v, unsigned at, uint64_t x) { put(v, v->s.segments + at, x); }

static uint64_t corner(const struct vcpu *v, const struct cpu *c, unsigned page)
{
	return ring_page_hpa(v->vm, RING_CPU + 4 * c->number + page).v;
}
static uint64_t notes(const struct vcpu *v, const struct cpu *c, unsigned at) { return corner(v, c, 3) + at; }

static uint64_t entry_at(const struct vcpu *v, const struct cpu *c, enum table t, unsigned index)
{
	return t == LDT ? corner(v, c, 2) + 8 * index
	                : ring_page_hpa(v->vm, RING_GDT + 16 * c->number + index / 512).v + 8 * (index % 512);
}
static unsigned entries_max(enum table t) { return t == LDT ? LDT_MAX : RING_SEL_GUEST / 8; }

static bool wide(const struct vcpu *v) { return v->s.efer & EFER_LMA; }
static bool owns(struct vcpu *v, struct vcpu *by)       /* by's time */
{
	return v->cpu && ref(by, notes(v, v->cpu, AT_OWNER)) == vcpu_vpid(v);
}

/* ---- the guest's tables ---- */

static uint64_t table_base(struct vcpu *v, enum table t) { return own(v, AT_TABLE + 16 * t); }
static uint64_t table_size(struct vcpu *v, enum table t) { return own(v, AT_TABLE + 16 * t + 8); }
static unsigned page_slot(enum table t, unsigned k) { return AT_PAGE + 8 * (t == LDT ? GDT_PAGES + k : k); }

static void trace_page(struct vcpu *v, uint64_t gpa, bool on)
{
	if (v->vm->pager->trace)
		(v->vm->pager->trace)(v, gpa >> PAGE_SHIFT, on);
}

/* The pager counts: other virtual CPUs, and a translator, may have the page traced as well. */
static void unwatch(struct vcpu *v, unsigned slot)
{
	uint64_t page = own(v, slot);
	if (!page)
		return;
	own_set(v, slot, 0);
	trace_page(v, page & PAGE_MASK, false);
}

static void watch(struct vcpu *v, unsigned slot, uint64_t gpa)
{
	uint64_t page = (gpa & PAGE_MASK) | 1;
	if (own(v, slot) == page)
		return;
	unwatch(v, slot);
	own_set(v, slot, page);
	trace_page(v, gpa, true);
}

/* Where a page of a table is, as a load would find it. */
struct place { struct guest_regs regs; bool have; uint64_t lin, gpa; };

static bool find(struct vcpu *v, struct place *p, uint64_t lin, uint64_t *gpa)
{
	struct guest_walk w;
	lin &= wide(v) ? ~0ull : 0xffffffff;
	if (!p->have || p->lin != (lin & PAGE_MASK)) {
		if (!p->have)
			guest_regs_get(v, &p->regs);
		p->have = false;
		if (!guest_walk(v, &p->regs, lin, ACC_READ, WHY_EXIT_SERVICE, &w))
			return false;
		p->have = true, p->lin = lin & PAGE_MASK, p->gpa = w.gpa & PAGE_MASK;
	}
	*gpa = p->gpa | (lin & 0xfff);
	return true;
}

static bool guest_descriptor(struct vcpu *v, struct place *p, enum table t, unsigned index, uint64_t *raw)
{
	uint64_t base = table_base(v, t), gpa;
	if (8ull * index + 8 > table_size(v, t))
		return false;
	for (unsigned i = 0, n; i < 8; i += n) {
		uint64_t off = 8ull * index + i;
		unsigned room = PAGE_SIZE - ((base + off) & 0xfff);
		n = 8 - i < room ? 8 - i : room;
		if (!find(v, p, base + off, &gpa))
			return false;
		if (index < entries_max(t))
			watch(v, page_slot(t, (unsigned)(((base & 0xfff) + off) >> PAGE_SHIFT)), gpa);
		if (!vcpu_read_gpa(v, GPA(gpa), (uint8_t *)raw + i, n))
			return false;
	}
	return true;
}

/* ---- the hardware's tables ---- */

static void entry_put(struct vcpu *v, enum table t, unsigned index, uint64_t x)
{
	uint64_t filled = notes(v, v->cpu, AT_FILLED + 8 * t);
	put(v, entry_at(v, v->cpu, t, index), x);
	if (ref(v, filled) <= index)
		put(v, filled, index + 1u);
}

/* Copied, if it was not; what the hardware has now. */
static uint64_t copy(struct vcpu *v, struct place *p, enum table t, unsigned index)
{
	uint64_t raw = 0, x;
	if (index >= entries_max(t) || (t == GDT && !index))
		return 0;
	x = ref(v, entry_at(v, v->cpu, t, index));
	if (x || !guest_descriptor(v, p, t, index, &raw))
		return x;
	x = ring_descriptor(raw, wide(v));
	if (!x)
		return 0;
	vmm_cost(v->cpu, VMM_COST_RING_DESCRIPTOR);
	v->vm->stat[VMM_STAT_RING_DESCRIPTORS]++;
	entry_put(v, t, index, x);
	if (t == GDT && index < EAGER)
		own_set(v, AT_SEEN + 8 * index, raw);
	return x;
}

static void forget(struct vcpu *v, enum table t)
{
	uint64_t filled = notes(v, v->cpu, AT_FILLED + 8 * t), n = ref(v, filled);
	for (unsigned i = 0; i < n; i++)
		put(v, entry_at(v, v->cpu, t, i), 0);
	put(v, filled, 0);
}

static void copy_first(struct vcpu *v)
{
	struct place p = { .have = false };
	uint64_t n = table_size(v, GDT) / 8;
	for (unsigned i = 1; i < n && i < EAGER; i++)
		(void)copy(v, &p, GDT, i);
}

static void unwatch_table(struct vcpu *v, enum table t)
{
	for (unsigned k = 0; k < (t == LDT ? LDT_PAGES : GDT_PAGES); k++)
		unwatch(v, page_slot(t, k));
}

/* The code segment that leads into the corner from ring 1: there only for a translator's code, and execute-only, so that no segment register
 * that the guest loads by itself leads there. */
static void open_corner(struct vcpu *v, bool open)
{
	uint64_t raw = 0;
	if (own(v, AT_OPEN) == open)
		return;
	if (open)
		(void)ring_descriptor_of(0, 0xffffffff, SEG_G | SEG_DB | SEG_P | SEG_S | 1 << 5 | TYPE_CODE | TYPE_ACCESSED, &raw);
	put(v, entry_at(v, v->cpu, GDT, RING_SEL_CODE_32 >> 3), raw);
	own_set(v, AT_OPEN, open);
}

#define ALL_CHANGED (MASK(SEG_TR) | GDTR_CHANGED)

void ring_gdt_load(struct vcpu *v)
{
	uint64_t owner = notes(v, v->cpu, AT_OWNER);
	v->s.segments_changed |= (uint32_t)(ALL_CHANGED & ~GDTR_CHANGED);
	if (ref(v, owner) == vcpu_vpid(v))
		return;
	forget(v, GDT);
	forget(v, LDT);
	put(v, owner, vcpu_vpid(v));
	own_set(v, AT_OPEN, 1);         /* another's may have been */
	open_corner(v, false);
	copy_first(v);
}

static void gdtr_changed(struct vcpu *v)
{
	uint64_t base = vcpu_get(v, VMCS_GUEST_GDTR_BASE), size = vcpu_get(v, VMCS_GUEST_GDTR_LIMIT) + 1;
	if (base == table_base(v, GDT) && size == table_size(v, GDT))
		return;
	forget(v, GDT);
	unwatch_table(v, GDT);
	own_set(v, AT_TABLE, base);
	own_set(v, AT_TABLE + 8, size);
	copy_first(v);
}

static void ldtr_changed(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	bool none = vcpu_get(v, VMCS_GUEST_LDTR_ACCESS) & SEG_UNUSABLE;
	uint64_t base = none ? 0 : vcpu_get(v, VMCS_GUEST_LDTR_BASE), size = none ? 0 : vcpu_get(v, VMCS_GUEST_LDTR_LIMIT) + 1;
	if (base != table_base(v, LDT) || size != table_size(v, LDT)) {
		forget(v, LDT);
		unwatch_table(v, LDT);
		own_set(v, AT_TABLE + 16, base);
		own_set(v, AT_TABLE + 24, size);
	}
	if (none) {
		seg_set_null(c, SEG_LDTR, 0);
		return;
	}
	struct desc d = { .base = ring_page_lin(v, RING_CPU + 4 * c->number + 2), .limit = 8 * LDT_MAX - 1, .attr = SEG_P | DESC_LDT };
	uint64_t at = entry_at(v, c, GDT, RING_SEL_LDT / 8), raw;
	(void)ring_descriptor_of(d.base & 0xffffffff, d.limit, d.attr, &raw);
	put(v, at, raw);
	if (wide(v))
		put(v, at + 8, d.base >> 32);
	seg_set(c, SEG_LDTR, RING_SEL_LDT, &d);
}

/* Another address space, or another mode: are the tables where they were? */
static void space_changed(struct vcpu *v)
{
	uint64_t now = v->s.cr3 << 2 | (wide(v) ? 2 : 0) | (v->s.cr0 & CR0_PG ? 1 : 0), was = own(v, AT_SPACE);
	struct place p = { .have = false };
	bool same = !((now ^ was) & 2);
	if (now == was)
		return;
	own_set(v, AT_SPACE, now);
	for (enum table t = GDT; t <= LDT && same; t++)
		for (unsigned k = 0; k < (t == LDT ? LDT_PAGES : GDT_PAGES) && same; k++) {
			uint64_t page = own(v, page_slot(t, k)), gpa;
			if (page)
				same = find(v, &p, (table_base(v, t) & PAGE_MASK) + k * PAGE_SIZE, &gpa) && page == ((gpa & PAGE_MASK) | 1);
		}
	if (same)
		return;
	forget(v, GDT);
	forget(v, LDT);
	unwatch_table(v, GDT);
	unwatch_table(v, LDT);
	copy_first(v);
	v->s.segments_changed |= (uint32_t)(ALL_CHANGED & ~GDTR_CHANGED);
}

/* ---- life ---- */

void ring_segments_init(struct vcpu *v)
{
	if (!v->s.segments)
		v->s.segments = vmm_page(v->vm->vmm).v;
	v->s.segments_changed = (uint32_t)ALL_CHANGED;
}

void ring_segments_fini(struct vcpu *v)
{
	if (!v->s.segments)
		return;
	unwatch_table(v, GDT);
	unwatch_table(v, LDT);
	for (unsigned i = 0; i < PAGE_SIZE; i += 8)
		own_set(v, i, 0);
	if (owns(v, v)) {
		forget(v, GDT);
		forget(v, LDT);
	}
	v->s.segments_changed = (uint32_t)ALL_CHANGED;
}

void ring_segment_changed(struct vcpu *v, enum vmcs_field f)
{
	static const enum vmcs_field first[] = { VMCS_GUEST_ES, VMCS_GUEST_ES_BASE, VMCS_GUEST_ES_LIMIT, VMCS_GUEST_ES_ACCESS };
	for (unsigned i = 0; i < ARRAY_LEN(first); i++)
		if (f >= first[i] && f < first[i] + SEG_TR)
			v->s.segments_changed |= 1u << (f - first[i]);
	if (f == VMCS_GUEST_GDTR_BASE || f == VMCS_GUEST_GDTR_LIMIT)
		v->s.segments_changed |= (uint32_t)GDTR_CHANGED;
}

/* ---- segment registers: in ---- */

static void decode_raw(uint64_t raw, struct desc *d)
{
	*d = (struct desc){ .raw = raw, .base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24, .attr = raw >> 40 & 0xf0ff,
	                    .limit = (uint32_t)(raw & 0xffff) | (uint32_t)(raw >> 48 & 15) << 16 };
	if (d->attr & SEG_G)
		d->limit = d->limit << 12 | 0xfff;
}

static enum vmcs_field field(enum vmcs_field of_es, unsigned i) { return (enum vmcs_field)(of_es + (int)i); }

static void record(struct vcpu *v, unsigned i, uint16_t sel, const struct desc *d)
{
	vcpu_set(v, field(VMCS_GUEST_ES, i), sel);
	vcpu_set(v, field(VMCS_GUEST_ES_BASE, i), d->base);
	vcpu_set(v, field(VMCS_GUEST_ES_LIMIT, i), d->limit);
	vcpu_set(v, field(VMCS_GUEST_ES_ACCESS, i), d->attr);
}

/* The guest has loaded a register by itself: what it has now is what its descriptor says. */
static void adopt(struct vcpu *v, unsigned i, uint16_t real)
{
	struct place p = { .have = false };
	struct desc d = { .attr = SEG_UNUSABLE };
	enum table t = real & 4 ? LDT : GDT;
	unsigned index = real >> 3;
	uint16_t sel = real;
	if (!sel_null(real)) {
		uint64_t raw, hard = ref(v, entry_at(v, v->cpu, t, index));
		if (t == GDT && index < EAGER && hard)
			raw = own(v, AT_SEEN + 8 * index);
		else if (index >= entries_max(t) || !guest_descriptor(v, &p, t, index, &raw))
			raw = hard;
		decode_raw(raw | RAW_A, &d);
	}
	/* On Intel 64 kernel and user are both in ring 3: the code segment's DPL tells, unless it conforms. */
	if (i == SEG_CS) {
		bool conforming = (d.attr & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING);
		unsigned cpl = !wide(v) ? (real & 3) == 3 ? 3 : 0 : conforming ? vcpu_get(v, VMCS_GUEST_CS) & 3 : SEG_DPL(d.attr);
		sel = (uint16_t)((real & ~3u) | cpl);
	} else if (i == SEG_SS) {
		unsigned cpl = vcpu_get(v, VMCS_GUEST_CS) & 3;
		if ((real & 3) == ring_real_cpl(v, cpl))
			sel = (uint16_t)((real & ~3u) | cpl);
	}
	record(v, i, sel, &d);
}

void ring_segments_came(struct vcpu *v, const struct ring_frame *f)
{
	static const enum seg_reg order[] = { SEG_CS, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	struct cpu *c = v->cpu;
	const uint32_t changed = v->s.segments_changed;         /* another virtual CPU may have written its descriptors meanwhile */
	const bool untold = f->vector >= RING_STUB_SYSCALL && !ring_hooks(v->vm)->kernel_syscalls;
	for (unsigned k = 0; k < ARRAY_LEN(order); k++) {
		enum seg_reg i = order[k];
		if (untold && (i == SEG_CS || i == SEG_SS))
			continue;       /* SYSCALL and SYSENTER do not tell; what the record has will do until the call replaces it */
		uint16_t real = i == SEG_CS ? (uint16_t)f->cs : i == SEG_SS ? (uint16_t)f->ss : c->s.seg[i].sel;
		if (v->s.translated && (i == SEG_CS || i == SEG_GS))
			continue;       /* the VMM's own */
		bool loaded = own(v, AT_REAL + 8 * i) != real;
		if (loaded) {
			adopt(v, i, real);
			if (i == SEG_SS)
				own_set(v, AT_SS_BIG, vcpu_get(v, VMCS_GUEST_SS_ACCESS) & SEG_DB ? 1 : 0);
			own_set(v, AT_REAL + 8 * i, real);
		}
		/* FS and GS have bases of their own on Intel 64, by RDMSR. No selector tells that the register was loaded again with what it held,
		 * which gives it the descriptor's base: a base that is not 0 may be gone */
		if (i >= SEG_FS && wide(v) && (loaded || c->s.cr4 & CR4_FSGSBASE || vcpu_get(v, field(VMCS_GUEST_ES_BASE, i)))) {
			ledger_charge(&c->ledger, WHY_EXIT_SERVICE, c->profile->cost[COST_MSR_READ]);
			vcpu_set(v, field(VMCS_GUEST_ES_BASE, i), c->s.seg[i].base);
		}
	}
	v->s.segments_changed = changed | (v->s.translated ? (uint32_t)BIT(SEG_GS) : 0);
	v->s.translated = 0;
}

/* ---- segment registers: out ---- */

/* The hardware's descriptor with these hidden parts. *sel: the selector to load it by, in whose place in the table it may have to be put
 * (*place, *was: then); 0: there is none. */
struct chosen { uint64_t raw, place, was; uint16_t sel; };

static bool choose(struct vcpu *v, unsigned i, const struct desc *d, struct chosen *k)
{
	struct place p = { .have = false };
	enum table t = k->sel & 4 ? LDT : GDT;
	const bool based = wide(v) && i >= SEG_FS;
	const unsigned index = k->sel >> 3;
	uint64_t raw;
	uint32_t base = (uint32_t)d->base;
	if (!sel_null(k->sel) && index < entries_max(t))
		k->was = copy(v, &p, t, index);
	if (based && k->was)
		base = (uint32_t)((k->was >> 16 & 0xffffff) | (k->was >> 56) << 24);    /* the MSR holds the base */
	if (!ring_descriptor_of(base, d->limit, d->attr, &raw))
		return false;
	if (k->was & RAW_P && k->was == ring_descriptor(raw | RAW_A, wide(v))) {
		k->raw = k->was;
		return true;
	}
	if (!(k->raw = ring_descriptor_own(raw, (enum seg_reg)i, wide(v))))
		return false;
	v->vm->stat[VMM_STAT_RING_OWN]++;
	/* The guest may read ES, DS, FS and GS: they have its own selectors, whose descriptor is put there for the moment of the load. */
	if (i != SEG_CS && i != SEG_SS && !sel_null(k->sel) && (t == GDT || index < LDT_MAX)) {
		k->place = entry_at(v, v->cpu, t, index);
		k->was = ref(v, k->place);
	} else {
		k->sel = (uint16_t)(RING_SEL_OWN(i) | (k->sel & 3));
		put(v, entry_at(v, v->cpu, GDT, RING_SEL_OWN(i) / 8), k->raw);
	}
	return true;
}

static uint16_t load_stack_or_code(struct vcpu *v, unsigned i, struct desc *d, struct chosen *k)
{
	/* 64-bit kernels run with SS null, which ring 3 may not */
	if (i == SEG_SS && d->attr & SEG_UNUSABLE)
		*d = (struct desc){ .limit = 0xffffffff, .attr = SEG_G | SEG_DB | SEG_P | SEG_S | TYPE_WRITE | TYPE_ACCESSED };
	if (!choose(v, i, d, k))
		vcpu_refuse(v, "a code or stack segment no descriptor describes");
	if (i == SEG_CS) {
		decode_raw(k->raw, d);
		own_set(v, AT_CS_LIMIT, d->attr & SEG_L && wide(v) ? ~0ull : d->limit);
	} else {
		own_set(v, AT_SS_BIG, k->raw & BIT(54) ? 1 : 0);
	}
	return (uint16_t)((k->sel & ~3u) | ring_real_cpl(v, vcpu_get(v, VMCS_GUEST_CS) & 3));
}

bool ring_inner(uint32_t attr)
{
	return (attr & (TYPE_CODE | TYPE_CONFORMING)) != (TYPE_CODE | TYPE_CONFORMING) && SEG_DPL(attr) != 3;
}

static uint16_t load(struct vcpu *v, unsigned i)
{
	struct cpu *c = v->cpu;
	struct desc d = { .base = vcpu_get(v, field(VMCS_GUEST_ES_BASE, i)), .limit = (uint32_t)vcpu_get(v, field(VMCS_GUEST_ES_LIMIT, i)),
	                  .attr = (uint32_t)vcpu_get(v, field(VMCS_GUEST_ES_ACCESS, i)) };
	struct chosen k = { .sel = (uint16_t)vcpu_get(v, field(VMCS_GUEST_ES, i)) };
	const uint64_t base = d.base;
	if (i == SEG_CS || i == SEG_SS)
		return load_stack_or_code(v, i, &d, &k);
	if (d.attr & SEG_UNUSABLE || !choose(v, i, &d, &k)) {
		seg_set_null(c, (enum seg_reg)i, k.sel & 3);
		k.sel &= 3;
	} else {
		/* SYSEXIT leaves ring 3 with what the kernel had loaded; the VMM's IRET would drop what is not for ring 3 */
		if (!wide(v) && (vcpu_get(v, VMCS_GUEST_CS) & 3) == 3 && ring_inner(d.attr)) {
			if (!k.place)
				k.place = entry_at(v, c, k.sel & 4 ? LDT : GDT, k.sel >> 3);
			k.raw |= 3ull << 45;
		}
		if (k.place)
			put(v, k.place, k.raw);
		decode_raw(k.raw, &d);
		seg_set(c, (enum seg_reg)i, k.sel, &d);
		if (k.place)
			put(v, k.place, k.was);
	}
	if (wide(v) && i >= SEG_FS)
		c->s.seg[i].base = base;
	return k.sel;
}

/* Translated 32-bit code lies in the corner, and reaches its shared page there through GS, which the guest's own does not get to see. The
 * descriptor that GS is loaded with is there for the moment alone. */
static void load_translated(struct vcpu *v, struct ring_frame *f)
{
	const uint64_t at = entry_at(v, v->cpu, GDT, RING_SEL_DATA_32 >> 3);
	struct desc d;
	uint64_t raw;
	open_corner(v, true);
	(void)ring_descriptor_of(0, 0xffffffff, SEG_G | SEG_DB | SEG_P | SEG_S | 1 << 5 | TYPE_WRITE | TYPE_ACCESSED, &raw);
	put(v, at, raw);
	decode_raw(raw, &d);
	seg_set(v->cpu, SEG_GS, RING_SEL_DATA_32 | 1, &d);
	put(v, at, 0);
	f->cs = RING_SEL_CODE_32 | 1;
}

bool ring_segments_going(struct vcpu *v, struct ring_frame *f)
{
	const uint32_t later = v->s.translated ? (uint32_t)BIT(SEG_GS) : 0;
	space_changed(v);
	if (v->s.segments_changed & GDTR_CHANGED)
		gdtr_changed(v);
	if (v->s.segments_changed & BIT(SEG_LDTR))
		ldtr_changed(v);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		if (v->s.segments_changed & ~later & BIT(i))
			own_set(v, AT_REAL + 8 * i, load(v, i));
	v->s.segments_changed &= later;
	f->cs = own(v, AT_REAL + 8 * SEG_CS) & 0xffff;
	f->ss = own(v, AT_REAL + 8 * SEG_SS) & 0xffff;
	if (later)
		load_translated(v, f);
	else if (ring_hooks(v->vm)->came)
		open_corner(v, false);
	uint64_t limit = own(v, AT_CS_LIMIT);
	return f->rip != v->s.entered_rip || (f->rip <= limit && (!wide(v) || limit == ~0ull || ring_stack_big(v)));
}

bool ring_stack_big(struct vcpu *v) { return own(v, AT_SS_BIG); }

/* ---- events ---- */

bool ring_segment_fault(struct vcpu *v, unsigned sel)
{
	struct place p = { .have = false };
	enum table t = sel & 4 ? LDT : GDT;
	unsigned index = sel >> 3 & 0x1fff;
	if (index >= entries_max(t) || ref(v, entry_at(v, v->cpu, t, index)))
		return false;
	if (!(copy(v, &p, t, index) & RAW_P))
		return false;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		uint64_t real = own(v, AT_REAL + 8 * i);
		if (!((real ^ sel) >> 2 & 0x3fff))
			own_set(v, AT_REAL + 8 * i, real | RELOADED);
	}
	return true;
}

/* Part of w's table t: its copies go. IRET loads CS and SS from them whenever it is entered. */
static void table_written(struct vcpu *v, struct vcpu *w, enum table t, unsigned k, unsigned in_page, unsigned n)
{
	uint64_t base = ref(v, w->s.segments + AT_TABLE + 16 * t), size = ref(v, w->s.segments + AT_TABLE + 16 * t + 8);
	int64_t from = (int64_t)k * PAGE_SIZE + in_page - (int64_t)(base & 0xfff), to = from + n;
	if (!owns(w, v) || to <= 0 || from >= (int64_t)size)
		return;
	unsigned first = from < 0 ? 0 : (unsigned)from / 8, end = (unsigned)((to + 7) / 8);
	uint64_t filled = ref(v, notes(w, w->cpu, AT_FILLED + 8 * t));
	for (unsigned i = first; i < end && i < filled; i++)
		put(v, entry_at(w, w->cpu, t, i), 0);
	w->s.segments_changed |= 1u << SEG_CS | 1u << SEG_SS;
}

void ring_written(struct vcpu *v, gpa_t gpa, unsigned n)
{
	const struct ring_hooks *h = ring_hooks(v->vm);
	for (unsigned i = 0; i < v->vm->config.vcpus; i++) {
		struct vcpu *w = v->vm->vcpu[i];
		for (unsigned k = 0; w && w->s.segments && k < TABLE_PAGES; k++) {
			uint64_t slot = w->s.segments + AT_PAGE + 8 * k, page = ref(v, slot);
			if (!page || gpa.v + n <= (page & PAGE_MASK) || gpa.v >= (page & PAGE_MASK) + PAGE_SIZE)
				continue;
			uint64_t from = gpa.v > (page & PAGE_MASK) ? gpa.v : page & PAGE_MASK;
			uint64_t end = gpa.v + n < (page & PAGE_MASK) + PAGE_SIZE ? gpa.v + n : (page & PAGE_MASK) + PAGE_SIZE;
			table_written(v, w, k < GDT_PAGES ? GDT : LDT, k < GDT_PAGES ? k : k - GDT_PAGES, from & 0xfff, (unsigned)(end - from));
			if (n >= PAGE_SIZE)
				put(v, slot, 0);        /* not traced any more */
		}
	}
	if (h->written)
		h->written(v, gpa, n);
}

/* ---- what the hardware can run ---- */

static bool describable(const struct seg *s, enum seg_reg i, bool wide)
{
	uint64_t raw;
	uint64_t base = wide && i >= SEG_FS ? 0 : s->base;
	return s->attr & SEG_S && s->attr & SEG_P && ring_descriptor_of(base, s->limit, s->attr, &raw) && ring_descriptor_own(raw, i, wide);
}

/* Of code, which is cut. */
static uint32_t real_limit(const struct seg *cs, bool wide)
{
	struct desc d;
	uint64_t raw;
	if (!ring_descriptor_of(cs->base, cs->limit, cs->attr, &raw))
		return 0;
	decode_raw(ring_descriptor_own(raw, SEG_CS, wide), &d);
	return d.limit;
}

bool ring_segments_fit(const struct vcpu *v, const struct cpu_state *s)
{
	const struct seg *cs = &s->seg[SEG_CS], *ss = &s->seg[SEG_SS];
	const bool long_mode = s->efer & EFER_LMA;
	(void)v;
	if (!(s->cr0 & CR0_PE) || s->flags & RFLAGS_VM || (s->cpl != 0 && s->cpl != 3) || (cs->sel & 3) != s->cpl)
		return false;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		if (!(s->seg[i].attr & SEG_UNUSABLE) && !describable(&s->seg[i], (enum seg_reg)i, long_mode))
			return false;
	if (cs->attr & SEG_UNUSABLE || !(cs->attr & TYPE_CODE) || (!(cs->attr & TYPE_CONFORMING) && SEG_DPL(cs->attr) != s->cpl))
		return false;
	if (!(long_mode && cs->attr & SEG_L) && s->rip > real_limit(cs, long_mode))
		return false;
	if (ss->attr & SEG_UNUSABLE)
		return long_mode && cs->attr & SEG_L;
	if (long_mode && !(cs->attr & SEG_L) && !(ss->attr & SEG_DB))
		return false;
	return !(ss->attr & TYPE_CODE) && ss->attr & TYPE_WRITE && SEG_DPL(ss->attr) == s->cpl;
}
