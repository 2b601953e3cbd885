/* answer.c - one packet's data to its answer.
 *
 * Errors: E01 the packet is not as the protocol has it, E14 no memory there, E16 it cannot be written, E22 no such thread,
 * register or breakpoint. What is not known is answered by an empty packet, as the protocol wants it. */
#include <stdlib.h>
#include <string.h>

#include "ui/gdb/stub.h"

#define MEMORY_MAX (GDB_PACKET_MAX / 2)

/* The session a packet speaks to, what follows the word that chose the handler, and where the answer goes. */
struct asked { struct gdb *g; const char *p, *end; struct gdb_reply *o; };

static void bad(struct asked *a) { reply_text(a->o, "E01"); }
static void ok(struct asked *a) { reply_text(a->o, "OK"); }

/* ---- threads ---- */

/* -1 (all), 0 (any) and a number; false: not a thread id, or no such thread. */
static bool take_thread(struct asked *a, unsigned *thread)
{
	uint64_t n;
	*thread = 0;
	if (take_word(&a->p, "-1"))
		return true;
	if (!take_number(&a->p, &n) || n > view_threads(&a->g->view))
		return false;
	*thread = (unsigned)n;
	return true;
}

static void do_select(struct asked *a)
{
	unsigned t;
	char what = *a->p;
	if (what != 'g' && what != 'c') {
		bad(a);
		return;
	}
	a->p++;
	if (!take_thread(a, &t)) {
		reply_text(a->o, "E22");
		return;
	}
	if (what == 'c')
		a->g->thread_go = t;
	else if (t)
		a->g->thread = t;
	ok(a);
}

static void do_alive(struct asked *a)
{
	unsigned t;
	reply_text(a->o, take_thread(a, &t) && t ? "OK" : "E22");
}

static void do_threads(struct asked *a)
{
	reply_text(a->o, "m");
	for (unsigned t = 1; t <= view_threads(&a->g->view); t++)
		reply_text(a->o, "%s%x", t > 1 ? "," : "", t);
}
static void do_no_more(struct asked *a) { reply_text(a->o, "l"); }
static void do_current(struct asked *a) { reply_text(a->o, "QC%x", a->g->thread); }

static void do_extra(struct asked *a)
{
	char text[100];
	unsigned t;
	if (!take_thread(a, &t) || !t) {
		reply_text(a->o, "E22");
		return;
	}
	view_describe(&a->g->view, t, text, sizeof text);
	reply_hex(a->o, text, strlen(text));
}

/* ---- registers ---- */

static void do_read_all(struct asked *a)
{
	struct view_state s;
	uint8_t value[16];
	view_state(&a->g->view, a->g->thread, &s);
	for (unsigned n = 0; n < regs_n(a->g->arch); n++)
		reply_hex(a->o, value, reg_get(a->g->arch, n, &s, value));
}

/* What follows from other state is left as it is. */
static void do_write_all(struct asked *a)
{
	for (unsigned n = 0; n < regs_n(a->g->arch) && a->p < a->end; n++) {
		struct view_state s;
		uint8_t value[16] = { 0 }, now[16];
		unsigned size = reg_size(a->g->arch, n);
		if (!take_bytes(&a->p, value, size)) {
			bad(a);
			return;
		}
		view_state(&a->g->view, a->g->thread, &s);
		reg_get(a->g->arch, n, &s, now);
		if (memcmp(now, value, size) != 0 && reg_set(a->g->arch, n, &a->g->view, a->g->thread, value))
			a->g->touched = true;
	}
	ok(a);
}

static void do_read_one(struct asked *a)
{
	struct view_state s;
	uint8_t value[16];
	uint64_t n;
	if (!take_number(&a->p, &n) || *a->p) {
		bad(a);
		return;
	}
	if (n >= regs_n(a->g->arch)) {
		reply_text(a->o, "E22");
		return;
	}
	view_state(&a->g->view, a->g->thread, &s);
	reply_hex(a->o, value, reg_get(a->g->arch, (unsigned)n, &s, value));
}

static void do_write_one(struct asked *a)
{
	uint8_t value[16] = { 0 };
	uint64_t n;
	if (!take_number(&a->p, &n) || !take_char(&a->p, '=')) {
		bad(a);
		return;
	}
	if (n >= regs_n(a->g->arch)) {
		reply_text(a->o, "E22");
		return;
	}
	if (!take_bytes(&a->p, value, reg_size(a->g->arch, (unsigned)n)) || *a->p) {
		bad(a);
		return;
	}
	if (!reg_set(a->g->arch, (unsigned)n, &a->g->view, a->g->thread, value)) {
		reply_text(a->o, "E16");
		return;
	}
	a->g->touched = true;
	ok(a);
}

/* ---- memory ---- */

static bool take_range(struct asked *a, uint64_t *at, uint64_t *n)
{
	return take_number(&a->p, at) && take_char(&a->p, ',') && take_number(&a->p, n);
}

/* As much as there is. -1: nothing, answered. */
static int look(struct asked *a, uint8_t *bytes)
{
	uint64_t at, n;
	if (!take_range(a, &at, &n) || *a->p) {
		bad(a);
		return -1;
	}
	size_t got = view_peek(&a->g->view, a->g->thread, a->g->memory, at, bytes, n < MEMORY_MAX ? n : MEMORY_MAX);
	if (n && !got) {
		reply_text(a->o, "E14");
		return -1;
	}
	return (int)got;
}

static void do_read_memory(struct asked *a)
{
	uint8_t bytes[MEMORY_MAX];
	int n = look(a, bytes);
	if (n > 0)
		reply_hex(a->o, bytes, (size_t)n);
}

static void do_read_binary(struct asked *a)
{
	uint8_t bytes[MEMORY_MAX];
	int n = look(a, bytes);
	if (n < 0)
		return;
	reply_text(a->o, "b");
	reply_bytes(a->o, bytes, (size_t)n);
}

static void put(struct asked *a, uint64_t at, const void *bytes, uint64_t n)
{
	if (n && !view_poke(&a->g->view, a->g->thread, a->g->memory, at, bytes, n)) {
		reply_text(a->o, "E14");
		return;
	}
	a->g->touched |= n > 0;
	ok(a);
}

static void do_write_memory(struct asked *a)
{
	uint8_t bytes[MEMORY_MAX];
	uint64_t at, n;
	if (!take_range(a, &at, &n) || !take_char(&a->p, ':') || n > MEMORY_MAX || !take_bytes(&a->p, bytes, n) || *a->p)
		bad(a);
	else
		put(a, at, bytes, n);
}

static void do_write_binary(struct asked *a)
{
	uint64_t at, n;
	if (!take_range(a, &at, &n) || !take_char(&a->p, ':') || n != (uint64_t)(a->end - a->p))
		bad(a);
	else
		put(a, at, a->p, n);
}

static void do_memory_mode(struct asked *a)
{
	uint64_t on;
	if (!take_number(&a->p, &on) || on > 1) {
		bad(a);
		return;
	}
	a->g->memory = on ? (a->g->view.vm ? VIEW_GUEST_PHYSICAL : VIEW_HOST_PHYSICAL) : VIEW_LINEAR;
	ok(a);
}
static void do_memory_mode_now(struct asked *a) { reply_text(a->o, "%d", a->g->memory != VIEW_LINEAR); }

/* ---- break- and watchpoints ---- */

/* "type,address,kind", and what may follow after a semicolon does not concern us. */
static bool take_point(struct asked *a, enum point_type *type, uint64_t *at, uint64_t *kind)
{
	uint64_t t;
	if (!take_number(&a->p, &t) || !take_char(&a->p, ',') || !take_range(a, at, kind) || (*a->p && *a->p != ';'))
		return false;
	*type = (enum point_type)(t < POINT_TYPES ? t : POINT_TYPES);
	return true;
}

static void do_insert(struct asked *a)
{
	struct err e = { "" };
	enum point_type type;
	uint64_t at, kind;
	if (!take_point(a, &type, &at, &kind)) {
		bad(a);
		return;
	}
	if (type == POINT_TYPES)
		return;         /* unknown: an empty answer */
	if (type >= POINT_WRITE && (kind < 1 || kind > 4096)) {
		reply_text(a->o, "E22");
		return;
	}
	int done = point_set(a->g, type, at, (uint32_t)kind, &e);
	if (done)
		reply_text(a->o, done > 0 ? "OK" : "E22");
}

static void do_remove(struct asked *a)
{
	enum point_type type;
	uint64_t at, kind;
	if (!take_point(a, &type, &at, &kind)) {
		bad(a);
		return;
	}
	if (type == POINT_TYPES)
		return;
	point_unset(a->g, type, at, (uint32_t)kind);
	ok(a);
}

/* ---- going ---- */

static void go(struct asked *a, enum go how, unsigned thread)
{
	gdb_go(a->g, how, thread, 0, 0, a->o);
}

/* c, s and their forms with a signal, which nothing here takes; an address to go on at may follow. */
static void resume(struct asked *a, enum go how, bool signal)
{
	uint64_t v;
	if (signal && !take_number(&a->p, &v)) {
		bad(a);
		return;
	}
	if (signal)
		take_char(&a->p, ';');
	if (*a->p) {
		uint8_t to[16] = { 0 };
		if (!take_number(&a->p, &v) || *a->p) {
			bad(a);
			return;
		}
		memcpy(to, &v, 8);
		a->g->touched |= view_register(&a->g->view, a->g->thread, VIEW_SET_RIP, 0, to);
	}
	go(a, how, a->g->thread_go);
}

static void do_continue(struct asked *a) { resume(a, GO_CONTINUE, false); }
static void do_step(struct asked *a) { resume(a, GO_STEP, false); }
static void do_continue_signal(struct asked *a) { resume(a, GO_CONTINUE, true); }
static void do_step_signal(struct asked *a) { resume(a, GO_STEP, true); }
static void do_back_step(struct asked *a) { go(a, GO_BACK_STEP, a->g->thread_go); }
static void do_back_continue(struct asked *a) { go(a, GO_BACK_CONTINUE, a->g->thread_go); }
static void do_cont_what(struct asked *a) { reply_text(a->o, "vCont;c;C;s;S;r"); }

/* "vCont;s:1;c": of all actions the first step decides, for the other CPUs run along anyway. */
static void do_cont(struct asked *a)
{
	enum go how = GO_CONTINUE;
	unsigned thread = 0;
	uint64_t low = 0, high = 0, signal;
	bool any = false;
	while (take_char(&a->p, ';')) {
		char what = *a->p;
		unsigned t = 0;
		uint64_t from = 0, to = 0;
		any = true;
		if (!what || !strchr("cCsSr", what)) {
			bad(a);
			return;
		}
		a->p++;
		if ((what == 'C' || what == 'S') && !take_number(&a->p, &signal)) {
			bad(a);
			return;
		}
		if (what == 'r' && !take_range(a, &from, &to)) {
			bad(a);
			return;
		}
		if (take_char(&a->p, ':') && !take_thread(a, &t)) {
			reply_text(a->o, "E22");
			return;
		}
		if (how == GO_CONTINUE && what != 'c' && what != 'C') {
			how = what == 'r' ? GO_RANGE : GO_STEP;
			thread = t;
			low = from;
			high = to;
		}
	}
	if (!any || *a->p)
		bad(a);
	else
		gdb_go(a->g, how, thread, low, high, a->o);
}

static void do_why(struct asked *a) { reply_text(a->o, "%s", a->g->stop); }

static void do_detach(struct asked *a)
{
	a->g->over = OVER_DETACHED;
	ok(a);
}
static void do_kill(struct asked *a) { a->g->over = OVER_KILLED; }
static void do_vkill(struct asked *a)
{
	a->g->over = OVER_KILLED;
	ok(a);
}

/* ---- queries ---- */

static void do_supported(struct asked *a)
{
	a->g->says_swbreak = strstr(a->p, "swbreak+") != NULL;
	a->g->says_hwbreak = strstr(a->p, "hwbreak+") != NULL;
	reply_text(a->o, "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+;ReverseStep+;"
	           "ReverseContinue+;binary-upload+", GDB_PACKET_MAX);
}

static void do_no_ack(struct asked *a)
{
	a->g->no_ack = true;
	ok(a);
}

/* "target.xml:offset,length": m: there is more, l: that was the last. */
static void do_features(struct asked *a)
{
	uint64_t from, n;
	size_t all = strlen(a->g->xml);
	if (!take_word(&a->p, "target.xml:")) {
		reply_text(a->o, "E00");
		return;
	}
	if (!take_range(a, &from, &n) || *a->p) {
		bad(a);
		return;
	}
	if (n > GDB_PACKET_MAX - 16)
		n = GDB_PACKET_MAX - 16;
	if (from > all)
		from = all;
	reply_text(a->o, n < all - from ? "m" : "l");
	reply_bytes(a->o, a->g->xml + from, n < all - from ? n : all - from);
}

static void do_attached(struct asked *a) { reply_text(a->o, "1"); }
static void do_offsets(struct asked *a) { reply_text(a->o, "Text=0;Data=0;Bss=0"); }
static void do_nothing(struct asked *a) { (void)a; }

static void do_monitor(struct asked *a)
{
	size_t n = (size_t)(a->end - a->p) / 2;
	char line[512];
	if (n >= sizeof line || !take_bytes(&a->p, (uint8_t *)line, n) || *a->p) {
		bad(a);
		return;
	}
	line[n] = '\0';
	gdb_monitor(a->g, line);
	for (size_t i = 0; i < a->g->text.n; i += MEMORY_MAX - 8) {
		struct gdb_reply part;
		size_t left = a->g->text.n - i, k = left < MEMORY_MAX - 8 ? left : MEMORY_MAX - 8;
		reply_clear(&part);
		reply_text(&part, "O");
		reply_hex(&part, a->g->text.data + i, k);
		if (a->g->send)
			a->g->send(a->g->who, part.data, part.n);
	}
	ok(a);
}

/* ---- the table: the first row whose word the packet begins with ---- */

static const struct { const char *word; void (*fn)(struct asked *a); } packets[] = {
	{ "?", do_why }, { "g", do_read_all }, { "G", do_write_all }, { "p", do_read_one }, { "P", do_write_one },
	{ "m", do_read_memory }, { "M", do_write_memory }, { "x", do_read_binary }, { "X", do_write_binary },
	{ "H", do_select }, { "T", do_alive },
	{ "c", do_continue }, { "s", do_step }, { "C", do_continue_signal }, { "S", do_step_signal },
	{ "bs", do_back_step }, { "bc", do_back_continue },
	{ "Z", do_insert }, { "z", do_remove }, { "D", do_detach }, { "k", do_kill },
	{ "vCont?", do_cont_what }, { "vCont", do_cont }, { "vKill", do_vkill }, { "vMustReplyEmpty", do_nothing },
	{ "qSupported", do_supported }, { "QStartNoAckMode", do_no_ack }, { "qXfer:features:read:", do_features },
	{ "qAttached", do_attached }, { "qOffsets", do_offsets }, { "qSymbol", ok }, { "qRcmd,", do_monitor },
	{ "qfThreadInfo", do_threads }, { "qsThreadInfo", do_no_more }, { "qThreadExtraInfo,", do_extra }, { "qC", do_current },
	{ "qqemu.PhyMemMode", do_memory_mode_now }, { "Qqemu.PhyMemMode:", do_memory_mode },
};

bool gdb_answer(struct gdb *g, const char *data, size_t n, struct gdb_reply *o)
{
	struct asked a = { g, data, data + n, o };
	reply_clear(o);
	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		a.p = data;
		if (take_word(&a.p, packets[i].word)) {
			packets[i].fn(&a);
			break;
		}
	}
	return g->over != OVER_KILLED || o->n;
}

/* ---- life ---- */

struct gdb *gdb_new(struct run *r, enum gdb_arch arch)
{
	struct gdb *g = xcalloc(1, sizeof *g);
	g->r = r;
	g->view = (struct view){ r, r->vms ? 1 : 0 };
	g->arch = arch;
	g->xml = regs_xml(g->arch);
	for (unsigned i = 0; i <= r->vms; i++) {
		struct run *one = i ? r->vm[i - 1] : r;
		g->console[i].echo = one->echo;
		g->console[i].printed = one->console_n;
		one->echo = false;
	}
	g->travel = travel_open(r);
	g->thread = 1;
	gdb_arrived(g);
	return g;
}

void gdb_free(struct gdb *g)
{
	points_clear(g);
	travel_close(g->travel);
	for (unsigned i = 0; i <= g->r->vms; i++)
		(i ? g->r->vm[i - 1] : g->r)->echo = g->console[i].echo;
	free(g->xml);
	free(g);
}
