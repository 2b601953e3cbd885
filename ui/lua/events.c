/* events.c - running from Lua, and Lua functions that listen: trace events, console lines,
 * the runs they stop.
 *
 * A listener is called while the machine is in the middle of an instruction. So it may look and
 * count but not run the machine or change it; and a Lua error in it must not unwind through the
 * CPU: it is kept, the run is asked to stop, and the error is thrown when the run has come back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/symbols.h"
#include "ui/lua/api.h"
#include "ui/lua/watchdog.h"
#include "ui/session/stops.h"
#include "ui/session/travel.h"

struct handler {
	struct handler *next;
	lua_State *L;
	struct scenario *s;
	struct run *run;
	/* registry reference; LUA_NOREF: ask to stop at the first event */
	int fn;
	bool console;
	bool exits;                     /* of a virtual machine, for the reason `reason`; EXIT_REASONS: any */
	uint32_t reason;
	bool hit;                       /* LUA_NOREF: it happened */
	struct trace_record seen;
};

static struct handler *handler_new(lua_State *L, struct run *r, int fn)
{
	struct handler *h = xcalloc(1, sizeof *h);

	h->s = scenario_of(L);
	h->L = h->s->sandbox.L;
	h->run = r;
	h->fn = fn;
	h->next = h->s->handlers;
	h->s->handlers = h;
	return h;
}

static void on_record(void *who, const struct trace_record *r);

static void handler_drop(struct handler *h)
{
	struct handler **p = &h->s->handlers;

	while (*p != h)
		p = &(*p)->next;
	*p = h->next;
	if (!h->console && !h->exits)
		trace_unlisten(&h->run->m->trace, on_record, h);
	luaL_unref(h->L, LUA_REGISTRYINDEX, h->fn);
	free(h);
}

void handlers_free(struct scenario *s)
{
	while (s->handlers)
		handler_drop(s->handlers);
}

/* ---- telling Lua ---- */

void api_push_event(lua_State *L, const struct machine *m, const struct trace_record *r)
{
	const struct trace_row *row = &m->trace.rows[r->event];
	const char *args = row->args ? row->args : "";

	lua_createtable(L, 0, 9);
	lua_pushstring(L, row->name);
	lua_setfield(L, -2, "event");
	lua_pushinteger(L, (lua_Integer)r->cycle);
	lua_setfield(L, -2, "cycle");
	lua_pushstring(L, m->trace.component[r->component]);
	lua_setfield(L, -2, "component");
	if (r->component < m->config.cpus) {
		lua_pushinteger(L, r->component);
		lua_setfield(L, -2, "cpu");
	}
	for (unsigned i = 0; i < 4 && *args; i++) {
		size_t n = strcspn(args, " ");

		lua_pushlstring(L, args, n - (args[n - 1] == '#'));
		lua_pushinteger(L, (lua_Integer)r->a[i]);
		lua_settable(L, -3);
		args += n;
		args += strspn(args, " ");
	}
}

static int protected_event(lua_State *L)
{
	const struct handler *h = lua_touserdata(L, 1);
	const struct trace_record *r = lua_touserdata(L, 2);

	lua_rawgeti(L, LUA_REGISTRYINDEX, h->fn);
	api_push_event(L, h->run->m, r);
	lua_call(L, 1, 1);
	return 1;
}

struct line { const char *text; size_t n; };

static int protected_line(lua_State *L)
{
	const struct handler *h = lua_touserdata(L, 1);
	const struct line *l = lua_touserdata(L, 2);

	lua_rawgeti(L, LUA_REGISTRYINDEX, h->fn);
	lua_createtable(L, 0, 3);
	lua_pushliteral(L, "console");
	lua_setfield(L, -2, "event");
	lua_pushinteger(L, (lua_Integer)machine_now(h->run->m));
	lua_setfield(L, -2, "cycle");
	lua_pushlstring(L, l->text, l->n - (l->n && l->text[l->n - 1] == '\r'));
	lua_setfield(L, -2, "line");
	lua_call(L, 1, 1);
	return 1;
}

/* From inside the run. True: the function returned "handled". */
static bool tell(struct handler *h, lua_CFunction fn, void *what)
{
	struct scenario *s = h->s;
	lua_State *L = h->L;
	struct err e = { "" };
	bool handled = false;

	if (s->pending.text[0] || !lua_checkstack(L, 8))
		return false;   /* one has failed: the run is about to stop */
	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, h);
	lua_pushlightuserdata(L, what);
	if (sandbox_call(L, 2, 1, &e) != 0) {
		s->pending = e;
		run_ask_stop(h->run);
		return false;
	}
	if (lua_type(L, -1) == LUA_TSTRING) {
		if (strcmp(lua_tostring(L, -1), "stop") == 0)
			run_ask_stop(h->run);
		handled = strcmp(lua_tostring(L, -1), "handled") == 0;
	}
	lua_pop(L, 1);
	return handled;
}

static void on_record(void *who, const struct trace_record *r)
{
	struct handler *h = who;

	if (run_recorded(h->run))
		return;
	if (h->fn == LUA_NOREF) {
		if (!h->hit) {
			h->hit = true;
			h->seen = *r;
			run_ask_stop(h->run);
		}
		return;
	}
	tell(h, protected_event, (void *)r);
}

/* A line of the console, without its newline. */
static void on_line(void *who, struct run *r, const char *text, size_t n)
{
	struct scenario *s = who;
	struct line l = { text, n };

	for (struct handler *h = s->handlers; h && !run_recorded(r); h = h->next)
		if (h->console && h->run == r)
			tell(h, protected_line, &l);
}

/* ---- vm:on: exits, before the VMM serves them ---- */

struct exit_told { struct handler *h; struct vcpu *v; const struct exit_seen *x; };
struct exit_answer { uint64_t r[16]; uint64_t handled; };     /* what came of it: logged, so that time can be travelled */

/* Those a handler may change; RSP is in the VMCS. */
static const struct { const char *name; unsigned r; } exit_regs[] = {
	{ "rax", R_RAX }, { "rbx", R_RBX }, { "rcx", R_RCX }, { "rdx", R_RDX }, { "rsi", R_RSI }, { "rdi", R_RDI },
	{ "rbp", R_RBP }, { "r8", R_R8 }, { "r9", R_R9 }, { "r10", R_R10 }, { "r11", R_R11 }, { "r12", R_R12 },
	{ "r13", R_R13 }, { "r14", R_R14 }, { "r15", R_R15 },
};

static void push_exit(lua_State *L, const struct exit_told *t)
{
	const struct cpu *c = t->v->cpu;
	char name[48];

	lua_createtable(L, 0, 8);
	snprintf(name, sizeof name, "exit.%s", exit_reason_rows[t->x->reason].name);
	lua_pushstring(L, name);
	lua_setfield(L, -2, "event");
	const struct { const char *name; uint64_t value; } numbers[] = {
		{ "cycle", c->ledger.now }, { "cpu", c->number }, { "vcpu", t->v->number }, { "reason", t->x->reason },
		{ "qualification", t->x->qualification }, { "length", t->x->length }, { "rip", vcpu_peek(t->v, VMCS_GUEST_RIP) },
	};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		lua_pushinteger(L, (lua_Integer)numbers[i].value);
		lua_setfield(L, -2, numbers[i].name);
	}
	lua_createtable(L, 0, ARRAY_LEN(exit_regs));
	for (size_t i = 0; i < ARRAY_LEN(exit_regs); i++) {
		lua_pushinteger(L, (lua_Integer)c->s.r[exit_regs[i].r]);
		lua_setfield(L, -2, exit_regs[i].name);
	}
	lua_setfield(L, -2, "regs");
}

/* What the handler left in e.regs is what the guest finds. */
static void take_regs(lua_State *L, struct cpu *c)
{
	lua_getfield(L, -1, "regs");
	for (size_t i = 0; lua_istable(L, -1) && i < ARRAY_LEN(exit_regs); i++) {
		int whole;

		lua_getfield(L, -1, exit_regs[i].name);
		lua_Integer v = lua_tointegerx(L, -1, &whole);
		if (!whole)
			luaL_error(L, "e.regs.%s: a whole number was expected, got %s", exit_regs[i].name, luaL_typename(L, -1));
		c->s.r[exit_regs[i].r] = (uint64_t)v;
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

static int protected_exit(lua_State *L)
{
	const struct exit_told *t = lua_touserdata(L, 2);

	push_exit(L, t);
	lua_rawgeti(L, LUA_REGISTRYINDEX, t->h->fn);
	lua_pushvalue(L, -2);
	lua_call(L, 1, 1);
	lua_insert(L, -2);
	take_regs(L, t->v->cpu);
	lua_pop(L, 1);
	return 1;
}

/* From the VMM, before the service. */
static bool on_exit_seen(void *who, struct vcpu *v, const struct exit_seen *x)
{
	struct scenario *s = who;
	bool handled = false;

	for (struct handler *h = s->handlers; h; h = h->next)
		if (h->exits && h->run->m->number == v->vm->number && (h->reason == x->reason || h->reason == EXIT_REASONS)) {
			struct exit_told t = { h, v, x };
			struct exit_answer now;
			size_t n;
			const struct exit_answer *was = run_answer(h->run, &n);

			if (was) {
				memcpy(v->cpu->s.r, was->r, sizeof was->r);
				handled |= was->handled;
				continue;
			}
			now.handled = tell(h, protected_exit, &t);
			memcpy(now.r, v->cpu->s.r, sizeof now.r);
			run_answered(h->run, &now, sizeof now);
			handled |= now.handled;
		}
	return handled;
}

static const char *exit_name_at(const void *table, size_t i)
{
	const char *name = ((const struct exit_reason_row *)table)[i].name;

	return name ? name : "";
}

static int vm_exits(lua_State *L, struct run *r, const char *name)
{
	struct handler *h;
	uint32_t reason = EXIT_REASONS;

	for (uint32_t i = 0; i < EXIT_REASONS; i++)
		if (exit_reason_rows[i].name && strcmp(exit_reason_rows[i].name, name) == 0)
			reason = i;
	if (reason == EXIT_REASONS && strcmp(name, "*") != 0)
		return api_unknown(L, "exit reason", name, exit_name_at, exit_reason_rows, EXIT_REASONS, "vmscope list exits");
	h = handler_new(L, r, luaL_ref(L, LUA_REGISTRYINDEX));
	h->exits = true;
	h->reason = reason;
	r->m->vmm->exit_seen = on_exit_seen;
	r->m->vmm->exit_who = h->s;
	return 0;
}

static int on_console_of(lua_State *L, struct run *r)
{
	struct handler *h = handler_new(L, r, luaL_ref(L, LUA_REGISTRYINDEX));

	h->console = true;
	r->console_line = on_line;
	r->console_who = h->s;
	return 0;
}

int l_vm_on(lua_State *L)
{
	struct run *r = api_self(L, API_VM)->run;
	const char *event = luaL_checkstring(L, 2);

	luaL_checktype(L, 3, LUA_TFUNCTION);
	lua_settop(L, 3);
	if (strcmp(event, "console") == 0)
		return on_console_of(L, r);
	if (strncmp(event, "exit.", 5) == 0)
		return vm_exits(L, r, event + 5);
	return luaL_error(L, "vm:on: '%s': expected console, or exit. and a reason (vmscope list exits), or exit.*", event);
}

/* ---- m:on ---- */

static int listen(lua_State *L, struct handler *h, const char *filter)
{
	struct err e = { "" };

	if (trace_listen(&h->run->m->trace, filter, on_record, h, &e) == 0)
		return 0;
	handler_drop(h);
	return api_throw(L, &e);
}

int l_on(lua_State *L)
{
	struct run *r = api_self(L, API_MACHINE)->run;
	const char *event = luaL_checkstring(L, 2);
	struct handler *h;

	luaL_checktype(L, 3, LUA_TFUNCTION);
	lua_settop(L, 3);
	if (strcmp(event, "console") == 0)
		return on_console_of(L, run_face(r));
	h = handler_new(L, r, luaL_ref(L, LUA_REGISTRYINDEX));
	return listen(L, h, event);
}

int l_stop(lua_State *L)
{
	run_ask_stop(api_self(L, API_MACHINE)->run);
	return 0;
}

/* ---- running ---- */

void api_not_inside(lua_State *L, const char *what)
{
	if (scenario_of(L)->inside)
		luaL_error(L, "%s is not possible while the machine is inside an instruction\n"
		           "    a listener may look and count; return \"stop\" and do it after m:run, or use m:stop_at", what);
}

void api_not_on_line(lua_State *L, const char *what)
{
	if (scenario_of(L)->on_line)
		luaL_error(L, "%s is the screen's here: step, continue, goto, and their ways back", what);
}

enum machine_stop api_run(lua_State *L, struct run *r, cycle_t until, uint64_t n)
{
	struct scenario *s = scenario_of(L);
	enum machine_stop why;
	struct err e;

	api_not_inside(L, "running");
	api_not_on_line(L, "running");
	s->inside = r;
	watchdog_machine(true);
	if (r->travel && r->touched)
		timeline_changed(travel_timeline(r->travel));
	r->touched = false;
	why = r->travel ? travel_run(r->travel, until, n) : run_until(r, until, n);
	watchdog_machine(false);
	s->inside = NULL;
	if (s->pending.text[0]) {
		e = s->pending;
		s->pending.text[0] = '\0';
		lua_pushstring(L, e.text);      /* with the position of the listener's line */
		lua_error(L);
	}
	if (r->session->late.text[0]) {
		lua_pushstring(L, r->session->late.text);
		r->session->late.text[0] = '\0';
		lua_error(L);
	}
	if (why == MACHINE_STOP_USER && session_interrupted()) {
		char text[256];

		luaL_error(L, "%s", stop_sentence(r, text, sizeof text));
	}
	return why;
}

static uint64_t option_u64(lua_State *L, const char *key, uint64_t dflt)
{
	uint64_t v = dflt;

	if (lua_istable(L, 2) && lua_getfield(L, 2, key) != LUA_TNIL)
		v = api_u64(L, -1);
	lua_settop(L, 2);
	return v;
}

int l_step(lua_State *L)
{
	struct run *r = api_self(L, API_MACHINE)->run;
	uint64_t n = lua_isnoneornil(L, 2) ? 1 : api_u64(L, 2);

	luaL_argcheck(L, n > 0 && n <= INT64_MAX, 2, "at least one instruction");
	lua_pushstring(L, stop_name(api_run(L, r, NEVER, n)));
	return 1;
}

/* What a run is waiting for besides the machine's own reasons. */
struct until {
	struct handler *event;
	uint32_t breakpoint;
	bool predicate;
	uint64_t every;
};

static void until_done(struct run *r, struct until *u)
{
	if (u->event)
		handler_drop(u->event);
	if (u->breakpoint)
		stops_remove(r, u->breakpoint);
	r->watch = NULL;
	r->watch_hit = false;
}

/* One stretch of the run; true when the whole run is over, with its two results pushed. The machine
 * may run at most to `until` and `end` (instructions, 0: no limit). Called protected: errors come
 * back after until_done. */
static bool stretch(lua_State *L, struct run *r, struct until *u, cycle_t until, uint64_t end)
{
	uint64_t icount = machine_icount(r->m), left = end ? end - icount : 0, n = left;
	enum machine_stop why;
	bool stop;

	if (u->every && (!n || u->every < n))
		n = u->every;
	why = api_run(L, r, until, n);
	if (u->event && u->event->hit) {
		lua_pushliteral(L, "event");
		api_push_event(L, r->m, &u->event->seen);
		return true;
	}
	if (r->watch_hit) {
		lua_pushliteral(L, "console");
		lua_pushlstring(L, r->watch, r->watch_n);
		return true;
	}
	if (why == MACHINE_STOP_BREAK) {
		const struct stop_hit *hit = stops_hit(r);

		if (u->breakpoint && stops_was_hit(r, u->breakpoint)) {
			lua_pushliteral(L, "address");
			lua_pushinteger(L, (lua_Integer)cpu_rip(r->m->cpu[r->m->s.running]));
			return true;
		}
		if (handler_break(L, r, &stop) && !stop)
			return false;
		lua_pushliteral(L, "break");
		lua_pushinteger(L, hit ? hit->id : 0);
		return true;
	}
	if (u->predicate && (why == MACHINE_STOP_ICOUNT || why == MACHINE_STOP_CYCLES)) {
		lua_getfield(L, 2, "until_");
		lua_pushvalue(L, 1);
		lua_call(L, 1, 1);
		if (lua_toboolean(L, -1)) {
			lua_pushliteral(L, "predicate");
			lua_insert(L, -2);
			return true;
		}
		lua_pop(L, 1);
		if (why == MACHINE_STOP_ICOUNT && machine_icount(r->m) != end &&
		    machine_now(r->m) < until &&
		    machine_icount(r->m) != icount)
			return false;
	}
	if (why == MACHINE_STOP_USER && r->stop_asked && !r->exit_asked)
		lua_pushliteral(L, "stop");
	else
		lua_pushstring(L, stop_name(why));
	if (why == MACHINE_STOP_GUEST_EXIT || r->exit_asked)
		lua_pushinteger(L, run_status(r));
	else
		lua_pushnil(L);
	return true;
}

struct running { struct run *r; struct until *u; cycle_t until; uint64_t end; };

/* m, options, lightuserdata */
static int protected_run(lua_State *L)
{
	const struct running *a = lua_touserdata(L, 3);

	while (!stretch(L, a->r, a->u, a->until, a->end))
		lua_settop(L, 3);
	return 2;
}

static void read_until(lua_State *L, struct run *r, struct until *u)
{
	u->every = 0;
	if (!lua_istable(L, 2))
		return;
	if (lua_getfield(L, 2, "until_") == LUA_TFUNCTION) {
		u->predicate = true;
		u->every = option_u64(L, "every", 1);
		if (!u->every)
			luaL_error(L, "every = 0: at least one instruction");
	} else if (!lua_isnil(L, -1)) {
		const char *event = luaL_checkstring(L, -1);

		if (strcmp(event, "guest-exit") != 0) {
			u->event = handler_new(L, r, LUA_NOREF);
			listen(L, u->event, event);
		}
	}
	lua_settop(L, 2);
	if (lua_getfield(L, 2, "until_console") != LUA_TNIL) {
		/* the options table keeps it alive */
		r->watch = luaL_checklstring(L, -1, &r->watch_n);
		r->watch_at = r->console_n;
		r->watch_hit = false;
	}
	lua_settop(L, 2);
	if (lua_getfield(L, 2, "until_address") != LUA_TNIL)
		u->breakpoint = api_break_at(L, r, 3);
	lua_settop(L, 2);
}

int l_run(lua_State *L)
{
	static const char *const keys[] = { "until_", "until_console", "until_address",
	                                    "max_cycles", "max_instructions", "every", NULL };
	struct run *r = api_self(L, API_MACHINE)->run;
	struct until u = { 0 };
	struct running a = { r, &u, NEVER, 0 };
	uint64_t cycles, instructions;
	int status;

	api_not_inside(L, "m:run");
	lua_settop(L, 2);
	if (!lua_isnil(L, 2))
		api_keys(L, 2, keys);
	cycles = option_u64(L, "max_cycles", NEVER);
	instructions = option_u64(L, "max_instructions", 0);
	if (cycles < NEVER - machine_now(r->m))
		a.until = machine_now(r->m) + cycles;
	if (instructions)
		a.end = machine_icount(r->m) + instructions;
	read_until(L, r, &u);
	lua_pushcfunction(L, protected_run);
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 2);
	lua_pushlightuserdata(L, &a);
	status = lua_pcall(L, 3, 2, 0);
	until_done(r, &u);
	if (status != LUA_OK)
		return lua_error(L);
	return 2;
}
