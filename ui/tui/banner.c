/* banner.c - the first two lines: who runs and where, then when and which way. Always there, at any size. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/sys.h"
#include "models/vmm/nested/nested.h"
#include "ui/export/ledger_text.h"
#include "ui/session/translations.h"
#include "ui/tui/tui.h"

struct line { struct canvas *k; int y, x; };

static void add(struct line *l, enum style s, const char *fmt, ...) PRINTF(3, 4);
static void add(struct line *l, enum style s, const char *fmt, ...)
{
	char text[200];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	l->x = canvas_text(l->k, l->x, l->y, l->k->w, s, text);
}

/* A guest in rings; in translated code, where the guest is: RIP is the translation's. */
static void deprivileged(struct line *l, const struct tui *t, const struct cpu *c, const struct vcpu *v)
{
	bool begins;
	add(l, STYLE_BANNER_GUEST, " %s: vm%u's %s", v->vm->virt->name, v->vm->number, c->vmx.virtual_user ? "user" : "kernel");
	if (translation_runs(t->m, c))
		add(l, STYLE_BANNER_GUEST, " at %" PRIx64, machine_linear(t->m, c, block_linear(c), &begins));
}

/* Whose code: outside VMX operation, the VMM (root), or a virtual machine's (non-root). */
static void who(struct line *l, const struct tui *t, const struct cpu *c)
{
	const struct vmm *v = t->m->vmm;
	const struct vcpu *beside = c->vmx.deprivileged && v && v->s.current[c->number] ? v->vcpu[v->s.current[c->number] - 1] : NULL;
	if (beside && cpu_root_modelled(c))
		add(l, STYLE_BANNER_VMM, " the VMM (%s)", beside->vm->virt->name);
	else if (beside)
		deprivileged(l, t, c, beside);
	else if (c->vmx.vmxon == VMCS_NONE)
		add(l, STYLE_BANNER, " no VMX");
	else if (!c->vmx.guest)
		add(l, STYLE_BANNER_VMM, " VMX root%s ", cpu_root_modelled(c) ? ": the VMM" : "");
	else if (v && v->s.current[c->number]) {
		const struct vcpu *vcpu = v->vcpu[v->s.current[c->number] - 1];
		add(l, STYLE_BANNER_GUEST, " VMX non-root: vm%u", vcpu->vm->number);
		add(l, STYLE_BANNER_GUEST, vcpu->vm->config.vcpus > 1 ? ".vcpu%u " : " ", vcpu->number);
		if (nested_operation(vcpu))     /* a hypervisor in it, or that one's guest */
			add(l, STYLE_BANNER_GUEST, nested_running(vcpu) ? "L2 " : "L1 ");
	} else
		add(l, STYLE_BANNER_GUEST, " VMX non-root ");
}

static void address_space(struct line *l, const struct cpu *c)
{
	bool pcid = c->s.cr4 & CR4_PCIDE;
	if (!c->mmu.paging.levels)
		add(l, STYLE_BANNER, " | paging off");
	else
		add(l, STYLE_BANNER, " | cr3 %" PRIx64, c->s.cr3 & ~(pcid ? UINT64_C(0xfff) : 0));
	if (pcid)
		add(l, STYLE_BANNER, " pcid %x", (unsigned)(c->s.cr3 & 0xfff));
	if (!c->vmx.guest)
		return;
	if (vmx_on(c, VPID))
		add(l, STYLE_BANNER, " vpid %u", (unsigned)vmx_get(c, VPID));
	if (vmx_on(c, ENABLE_EPT))
		add(l, STYLE_BANNER, " ep4ta %" PRIx64, vmx_get(c, EPTP) & ~UINT64_C(0xfff));
}

static void place(struct tui *t, int y)
{
	static const char *const modes[] = { "real 16-bit", "real 32-bit", "virtual-8086", "16-bit", "32-bit", "compatibility 16", "compatibility 32", "64-bit" };
	static const char *const activity[] = { "", " halted", " shut down", " waits for SIPI" };
	const struct cpu *c = looked_at(t);
	struct line l = { &t->canvas, y, 0 };
	add(&l, STYLE_BANNER, " cpu%u ring %u %s%s |", c->number, c->s.cpl, modes[c->s.mode], activity[c->s.activity & 3]);
	who(&l, t, c);
	address_space(&l, c);
}

static void moment(struct tui *t, int y)
{
	struct moment now = timeline_now(t->timeline), end = timeline_end(t->timeline);
	struct timeline_branch br = timeline_branch(t->timeline, timeline_present(t->timeline));
	struct line l = { &t->canvas, y, 0 };
	char a[40], b[40];
	add(&l, STYLE_BANNER, " cycle %s = %.6f s | insn %s | %s %s ", digits(now.cycle, a, sizeof a),
	    (double)now.cycle / (double)t->m->config.profile.hz, digits(now.step, b, sizeof b), t->backwards ? "<-" : "->", br.name);
	if (!travel_in_past(t->travel))
		return;
	char mark[80];
	snprintf(mark, sizeof mark, " IN THE PAST: %s insns ago ", digits(end.step - now.step, a, sizeof a));
	int room = t->canvas.w - l.x;
	if ((int)strlen(mark) > room)
		snprintf(mark, sizeof mark, "%s", room >= 13 ? " IN THE PAST " : " PAST ");
	if ((int)strlen(mark) > room)
		l.x = t->canvas.w > (int)strlen(mark) ? t->canvas.w - (int)strlen(mark) : 0;
	add(&l, STYLE_PAST, "%s", mark);
}

void banner_draw(struct tui *t)
{
	for (int y = 0; y < BANNER_ROWS; y++)
		for (int x = 0; x < t->canvas.w; x++)
			canvas_put(&t->canvas, x, y, STYLE_BANNER, ' ');
	place(t, 0);
	moment(t, 1);
}
