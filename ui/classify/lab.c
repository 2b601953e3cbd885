/* lab.c - see lab.h. Memory is flat; 64-bit mode maps it one to one, all of it for ring 3 too. */
#include "ui/classify/lab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/decode.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "sim/snap_impl.h"

enum {
	PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, GDT = 0x5000, LDT = 0x5400, TSS = 0x5800, TSS_SPARE = 0x5a00, IDT = 0x6000, HANDLER = 0x8000,
	RING0_STACK = 0x7f00,
	MOVED = 0x40000,        /* the same tables again, for states that differ in where they are */
	CODE = 0x10000, DATA = 0x200000, STACK = 0x1f0000, DATA_BYTES = 1024, STACK_BYTES = 256,      /* what a program can have written */
};
enum { SEL_CODE64 = 0x08, SEL_DATA = 0x10, SEL_CODE32 = 0x18, SEL_USER64 = 0x2b, SEL_USER_DATA = 0x33, SEL_USER32 = 0x3b, SEL_TSS = 0x40,
       SEL_LDT = 0x50, SEL_USER_OTHER = 0x63, SEL_TSS_SPARE = 0x68, SEL_USER_CODE = 0x7b };     /* none is the number of a device's port */

const char *const state_names[STATES] = {
#define STATE(ID, name, sentence) name,
#include "ui/classify/state.def"
};
const char *const resource_names[RESOURCES] = {
#define RESOURCE(ID, name, sentence) name,
#include "ui/classify/resource.def"
};

static bool is64(const struct lab *l) { return l->mode == CLASS_INTEL64; }
static void put(struct lab *l, uint64_t pa, uint64_t v, unsigned n) { mem_write(&l->m->mem, HPA(pa), &v, n); }

static uint64_t system_descriptor(uint32_t base, uint32_t limit, unsigned type)
{
	return (limit & 0xffff) | (uint64_t)base << 16 | (uint64_t)(0x80 | type) << 40;
}

/* Instructions change descriptors: accessed, busy. */
static void descriptors(struct lab *l, uint32_t moved)
{
	static const uint64_t flat[] = {
		0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0, 0x00affb000000ffff, 0x00cff3000000ffff, 0x00cffb000000ffff,
	};
	for (unsigned i = 0; i < ARRAY_LEN(flat); i++)
		put(l, GDT + moved + 8 * i, flat[i], 8);
	put(l, GDT + moved + SEL_TSS, system_descriptor(TSS, 0x67, DESC_TSS32_BUSY), 16 - 8);
	put(l, GDT + moved + SEL_TSS + 8, 0, 8);
	put(l, GDT + moved + SEL_LDT, system_descriptor(LDT, 0x3f, DESC_LDT), 8);
	put(l, GDT + moved + SEL_LDT + 8, 0, 8);
	put(l, GDT + moved + SEL_TSS_SPARE, system_descriptor(TSS_SPARE, 0x67, DESC_TSS32), 8);
	put(l, GDT + moved + SEL_TSS_SPARE + 8, 0, 8);
	put(l, GDT + moved + (SEL_USER_OTHER & ~7u), 0x00cff30000000fff, 8);
	put(l, GDT + moved + (SEL_USER_CODE & ~7u), 0x00cffb000000fffe, 8);
}

/* outer: the gates that ring 3 may call lead to ring 3. */
static void gates(struct lab *l, uint32_t moved, bool outer)
{
	for (unsigned v = 0; v < 256; v++) {
		/* exceptions and every vector but 48H (which ring 3 may call) are for ring 0 alone */
		unsigned dpl = v == 0x48 || v == VEC_BP || v == VEC_OF ? 3 : 0, size = is64(l) ? 16 : 8;
		uint64_t sel = outer && (dpl || v == VEC_DB) ? (is64(l) ? SEL_USER64 : SEL_USER32) : is64(l) ? SEL_CODE64 : SEL_CODE32;
		put(l, IDT + moved + v * size, (HANDLER & 0xffff) | sel << 16 | (0x8e00ull | dpl << 13) << 32, 8);
		if (is64(l))
			put(l, IDT + moved + v * 16 + 8, 0, 8);
	}
}

static void own_memory(struct lab *l)
{
	for (unsigned i = 0; i < 4; i++)
		gates(l, i * MOVED, i > 1);
	for (unsigned t = 0; t < 2; t++) {
		uint64_t at = t ? TSS_SPARE : TSS;
		for (unsigned i = 0; i < 0x68; i += 8)
			put(l, at + i, 0, 8);
		put(l, at + 4, is64(l) ? RING0_STACK : RING0_STACK | (uint64_t)SEL_DATA << 32, 8);
		put(l, at + 0x64, 0x680000, 4);
	}
	put(l, PML4, PDPT | 7, 8);
	put(l, PDPT, PD | 7, 8);
	for (uint64_t i = 0; i < 8; i++)
		put(l, PD + 8 * i, i << 21 | 0x87, 8);
}

static void segment(struct seg *s, uint16_t sel, bool code, bool long_mode)
{
	unsigned dpl = sel & 3;
	*s = (struct seg){ .sel = sel, .limit = 0xffffffff, .attr = SEG_G | (code && long_mode ? SEG_L : SEG_DB) | SEG_P | SEG_S | (code ? 11 : 3) | dpl << 5 };
}

/* Protected or 64-bit mode, flat, the system's registers as a system leaves them. */
static void set_up(struct lab *l, unsigned ring)
{
	struct cpu_state *s = &l->m->cpu[0]->s;
	*s = l->before;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		segment(&s->seg[i], SEL_USER_DATA, false, false);
	segment(&s->seg[SEG_CS], is64(l) ? ring ? SEL_USER64 : SEL_CODE64 : ring ? SEL_USER32 : SEL_CODE32, true, is64(l));
	segment(&s->seg[SEG_SS], ring ? SEL_USER_DATA : SEL_DATA, false, false);
	s->seg[SEG_TR] = (struct seg){ .sel = SEL_TSS, .base = TSS, .limit = 0x67, .attr = SEG_P | 11 };
	s->seg[SEG_LDTR] = (struct seg){ .attr = SEG_UNUSABLE };
	s->gdtr = (struct dtr){ .base = GDT, .limit = 0x7f };
	s->idtr = (struct dtr){ .base = IDT, .limit = 256 * (is64(l) ? 16 : 8) - 1 };
	s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_MP | (is64(l) ? CR0_PG | CR0_WP : 0);
	s->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PCE | CR4_PKE | (l->umip ? CR4_UMIP : 0) | (is64(l) ? CR4_PAE | CR4_FSGSBASE : 0);
	s->xcr0 = 3;
	s->sysenter_cs = SEL_CODE64;
	s->sysenter_eip = s->lstar = s->cstar = HANDLER;
	s->sysenter_esp = RING0_STACK;
	s->star = (uint64_t)SEL_CODE64 << 32 | (uint64_t)0x1b << 48;
	if (is64(l)) {
		s->cr3 = PML4;
		s->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	}
	s->flags = 2 | RFLAGS_IF;
	s->cpl = (uint8_t)ring;
	s->rip = CODE;
	s->r[R_RSP] = STACK;
	s->tsc_offset -= l->m->cpu[0]->ledger.now;      /* the same time in each experiment */
}

static void vary(struct lab *l, enum lab_resource resource)
{
	struct cpu_state *s = &l->m->cpu[0]->s;
	switch (resource) {
	case RESOURCE_GDT: s->gdtr.base += MOVED; s->gdtr.limit += 8; break;
	case RESOURCE_IDT: s->idtr.base += MOVED; s->idtr.limit -= 8; break;
	case RESOURCE_LDT: s->seg[SEG_LDTR] = (struct seg){ .sel = SEL_LDT, .base = LDT, .limit = 0x3f, .attr = SEG_P | DESC_LDT }; break;
	case RESOURCE_TR: s->seg[SEG_TR].sel = SEL_TSS_SPARE; s->seg[SEG_TR].base = TSS_SPARE; break;
	case RESOURCE_CR0: s->cr0 &= ~(uint64_t)CR0_NE; break;
	case RESOURCE_CR4: s->cr4 &= ~(uint64_t)CR4_OSXSAVE; break;
	case RESOURCE_IF: s->flags &= ~(uint64_t)RFLAGS_IF; break;
	case RESOURCE_IOPL: s->flags |= BIT(12); break;
	case RESOURCE_TSC: s->tsc_offset += 123456789; break;
	case RESOURCE_AUX: s->tsc_aux = 5; break;
	case RESOURCE_PMC: s->pmu.count[0] += 1000; break;
	default: break;
	}
}

static uint64_t word_of(enum lab_state state)
{
	switch (state) {
	case STATE_USER: return SEL_USER_DATA;
	case STATE_OTHER: return SEL_USER_OTHER;
	case STATE_KERNEL: return SEL_DATA;
	case STATE_ONE: return 1;
	case STATE_LDT: return SEL_LDT;
	case STATE_TSS: return SEL_TSS_SPARE;
	case STATE_CONTROL: return 0x31;
	case STATE_PAGING: return 0x80000031;
	case STATE_GATES: return DATA;
	default: return 0;
	}
}

/* What the program finds, the same in each ring. `behind` stands behind the opcode: a displacement, an immediate, a far
 * pointer. */
static void program(struct lab *l, enum lab_state state, uint8_t behind[10])
{
	struct cpu_state *s = &l->m->cpu[0]->s;
	const bool half = state == STATE_HALF_USER || state == STATE_HALF_KERNEL, kernel = state == STATE_FAR_KERNEL || state == STATE_HALF_KERNEL;
	const bool far = state == STATE_FAR_USER || state == STATE_FAR_KERNEL || half;
	const uint64_t word = state == STATE_POINTERS ? CODE + 0x48 : word_of(state);
	const uint16_t to = !kernel ? SEL_USER_CODE : is64(l) ? SEL_CODE64 : SEL_CODE32;
	const unsigned size = is64(l) ? 8 : 4;
	const uint32_t target = CODE + (kernel ? 0x49 : 0x48);
	for (unsigned i = 0; i < 16; i++)
		if (i != R_RSP)
			s->r[i] = state == STATE_POINTERS || far ? DATA + 8 * i : word;
	if (state == STATE_MSR)
		s->r[R_RCX] = 0x10;
	if (state == STATE_GATES)
		s->idtr.base += 2 * MOVED;
	if (state == STATE_ONE)
		s->r[R_RCX] = s->r[R_RDX] = 0;
	if (state == STATE_ONE || state == STATE_GATES)
		cpu_set_rflags(l->m->cpu[0], RFLAGS_STATUS, RFLAGS_STATUS);
	s->r[R_RBX] = DATA;                     /* memory operands are there; string instructions use RSI and RDI */
	s->r[R_RSI] = DATA + 64;
	s->r[R_RDI] = DATA + 128;
	uint8_t words[DATA_BYTES];
	for (unsigned i = 0; i < sizeof words; i += size)
		memcpy(words + i, &word, size);
	mem_write(&l->m->mem, HPA(DATA), words, DATA_BYTES);
	mem_write(&l->m->mem, HPA(DATA + DATA / 8), words, STACK_BYTES);        /* where a pointer as a bit's number leads */
	mem_write(&l->m->mem, HPA(STACK - STACK_BYTES / 2), words, STACK_BYTES);
	if (far) {
		put(l, DATA, target | (uint64_t)to << 32, 8);
		const uint64_t frame[] = { target, to, 2 | RFLAGS_CF, STACK + 64, kernel ? SEL_DATA : SEL_USER_DATA };
		for (unsigned i = 0; i < ARRAY_LEN(frame); i++)
			put(l, STACK + i * (half ? size / 2 : size), frame[i], half ? size / 2 : size);
	}
	for (unsigned i = 0; i < 4; i++)
		behind[i] = (uint8_t)(target >> 8 * i);
	behind[4] = (uint8_t)to;
	memset(behind + 5, 0, 5);
}

static void on_exception(void *who, const struct trace_record *r)
{
	struct lab *l = who;
	if (l->vector < 0)
		l->vector = (int)r->a[0];
}

static void look(struct lab *l, struct outcome *o)
{
	const struct cpu *c = l->m->cpu[0];
	o->trapped = l->vector >= 0 || c->s.cpl < l->ring;
	for (unsigned i = 0; i < l->fields; i++)
		o->field[i] = field_read(l->field[i].g, l->field[i].r);
	mem_peek(&l->m->mem, HPA(DATA), o->memory, DATA_BYTES);
	mem_peek(&l->m->mem, HPA(STACK - STACK_BYTES / 2), o->memory + DATA_BYTES, STACK_BYTES);
	o->registers = snap_mix(0, c->s.st, sizeof c->s.st);
	o->registers = snap_mix(o->registers, c->s.xmm, sizeof c->s.xmm);
}

void lab_run(struct lab *l, const uint8_t *bytes, unsigned n, unsigned ring, enum lab_state state, enum lab_resource resource,
             struct outcome *before, struct outcome *after)
{
	struct cpu *c = l->m->cpu[0];
	uint8_t code[128], behind[10];
	memset(code, 0x90, sizeof code);
	descriptors(l, 0);
	descriptors(l, MOVED);
	set_up(l, ring);
	program(l, state, behind);
	vary(l, resource);
	memcpy(code, bytes, n);
	memcpy(code + n, behind, sizeof behind);
	mem_write(&l->m->mem, HPA(CODE), code, sizeof code);
	put(l, HANDLER, 0xf4, 1);
	mmu_set_pkru(&c->mmu, c->s.pkru);
	cpu_restored(c);
	block_forget(c);
	l->vector = -1;
	l->ring = ring;
	look(l, before);
	cpu_run(c, NEVER, 1);
	if (!c->s.icount && l->vector < 0)
		BUG("an experiment stopped the machine");
	look(l, after);
}

/* ---- comparing ---- */

/* What a program sees of a field in its own results: a mask; 0: nothing, it is a resource; ~0 with `skip`: not state. */
static uint64_t program_part(const char *name, bool *skip)
{
	static const char *const programs[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	                                        "rip", "fcw", "fsw", "ftw", "mxcsr", "pkru", "fs.base", "gs.base", "ssp" };
	static const char *const not_state[] = { "icount", "tsc", "block", "mmu.walk.lin", "mmu.walk.pa", "mmu.walk.refs", "mmu.walk.cycles", "mode",
	                                         "lapic.timer.count", "cr2", "mmu.pkru" };
	*skip = false;
	for (size_t i = 0; i < ARRAY_LEN(not_state); i++)
		*skip |= strcmp(name, not_state[i]) == 0;
	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		if (strcmp(name, programs[i]) == 0)
			return ~0ull;
	if (strcmp(name, "rflags") == 0)
		return RFLAGS_STATUS | RFLAGS_DF | RFLAGS_AC | RFLAGS_ID | RFLAGS_RF;
	return 0;
}

static void choose_fields(struct lab *l)
{
	for (size_t i = 0; i < l->m->fields.n; i++) {
		const struct field_group *g = &l->m->fields.groups[i];
		const char *dot = strchr(g->prefix, '.');
		if (strncmp(g->prefix, "cpu0", 4) != 0)
			continue;
		for (size_t k = 0; k < g->n && l->fields < LAB_FIELDS; k++) {
			char name[64];
			bool skip;
			snprintf(name, sizeof name, "%s%s%s", dot ? dot + 1 : "", dot ? "." : "", g->rows[k].name);
			uint64_t part = program_part(name, &skip);
			if (!skip && strncmp(name, "vmcs.", 5) != 0 && strncmp(name, "pmu.", 4) != 0)
				l->field[l->fields++] = (struct lab_field){ g, &g->rows[k], part };
		}
	}
}

static bool fields_differ(const struct lab *l, const struct outcome *a, const struct outcome *b, bool results, char *text, size_t n)
{
	for (unsigned i = 0; i < l->fields; i++) {
		uint64_t mask = results ? l->field[i].program : ~l->field[i].program;
		if (!((a->field[i] ^ b->field[i]) & mask))
			continue;
		char x[120], y[120];
		field_format(l->field[i].r, a->field[i], x, sizeof x);
		field_format(l->field[i].r, b->field[i], y, sizeof y);
		snprintf(text, n, "%s %.60s, then %.60s", l->field[i].r->name, x, y);
		return true;
	}
	return false;
}

bool lab_changed(const struct lab *l, const struct outcome *a, const struct outcome *b, char *text, size_t n)
{
	return fields_differ(l, a, b, false, text, n);
}

bool lab_results(const struct lab *l, const struct outcome a[2], const struct outcome b[2], char *text, size_t n)
{
	if (fields_differ(l, &a[1], &b[1], true, text, n))
		return true;
	for (unsigned i = 0; i < sizeof a->memory; i++)
		if (a[1].memory[i] != b[1].memory[i]) {
			uint32_t x, y;
			memcpy(&x, a[1].memory + i / 4 * 4, 4);
			memcpy(&y, b[1].memory + i / 4 * 4, 4);
			snprintf(text, n, "it stored %#x, then %#x", x, y);
			return true;
		}
	if (a[1].registers == b[1].registers)
		return false;
	snprintf(text, n, "x87 or SSE registers");
	return true;
}

/* ---- life ---- */

int lab_open(struct lab *l, const struct class_options *o, enum class_mode mode, struct err *e)
{
	struct machine_config k;
	memset(l, 0, sizeof *l);
	l->mode = mode;
	l->umip = o->umip;
	machine_config_defaults(&k);
	k.profile = *o->profile;
	k.profile.trap_critical |= o->trap_critical;
	k.ram = 16 << 20;
	k.fast = true;
	l->m = machine_new(&k, e);
	if (!l->m)
		return -1;
	if (trace_listen(&l->m->trace, "exception", on_exception, l, e) != 0)
		return -1;
	l->before = l->m->cpu[0]->s;
	l->before.activity = ACTIVITY_ACTIVE;
	choose_fields(l);
	set_up(l, 0);
	own_memory(l);
	cpu_restored(l->m->cpu[0]);
	return 0;
}

void lab_close(struct lab *l)
{
	machine_free(l->m);
}
