/* translate.c - translated code does what the guest's code does, and tells so at every one of its instructions.
 *
 * Random programs (arithmetic, memory, calls, returns, indirect branches, loops, flags, time) run twice: as they are, in ring 0, and
 * block by block translated, in ring 3, with a VMM of a page made here. The first gives a list of states; from what the second
 * CPU holds before each of its instructions bt_recover() must make the state on the list it has come to, or the next one. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/flags.h"
#include "models/vmm/bt/translate.h"
#include "sim/err.h"
#include "sim/rng.h"
#include "tests/unit/cpu/fixture.h"

enum { SHARED_AT = 0x300000, HEAD_AT = 0x301000, TABLE_AT = 0x310000, CACHE_AT = 0x340000, CODE_BYTES = 0x3000, DATA_BYTES = 0x2000 };
#define ALIAS   0x0000700000000000ull           /* another linear address of the same memory: far from everything */
#define CORNER  0xffff800000000000ull
#define STATES  60000

/* ---- a program ---- */

struct program {
	struct rng rng;
	bool wide;
	uint64_t base, data;            /* linear */
	uint8_t code[CODE_BYTES];
	unsigned n;
};

static unsigned pick(struct program *p, unsigned n) { return (unsigned)rng_below(&p->rng, n); }
static void b(struct program *p, unsigned x) { p->code[p->n++] = (uint8_t)x; }
static void d32(struct program *p, uint64_t x) { for (unsigned i = 0; i < 4; i++) b(p, (unsigned)(x >> 8 * i) & 0xff); }
static void d64(struct program *p, uint64_t x) { d32(p, x), d32(p, x >> 32); }
static void w(struct program *p, unsigned x) { if (p->wide) b(p, x); }
/* Any register but the stack pointer and the data pointer (RBX); 32-bit code: not the loop counter ESI either. */
static unsigned reg(struct program *p)
{
	static const uint8_t wide[] = { 0, 1, 2, 5, 6, 7 }, narrow[] = { 0, 1, 2, 5, 7 };
	return p->wide ? wide[pick(p, 6)] : narrow[pick(p, 5)];
}

static void data_operand(struct program *p, unsigned r, unsigned tail)
{
	uint64_t at = 64 + 8 * pick(p, 64);
	if (pick(p, 2)) {
		b(p, 0x83 | r << 3);
		d32(p, at);
	} else if (p->wide) {           /* relative to RIP */
		b(p, 0x05 | r << 3);
		d32(p, p->data + at - (p->base + p->n + 4 + tail));
	} else {
		b(p, 0x05 | r << 3);
		d32(p, p->data + at);
	}
}

static void simple(struct program *p)
{
	static const uint8_t alu[] = { 0x01, 0x03, 0x09, 0x0b, 0x11, 0x13, 0x19, 0x1b, 0x21, 0x23, 0x29, 0x2b, 0x31, 0x33, 0x39, 0x3b, 0x85, 0x89, 0x8b };
	switch (pick(p, 16)) {
	case 0: w(p, 0x48), b(p, 0xc7), b(p, 0xc0 | reg(p)), d32(p, rng_u64(&p->rng)); break;
	case 1: case 2: case 3: w(p, 0x48), b(p, alu[pick(p, sizeof alu)]), b(p, 0xc0 | reg(p) << 3 | reg(p)); break;
	case 4: case 5: case 6: w(p, pick(p, 2) ? 0x48 : 0x40), b(p, alu[pick(p, sizeof alu)]), data_operand(p, reg(p), 0); break;
	case 7: w(p, 0x40), b(p, 0x83), data_operand(p, pick(p, 8), 1), b(p, pick(p, 256)); break;
	case 8: b(p, 0x50 | reg(p)), b(p, 0x58 | reg(p)); break;
	case 9: b(p, 0x9c), b(p, 0x9d); break;
	case 10: b(p, pick(p, 2) ? 0xfa : 0xfb); break;
	case 11: b(p, 0x9c), b(p, 0x58 | reg(p)); break;
	case 12: b(p, 0x0f), b(p, 0xb6), b(p, 0xc0 | reg(p) << 3 | pick(p, 4)); break;
	case 13: b(p, 0x0f), b(p, 0x10), data_operand(p, pick(p, 8), 0); break;        /* movups */
	case 15: b(p, 0x0f), b(p, 0x31); break; /* rdtsc */
	case 14: b(p, 0x68), d32(p, (pick(p, 4) << 9 & 0x200) | (rng_u64(&p->rng) & 0xcd5) | 2), b(p, 0x9d); break;     /* popf */
	}
}

static void call(struct program *p, uint64_t target, unsigned slot)
{
	switch (pick(p, 3)) {
	case 0: b(p, 0xe8), d32(p, target - (p->base + p->n + 4)); break;
	case 1:
		if (p->wide)
			b(p, 0x48);
		b(p, 0xb8 | R_RDI);
		if (p->wide)
			d64(p, target);
		else
			d32(p, target);
		b(p, 0xff), b(p, 0xd0 | R_RDI);
		break;
	default: b(p, 0xff), b(p, 0x93), d32(p, 8 * slot); break;       /* call [rbx + slot] */
	}
}

/* Functions from the last to the first: each may call those made before it. */
static uint64_t make(struct program *p, struct fixture *f)
{
	uint64_t at[8] = { 0 };
	for (unsigned k = 0; k < 8; k++) {
		at[k] = p->base + p->n;
		memcpy((uint8_t *)fixture_at(f, FIXTURE_DATA) + 8 * k, &at[k], 8);
		unsigned top = p->n, loop = pick(p, 3) == 0;
		if (loop)
			b(p, 0x50 | R_RSI), b(p, 0xb8 | R_RSI), d32(p, 1 + pick(p, 3)), top = p->n;
		for (unsigned i = 2 + pick(p, 20); i; i--) {
			unsigned what = pick(p, 8);
			if (what == 0 && k) {
				unsigned to = pick(p, k);
				if (loop) b(p, 0x50 | R_RSI);
				call(p, at[to], to);
				if (loop) b(p, 0x58 | R_RSI);
			} else if (what == 1) {
				unsigned cc = pick(p, 16), hole = p->n;
				b(p, 0x70 | cc), b(p, 0);
				for (unsigned j = pick(p, 3); j; j--)
					if (!p->wide || !loop)
						simple(p);
				p->code[hole + 1] = (uint8_t)(p->n - hole - 2);
			} else if (!loop || !p->wide) {
				simple(p);
			}
		}
		if (loop) {     /* dec esi; jnz */
			b(p, 0xff), b(p, 0xce), b(p, 0x0f), b(p, 0x85), d32(p, top - (p->n + 4)), b(p, 0x58 | R_RSI);
		}
		if (k == 7)
			b(p, 0xf4);
		else if (pick(p, 4) == 0)
			b(p, 0x6a), b(p, 5), b(p, 0x58 | R_RDI), b(p, 0xc3);
		else
			b(p, 0xc3);
	}
	return at[7];
}

/* ---- two CPUs ---- */

struct state { uint64_t r[16], rip, flags; };

static void aliases(struct fixture *f)
{
	uint64_t *pml4 = fixture_at(f, 0x1000);
	pml4[ALIAS >> 39 & 511] = pml4[CORNER >> 39 & 511] = pml4[0];
}

static void begin(struct fixture *f, struct program *p, uint64_t rip)
{
	struct rng r = p->rng;
	mem_write(&f->mem, HPA(FIXTURE_CODE), p->code, p->n);
	for (unsigned i = 0; i < 16; i++)
		f->cpu->s.r[i] = p->wide ? rng_u64(&r) : (uint32_t)rng_u64(&r);
	for (unsigned i = 512; i < DATA_BYTES; i++)
		*(uint8_t *)fixture_at(f, FIXTURE_DATA + i) = (uint8_t)rng_u64(&r);
	f->cpu->s.r[R_RBX] = p->data;
	f->cpu->s.r[R_RSP] = p->data - 0x1000;
	f->cpu->s.rip = rip;
	cpu_set_rflags(f->cpu, 2, ~0ull);
	f->cpu->s.activity = ACTIVITY_ACTIVE;
	block_forget(f->cpu);
}

static void state_of(const struct fixture *f, struct state *s)
{
	memcpy(s->r, f->cpu->s.r, sizeof s->r);
	s->rip = f->cpu->s.rip;
	s->flags = cpu_rflags(f->cpu) & (RFLAGS_STATUS | RFLAGS_IF | RFLAGS_DF);
}

static unsigned reference(struct fixture *f, struct state *list)
{
	for (unsigned n = 0;; n++) {
		cr_assert(n < STATES);
		state_of(f, &list[n]);
		if (*(uint8_t *)fixture_at(f, (uint32_t)list[n].rip & 0xffffff) == 0xf4)
			return n;
		cr_assert_eq(fixture_run(f, 1), -1, "the program faults at %#lx", f->fault_rip);
	}
}

/* ---- a VMM of a page ---- */

struct cached { struct bt_block b; uint64_t at; bool wide; };
struct monitor {
	struct fixture *f;
	struct bt_env env;
	struct bt_block head;
	struct cached *block;
	unsigned blocks;
	uint64_t corner, next;
	bool chain;
	unsigned callouts[BT_CALLOUTS];
};

static void *phys(struct monitor *m, uint64_t lin) { return fixture_at(m->f, lin & 0xffffff); }
static struct bt_shared *page(struct monitor *m) { return fixture_at(m->f, SHARED_AT); }
static uint64_t get(void *who, size_t member, unsigned size)
{
	uint64_t x = 0;
	memcpy(&x, (uint8_t *)page(who) + member, size);
	return x;
}

static struct cached *block_for(struct monitor *m, uint64_t pc)
{
	for (unsigned i = 0; i < m->blocks; i++)
		if (m->block[i].b.pc == pc)
			return &m->block[i];
	struct cached *k = &m->block[m->blocks++];
	cr_assert(m->blocks < 1000);
	k->at = m->next;
	bt_translate(&m->env, pc, phys(m, pc), 200, k->at, &k->b);
	cr_assert(k->b.insns && !k->b.full);
	mem_write(&m->f->mem, HPA(k->at & 0xffffff), k->b.code, k->b.len);
	m->next += k->b.len;
	return k;
}

static void setup(struct monitor *m, struct fixture *f, bool wide)
{
	*m = (struct monitor){ .f = f, .corner = wide ? CORNER : 0, .block = xcalloc(1000, sizeof *m->block) };
	m->next = m->corner + CACHE_AT;
	m->env = (struct bt_env){ .decoder = f->cpu->decoder, .profile = f->cpu->profile, .wide = wide, .shared = m->corner + SHARED_AT,
		.head = m->corner + HEAD_AT, .table = m->corner + TABLE_AT, .limit = 12 };
	bt_head(&m->env, &m->head);
	cr_assert(eq(uint, m->head.len, BT_HEAD_BYTES));
	mem_write(&f->mem, HPA(HEAD_AT), m->head.code, m->head.len);
	uint64_t one = 1;
	mem_write(&f->mem, HPA(TABLE_AT), &one, wide ? 8 : 4);
	page(m)->flags_delta = (uint64_t)-(int64_t)RFLAGS_IF;
	page(m)->tsc_offset = 0xfffffff123456789;
}

static const struct bt_point *where(struct monitor *m, struct bt_regs *at)
{
	uint64_t rip = m->f->cpu->s.rip;
	*at = (struct bt_regs){ .get = get, .who = m, .vif = page(m)->vif, .flags = cpu_rflags(m->f->cpu) };
	memcpy(at->r, m->f->cpu->s.r, sizeof at->r);
	if (rip - m->env.head < BT_HEAD_BYTES)
		return bt_point_find(m->head.point, m->head.points, (unsigned)(rip - m->env.head));
	for (unsigned i = 0; i < m->blocks; i++) {
		const struct cached *k = &m->block[i];
		if (rip - k->at < k->b.len) {
			at->pc = k->b.pc;
			at->exit[0] = k->b.exit[0].target, at->exit[1] = k->b.exit[1].target;
			return bt_point_find(k->b.point, k->b.points, (unsigned)(rip - k->at));
		}
	}
	return NULL;
}

static void go_on(struct monitor *m, uint64_t pc)
{
	m->f->cpu->s.rip = block_for(m, pc)->at;
}

static void chain(struct monitor *m, const struct bt_regs *at, enum bt_rip exit)
{
	uint64_t rip = m->f->cpu->s.rip;
	for (unsigned i = 0; i < m->blocks; i++) {
		struct cached *k = &m->block[i];
		if (rip - k->at >= k->b.len)
			continue;
		uint16_t site = k->b.exit[exit - BT_EXIT0].site;
		int32_t d = (int32_t)(block_for(m, at->exit[exit - BT_EXIT0])->at - (k->at + site + 4));
		mem_write(&m->f->mem, HPA((k->at + site) & 0xffffff), &d, 4);
		return;
	}
}

static void found(struct monitor *m, uint64_t pc)
{
	uint64_t entry[2] = { -pc, block_for(m, pc)->at };
	uint32_t entry32[2] = { (uint32_t)-pc, (uint32_t)entry[1] };
	uint64_t at = TABLE_AT + (uint64_t)bt_slot(pc) * bt_slot_bytes(m->env.wide);
	mem_write(&m->f->mem, HPA(at), m->env.wide ? (void *)entry : (void *)entry32, bt_slot_bytes(m->env.wide));
}

/* RDTSC has been executed in the cache: the CPU's counter as the VMM's offset has it that the guest shall read what the bare machine read. */
static void time_passes(struct monitor *m, const struct state *guest)
{
	const uint64_t t = (guest->r[R_RDX] << 32 | guest->r[R_RAX]) - page(m)->tsc_offset;
	m->f->cpu->s.r[R_RAX] = (uint32_t)t;
	m->f->cpu->s.r[R_RDX] = t >> 32;
}

/* ---- the property ---- */

static void same(const struct state *want, const struct bt_regs *g, bool *yes)
{
	uint64_t flags = (g->flags & (RFLAGS_STATUS | RFLAGS_DF)) | g->vif;
	*yes = want->rip == g->rip && want->flags == flags && !memcmp(want->r, g->r, sizeof want->r);
}

static void one_program(uint64_t seed, bool wide, uint64_t base, bool chained, unsigned limit)
{
	struct fixture *a = fixture_new(wide ? FIXTURE_LONG64 : FIXTURE_PROT32), *t = fixture_new(wide ? FIXTURE_LONG64 : FIXTURE_PROT32);
	struct program p = { .wide = wide, .base = base + FIXTURE_CODE, .data = base + FIXTURE_DATA };
	struct state *list = xcalloc(STATES, sizeof *list);
	struct monitor m;
	rng_init(&p.rng, seed, "translate");
	if (wide)
		aliases(a), aliases(t);
	uint64_t entry = make(&p, a);
	memcpy(fixture_at(t, FIXTURE_DATA), fixture_at(a, FIXTURE_DATA), 64);
	cr_assert(p.n < CODE_BYTES);
	begin(a, &p, entry);
	begin(t, &p, entry);
	unsigned last = reference(a, list), i = 0;
	setup(&m, t, wide);
	m.env.limit = limit;
	go_on(&m, entry);
	fixture_ring3(t);
	if (!wide)
		t->cpu->s.seg[SEG_CS].limit = 0xffffffff;
	cpu_set_rflags(t->cpu, RFLAGS_IF, RFLAGS_IF);
	for (unsigned steps = 0;; steps++) {
		struct bt_regs at, g;
		bool yes = false;
		cr_assert(steps < 40 * STATES);
		const struct bt_point *pt = where(&m, &at);
		cr_assert(pt != NULL, "no point at %#lx (seed %lu)", t->cpu->s.rip, seed);
		bt_recover(pt, &at, wide, &g);
		same(&list[i], &g, &yes);
		if (!yes && i < last)
			same(&list[++i], &g, &yes);
		cr_assert(yes, "seed %lu: at %#lx, guest %#lx, neither the state %u (%#lx) nor the one before", seed, t->cpu->s.rip, g.rip, i, list[i].rip);
		if (pt->callout) {
			m.callouts[pt->callout]++;
			if (pt->callout == BT_CALLOUT_EMULATE)
				break;
			if (pt->callout == BT_CALLOUT_LOOKUP)
				found(&m, g.rip);
			else if (chained)
				chain(&m, &at, BT_RIP(pt));
			go_on(&m, g.rip);
			continue;
		}
		cr_assert_eq(fixture_run(t, 1), -1, "exception %d at %#lx (seed %lu)", t->vector, t->fault_rip, seed);
		if (pt->how & BT_TIME)
			time_passes(&m, &list[i + 1]);
	}
	cr_expect(eq(uint, i, last));
	cr_expect_eq(memcmp(fixture_at(a, FIXTURE_DATA - 0x1000 - 0x800), fixture_at(t, FIXTURE_DATA - 0x1000 - 0x800), 0x800 + 0x1000 + DATA_BYTES), 0,
	             "memory differs (seed %lu)", seed);
	fixture_free(a);
	fixture_free(t);
	free(list);
	free(m.block);
}

Test(bt_translate, random_programs_of_64_bit_code)
{
	for (uint64_t seed = 1; seed <= 40; seed++)
		one_program(seed, true, seed & 1 ? 0 : ALIAS, true, 12);
}

Test(bt_translate, random_programs_of_32_bit_code)
{
	for (uint64_t seed = 1; seed <= 40; seed++)
		one_program(seed, false, 0, true, 12);
}

Test(bt_translate, random_programs_in_short_blocks_that_are_not_chained)
{
	for (uint64_t seed = 100; seed <= 115; seed++) {
		one_program(seed, true, ALIAS, false, 1 + seed % 3);
		one_program(seed, false, 0, false, 1 + seed % 3);
	}
}
