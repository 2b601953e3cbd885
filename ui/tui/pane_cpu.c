/* pane_cpu.c - the panes about one CPU: code, registers, system registers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "ui/tui/tui.h"

void draw_code(struct tui *t, struct pane_out *o);
void draw_regs(struct tui *t, struct pane_out *o);
void draw_system(struct tui *t, struct pane_out *o);

/* ---- code ---- */

/* A few instructions before `at`: start far enough back that decoding has found its feet when it arrives. */
static uint64_t back_up(const struct tui *t, uint64_t at, unsigned lines)
{
	uint64_t start[64];
	char text[160];
	for (unsigned far = 96; far >= 16; far -= 5) {
		uint64_t p = at - far;
		unsigned n = 0;
		while (p < at && n < ARRAY_LEN(start)) {
			unsigned len = disassemble(t, p, text, sizeof text);
			if (!len)
				break;
			start[n++] = p;
			p += len;
		}
		if (p == at && n)
			return start[n > lines ? n - lines : 0];
	}
	return at;
}

/* Nothing is fetched in root operation while the VMM is modelled: what it is about to do stands in place of code. */
static void modelled(struct tui *t, struct pane_out *o)
{
	const struct cpu *c = looked_at(t);
	uint64_t reason = c->vmcs ? c->vmcs->f[VMCS_EXIT_REASON] & 0xffff : 0;
	put(o, STYLE_VMM, "the modelled VMM");
	put(o, STYLE_DIM, c->s.activity == ACTIVITY_ACTIVE ? " runs next: it has no code here" : " waits: nothing to run");
	nl(o);
	if (c->vmcs && c->vmcs->launched && reason < EXIT_REASONS && exit_reason_rows[reason].name) {
		put(o, STYLE_NORMAL, "VM exit %s: %s", exit_reason_rows[reason].name, exit_reason_rows[reason].sentence);
		nl(o);
		put(o, STYLE_DIM, "guest at %#" PRIx64 ", qualification %#" PRIx64, c->vmcs->f[VMCS_GUEST_RIP], c->vmcs->f[VMCS_EXIT_QUALIFICATION]);
		nl(o);
	}
	put(o, STYLE_DIM, "s serves it and enters the guest again");
	nl(o);
}

void draw_code(struct tui *t, struct pane_out *o)
{
	if (cpu_root_modelled(looked_at(t)) && o->view->address == ~0ull) {
		modelled(t, o);
		return;
	}
	uint64_t next = block_linear(looked_at(t)), at = o->view->address == ~0ull ? next : o->view->address;
	uint64_t p = back_up(t, at, (unsigned)(o->h > 8 ? o->h / 3 : 2));
	char text[200], name[120];
	bool wide = looked_at(t)->s.mode == MODE_LONG64;
	for (int i = 0; i < o->h; i++) {
		unsigned n = disassemble(t, p, text, sizeof text);
		const bool is_next = p == next;
		symbol_text(t, p, name, sizeof name);
		if (name[0] && !strchr(name, '+') && o->line < o->h - 1) {
			put(o, STYLE_TITLE, "%s:", name);
			nl(o);
		}
		if (travel_hit(t, p))
			put_glyph(o, STYLE_BAD, GLYPH_BREAK);
		else
			put(o, STYLE_NORMAL, " ");
		if (is_next)
			put_glyph(o, STYLE_HERE, GLYPH_HERE);
		else
			put(o, STYLE_NORMAL, " ");
		put(o, STYLE_DIM, wide && p >> 32 ? "%016" PRIx64 " " : "%08" PRIx64 " ", p);
		if (!n) {
			put(o, STYLE_BAD, "not mapped");
			nl(o);
			return;
		}
		put(o, is_next ? STYLE_HERE : STYLE_NORMAL, "%s", text);
		nl(o);
		p += n;
	}
}

/* ---- registers ---- */

static const char *const gpr64[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

static void reg(struct pane_out *o, const char *name)
{
	char full[32];
	snprintf(full, sizeof full, "cpu%u.%s", o->t->cpu, name);
	put(o, STYLE_NORMAL, "%s", strlen(name) == 2 ? " " : "");
	put_field(o, full, name, false);
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
		if (fl & flags[i].bit)
			put(o, STYLE_NUMBER, "%s ", flags[i].name);
	put(o, STYLE_DIM, "IOPL=%u", cpu_iopl(c));
	nl(o);
	static const char *const seg[] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };
	for (unsigned i = 0; i < SEG_N; i++) {
		const struct seg *s = &c->s.seg[i];
		put(o, STYLE_DIM, "%-4s ", seg[i]);
		put(o, STYLE_NORMAL, "%04x ", s->sel);
		if (s->attr & SEG_UNUSABLE)
			put(o, STYLE_DIM, "unusable");
		else
			put(o, STYLE_NORMAL, "base %" PRIx64 " limit %x %s%s dpl %u", s->base, s->limit,
			    !(s->attr & SEG_S) ? "system" : SEG_TYPE(s->attr) & 8 ? "code" : "data",
			    s->attr & SEG_L ? "64" : s->attr & SEG_DB ? "32" : "16", SEG_DPL(s->attr));
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
