/* equiv.c - see equiv.h: the lock step.
 *
 * The run under test is asked at each boundary between instructions. While its guest runs there, and the guest's state has
 * changed since, the guest has executed an instruction, taken a fault, or got an interrupt (or two of these, when the VMM
 * had the CPU in between). What the VMM interprets is looked at before each of these instructions. The reference does the same:
 *   no interrupt    it executes one instruction, or the delivery of its fault; of a repeated one as many iterations
 *   an interrupt    it takes it at once, or after the instruction: as it comes out
 * Then both are compared. If they differ the reference goes back and looks at the instruction: one whose results are the time's
 * is repeated, and takes over what the run under test got. */
#include "ui/equiv/equiv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/decode.h"
#include "models/cpu/sys.h"
#include "models/symbols.h"
#include "models/vmm/virt.h"
#include "ui/equiv/reference.h"
#include "ui/session/disasm.h"

#define SLICE      20000000     /* cycles between two looks at Ctrl-C */
#define ELIDED     8            /* jumps between two places that translated code passes */
#define ITERATIONS (1u << 24)   /* of a repeated instruction that a VMM carries out at one go */

struct equiv {
	struct run *run;                /* the run under test; */
	struct machine *host, *guest;
	struct vcpu *v;
	const struct equiv_options *o;
	struct equiv_result *out;
	struct reference *r;
	struct io_wire port, device;    /* the VM's own, behind those that record */
	bool irq;                       /* an interrupt has been delivered since the last comparison; of one whose delivery */
	uint8_t vector;                 /* faulted, and which the VMM delivered again, once */
	bool interpreted;               /* the VMM has interpreted an instruction since */
	bool traced;                    /* the instruction may end in a debug trap, which the VMM delivers before the guest runs again */
	bool differs, limit;
};

/* ---- what happens in the run under test ---- */

static uint64_t seen_read(struct equiv *q, const struct io_wire *w, bool memory, uint64_t addr, unsigned size, struct io_at *at)
{
	uint64_t v = w->read ? w->read(w->who, addr, size, at) : ~0ull;
	accesses_add(&q->r->seen, &(struct access){ addr, v & MASK(8 * size), (uint8_t)size, false, memory });
	return v;
}

static void seen_write(struct equiv *q, const struct io_wire *w, bool memory, uint64_t addr, unsigned size, uint64_t v, struct io_at *at)
{
	accesses_add(&q->r->seen, &(struct access){ addr, v & MASK(8 * size), (uint8_t)size, true, memory });
	if (w->write)
		w->write(w->who, addr, size, v, at);
}

static uint64_t port_read(void *who, uint64_t addr, unsigned size, struct io_at *at)
{
	struct equiv *q = who;
	return seen_read(q, &q->port, false, addr, size, at);
}

static void port_write(void *who, uint64_t addr, unsigned size, uint64_t v, struct io_at *at)
{
	struct equiv *q = who;
	seen_write(q, &q->port, false, addr, size, v, at);
}

static uint64_t device_read(void *who, uint64_t addr, unsigned size, struct io_at *at)
{
	struct equiv *q = who;
	return seen_read(q, &q->device, true, addr, size, at);
}

static void device_write(void *who, uint64_t addr, unsigned size, uint64_t v, struct io_at *at)
{
	struct equiv *q = who;
	seen_write(q, &q->device, true, addr, size, v, at);
}

/* Offset in the VM's RAM to guest-physical. */
static uint64_t gpa_of(const struct mem *m, uint64_t off) { return off < m->low_size ? off : off - m->low_size + MEM_HIGH; }

static void accessed(struct equiv *q, uint64_t off, unsigned len, bool write, enum mem_by by)
{
	const struct mem *g = &q->guest->mem;
	uint64_t gpa = gpa_of(g, off), value = 0;
	if (by == MEM_BY_WALKER) {
		reference_table(q->r, gpa);
	} else if (write) {
		spans_add(&q->r->test_writes, gpa, len, 0);
	} else {
		memcpy(&value, g->ram + off, len < 8 ? len : 8);
		spans_add(&q->r->test_reads, gpa, len < 8 ? len : 8, value);
	}
}

/* The host's memory: what the guest's instructions, page walks and the VMM do. */
static void on_memory(void *who, hpa_t pa, unsigned len, bool write, enum mem_by by)
{
	const struct machine *m = who;
	struct equiv *q = m->look_who;
	uint64_t off = (uint64_t)mem_offset(&m->mem, pa) - (uint64_t)mem_offset(&m->mem, q->guest->base);
	if (off < q->guest->mem.ram_size)
		accessed(q, off, len, write, by);
}

/* The VM's window on it: instructions that the VMM interprets, and its devices' DMA. */
static void on_window(void *who, hpa_t pa, unsigned len, bool write, enum mem_by by)
{
	const struct machine *g = who;
	struct equiv *q = g->host->look_who;
	if (by != MEM_BY_OTHER || q->v->model->mmu.seen)        /* the model executes for the VMM */
		accessed(q, (uint64_t)mem_offset(&g->mem, pa), len, write, by);
	else if (write)
		spans_add(&q->r->dma, pa.v, len, 0);
}

static void interrupted(struct equiv *q, uint8_t vector)
{
	q->irq = true;
	q->vector = vector;
}

/* What the VMM interprets: its model of the CPU delivers interrupts by itself. */
static void on_model(void *who, const struct trace_record *t)
{
	interrupted(who, (uint8_t)t->a[0]);
}

/* ---- following ---- */

static bool same(const struct equiv *q, const struct seen *t)
{
	struct seen mine;
	seen_bare(q->r->c, &mine);
	return !q->r->other && memcmp(&mine, t, sizeof mine) == 0;
}

static bool same_memory(const struct equiv *q)
{
	uint64_t gpa, a, b;
	return !reference_memory_differs(q->r, &q->guest->mem, &gpa, &a, &b);
}

/* Steps it may have made since: what the VMM carried out and the one it interpreted then, the fault it delivered there. */
static unsigned most(const struct equiv *q)
{
	return 1 + 2 * q->interpreted + q->traced + (seen_translated(q->v) ? ELIDED : 0);
}

/* One instruction: all iterations of a repeated one, unless the state comes out before. */
static void instruction(struct equiv *q, const struct seen *t)
{
	const struct cpu_state *s = &q->r->c->s;
	const uint64_t rip = s->rip;
	const bool narrow = s->mode != MODE_LONG64;
	for (unsigned i = 0; i < ITERATIONS; i++) {
		const uint64_t count = s->r[R_RCX];
		bool done = !reference_step(q->r) || s->rip != rip || s->r[R_RCX] == count;
		if (narrow && s->mode == MODE_LONG64)
			reference_halves(q->r, &q->v->cpu->s);
		if (done || same(q, t))
			return;
	}
}

/* The instruction at the reference's RIP. */
static bool decode_next(const struct equiv *q, struct uop *u, uint8_t bytes[15])
{
	const struct cpu *c = q->r->c;
	unsigned n = 0;
	uint64_t lin = block_linear(c);
	while (n < 15 && mmu_peek_bytes(&c->mmu, (lin + n) & c->lin_mask, bytes + n, 1))
		n++;
	return n && decode(c->decoder, c->profile, block_key(c), bytes, n, u);
}

enum answer { ANSWER_NONE, ANSWER_TIME, ANSWER_CPUID };
/* Whose results are the time's, or the processor's; RDMSR: by the register's number. */
static enum answer answer_of(const struct equiv *q, const struct uop *u)
{
	uint32_t msr = (uint32_t)q->r->c->s.r[R_RCX];
	switch (u->row) {
	case INSN_RDTSC: case INSN_RDTSCP: case INSN_RDPMC: case INSN_RDRAND: case INSN_RDSEED:
		return ANSWER_TIME;
	case INSN_RDMSR:
		return msr == 0x10 || msr == 0xe7 || msr == 0xe8 || (msr >= 0x800 && msr < 0x840) ? ANSWER_TIME : ANSWER_NONE;
	case INSN_CPUID:
		return ANSWER_CPUID;
	default:
		return ANSWER_NONE;
	}
}

/* CPUID of the virtual CPU: what the reference is to answer. */
static void cpuid_answer(struct equiv *q, uint32_t leaf, uint32_t sub)
{
	struct cpu *c = q->r->c;
	uint32_t o[4];
	struct cpu model = *q->v->model;
	model.s.cr4 = c->s.cr4;
	model.s.xcr0 = c->s.xcr0;
	cpuid_leaf(&model, leaf, sub, o);
	c->s.r[R_RAX] = o[0], c->s.r[R_RBX] = o[1], c->s.r[R_RCX] = o[2], c->s.r[R_RDX] = o[3];
}

/* One instruction, or part of a repeated one that ends in `end`; where its results are not the reference's to give they are those of the run under test. */
static enum answer answered(struct equiv *q, const struct seen *end, const struct seen *t)
{
	struct uop u;
	uint8_t bytes[15];
	const enum answer how = decode_next(q, &u, bytes) ? answer_of(q, &u) : ANSWER_NONE;
	const uint32_t leaf = (uint32_t)q->r->c->s.r[R_RAX], sub = (uint32_t)q->r->c->s.r[R_RCX];
	const uint64_t rsp = q->r->c->s.r[R_RSP];
	instruction(q, end);
	if (how == ANSWER_CPUID)
		cpuid_answer(q, leaf, sub);
	if (how == ANSWER_TIME) {
		reference_adopt(q->r, t);
		q->r->c->s.r[R_RSP] = rsp;      /* of an interrupt that came behind it */
	}
	return how;
}

/* The instruction once more, with the answers of the run under test. */
static void again(struct equiv *q, const struct seen *t)
{
	bool adopt = q->r->adopt;
	reference_back(q->r);
	const bool time = answered(q, t, t) == ANSWER_TIME;
	if (adopt) {
		reference_adopt(q->r, t);
		reference_copy(q->r, &q->r->writes, &q->guest->mem);
	}
	q->out->answers += time || adopt;
	for (unsigned i = 1; i < most(q) && !same(q, t); i++)
		instruction(q, t);
}

/* Where it came: before the instruction, behind it, between two that the VMM interpreted, between iterations of a repeated one; and on
 * top of a fault that the VMM hides, whose VM exit leaves RF set as the fault's own frame would have it: the interrupt's shows it. */
static void follow_interrupt(struct equiv *q, const struct seen *t)
{
	const unsigned all = most(q);
	for (unsigned way = 0; way < 2 * (all + 2); way++) {
		const unsigned before = way / 2;
		if (way == 2 && !q->interpreted)
			q->out->instructions++;
		if (way)
			reference_back(q->r);
		for (unsigned i = 0; i < before && before <= all; i++)
			(void)answered(q, &(struct seen){ { 0 } }, t);
		for (unsigned i = 0; before > all && i < ITERATIONS && q->r->c->s.r[R_RCX] != t->at[SEEN_RCX] && reference_step(q->r); i++)
			;
		reference_interrupt(q->r, q->vector, way & 1);
		for (unsigned i = before; q->interpreted && i < all && !same(q, t); i++)
			instruction(q, t);
		if (same(q, t) && same_memory(q))
			return;
		instruction(q, t);      /* delivered by the hardware it is no boundary of its own */
		if (same(q, t) && same_memory(q)) {
			q->out->instructions++;
			return;
		}
	}
}

static void follow(struct equiv *q, const struct seen *t)
{
	const struct cpu_state *s = &q->r->c->s;
	reference_begin(q->r);
	q->traced = s->flags & RFLAGS_TF || s->dr[7] & 0xff;
	if (q->irq) {
		follow_interrupt(q, t);
		return;
	}
	for (unsigned i = most(q); i && !same(q, t); i--)
		instruction(q, t);
	if (same(q, t) && same_memory(q))
		return;
	again(q, t);
	if (most(q) > 1 && !same(q, t)) {     /* the first of them is to be shown */
		reference_back(q->r);
		instruction(q, t);
	}
}

/* ---- the verdict ---- */

static void field(struct equiv_result *o, const char *name, uint64_t mine, uint64_t tests)
{
	if (o->fields == EQUIV_FIELDS)
		return;
	struct equiv_field *f = &o->field[o->fields++];
	snprintf(f->name, sizeof f->name, "%s", name);
	f->reference = mine;
	f->test = tests;
}

static void explain(struct equiv_result *o, const struct equiv *q)
{
	const char *why = equiv_reason(o->insn, o->form), *technique = q->v->vm->config.cpu;
	char name[32];
	snprintf(name, sizeof name, "%s", o->insn ? insn_name(o->insn) : "the instruction");
	for (char *c = name; *c && o->insn; c++)
		*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
	if (o->interrupt)
		snprintf(o->reason, sizeof o->reason, "an interrupt that %s delivers to the guest did something else than on a bare machine", technique);
	else if (why && q->v->vm->virt->ring)
		snprintf(o->reason, sizeof o->reason, "%s %s", name, why);
	else
		snprintf(o->reason, sizeof o->reason, "%s is %s: the fault is %s/%s's", name,
		         o->critical ? "critical, but the hardware virtualizes it" : insn_sensitivity(o->insn, o->form) == INSN_PRIVILEGED ? "privileged" : "innocuous",
		         technique, q->v->vm->config.mmu);
}

/* Both have done it: what differs, and (the reference goes back) what did it. */
static void report(struct equiv *q, const struct seen *t)
{
	struct equiv_result *o = q->out;
	struct reference *r = q->r;
	struct seen mine;
	struct uop u = { 0 };
	char name[40];
	uint64_t gpa, a, b;
	seen_bare(r->c, &mine);
	o->verdict = EQUIV_DIFFERS;
	if (r->other)
		field(o, r->other_name, r->other_reference, r->other_test);
	for (unsigned i = 0; i < SEEN_N; i++)
		if (mine.at[i] != t->at[i])
			field(o, seen_names[i], mine.at[i], t->at[i]);
	if (reference_memory_differs(r, &q->guest->mem, &gpa, &a, &b)) {
		snprintf(name, sizeof name, "memory at %#" PRIx64, gpa);
		field(o, name, a, b);
	}
	reference_back(r);
	o->interrupt = q->irq;
	o->ring = r->c->s.cpl;
	o->linear = block_linear(r->c);
	struct run bare = { .m = r->m };
	o->length = (uint8_t)disassemble_at(&bare, r->c, q->guest->symbols, o->linear, o->text, sizeof o->text);
	symbol_of(q->guest->symbols, o->linear, o->symbol, sizeof o->symbol);
	if (decode_next(q, &u, o->code)) {
		o->insn = (enum insn)u.row;
		o->form = uop_form(&u);
		o->critical = insn_sensitivity(o->insn, o->form) == INSN_SENSITIVE;
	}
	explain(o, q);
}

/* Between two instructions of the guest's, whose state is t; `model`: the VMM is about to interpret the next one. */
static void compare(struct equiv *q, struct seen *t, bool model)
{
	struct seen mine;
	seen_bare(q->r->c, &mine);
	if (!q->irq && !memcmp(t, &mine, sizeof mine))
		return;
	q->out->instructions += q->interpreted || !q->irq;
	q->out->interrupts += q->irq;
	if (q->o->tamper && !model) {
		q->o->tamper(q->o->who, q->host, q->out->instructions);
		seen_virtual(q->v, t);
	}
	reference_copy(q->r, &q->r->dma, &q->guest->mem);
	follow(q, t);
	q->differs = !same(q, t) || !same_memory(q);
	if (q->differs) {
		report(q, t);
		return;
	}
	if (q->r->c->s.mode != MODE_LONG64)
		reference_halves(q->r, model ? &q->v->model->s : &q->v->cpu->s);
	reference_done(q->r);
	q->irq = q->interpreted = false;
	q->limit = q->o->instructions && q->out->instructions >= q->o->instructions;
}

/* At each boundary of the machine under test. */
static bool look(void *who, struct machine *m)
{
	struct equiv *q = who;
	struct seen t;
	(void)m;
	if (!q->differs && !q->limit && seen_boundary(q->v)) {
		seen_virtual(q->v, &t);
		compare(q, &t, false);
	}
	return q->differs || q->limit;
}

static void on_event(void *who, const struct trace_record *t)
{
	struct equiv *q = who;
	bool ring = q->v->vm->virt->ring;
	struct seen now;
	if (t->event == VMM_TRACE_INTERPRET && !q->differs && !q->limit) {
		seen_bare(q->v->model, &now);
		compare(q, &now, true);
		q->interpreted = true;
	} else if (t->event == CPU_TRACE_INTERRUPT && !ring) {  /* the VMM's own never go through an IDT */
		interrupted(q, (uint8_t)t->a[0]);
	} else if (t->event == VMM_TRACE_INJECT && ring && (t->a[2] >> 8 & 7) == EVENT_EXTERNAL) {
		interrupted(q, (uint8_t)t->a[2]);
	}
}

/* ---- life ---- */

int equiv_possible(const struct setup *s, struct err *e)
{
	if (!setup_virtual(s))
		return err_set(e, NULL, "--cpu vmx --mmu ept, for example", "there is no virtual machine to compare with a bare one");
	if (s->cpu && strcmp(s->cpu, "pv") == 0)
		return err_set(e, NULL, "vmscope compare --technique pv/direct,pv/shadow.wp sets its console and memory against the unmodified kernel's",
		               "a paravirtual kernel does not run on a bare machine: equiv has nothing to set it against");
	return 0;
}

static int able(const struct run *test, struct err *e)
{
	if (test->vms != 1)
		return err_set(e, NULL, "--cpu vmx --mmu ept, for example", "there is no virtual machine to compare with a bare one");
	if (test->vm[0]->m->config.cpus != 1)
		return err_set(e, NULL, "cpus = 1", "virtual machines of several CPUs are not compared: their order is not the guest's");
	return 0;
}

static int attach(struct equiv *q, struct err *e)
{
	struct cpu *model = q->v->model;
	const char *events = "interrupt,inject,interpret";
	uint64_t gpa, a, b;
	if (reference_all_differs(q->r, &q->guest->mem, &gpa, &a, &b))
		return err_set(e, NULL, NULL, "the two machines do not begin alike: memory at %#" PRIx64 " is %#" PRIx64 " and %#" PRIx64, gpa, a, b);
	q->port = model->port;
	q->device = q->v->vm->mem.mmio;
	model->port = (struct io_wire){ port_read, port_write, q };
	/* the VMM's device models, and its interpreter's way to them */
	q->guest->mem.mmio = q->v->vm->mem.mmio = (struct io_wire){ device_read, device_write, q };
	q->host->mem.watched = on_memory;
	q->guest->mem.watched = on_window;
	q->host->mem.watching = q->guest->mem.watching = true;
	for (uint64_t page = 0; page < q->guest->mem.ram_size >> PAGE_SHIFT; page++)
		q->guest->mem.flags[page] |= PAGE_WATCH;
	q->host->look = look;
	q->host->look_who = q;
	machine_look_at(q->host, 0);
	trace_rows(&q->v->vm->silent, TRACE_CPU, cpu_trace_rows, cpu_trace_rows_n);
	return trace_listen_apart(&q->host->trace, events, on_event, q, e) || trace_listen_apart(&q->v->vm->silent, "interrupt", on_model, q, e) ? -1 : 0;
}

static void detach(struct equiv *q)
{
	q->v->model->port = q->port;
	q->guest->mem.mmio = q->v->vm->mem.mmio = q->device;
	q->host->look = NULL;
	machine_look_at(q->host, NEVER);
	trace_unlisten(&q->host->trace, on_event, q);
	trace_unlisten(&q->v->vm->silent, on_model, q);
}

static void go(struct equiv *q)
{
	cycle_t until = q->o->cycles ? q->o->cycles : NEVER;
	struct equiv_result *o = q->out;
	uint64_t gpa, a, b;
	char name[40];
	do {
		cycle_t slice = machine_now(q->host) + SLICE;
		o->stop = machine_run(q->host, slice < until ? slice : until, 0);
	} while (o->stop == MACHINE_STOP_CYCLES && machine_now(q->host) < until && !session_interrupted());
	if (q->limit)
		o->stop = MACHINE_STOP_ICOUNT;
	o->status = (int)q->host->s.exit_status;
	o->accesses = q->r->accesses;
	if (o->verdict == EQUIV_DIFFERS)
		return;
	o->verdict = o->stop == MACHINE_STOP_CYCLES || o->stop == MACHINE_STOP_ICOUNT || o->stop == MACHINE_STOP_USER ? EQUIV_LIMIT : EQUIV_SAME;
	/* what the last instruction did is not followed */
	reference_copy(q->r, &q->r->test_writes, &q->guest->mem);
	reference_copy(q->r, &q->r->dma, &q->guest->mem);
	if (!reference_all_differs(q->r, &q->guest->mem, &gpa, &a, &b))
		return;
	o->verdict = EQUIV_DIFFERS;
	snprintf(name, sizeof name, "memory at %#" PRIx64, gpa);
	field(o, name, a, b);
	snprintf(o->reason, sizeof o->reason, "at the end, memory differs that no instruction of the guest was seen to write");
}

int equiv(struct run *test, const struct boot_image *image, const struct equiv_options *o, struct equiv_result *out, struct err *e)
{
	struct equiv q = { .run = test, .o = o, .out = out };
	memset(out, 0, sizeof *out);
	if (able(test, e) != 0)
		return -1;
	q.host = test->m;
	q.guest = test->vm[0]->m;
	q.v = q.host->vmm->vm[0]->vcpu[0];
	q.r = reference_new(q.guest, q.v->model, image, e);
	if (!q.r)
		return -1;
	int status = attach(&q, e);
	if (status == 0) {
		go(&q);
		detach(&q);
	}
	reference_free(q.r);
	return status;
}
