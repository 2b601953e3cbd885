/* Fuzz target: two VMs on one machine, one of them hostile. Whatever it executes, whatever its tables and descriptors say:
 *
 *   - each load and store its instructions make lies in its own memory, or in pages the VMM gave its kernel;
 *   - the other VM's memory is as its own program leaves it, and that program goes on;
 *   - nothing of the other VM's memory, nor of the VMM's, turns up in its memory or registers;
 *   - the VMM neither dies, nor takes an exception itself, nor forgets a cycle.
 *
 * What is looked at is the memory accesses of the CPU while it executes guest code, by host-physical address: that does not ask
 * the VMM whether it was careful.
 *
 * Input: 1 byte chooses the technique, 7 the mode and flags, 8 registers, 32 page-table entries of { 2 bytes where, 6 bytes
 * entry }, 32 descriptors of 8 bytes; then code, in pieces: a byte of 0 to 127 is a piece of pieces[] with its immediates replaced
 * by what follows, 128 and above are that many minus 127 bytes as they are. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/boot/image.h"
#include "models/cpu/sensitivity.h"
#include "models/machine.h"
#include "models/mmu/pte.h"
#include "models/vmm/ring/ring.h"
#include "tests/fuzz/fuzz.h"

enum {
	CRITICAL = 1, NESTED = 2,
	RAM = 2 << 20, GDT = 0x1000, IDT = 0x2000, STUBS = 0x3000, TABLES = 0x10000, CODE = 0x20000, CODE_N = 0x4000, STACK = 0x30000,
	SLICE = 20000, CYCLES = 400000,
};

#define SECRET 0x5ec7e75ec7e75000ull            /* + where it is: in the other's memory and in the VMM's */

static const struct technique { const char *cpu, *mmu; unsigned cpus, what; } techniques[] = {
#define ISOLATED(cpu, mmu, cpus, what) { cpu, mmu, cpus, what },
#include "tests/fuzz/isolation.def"
};
const unsigned isolation_techniques = ARRAY_LEN(techniques);

/* ---- what the hostile guest likes to do; ? is replaced by the input ---- */

static const struct piece { uint8_t n, any /* bytes at the end that the input gives */; const char *bytes; } pieces[] = {
#define PIECE(what, any, bytes) { sizeof bytes - 1, any, bytes },
#include "tests/fuzz/isolation_piece.def"
};

struct input { const uint8_t *p; size_t n; };

static uint64_t take(struct input *in, unsigned bytes)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < bytes && in->n; i++, in->p++, in->n--)
		v |= (uint64_t)*in->p << (8 * i);
	return v;
}

static void write_code(struct mem *m, struct input *in)
{
	for (unsigned at = 0; at < CODE_N - 256 && in->n;) {
		unsigned what = (unsigned)take(in, 1);
		if (what > 127) {
			for (what -= 127; what && in->n; what--)
				mem_write(m, HPA(CODE + at++), &(uint8_t){ (uint8_t)take(in, 1) }, 1);
			continue;
		}
		const struct piece *p = &pieces[what % ARRAY_LEN(pieces)];
		mem_write(m, HPA(CODE + at), p->bytes, p->n);
		for (unsigned i = p->n - p->any; i < p->n; i++)
			mem_write(m, HPA(CODE + at + i), &(uint8_t){ (uint8_t)take(in, 1) }, 1);
		at += p->n;
	}
}

static void page_tables(struct mem *m, struct input *in)
{
	for (unsigned level = 0; level < 3; level++)
		mem_write64(m, HPA(TABLES + level * 0x1000), (TABLES + (level + 1) * 0x1000) | 7);
	for (uint64_t i = 0; i < 512; i++)
		mem_write64(m, HPA(TABLES + 0x3000 + i * 8), i << 12 | 7);
	/* IA-32 without PAE: a directory of 4 MB pages, the identity again and again */
	for (uint64_t i = 0; i < 1024; i++)
		mem_write32(m, HPA(TABLES + 0x5000 + i * 4), 0xe7);
	for (unsigned i = 0; i < 32; i++) {
		uint64_t where = take(in, 2), entry = take(in, 6);
		mem_write64(m, HPA(TABLES + (where & 0x7ff8)), entry | (entry >> 40 & 1) << 63);
	}
}

/* What pv/direct accepts at the start: the identity, tables read-only, and room for the VMM's corner. */
static void checked_tables(struct mem *m, bool wide)
{
	for (unsigned i = 0; i < 0x5000; i += 8)
		mem_write64(m, HPA(TABLES + i), 0);
	for (unsigned level = 0; level < 3; level++)
		mem_write64(m, HPA(TABLES + level * 0x1000), (TABLES + (level + 1) * 0x1000) | PTE_P | (wide ? PTE_RW | PTE_US | PTE_A : 0));
	for (uint64_t i = 0; i < 512; i++)
		mem_write64(m, HPA(TABLES + 0x3000 + i * 8), i << 12 | PTE_P | PTE_A | PTE_D | (i - (TABLES >> 12) < 5 ? 0 : PTE_RW));
	if (wide)
		return;
	mem_write64(m, HPA(TABLES + 0x1000), (TABLES + 0x3000) | PTE_P | PTE_RW | PTE_US | PTE_A);
	mem_write64(m, HPA(TABLES + 3 * 8), (TABLES + 0x4000) | PTE_P);
}

static void descriptors(struct mem *m, struct input *in, bool wide)
{
	/* 2 and 3 are what a guest begins with (models/boot/firmware.h) */
	static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00cffb000000ffff };
	mem_write(m, HPA(GDT), gdt, sizeof gdt);
	if (wide)
		for (unsigned i = 1; i < 3; i++)
			mem_write64(m, HPA(GDT + 8 * i), 0x00af9b000000ffff);
	for (unsigned i = ARRAY_LEN(gdt); i < 32; i++)
		mem_write64(m, HPA(GDT + i * 8), take(in, 8));
	for (uint64_t v = 0; v < 64; v++) {     /* gates lead to an IRET, or on */
		uint64_t stub = STUBS + 16 * v;
		if (wide)
			mem_write64(m, HPA(IDT + 16 * v), (stub & 0xffff) | 8 << 16 | 0xee00ull << 32);
		else
			mem_write64(m, HPA(IDT + 8 * v), (stub & 0xffff) | 8 << 16 | 0xee00ull << 32);
		mem_write(m, HPA(stub), wide ? "\x48\xcf" : "\xcf", wide ? 2 : 1);
	}
}

static void start(struct cpu *c, uint32_t code, struct input *in, uint64_t choice, bool direct)
{
	bool wide = choice & 1;
	if (wide)
		entry_long64(c, code, TABLES);
	else if (choice & 2)
		entry_real(c, (uint16_t)(code >> 4), 0);
	else
		entry_protected32(c, code);
	if (direct && !wide) {
		c->s.cr4 = CR4_PAE;
		c->s.cr3 = TABLES;
		c->s.cr0 |= CR0_WP | CR0_PG;
	} else if (!wide && !(choice & 2) && choice & 4) {
		c->s.cr3 = TABLES + 0x5000;
		c->s.cr0 |= CR0_PG;
		c->s.cr4 |= CR4_PSE;
	}
	c->s.gdtr = (struct dtr){ GDT, 0xff, 0 };
	c->s.idtr = (struct dtr){ wide || !(choice & 2) ? IDT : 0, 0x3ff, 0 };
	for (unsigned i = 0; i < 16; i++)
		c->s.r[i] = choice >> (8 + i) & 1 ? take(in, 4) : CODE + 64 * i;
	c->s.r[R_RSP] = STACK + 0x1000 * c->number;
	if (direct)
		c->s.r[R_RSI] = 0xf000;
	c->s.activity = ACTIVITY_ACTIVE;
	c->s.flags |= choice >> 3 & 1 ? RFLAGS_IF : 0;
	cpu_restored(c);
}

/* The victim counts in its memory for ever: inc dword [0x8000]; jmp */
static void victim(struct machine *m)
{
	static const uint8_t code[] = { 0xff, 0x05, 0x00, 0x80, 0, 0, 0xeb, 0xf8 };
	struct cpu *c = m->cpu[0];
	mem_write(&m->mem, HPA(CODE), code, sizeof code);
	for (unsigned i = 0x40000; i < 0x60000; i += 8)
		mem_write64(&m->mem, HPA(i), SECRET + i);
	entry_protected32(c, CODE);
	cpu_restored(c);
}

/* ---- looking ---- */

PRINTF(2, 3) static void finding(const struct technique *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "%s/%s: ", t->cpu, t->mmu);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

struct watch { struct machine *m; unsigned foreign; uint64_t pa, lin; };

static bool own(const struct vm *vm, uint64_t pa, unsigned size)
{
	if (pa >= vm->base.v && pa + size <= vm->base.v + vm->config.ram)
		return true;
	if (ept_apic_page(vm) && (pa & PAGE_MASK) == ept_apic_page(vm))
		return true;
	for (unsigned i = RING_SHARED; vm->virt->ring && i < RING_PAGES; i++)
		if (ring_page_hpa(vm, i).v && ring_page_hpa(vm, i).v == (pa & PAGE_MASK))
			return true;
	return false;
}

/* The CPU's own look at a descriptor or the task state, for an instruction that has it do so. */
static bool implicit(const struct cpu *c, uint64_t lin, bool write)
{
	const struct seg *tr = &c->s.seg[SEG_TR], *ldt = &c->s.seg[SEG_LDTR];
	bool there = lin - c->s.gdtr.base <= c->s.gdtr.limit || lin - tr->base <= tr->limit || lin - ldt->base <= ldt->limit;
	if (write || !there || !c->cur)
		return false;
	enum insn_form form = uop_form(c->cur);
	return form == FORM_SEG || form == FORM_FAR || insn_sensitivity((enum insn)c->cur->row, form) != INSN_INNOCUOUS;
}

static void seen(void *who, const struct trace_record *r)
{
	struct watch *w = who;
	if (r->component >= w->m->config.cpus)
		return;
	const struct cpu *c = w->m->cpu[r->component];
	unsigned vm = machine_vm_on(w->m, c);
	if (cpu_root_modelled(c) || !vm || c->delivering)
		return;
	if (!(w->m->vmm->vm[vm - 1]->virt->ring && implicit(c, r->a[0], r->a[3])) && !own(w->m->vmm->vm[vm - 1], r->a[1], (unsigned)r->a[2]) && !w->foreign++)
		w->lin = r->a[0], w->pa = r->a[1];
}

/* ---- the machine ---- */

struct pair { struct machine *m; struct snap *fresh; };

static struct machine *pair(struct pair *p, const struct technique *t)
{
	struct machine_config k;
	struct err e = { "" };
	if (p->m) {
		snap_restore(p->m->snaps, p->fresh);
		return p->m;
	}
	machine_config_defaults(&k);
	k.ram = 32 << 20;
	k.trace_ring = 64;
	k.profile.l2_size = 65536;
	k.profile.l3_size = 262144;
	k.cpus = t->cpus;
	k.profile.trap_critical = t->what & CRITICAL;
	p->m = machine_new(&k, &e);
	for (unsigned i = 0; p->m && i < 2; i++) {
		const bool direct = !strcmp(t->mmu, "direct") && i;     /* the victim is no paravirtual one */
		struct vm_config v = { .cpu = direct ? "trap" : t->cpu, .mmu = direct ? "shadow.wp" : t->mmu, .vcpus = i ? 1 : t->cpus, .page_shift = 12,
		                       .tags = true, .shadow_limit = 1 << 20, .ram = RAM, .slice = SLICE, .nested = !i && t->what & NESTED };
		struct machine_config g = p->m->config;
		g.ram = RAM;
		g.cpus = v.vcpus;
		if (!machine_vm(p->m, &g, &v, &e))
			finding(t, "%s", e.text);
	}
	if (!p->m)
		finding(t, "%s", e.text);
	for (unsigned i = 0x1000; i < 0x80000; i += 8)  /* what is below the VMM's heap is nobody's: its own, then */
		mem_write64(&p->m->mem, HPA(i), SECRET + i);
	p->fresh = snap_take(p->m->snaps, "fresh");
	return p->m;
}

/* Cycles the victim has had, its present turn included. */
static cycle_t ran(const struct machine *m)
{
	const struct vcpu *v = m->vmm->vm[1]->vcpu[0];
	return v->s.ran + (vmm_holder(m->vmm, v->cpu) == v ? v->cpu->ledger.now - v->s.since : 0);
}

static bool secret(uint64_t x) { return x - SECRET < 0x80000; }

/* Secrets lie at multiples of 8; a guest that reads them at all gets one whole. */
static void look_for_secrets(struct machine *m, const struct technique *t)
{
	const struct vm *vm = m->vmm->vm[0];
	for (uint64_t i = 0; i < RAM; i += 8)
		if (secret(mem_read64(&m->guest[0]->mem, HPA(i))))
			finding(t, "a secret is in the hostile VM's memory at %#" PRIx64, i);
	for (unsigned i = 0; i < t->cpus; i++) {
		const struct vcpu *v = vm->vcpu[i];
		const struct cpu_state *s[] = { &v->model->s, vmm_holder(m->vmm, v->cpu) == v ? &v->cpu->s : &v->model->s };
		for (unsigned k = 0; k < ARRAY_LEN(s); k++)
			for (unsigned r = 0; r < 16; r++)
				if (secret(s[k]->r[r]))
					finding(t, "a secret is in register %u of the hostile VM's CPU %u", r, i);
	}
}

/* Refused for what it uses is well; for what happened to the VMM it is not. */
static void unharmed(const struct machine *m, const struct technique *t)
{
	static const char *const bad[] = { "an exception in the VMM itself", "translated code came back", "VM entry" };
	for (unsigned i = 0; i < m->vmm->vms; i++)
		for (size_t k = 0; k < ARRAY_LEN(bad); k++)
			if (!strncmp(m->vmm->vm[i]->refused, bad[k], strlen(bad[k])))
				finding(t, "VM %u was refused: %s", i + 1, m->vmm->vm[i]->refused);
}

int fuzz_isolation(const uint8_t *data, size_t n)
{
	static struct pair pairs[ARRAY_LEN(techniques)];
	struct input in = { data, n };
	unsigned which = (unsigned)take(&in, 1) % ARRAY_LEN(techniques);
	struct machine *m = pair(&pairs[which], &techniques[which]), *bad = m->guest[0], *good = m->guest[1];
	uint64_t choice = take(&in, 7);
	const struct technique *t = &techniques[which];
	const bool direct = !strcmp(t->mmu, "direct");
	struct watch w = { .m = m };
	struct err e = { "" };
	if (direct)
		choice &= ~2ull;
	for (unsigned i = 0; i < t->cpus; i++)
		start(bad->cpu[i], CODE + i * CODE_N / 8, &in, choice, direct);
	page_tables(&bad->mem, &in);
	if (direct && choice >> 4 & 7)  /* else what is checked at the start is hostile */
		checked_tables(&bad->mem, choice & 1);
	descriptors(&bad->mem, &in, choice & 1);
	write_code(&bad->mem, &in);
	victim(good);
	if (trace_listen_apart(&m->trace, "access", seen, &w, &e))
		finding(t, "%s", e.text);
	enum machine_stop why = machine_run(m, CYCLES, 0);
	trace_unlisten(&m->trace, seen, &w);
	if (w.foreign)
		finding(t, "%u accesses outside, the first to %#" PRIx64 " at %#" PRIx64, w.foreign, w.lin, w.pa);
	for (unsigned i = 0; i < t->cpus; i++)
		if (!ledger_audit(&m->cpu[i]->ledger))
			finding(t, "the ledger does not balance");
	look_for_secrets(m, t);
	unharmed(m, t);
	for (unsigned i = 0x40000; i < 0x60000; i += 8)
		if (mem_read64(&good->mem, HPA(i)) != SECRET + i)
			finding(t, "the other VM's memory at %#x has changed", i);
	/* it had its turns, however dear its pages were to map; what is served when a turn ends goes on to its end: a block's translation
	 * is longer than these short turns */
	if (why == MACHINE_STOP_CYCLES && ran(m) < CYCLES / 10)
		finding(t, "the other VM ran for %" PRIu64 " of %d cycles", ran(m), CYCLES);
	if (!mem_read32(&good->mem, HPA(0x8000)))
		finding(t, "the other VM did nothing: stop %d", why);
	return 0;
}
