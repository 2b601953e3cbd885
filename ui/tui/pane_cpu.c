/* pane_cpu.c - the panes about one CPU: registers, system registers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "ui/tui/tui.h"

void draw_regs(struct tui *t, struct pane_out *o);
void draw_system(struct tui *t, struct pane_out *o);

/* ---- registers ---- */

static const char *const gpr64[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

static void reg(struct pane_out *o, const char *name)
{
	char full[32];
	snprintf(full, sizeof full, "cpu%u.%s", o->t->cpu, name);
	put(o, STYLE_NORMAL, "%s", strlen(name) == 2 ? " " : "");
	put_field(o, full, name, false);
}

static void seg_part(struct pane_out *o, const char *seg, const char *part, const char *fmt, ...) PRINTF(4, 5);
static void seg_part(struct pane_out *o, const char *seg, const char *part, const char *fmt, ...)
{
	struct link l = { .kind = LINK_FIELD };
	char text[80];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	snprintf(l.name, sizeof l.name, "cpu%u.%s.%s", o->t->cpu, seg, part);
	put_link(o, field_changed(o->t, l.name) ? STYLE_CHANGED : STYLE_NORMAL, &l, "%s", text);
}

void draw_regs(struct tui *t, struct pane_out *o)
{
	const struct cpu *c = looked_at(t);
	char name[120];
	unsigned n = c->s.mode == MODE_LONG64 ? 16 : 8;
	bool two = o->w >= 41;
	for (unsigned i = 0; i < n; i++) {
		reg(o, gpr64[i]);
		if (two && i % 2 == 0)
			put_at(o, 21);
		else
			nl(o);
	}
	reg(o, "rip");
	if (symbol_text(t, block_linear(c), name, sizeof name)[0])
		put(o, STYLE_DIM, " %s", name);
	nl(o);
	static const struct { uint64_t bit; const char *name; } flags[] = {
		{ RFLAGS_CF, "CF" }, { RFLAGS_PF, "PF" }, { RFLAGS_AF, "AF" }, { RFLAGS_ZF, "ZF" }, { RFLAGS_SF, "SF" }, { RFLAGS_TF, "TF" },
		{ RFLAGS_IF, "IF" }, { RFLAGS_DF, "DF" }, { RFLAGS_OF, "OF" }, { RFLAGS_NT, "NT" }, { RFLAGS_RF, "RF" }, { RFLAGS_VM, "VM" },
		{ RFLAGS_AC, "AC" },
	};
	uint64_t fl = cpu_rflags(c);
	put(o, STYLE_DIM, "flags %06" PRIx64 " ", fl);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (fl & flags[i].bit) {
			char bit[16];
			snprintf(bit, sizeof bit, "rflags.%c%c", flags[i].name[0] | 32, flags[i].name[1] | 32);
			put_named(o, STYLE_NUMBER, bit, "%s", flags[i].name);
			put(o, STYLE_NORMAL, " ");
		}
	put(o, STYLE_DIM, "IOPL=%u", cpu_iopl(c));
	nl(o);
	static const char *const seg[] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };
	for (unsigned i = 0; i < SEG_N; i++) {
		const struct seg *s = &c->s.seg[i];
		put(o, STYLE_DIM, "%-4s ", seg[i]);
		seg_part(o, seg[i], "sel", "%04x", s->sel);
		if (s->attr & SEG_UNUSABLE) {
			put(o, STYLE_DIM, " unusable");
		} else {
			put(o, STYLE_DIM, " base ");
			seg_part(o, seg[i], "base", "%" PRIx64, s->base);
			put(o, STYLE_DIM, " limit ");
			seg_part(o, seg[i], "limit", "%x", s->limit);
			put(o, STYLE_NORMAL, " ");
			seg_part(o, seg[i], "attr", "%s%s dpl %u", !(s->attr & SEG_S) ? "system" : SEG_TYPE(s->attr) & 8 ? "code" : "data",
			         s->attr & SEG_L ? "64" : s->attr & SEG_DB ? "32" : "16", SEG_DPL(s->attr));
		}
		nl(o);
	}
}

/* ---- system registers ---- */

void draw_system(struct tui *t, struct pane_out *o)
{
	static const char *const names[] = { "cr0", "cr2", "cr3", "cr4", "cr8", "efer", "gdtr.base", "gdtr.limit", "idtr.base", "idtr.limit", "dr6", "dr7",
	                                     "lstar", "star", "sysenter_eip", "kernel_gs_base", "activity", "nmi_blocked", "shadow" };
	char full[40];
	(void)t;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(full, sizeof full, "cpu%u.%s", o->t->cpu, names[i]);
		put_field(o, full, names[i], true);
		nl(o);
	}
}
