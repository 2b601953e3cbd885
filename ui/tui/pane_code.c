/* pane_code.c - the code pane: instructions and source lines around the next one, breakpoints, where time goes, and what
 * the next instruction means to a VMM. Its choice ([ and ]): both, disassembly, source. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "models/vmm/vmm.h"
#include "ui/session/sense.h"
#include "ui/session/translations.h"
#include "ui/tui/tui.h"

void draw_code(struct tui *t, struct pane_out *o);

enum { SHOW_BOTH, SHOW_CODE, SHOW_SOURCE, SHOWS };

struct source *tui_source(struct tui *t)
{
	const struct options *o = &t->run->session->o;
	if (!t->source)
		t->source = source_open(run_face(t->run)->image, o->allow, o->allows);
	return t->source;
}

/* A few instructions before `at`: start far enough back that decoding has found its feet when it arrives; in translated
 * code, at its block's beginning. */
static uint64_t back_up(const struct tui *t, uint64_t at, unsigned lines, const struct bt_seen *block)
{
	uint64_t start[256];
	char text[160];
	for (unsigned far = 96; lines && far >= 16; far -= 5) {
		uint64_t p = block ? block->at : at - far;
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
	put(o, STYLE_DIM, c->s.activity == ACTIVITY_ACTIVE ? " runs next" : " waits");
	put(o, STYLE_DIM, o->w < 48 ? "" : c->s.activity == ACTIVITY_ACTIVE ? ": it has no code here" : ": nothing to run");
	nl(o);
	if (c->vmcs && c->vmcs->launched && reason < EXIT_REASONS && exit_reason_rows[reason].name) {
		put(o, STYLE_NORMAL, "VM exit %s: %s", exit_reason_rows[reason].name, exit_reason_rows[reason].sentence);
		nl(o);
		char words[160], name[120];
		uint64_t rip = c->vmcs->f[VMCS_GUEST_RIP];
		if (exit_words((uint32_t)c->vmcs->f[VMCS_EXIT_REASON], c->vmcs->f[VMCS_EXIT_QUALIFICATION], (uint32_t)c->vmcs->f[VMCS_EXIT_INTR_INFO],
		               c->vmcs->f[VMCS_GUEST_PHYSICAL], words, sizeof words)[0]) {
			put(o, STYLE_NUMBER, "%s", words);
			nl(o);
		}
		put(o, STYLE_DIM, "guest at ");
		put(o, STYLE_KERNEL, "%s", symbol_text(t, rip, name, sizeof name)[0] ? name : "");
		put(o, STYLE_DIM, name[0] ? " (%" PRIx64 ")" : "%" PRIx64, rip);
		nl(o);
	}
	put(o, STYLE_DIM, o->w < 40 ? "s: serve it, enter again" : "s serves it and enters the guest again");
	nl(o);
}

/* ---- where time goes ---- */

/* The share of the VM's own software, kernel and user together, that a piece of code took: empty, or "12%". */
static void share(struct tui *t, struct pane_out *o, uint64_t from, uint64_t to)
{
	const struct cpu *c = looked_at(t);
	const struct hotspots *h = &t->hot;
	unsigned acct = ACCT_GUEST + 2u * c->vmx.vm;
	if (!h->n)
		return;
	cycle_t spent = hotspots_at(h, acct, from, to) + hotspots_at(h, acct + 1, from, to);
	if (!spent)
		put(o, STYLE_NORMAL, "    ");
	else if (spent * 100 / h->total)
		put(o, spent * 100 / h->total >= 5 ? STYLE_NUMBER : STYLE_NORMAL, "%3u%%", (unsigned)(spent * 100 / h->total));
	else
		put(o, STYLE_DIM, " <1%%");
}

/* ---- what the next instruction means ---- */

struct sense_text { enum style s; char kind[40], verdict[80], why[140]; };

static bool sense_text(struct tui *t, const struct bt_seen *block, struct sense_text *x)
{
	struct sense s;
	const struct cpu *c = looked_at(t);
	const struct bt_point *p = block ? translation_point(block, block_linear(c)) : NULL;
	if (p && p->callout && p->callout < BT_CALLOUTS) {
		*x = (struct sense_text){ .s = STYLE_VMM };
		snprintf(x->kind, sizeof x->kind, "callout %s", bt_callout_rows[p->callout].name);
		snprintf(x->why, sizeof x->why, "%s", bt_callout_rows[p->callout].sentence);
		return true;
	}
	if (!sense_next(t->m, c, &s))
		return false;
	*x = (struct sense_text){ s.privileged ? STYLE_NUMBER : s.critical ? STYLE_BAD : STYLE_DIM, "", "", "" };
	snprintf(x->kind, sizeof x->kind, "%s", s.privileged ? "privileged" : s.critical ? "critical" : "innocuous");
	switch (s.verdict) {
	case SENSE_NONE:
		if (s.privileged)
			snprintf(x->why, sizeof x->why, c->s.cpl ? "faults in ring %u" : "would fault outside ring %u", c->s.cpl);
		else if (s.critical)
			snprintf(x->why, sizeof x->why, "sensitive, but trap-and-emulate would not see it");
		break;
	case SENSE_EXIT:
		snprintf(x->verdict, sizeof x->verdict, "; exits: %s", s.reason);
		snprintf(x->why, sizeof x->why, "%s", s.why);
		break;
	case SENSE_FAULT:
		snprintf(x->verdict, sizeof x->verdict, "; faults");
		snprintf(x->why, sizeof x->why, "%s", s.why);
		break;
	case SENSE_NO_EXIT:
		snprintf(x->verdict, sizeof x->verdict, "; no VM exit");
		if (s.control || s.privileged || s.critical)
			snprintf(x->why, sizeof x->why, "%s", s.why);
		break;
	}
	return true;
}

/* The last line, or two when it is narrow. */
static int sense_rows(const struct pane_out *o, const struct sense_text *x)
{
	return x->why[0] && (int)(strlen(x->kind) + strlen(x->verdict) + strlen(x->why)) + 3 > o->w && o->h >= 8 ? 2 : 1;
}

static void draw_sense(struct pane_out *o, const struct sense_text *x, int rows)
{
	while (o->line < o->view->top + o->h - rows)
		nl(o);
	o->line = o->view->top + o->h - rows;
	for (int y = o->h - rows; y < o->h; y++)
		for (int i = 0; i < o->w; i++)
			canvas_put(&o->t->canvas, o->x + i, o->y + y, STYLE_NORMAL, ' ');
	o->col = 0;
	put(o, x->s, "%s", x->kind);
	put(o, !x->verdict[0] ? STYLE_DIM : x->verdict[2] == 'e' ? STYLE_VMM : x->verdict[2] == 'f' ? STYLE_BAD : STYLE_DIM, "%s", x->verdict);
	if (rows == 2)
		nl(o);
	if (x->why[0])
		put(o, STYLE_DIM, rows == 2 ? "  %s" : ": %s", x->why);
}

/* An instruction: Enter explains its mnemonic. */
static void insn_text(struct pane_out *o, enum style s, const char *text)
{
	static const char *const prefixes[] = { "rep ", "repe ", "repz ", "repne ", "repnz ", "lock ", "xacquire ", "xrelease ", "bnd ", "notrack " };
	char name[40];
	const char *word = text;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (strncmp(word, prefixes[i], strlen(prefixes[i])) == 0)
			word += strlen(prefixes[i]);
	snprintf(name, sizeof name, "%.*s", (int)strcspn(word, " "), word);
	put_named(o, s, name, "%s", text);
}

/* ---- lines ---- */

static bool break_between(const struct tui *t, uint64_t from, uint64_t to)
{
	for (uint64_t p = from; p < to && p < from + 64; p++)
		if (travel_hit(t, p))
			return true;
	return false;
}

static void marks(struct tui *t, struct pane_out *o, bool stop, bool next)
{
	(void)t;
	if (stop)
		put_glyph(o, STYLE_BAD, GLYPH_BREAK);
	else
		put(o, STYLE_NORMAL, " ");
	if (next)
		put_glyph(o, STYLE_HERE, GLYPH_HERE);
	else
		put(o, STYLE_NORMAL, " ");
}

static void plain(char *to, size_t n, const char *from)
{
	size_t k = 0;
	for (; *from && k + 5 < n; from++)
		if (*from == '\t')
			for (int i = 0; i < 4; i++)
				to[k++] = ' ';
		else
			to[k++] = *from;
	to[k] = '\0';
}

/* The file around the line that runs, with what is known of each line. */
static bool draw_source(struct tui *t, struct pane_out *o, uint64_t at, uint64_t next, int rows)
{
	struct source_line here_line, l;
	struct source *s = tui_source(t);
	char text[300];
	if (!source_at(s, at, &here_line))
		return false;
	put(o, STYLE_DIM, "%s:%u", source_base(here_line.file), here_line.line);
	if (!here_line.text)
		put(o, STYLE_DIM, "  (the file is not in the image's folder, nor allowed)");
	nl(o);
	unsigned first = here_line.line > (unsigned)rows / 3 ? here_line.line - (unsigned)rows / 3 : 1;
	for (unsigned i = first; (int)(i - first) < rows - 1; i++) {
		const char *line = source_text(s, here_line.file, i);
		uint64_t addr = 0;
		bool code = source_address(s, here_line.file, i, &addr) && source_at(s, addr, &l);
		bool is_next = i == here_line.line && at == next;
		if (!line)
			break;
		marks(t, o, code && break_between(t, l.from, l.to), is_next);
		put(o, STYLE_DIM, "%4u ", i);
		if (code)
			share(t, o, l.from, l.to);
		else if (t->hot.n)
			put(o, STYLE_NORMAL, "    ");
		plain(text, sizeof text, line);
		put(o, is_next ? STYLE_HERE : code ? STYLE_NORMAL : STYLE_DIM, "%s", text);
		nl(o);
	}
	return true;
}

/* Where an instruction is, in as many columns as there are: the distance from its symbol when they are few. */
static void address(struct tui *t, struct pane_out *o, uint64_t p)
{
	char name[120];
	const char *plus;
	struct link l = { .kind = LINK_ADDRESS, .address = p };
	if (o->w < 60 && (plus = strchr(symbol_text(t, p, name, sizeof name), '+')) != NULL)
		put_link(o, STYLE_DIM, &l, "%6s ", plus);
	else if (o->w < 60 && name[0])
		put_link(o, STYLE_DIM, &l, "%6s ", "+0");
	else
		put_link(o, STYLE_DIM, &l, looked_at(t)->s.mode == MODE_LONG64 && p >> 32 ? "%016" PRIx64 " " : "%08" PRIx64 " ", p);
}

/* block: the translated code `at` is in; NULL: it is the guest's own. */
static void draw_code_lines(struct tui *t, struct pane_out *o, uint64_t at, uint64_t next, bool sources, int rows, const struct bt_seen *block)
{
	uint64_t p = back_up(t, at, (unsigned)(rows > 8 ? rows / 3 : rows > 5 ? 2 : 0), block), end = block ? block->at + block->d.len : ~0ull;
	char text[300], name[120];
	struct source_line l = { 0 };
	if (block) {
		symbol_text(t, block->d.pc, name, sizeof name);
		put(o, STYLE_TITLE, "translation of %s", name);
		put(o, name[0] ? STYLE_DIM : STYLE_TITLE, name[0] ? " (%" PRIx64 "):" : "%" PRIx64 ":", block->d.pc);
		nl(o);
	}
	for (int i = 0; i < rows && o->line < rows && p < end; i++) {
		unsigned n = disassemble(t, p, text, sizeof text);
		const bool is_next = p == next;
		symbol_text(t, p, name, sizeof name);
		if (name[0] && (i == 0 || !strchr(name, '+')) && o->line < rows - 1) {
			if (i == 0 && strchr(name, '+'))
				*strchr(name, '+') = '\0';
			put(o, STYLE_TITLE, "%s:", name);
			nl(o);
		}
		if (sources && !(p >= l.from && p < l.to) && source_at(tui_source(t), p, &l) && l.text && o->line < rows - 1) {
			char line[300];
			plain(line, sizeof line, l.text + strspn(l.text, " \t"));
			put(o, STYLE_SOURCE, "%s:%u  %s", source_base(l.file), l.line, line);
			nl(o);
		}
		marks(t, o, travel_hit(t, p), is_next);
		share(t, o, p, p + (n ? n : 1));
		address(t, o, p);
		if (!n) {
			put(o, STYLE_BAD, "not mapped");
			nl(o);
			return;
		}
		insn_text(o, is_next ? STYLE_HERE : STYLE_NORMAL, text);
		nl(o);
		p += n;
	}
}

void draw_code(struct tui *t, struct pane_out *o)
{
	const struct cpu *c = looked_at(t);
	const bool follows = o->view->address == ~0ull;
	if (follows && t->m->vmm && !t->m->vmm->s.started) {
		put(o, STYLE_VMM, "the modelled VMM is about to boot");
		nl(o);
		put(o, STYLE_DIM, "s: it takes the machine and enters its first guest");
		nl(o);
		return;
	}
	if (follows && cpu_root_modelled(c)) {
		modelled(t, o);
		return;
	}
	static struct bt_seen seen;
	int show = ((o->view->choice % SHOWS) + SHOWS) % SHOWS, rows = o->h;
	uint64_t next = block_linear(c), at = follows ? next : o->view->address;
	const struct vcpu *v = translation_runs(t->m, c);
	const struct bt_seen *block = v && translation_at(v, at, &seen) ? &seen : NULL;
	struct sense_text sense;
	const bool told = follows && o->h >= 4 && sense_text(t, block, &sense);
	if (told)
		rows -= sense_rows(o, &sense);
	bool sources = show != SHOW_CODE && source_any(tui_source(t));
	if (show != SHOW_SOURCE || !draw_source(t, o, at, next, rows))
		draw_code_lines(t, o, at, next, sources, rows, block);
	if (told)
		draw_sense(o, &sense, o->h - rows);
}
