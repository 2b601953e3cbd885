/* emulate.c - the instructions that trap because they are sensitive, on the virtual machine's state.
 * Source: SDM Vol. 2. A row of `ops` is an opcode; a body changes the frame and the guest, and EIP goes on unless it moved it. */
#include "minitrap.h"

struct insn {
	struct frame *f;
	uint32_t at, start;		/* offset of the next byte; of the instruction */
	uint8_t op, modrm, reg, rm;	/* op: the last byte of the opcode */
	bool two, wide;			/* 0F; 32-bit operand */
	unsigned segment;		/* of the memory operand, or SEGMENTS: none was given by a prefix */
	uint32_t offset;
	bool gone;			/* EIP is where it belongs; or an exception was injected */
};

typedef void body(struct insn *i);

static void fault(struct insn *i, uint32_t error)
{
	inject_gp(i->f, error);
	i->gone = true;
}

static uint32_t next(struct insn *i, uint32_t n)
{
	uint32_t v = 0;

	if (!segment_read(&guest.segment[CS], i->at, &v, n))
		die("the guest executes at %x:%x, beyond its segment", guest.segment[CS].selector, i->at);
	i->at += n;
	return v;
}

/* ---- operands ---- */

static uint32_t *reg32(struct frame *f, unsigned r)
{
	uint32_t *const reg[] = { &f->eax, &f->ecx, &f->edx, &f->ebx, &f->esp, &f->ebp, &f->esi, &f->edi };

	return reg[r & 7];
}

/* 32-bit addressing: ModRM, SIB, displacement. SDM Vol. 2A, "Addressing-Mode Encoding of ModR/M and SIB Bytes". */
static void operand(struct insn *i)
{
	unsigned segment = DS;
	uint32_t mod, base;

	i->modrm = (uint8_t)next(i, 1);
	mod = i->modrm >> 6;
	i->reg = i->modrm >> 3 & 7;
	i->rm = i->modrm & 7;
	if (mod == 3)
		return;
	base = i->rm;
	i->offset = 0;
	if (i->rm == 4) {
		uint32_t sib = next(i, 1), index = sib >> 3 & 7;

		base = sib & 7;
		if (index != 4)
			i->offset = *reg32(i->f, index) << (sib >> 6);
	}
	if (base == 5 && !mod) {
		i->offset += next(i, 4);
	} else {
		i->offset += *reg32(i->f, base);
		if (base == 4 || base == 5)
			segment = SS;
		i->offset += mod == 1 ? (uint32_t)(int8_t)next(i, 1) : mod == 2 ? next(i, 4) : 0;
	}
	if (i->segment == SEGMENTS)
		i->segment = segment;
}

static bool in_register(const struct insn *i) { return i->modrm >> 6 == 3; }

static bool load(struct insn *i, uint32_t offset, void *to, uint32_t n)
{
	if (segment_read(&guest.segment[i->segment], offset, to, n))
		return true;
	fault(i, 0);
	return false;
}

static bool store(struct insn *i, uint32_t offset, const void *from, uint32_t n)
{
	if (segment_write(&guest.segment[i->segment], offset, from, n))
		return true;
	fault(i, 0);
	return false;
}

static bool get16(struct insn *i, uint32_t *v)
{
	*v = *reg32(i->f, i->rm) & 0xFFFF;
	return in_register(i) || (*v = 0, load(i, i->offset, v, 2));
}

static void put16(struct insn *i, uint32_t v)
{
	if (!in_register(i))
		store(i, i->offset, &v, 2);
	else if (i->wide)
		*reg32(i->f, i->rm) = v;
	else
		*reg32(i->f, i->rm) = (*reg32(i->f, i->rm) & 0xFFFF0000) | (v & 0xFFFF);
}

static bool push(struct insn *i, uint32_t v)
{
	uint32_t n = i->wide ? 4 : 2;

	if (!segment_write(&guest.segment[SS], i->f->esp - n, &v, n)) {
		fault(i, 0);
		return false;
	}
	i->f->esp -= n;
	return true;
}

static bool pop(struct insn *i, uint32_t *v)
{
	uint32_t n = i->wide ? 4 : 2;

	*v = 0;
	if (!segment_read(&guest.segment[SS], i->f->esp, v, n)) {
		fault(i, 0);
		return false;
	}
	i->f->esp += n;
	return true;
}

/* ---- segment registers ---- */

/* SDM Vol. 3A, "Privilege Level Checking When Accessing Data Segments". */
static void segment_load(struct insn *i, unsigned r, uint32_t selector)
{
	uint64_t d = guest_descriptor(selector);
	uint32_t rpl = selector & 3, least = rpl > guest.cpl ? rpl : guest.cpl;
	bool usable = d >> 44 & 1 && d >> 47 & 1, code = d >> 43 & 1, second = d >> 41 & 1;	/* readable code, writable data */

	if (r != SS && !(selector & ~3u)) {
		segment_set(i->f, r, selector, 0);
		return;
	}
	if (r == SS ? !usable || code || !second || rpl != guest.cpl || segment_dpl(d) != guest.cpl
		    : !usable || (code && !second) || segment_dpl(d) < least) {
		fault(i, selector & ~3u);
		return;
	}
	d |= 1ull << 40;
	guest_write(guest.gdt.base + (selector & ~7u), &d, 8);	/* accessed */
	segment_set(i->f, r, selector, d);
}

static void mov_to_segment(struct insn *i)
{
	uint32_t v;

	operand(i);
	if (i->reg == CS || i->reg >= SEGMENTS)
		die("MOV to segment register %u", i->reg);
	if (get16(i, &v))
		segment_load(i, i->reg, v);
}

static void mov_from_segment(struct insn *i)
{
	operand(i);
	if (i->reg >= SEGMENTS)
		die("MOV from segment register %u", i->reg);
	put16(i, guest.segment[i->reg].selector);
}

static unsigned which_segment(const struct insn *i) { return i->two ? (i->op >> 3 & 7) : (i->op >> 3 & 3); }
static void push_segment(struct insn *i) { push(i, guest.segment[which_segment(i)].selector); }
static void pop_segment(struct insn *i)
{
	uint32_t v;

	if (pop(i, &v))
		segment_load(i, which_segment(i), v & 0xFFFF);
}

/* ---- far transfers, to code of the same ring or a return to an outer one ---- */

static void go(struct insn *i, uint32_t selector, uint32_t offset)
{
	uint64_t d = guest_descriptor(selector);

	if (!(d >> 44 & 1) || !(d >> 43 & 1) || !(d >> 47 & 1) || (d >> 42 & 1 ? segment_dpl(d) > guest.cpl : segment_dpl(d) != guest.cpl)) {
		fault(i, selector & ~3u);
		return;
	}
	segment_set(i->f, CS, (selector & ~3u) | guest.cpl, d);
	i->f->eip = offset;
	i->gone = true;
}

static void jmp_far(struct insn *i)
{
	uint32_t offset = next(i, i->wide ? 4 : 2);

	go(i, next(i, 2), offset);
}

static void call_far(struct insn *i)
{
	uint32_t offset = next(i, i->wide ? 4 : 2), selector = next(i, 2);

	if (push(i, guest.segment[CS].selector) && push(i, i->at))
		go(i, selector, offset);
}

static void ret_far(struct insn *i)
{
	uint32_t offset, selector, drop = i->op == 0xCA ? next(i, 2) : 0;

	if (!pop(i, &offset) || !pop(i, &selector))
		return;
	if ((selector & 3) != guest.cpl)
		die("RETF to another ring");
	i->f->esp += drop;
	go(i, selector & 0xFFFF, offset);
}

/* ---- flags ---- */

static bool io_allowed(void) { return guest.cpl <= (guest.flags >> 12 & 3); }

static void cli_sti(struct insn *i)
{
	if (!io_allowed())
		fault(i, 0);
	else if (i->op == 0xFA)
		guest.flags &= ~IF;
	else
		guest.flags |= IF;
}

static void pushf(struct insn *i) { push(i, guest_flags(i->f)); }
static void popf(struct insn *i)
{
	uint32_t v;

	if (pop(i, &v))
		guest_set_flags(i->f, i->wide ? v : (guest_flags(i->f) & 0xFFFF0000) | v);
}

static void iret(struct insn *i)
{
	guest_iret(i->f);
	i->gone = true;
}

static void int_n(struct insn *i)
{
	uint32_t vector = i->op == 0xCC ? 3 : next(i, 1);

	reflect(i->f, vector, false, 0, i->at - i->f->eip);
	i->gone = true;
}

/* ---- ring 0's own ---- */

static bool ring0(struct insn *i)
{
	if (!guest.cpl)
		return true;
	fault(i, 0);
	return false;
}

/* No interrupt comes from outside: a guest that waits for one waits for ever. */
static void hlt(struct insn *i)
{
	if (ring0(i))
		die("the guest halts, interrupts %s", guest.flags & IF ? "on: there are none" : "off");
}

static void clts(struct insn *i)
{
	if (ring0(i))
		guest.cr0 &= ~8u;
}

static void mov_cr(struct insn *i)
{
	uint32_t *const cr[] = { &guest.cr0, NULL, &guest.cr2, &guest.cr3, &guest.cr4 };
	uint32_t *r;

	operand(i);
	if (!ring0(i))
		return;
	r = reg32(i->f, i->rm);
	if (i->reg > 4 || !cr[i->reg])
		die("CR%u", i->reg);
	if (i->op == 0x20)
		*r = *cr[i->reg];
	else if (!i->reg && *r >> 31)
		die("paging is not for minitrap's guests");
	else
		*cr[i->reg] = *r;
}

/* 0F 00: SLDT, STR, LLDT, LTR, VERR, VERW */
static void system_segment(struct insn *i)
{
	uint32_t v;
	uint64_t d;

	operand(i);
	if (i->reg < 2) {
		put16(i, i->reg ? guest.tr : guest.ldt);
		return;
	}
	if (!get16(i, &v))
		return;
	d = guest_descriptor(v);
	if (i->reg >= 4) {
		bool code = d >> 43 & 1, yes = d >> 44 & 1 && d >> 47 & 1 && (i->reg == 4 ? !code || d >> 41 & 1 : !code && d >> 41 & 1);

		yes &= (code && d >> 42 & 1) || (segment_dpl(d) >= guest.cpl && segment_dpl(d) >= (v & 3));
		i->f->eflags = (i->f->eflags & ~(1u << 6)) | (uint32_t)yes << 6;
		return;
	}
	if (!ring0(i))
		return;
	if (i->reg == 2) {
		if (v & ~3u)
			die("the guest wants a local descriptor table");
		guest.ldt = (uint16_t)v;
		return;
	}
	if ((d >> 40 & 0x1F) != 9 || !(d >> 47 & 1)) {
		fault(i, v & ~3u);
		return;
	}
	d |= 1ull << 41;		/* busy */
	guest_write(guest.gdt.base + (v & ~7u), &d, 8);
	guest.tr = (uint16_t)v;
	guest.tss = segment_base(d);
}

/* 0F 01: SGDT, SIDT, LGDT, LIDT, SMSW, LMSW, INVLPG */
static void system_table(struct insn *i)
{
	struct table *t;
	uint32_t v;

	operand(i);
	t = i->reg & 1 ? &guest.idt : &guest.gdt;
	if (i->reg < 2) {
		if (store(i, i->offset, t, 6))
			return;
	} else if (i->reg < 4) {
		if (ring0(i))
			load(i, i->offset, t, 6);
	} else if (i->reg == 4) {
		put16(i, guest.cr0);
	} else if (i->reg == 6) {
		if (ring0(i) && get16(i, &v))
			guest.cr0 = (guest.cr0 & ~0xEu) | (v & 0xF);
	} else if (ring0(i) && i->reg == 5) {
		die("0F 01 /5");
	}
}

/* LAR and LSL */
static void look_at_segment(struct insn *i)
{
	uint32_t v;
	uint64_t d;
	bool yes;

	operand(i);
	if (!get16(i, &v))
		return;
	d = guest_descriptor(v);
	yes = v & ~3u && (d >> 44 & 1 || (d >> 40 & 0xD) == 9) &&
	      ((d >> 42 & 7) == 7 || (segment_dpl(d) >= guest.cpl && segment_dpl(d) >= (v & 3)));
	i->f->eflags = (i->f->eflags & ~(1u << 6)) | (uint32_t)yes << 6;
	if (yes)
		*reg32(i->f, i->reg) = i->op == 2 ? (uint32_t)(d >> 32) & 0x00FFFF00 : segment_limit(d);
}

static void cpuid(struct insn *i)
{
	struct frame *f = i->f;

	__asm__ volatile("cpuid" : "+a"(f->eax), "=b"(f->ebx), "+c"(f->ecx), "=d"(f->edx));
}

static void rdtsc(struct insn *i)
{
	__asm__ volatile("rdtsc" : "=a"(i->f->eax), "=d"(i->f->edx));
}

/* ---- ports: the serial port and those that end the run are the guest's, for there is no other guest ---- */

static void io(struct insn *i)
{
	bool by_dx = i->op & 8, out = i->op & 2, byte = !(i->op & 1);
	uint32_t port = by_dx ? i->f->edx & 0xFFFF : next(i, 1), *a = &i->f->eax, v = ~0u;
	bool serial = port >= 0x3F8 && port <= 0x3FF;

	if (!io_allowed()) {
		fault(i, 0);
		return;
	}
	if (out) {
		if (port == 0xF4)
			finish(*a);
		if (byte && (serial || port == 0x8900))
			__asm__ volatile("outb %%al, %%dx" : : "a"(*a), "d"(port));
		return;
	}
	if (serial && byte)
		__asm__ volatile("inb %%dx, %%al" : "=a"(v) : "d"(port));
	*a = byte ? (*a & ~0xFFu) | (v & 0xFF) : i->wide ? v : (*a & ~0xFFFFu) | (v & 0xFFFF);
}

/* ---- which is which ---- */

static const struct op { uint8_t first, mask; bool two; body *run; } ops[] = {
	{ 0x06, 0xE7, false, push_segment }, { 0x07, 0xE7, false, pop_segment },	/* ES, CS, SS, DS */
	{ 0x8C, 0xFF, false, mov_from_segment }, { 0x8E, 0xFF, false, mov_to_segment },
	{ 0x9A, 0xFF, false, call_far }, { 0xEA, 0xFF, false, jmp_far }, { 0xCA, 0xFE, false, ret_far },
	{ 0x9C, 0xFF, false, pushf }, { 0x9D, 0xFF, false, popf }, { 0xCF, 0xFF, false, iret },
	{ 0xCD, 0xFF, false, int_n }, { 0xCC, 0xFF, false, int_n },
	{ 0xFA, 0xFE, false, cli_sti }, { 0xF4, 0xFF, false, hlt },
	{ 0xE4, 0xF4, false, io },
	{ 0x00, 0xFF, true, system_segment }, { 0x01, 0xFF, true, system_table }, { 0x02, 0xFE, true, look_at_segment },
	{ 0x06, 0xFF, true, clts }, { 0x20, 0xFD, true, mov_cr }, { 0x31, 0xFF, true, rdtsc }, { 0xA2, 0xFF, true, cpuid },
	{ 0xA0, 0xF7, true, push_segment }, { 0xA1, 0xF7, true, pop_segment },		/* FS, GS */
};

static const struct op *find(const struct insn *i)
{
	for (const struct op *o = ops; o < ops + sizeof ops / sizeof *ops; o++)
		if (o->two == i->two && (i->op & o->mask) == o->first)
			return o;
	return NULL;
}

static bool prefix(struct insn *i, uint8_t byte)
{
	static const uint8_t overrides[SEGMENTS] = { 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65 };

	if (byte == 0x66)
		i->wide = false;
	for (unsigned r = 0; r < SEGMENTS; r++)
		if (overrides[r] == byte) {
			i->segment = r;
			return true;
		}
	return byte == 0x66;
}

void emulate(struct frame *f)
{
	struct insn i = { .f = f, .at = f->eip, .wide = true, .segment = SEGMENTS };
	const struct op *o;

	while (prefix(&i, i.op = (uint8_t)next(&i, 1)))
		;
	if (i.op == 0x0F) {
		i.two = true;
		i.op = (uint8_t)next(&i, 1);
	}
	o = f->vector == GP || f->vector == NP ? find(&i) : NULL;
	/* Outside its ring 0 the guest finds the machine that we need: critical instructions trap, and its own VMM may emulate them. */
	if (!o || (guest.cpl && o->run != int_n && o->run != io && o->run != cli_sti)) {
		reflect(f, f->vector, f->vector != UD, f->error, 0);
		return;
	}
	guest.emulated++;
	o->run(&i);
	if (!i.gone)
		f->eip = i.at;
}
