/* line.c - the scenario language on a command line: one line is evaluated in the sandbox of the scenario that is being
 * stepped, or in one of its own, with m, vm and cpu bound to what the screen looks at.
 *
 * Names that a line assigns are kept for later lines, apart from the scenario's. A line has limits of its own. Time does
 * not pass in it: running is the screen's, which keeps the timeline. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/lua/api.h"
#include "ui/lua/watchdog.h"

#define LINE_INSTRUCTIONS 50000000ull

static const char env_key;      /* its address names the table of the line's variables in the registry */

/* Push that table; made at the first use. */
static void push_env(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &env_key) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_newtable(L);
	lua_pushglobaltable(L);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &env_key);
}

struct line { struct run *r; unsigned cpu; const char *text; };

static void bind(lua_State *L, int env, const struct line *l)
{
	api_push(L, API_MACHINE, l->r, -1);
	lua_setfield(L, env, "m");
	if (l->r->vms) {
		api_push(L, API_VM, l->r->vm[0], -1);
		lua_setfield(L, env, "vm");
	}
	struct object *o = api_push(L, API_CPU, l->r, (int)l->cpu);
	snprintf(o->prefix, sizeof o->prefix, "cpu%u", l->cpu);
	lua_setfield(L, env, "cpu");
}

static int load(lua_State *L, const char *text, int env)
{
	int status = luaL_loadbufferx(L, text, strlen(text), "=line", "t");
	if (status == LUA_OK) {
		lua_pushvalue(L, env);
		lua_setupvalue(L, -2, 1);
	}
	return status;
}

static void add_value(lua_State *L, luaL_Buffer *b, int i)
{
	const char *text = sandbox_tostring(L, i, NULL);
	char hex[40] = "";
	if (lua_isinteger(L, i) && (lua_tointeger(L, i) > 9 || lua_tointeger(L, i) < 0))
		snprintf(hex, sizeof hex, " = %#llx", (unsigned long long)lua_tointeger(L, i));
	(void)text;
	luaL_addvalue(b);
	luaL_addstring(b, hex);
}

/* An expression's values, or a statement: their text is left on the stack, "" when there is none. */
static int evaluate(lua_State *L)
{
	const struct line *l = lua_touserdata(L, 1);
	push_env(L);
	int env = lua_gettop(L), first = env + 1;
	bind(L, env, l);
	const char *expression = lua_pushfstring(L, "return %s", l->text);
	int status = load(L, expression, env);
	lua_remove(L, first);
	if (status != LUA_OK) {
		lua_pop(L, 1);
		if (load(L, l->text, env) != LUA_OK)
			return lua_error(L);
	}
	lua_call(L, 0, LUA_MULTRET);
	int last = lua_gettop(L);
	luaL_checkstack(L, 20, "too many values");
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (int i = first; i <= last; i++) {
		if (i > first)
			luaL_addstring(&b, ", ");
		add_value(L, &b, i);
	}
	luaL_pushresult(&b);
	return 1;
}

static int eval(void *who, struct run *r, unsigned cpu, const char *text, char **values, struct err *e)
{
	struct scenario *s = who;
	lua_State *L = s->sandbox.L;
	struct line l = { r, cpu, text };
	struct run *inside = s->inside;
	uint64_t used = s->sandbox.instructions, limit;
	int status;

	limit = sandbox_limit(&s->sandbox, used + LINE_INSTRUCTIONS);
	s->inside = NULL;
	s->on_line = true;
	watchdog_machine(false);
	lua_pushcfunction(L, evaluate);
	lua_pushlightuserdata(L, &l);
	status = sandbox_call(L, 1, 1, e);
	watchdog_machine(true);
	if (status == 0) {
		*values = xstrdup(lua_tostring(L, -1));
		lua_pop(L, 1);
	}
	s->on_line = false;
	s->inside = inside;
	s->sandbox.instructions = used;         /* a line does not use up what the scenario may */
	sandbox_limit(&s->sandbox, limit);
	if (s->exited) {
		s->exited = false;
		return err_set(e, NULL, NULL, "exit: q leaves the screen");
	}
	return status;
}

/* The error of a listener, which stopped the run: it would come out of m:run. */
static bool failed(void *who, struct err *e)
{
	struct scenario *s = who;
	if (!s->pending.text[0])
		return false;
	*e = s->pending;
	s->pending.text[0] = '\0';
	return true;
}

/* ---- conditions that stop a run (stops.h) ---- */

#define PREDICATE_INSTRUCTIONS 1000000ull       /* of one answer */

struct predicate {
	struct run *r;
	int fn, env;                    /* registry references; env LUA_NOREF: a function of the scenario's */
	int cpu;                        /* bound now */
};

/* Left on the stack: the environment of one expression, over the line's. */
static void push_own_env(lua_State *L, struct run *r)
{
	struct run *host = r->host ? r->host : r;
	lua_newtable(L);
	api_push(L, API_MACHINE, host, -1);
	lua_setfield(L, -2, "m");
	if (host->vms) {
		api_push(L, API_VM, r->host ? r : host->vm[0], -1);
		lua_setfield(L, -2, "vm");
	}
	lua_newtable(L);
	push_env(L);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
}

static int compile(lua_State *L)
{
	struct predicate *p = lua_touserdata(L, 1);
	push_own_env(L, p->r);
	const char *expression = lua_pushfstring(L, "return %s", (const char *)lua_touserdata(L, 2));
	if (load(L, expression, 3) != LUA_OK)
		return lua_error(L);
	p->fn = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_settop(L, 3);
	p->env = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static void *predicate(void *who, struct run *r, const char *text, struct err *e)
{
	struct scenario *s = who;
	struct predicate *p = xcalloc(1, sizeof *p);
	lua_State *L = s->sandbox.L;
	*p = (struct predicate){ r, LUA_NOREF, LUA_NOREF, -1 };
	lua_pushcfunction(L, compile);
	lua_pushlightuserdata(L, p);
	lua_pushlightuserdata(L, (void *)(uintptr_t)text);
	if (sandbox_call(L, 2, 0, e) == 0)
		return p;
	free(p);
	return NULL;
}

void *line_predicate(struct run *r, int fn)
{
	struct predicate *p = xcalloc(1, sizeof *p);
	*p = (struct predicate){ r, fn, LUA_NOREF, -1 };
	return p;
}

static int ask(lua_State *L)
{
	struct predicate *p = lua_touserdata(L, 1);
	struct run *host = p->r->host ? p->r->host : p->r;
	int cpu = (int)host->m->s.running;
	if (p->env != LUA_NOREF && p->cpu != cpu) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, p->env);
		struct object *o = api_push(L, API_CPU, host, cpu);
		snprintf(o->prefix, sizeof o->prefix, "cpu%d", cpu);
		lua_setfield(L, -2, "cpu");
		p->cpu = cpu;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, p->fn);
	if (p->env == LUA_NOREF)
		api_push(L, p->r->host ? API_VM : API_MACHINE, p->r, -1);
	lua_call(L, p->env == LUA_NOREF, 1);
	lua_pushboolean(L, lua_toboolean(L, -1));
	return 1;
}

static bool holds(void *who, void *condition)
{
	struct scenario *s = who;
	struct predicate *p = condition;
	struct run *host = p->r->host ? p->r->host : p->r, *inside = s->inside;
	lua_State *L = s->sandbox.L;
	struct err e = { "" };
	const uint64_t used = s->sandbox.instructions;
	uint64_t limit;

	if (s->pending.text[0] || !lua_checkstack(L, 8))
		return false;
	limit = sandbox_limit(&s->sandbox, used + PREDICATE_INSTRUCTIONS);
	if (!host->travel && limit < used + PREDICATE_INSTRUCTIONS)
		sandbox_limit(&s->sandbox, limit);
	s->inside = host;
	lua_pushcfunction(L, ask);
	lua_pushlightuserdata(L, p);
	int status = sandbox_call(L, 1, 1, &e);
	s->inside = inside;
	if (host->travel)               /* a person looks on, and can stop it */
		s->sandbox.instructions = used;
	sandbox_limit(&s->sandbox, limit);
	if (status != 0) {
		s->pending = e;
		run_ask_stop(host);
		return false;
	}
	bool yes = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return yes;
}

static void forget(void *who, void *condition)
{
	struct scenario *s = who;
	struct predicate *p = condition;
	luaL_unref(s->sandbox.L, LUA_REGISTRYINDEX, p->fn);
	luaL_unref(s->sandbox.L, LUA_REGISTRYINDEX, p->env);
	free(p);
}

/* ---- completion ---- */

struct wanted { const char *prefix; size_t base; void (*fn)(void *arg, const char *name); void *arg; };

static void offer(const struct wanted *w, const char *name)
{
	char full[160];
	snprintf(full, sizeof full, "%.*s%s", (int)w->base, w->prefix, name);
	if (strncmp(full, w->prefix, strlen(w->prefix)) == 0)
		w->fn(w->arg, full);
}

static void offer_class(const struct wanted *w, enum api_module module, char separator)
{
	for (size_t i = 0; i < api_rows_n; i++)
		if (api_rows[i].module == module && (module == API_GLOBAL || (strncmp(api_rows[i].type, "fun(", 4) == 0) == (separator == ':')))
			offer(w, api_rows[i].name);
}

static void names(void *who, struct run *r, unsigned cpu, const char *prefix, void (*fn)(void *arg, const char *name), void *arg)
{
	static const char *const libraries[] = { "string", "table", "math", "utf8", "coroutine", "print", "tostring", "tonumber", "pairs", "ipairs",
	                                         "type", "pcall", "error", "assert", "select", "next", "require", "set", "m", "vm", "cpu",
	                                         "for", "function", "if", "local", "return", "while", "not" };
	struct scenario *s = who;
	lua_State *L = s->sandbox.L;
	const char *dot = strrchr(prefix, '.'), *colon = strrchr(prefix, ':'), *at = colon && (!dot || colon > dot) ? colon : dot;
	struct wanted w = { prefix, at ? (size_t)(at - prefix) + 1 : 0, fn, arg };
	char base[40];

	if (!at) {
		offer_class(&w, API_GLOBAL, 0);
		for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
			offer(&w, libraries[i]);
		push_env(L);
		lua_Integer n = hygiene_sorted_keys(L, lua_gettop(L));
		for (lua_Integer i = 1; i <= n; i++, lua_pop(L, 1))
			if (lua_rawgeti(L, -1, i) == LUA_TSTRING)
				offer(&w, lua_tostring(L, -1));
		lua_pop(L, 2);
		return;
	}
	snprintf(base, sizeof base, "%.*s", (int)(at - prefix), prefix);
	if (strcmp(base, "m") == 0)
		offer_class(&w, API_MACHINE, *at);
	else if (strcmp(base, "vm") == 0 && r->vms)
		offer_class(&w, API_VM, *at);
	else if (strcmp(base, "m.stats") == 0)
		offer_class(&w, API_STATS, *at);
	if (strcmp(base, "cpu") != 0)
		return;
	offer_class(&w, API_CPU, *at);
	char group[24];
	snprintf(group, sizeof group, "cpu%u", cpu);
	for (size_t i = 0; *at == '.' && i < r->m->fields.n; i++)
		for (size_t k = 0; strcmp(r->m->fields.groups[i].prefix, group) == 0 && k < r->m->fields.groups[i].n; k++)
			offer(&w, r->m->fields.groups[i].rows[k].name);
}

/* ---- life ---- */

static void print(void *who, const char *text, size_t n)
{
	struct session *s = who;
	if (s->print)
		s->print(s->print_who, text, n);
	else
		fwrite(text, 1, n, stdout);
}

void line_install(struct scenario *s)
{
	s->sandbox.print = print;
	s->sandbox.print_who = s->session;
	s->session->line = (struct line_eval){ .eval = eval, .names = names, .failed = failed, .predicate = predicate, .holds = holds,
	                                         .forget = forget, .who = s };
}
