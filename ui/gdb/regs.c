/* regs.c - see regs.h and regs.def. */
#include "ui/gdb/regs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/cpuid.h"

enum feature_id { CORE, SEGMENTS, SSE, VMSCOPE, FEATURES };
static const char *const feature_name[FEATURES] = {
	"org.gnu.gdb.i386.core", "org.gnu.gdb.i386.segments", "org.gnu.gdb.i386.sse", "vmscope.system",
};

enum group { GENERAL, FLOAT, VECTOR, SYSTEM };
static const char *const group_name[] = { NULL, "float", "vector", "system" };

enum source {
	SOURCE_GPR, SOURCE_RIP, SOURCE_IP, SOURCE_RFLAGS, SOURCE_SELECTOR, SOURCE_SEG_BASE, SOURCE_SEG_LIMIT, SOURCE_ST, SOURCE_FPU, SOURCE_XMM,
	SOURCE_MXCSR, SOURCE_KERNEL_GS, SOURCE_CR0, SOURCE_CR2, SOURCE_CR3, SOURCE_CR4, SOURCE_CR8, SOURCE_EFER, SOURCE_GDTR_BASE,
	SOURCE_GDTR_LIMIT, SOURCE_IDTR_BASE, SOURCE_IDTR_LIMIT, SOURCE_DR, SOURCE_XCR0, SOURCE_CPL, SOURCE_MODE, SOURCE_VMX,
	SOURCE_VM, SOURCE_CYCLE, SOURCE_INSNS,
};
enum setter { SET_NONE, SET_GPR, SET_RIP, SET_RFLAGS, SET_XMM, SET_ST, SET_FPU0, SET_FPU1, SET_FPU2, SET_MXCSR, SET_IP, SET_PASS /* accepted, not done: gdb puts everything back after a call it makes */ };

struct row {
	uint8_t feature, bits[2], group, source, index, set;
	const char *name[2], *type;     /* by column() */
};

static const struct row rows[] = {
#define REG(feature, name64, bits64, name32, bits32, type, group, source, index, set) \
	{ feature, { bits32, bits64 }, group, SOURCE_##source, index, SET_##set, { name32, name64 }, type },
#include "ui/gdb/regs.def"
};

/* ---- which description ---- */

enum gdb_arch gdb_arch_of(const struct run *face)
{
	uint8_t head[5] = { 0 };
	FILE *f = face->image ? fopen(face->image, "rb") : NULL;
	size_t n = f ? fread(head, 1, sizeof head, f) : 0;
	if (f)
		fclose(f);
	bool elf32 = n == sizeof head && memcmp(head, "\177ELF\1", 5) == 0;
	const struct cpu *c = face->m->cpu[0];
	bool real = !(c->s.cr0 & CR0_PE) && !face->started;
	return elf32 || real || !cpu_has(c, FEATURE_LM) ? GDB_I386 : GDB_X86_64;
}

const char *gdb_arch_name(enum gdb_arch a)
{
	static const char *const name[] = { [GDB_I386] = "i386", [GDB_X86_64] = "i386:x86-64", [GDB_I8086] = "i8086" };
	return name[a];
}

static unsigned column(enum gdb_arch a) { return a == GDB_X86_64; }

static const struct row *row_at(enum gdb_arch a, unsigned n)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].name[column(a)] && !n--)
			return &rows[i];
	return NULL;
}

unsigned regs_n(enum gdb_arch a)
{
	unsigned n = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		n += rows[i].name[column(a)] != NULL;
	return n;
}

unsigned reg_size(enum gdb_arch a, unsigned n)
{
	const struct row *r = row_at(a, n);
	return r ? r->bits[column(a)] / 8 : 0;
}

/* ---- values ---- */

/* gdb's ftag is the tag word itself; the others are as FSTENV stores them. */
static uint64_t fpu(const struct cpu_state *s, unsigned i)
{
	switch (i) {
	case 0: return s->fcw;
	case 1: return s->fsw;
	case 2: return s->ftw;
	case 3: return s->fcs;
	case 4: return (uint32_t)s->fip;
	case 5: return s->fds;
	case 6: return (uint32_t)s->fdp;
	default: return s->fop;
	}
}

static uint64_t value_of(const struct row *r, const struct view_state *o)
{
	const struct cpu_state *s = &o->s;
	switch ((enum source)r->source) {
	case SOURCE_GPR: return s->r[r->index];
	case SOURCE_RIP: return o->pc;
	case SOURCE_IP: return s->rip;
	case SOURCE_RFLAGS: return o->rflags;
	case SOURCE_SELECTOR: return s->seg[r->index].sel;
	case SOURCE_SEG_BASE: return s->seg[r->index].base;
	case SOURCE_SEG_LIMIT: return s->seg[r->index].limit;
	case SOURCE_FPU: return fpu(s, r->index);
	case SOURCE_MXCSR: return s->mxcsr;
	case SOURCE_KERNEL_GS: return s->kernel_gs_base;
	case SOURCE_CR0: return s->cr0;
	case SOURCE_CR2: return s->cr2;
	case SOURCE_CR3: return s->cr3;
	case SOURCE_CR4: return s->cr4;
	case SOURCE_CR8: return o->cr8;
	case SOURCE_EFER: return s->efer;
	case SOURCE_GDTR_BASE: return s->gdtr.base;
	case SOURCE_GDTR_LIMIT: return s->gdtr.limit;
	case SOURCE_IDTR_BASE: return s->idtr.base;
	case SOURCE_IDTR_LIMIT: return s->idtr.limit;
	case SOURCE_DR: return s->dr[r->index];
	case SOURCE_XCR0: return s->xcr0;
	case SOURCE_CPL: return o->cpl;
	case SOURCE_MODE: return o->mode;
	case SOURCE_VMX: return o->vmx;
	case SOURCE_VM: return o->vm;
	case SOURCE_CYCLE: return o->cycle;
	case SOURCE_INSNS: return o->insns;
	case SOURCE_ST: case SOURCE_XMM: break;
	}
	return 0;
}

unsigned reg_get(enum gdb_arch a, unsigned n, const struct view_state *o, uint8_t value[16])
{
	const struct row *r = row_at(a, n);
	if (!r)
		return 0;
	memset(value, 0, 16);
	if (r->source == SOURCE_XMM) {
		memcpy(value, o->s.xmm[r->index], 16);
	} else if (r->source == SOURCE_ST) {
		const struct x87_reg *st = &o->s.st[((o->s.fsw >> 11 & 7) + r->index) & 7];
		memcpy(value, &st->mant, 8);
		memcpy(value + 8, &st->se, 2);
	} else {
		uint64_t x = value_of(r, o);
		memcpy(value, &x, 8);
	}
	return r->bits[column(a)] / 8;
}

bool reg_set(enum gdb_arch a, unsigned n, const struct view *v, unsigned thread, const uint8_t value[16])
{
	static const enum view_set how[] = {
		[SET_GPR] = VIEW_SET_GPR, [SET_RIP] = VIEW_SET_RIP, [SET_RFLAGS] = VIEW_SET_RFLAGS, [SET_XMM] = VIEW_SET_XMM,
		[SET_ST] = VIEW_SET_ST, [SET_FPU0] = VIEW_SET_FPU, [SET_FPU1] = VIEW_SET_FPU, [SET_FPU2] = VIEW_SET_FPU,
		[SET_MXCSR] = VIEW_SET_MXCSR, [SET_IP] = VIEW_SET_IP,
	};
	const struct row *r = row_at(a, n);
	if (!r || r->set == SET_NONE)
		return false;
	if (r->set == SET_PASS)
		return true;
	return view_register(v, thread, how[r->set], r->index, value);
}

/* ---- target.xml ---- */

struct text { char *p; size_t n, room; };

static void add(struct text *t, const char *fmt, ...) PRINTF(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
	char line[400];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	size_t k = n < (int)sizeof line ? (size_t)n : sizeof line - 1;
	if (t->n + k + 1 > t->room) {
		t->room = 2 * t->room + 4096;
		t->p = xrealloc(t->p, t->room);
	}
	memcpy(t->p + t->n, line, k + 1);
	t->n += k;
}

/* Bits by name, from the CPU's field views: cr0.pg is PG here. */
static void add_flags(struct text *t, const char *id, unsigned size)
{
	for (size_t i = 0; i < cpu_fields_n; i++) {
		if (strcmp(cpu_fields[i].name, id) != 0 || !cpu_fields[i].bits)
			continue;
		add(t, "<flags id=\"%s\" size=\"%u\">", id, size);
		for (const struct field_bits *b = cpu_fields[i].bits; b->name; b++) {
			char upper[32];
			size_t k = 0;
			for (; b->name[k] && k + 1 < sizeof upper; k++)
				upper[k] = (char)(b->name[k] >= 'a' && b->name[k] <= 'z' ? b->name[k] - 32 : b->name[k]);
			upper[k] = '\0';
			add(t, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", upper, b->lo, b->hi);
		}
		add(t, "</flags>");
	}
}

static void add_enum(struct text *t, const char *id, const char *const *name, unsigned n)
{
	add(t, "<enum id=\"%s\" size=\"4\">", id);
	for (unsigned i = 0; i < n; i++)
		add(t, "<evalue name=\"%s\" value=\"%u\"/>", name[i], i);
	add(t, "</enum>");
}

static void add_types(struct text *t, enum feature_id f, unsigned word)
{
	static const char *const modes[] = { "real16", "real32", "v86", "prot16", "prot32", "compat16", "compat32", "long64" };
	static const char *const vmx[] = { "off", "root", "non_root" };
	switch (f) {
	case CORE:
		add_flags(t, "rflags", 4);
		add_flags(t, "cr0", word);
		add_flags(t, "cr4", word);
		add_flags(t, "efer", word);
		break;
	case SSE:
		add(t, "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
		    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
		    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>");
		add(t, "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
		    "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
		    "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
		    "<field name=\"uint128\" type=\"uint128\"/></union>");
		break;
	case VMSCOPE:
		add_flags(t, "dr6", word);
		add_enum(t, "mode", modes, ARRAY_LEN(modes));
		add_enum(t, "vmx", vmx, ARRAY_LEN(vmx));
		break;
	default:
		break;
	}
}

/* An i386 gdb knows no feature of segment bases: there they are further registers of the core's. */
static enum feature_id feature_of(const struct row *r, enum gdb_arch a)
{
	return a != GDB_X86_64 && r->feature == SEGMENTS ? CORE : (enum feature_id)r->feature;
}

char *regs_xml(enum gdb_arch a)
{
	struct text t = { 0 };
	int open = -1;
	unsigned n = 0;
	add(&t, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\"><architecture>%s</architecture>",
	    gdb_arch_name(a));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		enum feature_id f = feature_of(r, a);
		char type[16];
		if (!r->name[column(a)])
			continue;
		if ((int)f != open) {
			add(&t, "%s<feature name=\"%s\">", open < 0 ? "" : "</feature>", feature_name[f]);
			add_types(&t, f, a == GDB_X86_64 ? 8 : 4);
			open = (int)f;
		}
		if (strcmp(r->type, "int") == 0)
			snprintf(type, sizeof type, "int%u", r->bits[column(a)]);
		else
			snprintf(type, sizeof type, "%s", r->type);
		add(&t, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"", r->name[column(a)], r->bits[column(a)], type, n++);
		if (group_name[r->group])
			add(&t, " group=\"%s\"", group_name[r->group]);
		add(&t, "/>");
	}
	add(&t, "</feature></target>");
	return t.p;
}
