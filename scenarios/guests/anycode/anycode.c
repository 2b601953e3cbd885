/* anycode.c - random kernel and user code, the same for the same seed: whatever it does, it must do alike under every technique.
 *
 * command line: seed=1 n=20 (programs) pieces=40 (in each) runs=3 (of each, for caches of translations) kernel=0 (1: critical instructions in ring
 * 0 alone, for virtual machines whose programs run directly on hardware that has such) hz=0 (timer interrupts per second: the sum then depends on
 * when they come, and `vmscope equiv` compares)
 * prints: "anycode seed=S n=N: pieces P, traps T, sum X"; the sum is over registers and flags at each trap and at the end of each run,
 * what page faults and debug exceptions say, and the data. The last traps stay in `trail`, for who wants to know where two runs part.
 *
 * A program is a row of pieces (pieces.S), each once, begun in ring 0 or 3. Before each the place of the next is noted; a fault goes on there.
 * Some programs never end: choose another seed. */
#include <stdarg.h>

#include "anycode.h"

enum {
	PAGE = 4096, CODE_BYTES = 16384, DATA_BYTES = 16384, LOW = 1 << 20, TRAIL = 64,
	TRAPS_MAX = 400,	/* of one run: a program that got lost */
	STEPS_MAX = 4,		/* by TF */
	PENDING = 8,
	IRQ = 0x28,
	ENTRIES = PAGE / sizeof(uintptr_t), MASK_IF = 0x200, MASK_TF = 0x100, MASK_RF = 0x10000,
};

struct __attribute__((packed)) table_pointer { uint16_t limit; uintptr_t base; };

static struct trail { uint16_t vector, error; uint32_t ip, flags, ax; } trail[TRAIL];
static uint32_t traps, run_traps, steps, sum, state, pieces_done;
static bool ring3;
static uint32_t programs, length, runs, program, run, kernel_only, hz;
#ifndef __x86_64__
uint32_t return_sp;			/* where frame_go has the stack in ring 0, whose frames do not say */
#endif

/* ---- console ---- */

static void out8(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" : : "a"(v), "d"(port)); }

static uint8_t in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "d"(port));
	return v;
}

static void put(void *unused, char c)
{
	(void)unused;
	while (!(in8(0x3FD) & 0x20))
		;
	out8(0x3F8, (uint8_t)c);
}

static void print(const char *text, ...)
{
	va_list values;

	va_start(values, text);
	format(put, NULL, text, values);
	va_end(values);
}

static uint32_t parameter(const char *line, const char *name, uint32_t otherwise)
{
	for (; *line; line++) {
		const char *a = line, *b = name;
		uint32_t n = 0;

		while (*b && *a == *b)
			a++, b++;
		if (*b)
			continue;
		for (; *a >= '0' && *a <= '9'; a++)
			n = n * 10 + (uint32_t)(*a - '0');
		return n;
	}
	return otherwise;
}

static uint32_t below(uint32_t n) { return random_next(&state) % n; }

/* ---- the machine ---- */

static void write_msr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

/* IRQ 0 of both 8259s at 28H; the 8254 brings it about, the others stay masked. */
static void timer(uint32_t per_second)
{
	static const uint16_t setup[][2] = { { 0x20, 0x11 }, { 0x21, 0x28 }, { 0x21, 4 }, { 0x21, 1 }, { 0xA0, 0x11 }, { 0xA1, 0x30 }, { 0xA1, 2 }, { 0xA1, 1 } };
	const uint32_t count = per_second ? 1193182 / per_second : 0;

	for (unsigned i = 0; i < sizeof setup / sizeof setup[0]; i++)
		out8(setup[i][0], (uint8_t)setup[i][1]);
	out8(0x21, per_second ? 0xFE : 0xFF);
	out8(0xA1, 0xFF);
	out8(0x43, 0x34);
	out8(0x40, (uint8_t)count);
	out8(0x40, (uint8_t)(count >> 8));
}

static void tables(void)
{
	static uint64_t gdt[7] = { 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF };
	static uint32_t tss[26];
	static uint64_t idt[2 * 256];
	const uint64_t at = (uintptr_t)tss;
	const struct table_pointer g = { sizeof gdt - 1, (uintptr_t)gdt }, i = { sizeof idt - 1, (uintptr_t)idt };

	gdt[UDATA / 8] = 0x00CFF3000000FFFF;
	gdt[UCODE / 8] = 0x00CFFB000000FFFF;
	gdt[TSS / 8] = (sizeof tss - 1) | (at & 0xFFFFFF) << 16 | 0x89ull << 40 | (at >> 24 & 0xFF) << 56;
#ifdef __x86_64__
	gdt[KCODE / 8] = 0x00AF9B000000FFFF;
	gdt[UCODE / 8] = 0x00AFFB000000FFFF;
#endif
	tss[1] = (uint32_t)(uintptr_t)stack_top;	/* RSP0; ESP0 */
#ifndef __x86_64__
	tss[2] = KDATA;
#endif
	((uint16_t *)tss)[51] = sizeof tss;		/* no I/O bitmap */
	for (unsigned v = 0; v < 256; v++) {
		const uint64_t stub = (uintptr_t)trap_stubs[v], type = v == 3 || v == 4 || (v >= INT_PLAIN && v <= INT_KERNEL) ? 0xEE : 0x8E;
		const uint64_t gate = (stub & 0xFFFF) | KCODE << 16 | type << 40 | (stub >> 16 & 0xFFFF) << 48;

#ifdef __x86_64__
		idt[2 * v] = gate;
#else
		idt[v] = gate;
#endif
	}
	tables_load(&g, &i);
	write_msr(0x174, KCODE);			/* SYSENTER */
	write_msr(0x175, (uintptr_t)stack_top);
	write_msr(0x176, (uintptr_t)sysenter_entry);
#ifdef __x86_64__
	write_msr(0xC0000080, 1 << 8 | 1);		/* EFER.LME, SCE */
	write_msr(0xC0000081, (uint64_t)KDATA << 48 | (uint64_t)KCODE << 32);
	write_msr(0xC0000082, (uintptr_t)syscall_entry);
	write_msr(0xC0000084, MASK_IF | MASK_TF);
#endif
}

/* This program one to one, ring 3's pages so marked, the guard not at all. */
static void paging(void)
{
	static uintptr_t table[3][ENTRIES] __attribute__((aligned(4096)));
	uintptr_t root = (uintptr_t)table[0];

	for (uintptr_t at = LOW; at < (uintptr_t)bss_end; at += PAGE) {
		const bool user = at >= (uintptr_t)user_start && at < (uintptr_t)user_end;

		if (at != (uintptr_t)guard)
			table[1 + at / PAGE / ENTRIES][at / PAGE % ENTRIES] = at | (user ? 7 : 3);
	}
#ifdef __x86_64__
	static uintptr_t upper[2][ENTRIES] __attribute__((aligned(4096)));

	table[0][1] = (uintptr_t)table[2] | 7;
	table[0][0] = (uintptr_t)table[1] | 7;
	upper[0][0] = (uintptr_t)upper[1] | 7;
	upper[1][0] = root | 7;
	root = (uintptr_t)upper[0];
#else
	table[0][0] = (uintptr_t)table[1] | 7;
#endif
	uintptr_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 3 << 9));	/* OSFXSR, OSXMMEXCPT */
	__asm__ volatile("mov %0, %%cr3" : : "r"(root) : "memory");
	__asm__ volatile("mov %0, %%cr0" : : "r"((uintptr_t)0x80010033) : "memory");
}

/* ---- programs ---- */

struct writer { uint8_t *at; struct { uint8_t *at; unsigned in; } forward[PENDING]; uint8_t *next[PENDING * 4]; unsigned nexts; };

static void set(uint8_t *at, uint32_t v) { memcpy(at, &v, sizeof v); }

/* A piece begins: those that wanted to know where. */
static void arrive(struct writer *w, bool last)
{
	while (w->nexts)
		set(w->next[--w->nexts], (uint32_t)(uintptr_t)w->at);
	for (unsigned k = 0; k < PENDING; k++)
		if (w->forward[k].at && (last || !--w->forward[k].in)) {
			set(w->forward[k].at, (uint32_t)(w->at - w->forward[k].at - 4));
			w->forward[k].at = NULL;
		}
}

static void copy(struct writer *w, const uint8_t *from, const uint8_t *to)
{
	uint8_t *const here = w->at;

	memcpy(here, from, (size_t)(to - from));
	w->at += to - from;
	for (uint8_t *p = here; p + 4 <= w->at; p++) {
		uint32_t word;

		memcpy(&word, p, sizeof word);
		switch (word) {
		case ANY:  set(p, random_next(&state)); break;
		case SOME: set(p, below(256)); break;
		case DATA: set(p, (uint32_t)(uintptr_t)data + below(DATA_BYTES - 64)); break;
		case HERE: set(p, (uint32_t)(uintptr_t)here); break;
		case NEXT: w->next[w->nexts++] = p; break;
		case FORWARD:
			for (unsigned k = 0; k < PENDING; k++)
				if (!w->forward[k].at || k == PENDING - 1) {
					if (w->forward[k].at)
						set(w->forward[k].at, 0);
					w->forward[k].at = p;
					w->forward[k].in = 1 + below(3);
					break;
				}
		}
	}
}

static const uint8_t *piece_at(uint32_t entry) { return (const uint8_t *)(uintptr_t)(entry & ~PIECE_CRITICAL); }

static void make_program(unsigned n)
{
	struct writer w = { .at = code };
	unsigned count = 0;

	while (pieces[count + 2])
		count++;
	while (n-- && w.at < code + CODE_BYTES - 256) {
		const uint32_t *p = &pieces[below(count)];

		arrive(&w, false);
		copy(&w, prologue, prologue_end);
		if (p[0] & PIECE_CRITICAL && kernel_only)
			copy(&w, to_kernel, to_kernel_end);
		copy(&w, piece_at(p[0]), piece_at(p[1]));
		pieces_done++;
	}
	arrive(&w, true);
	copy(&w, epilogue, epilogue_end);
}

static void add_registers(const struct frame *f)
{
	const uintptr_t *r = (const uintptr_t *)f;

	for (; r != &f->vector; r++) {
		sum = checksum(sum, (uint32_t)*r);
#ifdef __x86_64__
		sum = checksum(sum, (uint32_t)(*r >> 32));
#endif
	}
	sum = checksum(sum, (uint32_t)f->flags);
}

static void set_stack(struct frame *f, uintptr_t sp)
{
#ifdef __x86_64__
	f->sp = sp;
	f->ss = f->cs & 3 ? UDATA : KDATA;
#else
	if (f->cs & 3)
		f->sp = sp, f->ss = UDATA;
	return_sp = sp;
#endif
}

void anycode_trap(struct frame *f)
{
	const bool entered = f->vector == SYSCALLED || f->vector == SYSENTERED;
	uintptr_t extra = 0;

	if (f->vector == IRQ) {
#ifndef __x86_64__
		return_sp = f->cs & 3 ? f->sp : (uintptr_t)&f->sp;
#endif
		out8(0x20, 0x20);
		return;
	}
	if (entered)
		f->cs = ring3 ? UCODE : KCODE;
	ring3 = f->cs & 3;
#ifndef __x86_64__
	return_sp = ring3 ? f->sp : (uintptr_t)&f->sp;
#endif
	if (f->vector == 1) {
		__asm__ volatile("mov %%dr6, %0" : "=r"(extra));
		__asm__ volatile("mov %0, %%dr6" : : "r"((uintptr_t)0));
		if (extra & 0x200f) {
			__asm__ volatile("mov %0, %%dr7" : : "r"((uintptr_t)0x400));
			f->flags |= MASK_RF;
		}
	} else if (f->vector == 14) {
		__asm__ volatile("mov %%cr2, %0" : "=r"(extra));
	}
	trail[traps++ % TRAIL] = (struct trail){ (uint16_t)f->vector, (uint16_t)f->error, (uint32_t)f->ip, (uint32_t)f->flags, (uint32_t)f->ax };
	sum = checksum(checksum(checksum(checksum(sum, (uint32_t)f->vector), (uint32_t)f->error), (uint32_t)f->ip), (uint32_t)extra);
	add_registers(f);
	if (f->vector == INT_DONE || ++run_traps == TRAPS_MAX)
		restart();
	switch (f->vector) {
	case 1:
		if (++steps % STEPS_MAX == 0)
			f->flags &= ~(uintptr_t)MASK_TF;
		return;
	case 3: case 4: case INT_PLAIN:
		return;
	case SYSCALLED:
		set_stack(f, (uintptr_t)program_stack_top);
		return;
	case INT_KERNEL:
		ring3 = false;
		f->cs = KCODE;
		break;
	default:
		f->ip = resume;
	}
	f->flags = 2 | (f->flags & MASK_IF);
	set_stack(f, (uintptr_t)program_stack_top);
}

/* The next run, or the next program, or the end. */
void anycode_next(void)
{
	struct frame f = { .ip = (uintptr_t)code, .flags = hz ? 2 | MASK_IF : 2 };

	for (unsigned k = 0; k < DATA_BYTES / 4; k++)
		sum = checksum(sum, ((const uint32_t *)data)[k]);
	if (run++ % runs == 0) {
		if (program++ == programs) {
			print("pieces %u, traps %u, sum %08x\n", pieces_done, traps, sum);
			power_off();
		}
		make_program(length);
		run = 1;
	}
	run_traps = steps = 0;
	for (uintptr_t *r = (uintptr_t *)&f; r != &f.vector; r++)
		*r = below(4) ? below(256) : random_next(&state);
	ring3 = below(2);
	f.cs = ring3 ? UCODE : KCODE;
	set_stack(&f, (uintptr_t)program_stack_top);
	frame_go(&f);
}

void anycode_main(const uint32_t *multiboot)
{
	const char *line = multiboot[0] & 4 ? (const char *)(uintptr_t)multiboot[4] : "";
	const uint32_t seed = parameter(line, "seed=", 1);

	programs = parameter(line, "n=", 20);
	length = parameter(line, "pieces=", 40);
	runs = parameter(line, "runs=", 3);
	runs += !runs;
	kernel_only = parameter(line, "kernel=", 0);
	state = random_start(seed * 2654435761u);
	print("anycode seed=%u n=%u: ", seed, programs);
	hz = parameter(line, "hz=", 0);
	paging();
	tables();
	timer(hz);
	restart();
}
