/* compare.c - compare{}: ui/compare from a scenario. Options come by name, what was found goes back as plain tables; the text
 * that report() prints is one of the fields. */
#include <stdlib.h>
#include <string.h>

#include "ui/compare/compare.h"
#include "ui/lua/api.h"
#include "ui/lua/watchdog.h"
#include "ui/session/paths.h"
#include "ui/session/setup.h"

/* Lua may throw while any of this is under construction: it hangs on a userdata. */
struct holder { struct compare_options o; struct comparison c; struct show show; char *text; };

static int holder_gc(lua_State *L)
{
	struct holder *h = lua_touserdata(L, 1);

	compare_options_fini(&h->o);
	comparison_fini(&h->c);
	free(h->text);
	h->text = NULL;
	return 0;
}

static struct holder *holder_new(lua_State *L)
{
	struct holder *h = lua_newuserdatauv(L, sizeof *h, 0);

	memset(h, 0, sizeof *h);
	compare_options_init(&h->o);
	if (luaL_newmetatable(L, "vmscope.comparison")) {
		lua_pushcfunction(L, holder_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return h;
}

/* ---- options ---- */

/* A name, or an array of names, at the top of the stack. */
static void add_names(lua_State *L, const char *key, struct names *t)
{
	if (lua_type(L, -1) == LUA_TSTRING) {
		names_add(t, lua_tostring(L, -1), strlen(lua_tostring(L, -1)));
		return;
	}
	if (!lua_istable(L, -1))
		luaL_error(L, "compare: %s: a name or a list of names was expected, got %s", key, luaL_typename(L, -1));
	for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, -1); i <= n && i <= COMPARE_CASES_MAX; i++) {
		if (lua_rawgeti(L, -1, i) != LUA_TSTRING)
			luaL_error(L, "compare: %s[%I]: a name was expected, got %s", key, i, luaL_typename(L, -1));
		names_add(t, lua_tostring(L, -1), strlen(lua_tostring(L, -1)));
		lua_pop(L, 1);
	}
}

static int add_set(lua_State *L, const char *key, void *arg)
{
	struct names *t = arg;
	char path[4300];
	const char *v = setup_is_path(key) ? api_path(L, -1, path, sizeof path) : sandbox_tostring(L, -1, NULL), *pair;

	pair = lua_pushfstring(L, "%s=%s", key, v);
	names_add(t, pair, strlen(pair));
	return 0;
}

static char *text_of(lua_State *L, const char *key)
{
	if (!lua_isstring(L, -1))
		luaL_error(L, "compare: %s: a text was expected, got %s", key, luaL_typename(L, -1));
	return xstrdup(lua_tostring(L, -1));
}

static char *path_of(lua_State *L)
{
	char buf[4300];

	return xstrdup(api_path(L, -1, buf, sizeof buf));
}

static char *image_of(lua_State *L, const char *key)
{
	char *name = text_of(L, key), built[4300];

	if (!strchr(name, '/') && paths_guest(name, built, sizeof built))
		return name;
	free(name);
	return path_of(L);
}

static bool flag_of(lua_State *L, const char *key)
{
	if (!lua_isboolean(L, -1))
		luaL_error(L, "compare: %s: true or false was expected, got %s", key, luaL_typename(L, -1));
	return lua_toboolean(L, -1);
}

static int option(lua_State *L, const char *key, void *arg)
{
	static const char *const lists[] = { "workload", "technique", "profile", "page", "except" };
	struct holder *h = arg;
	struct compare_options *o = &h->o;
	struct names *const list[] = { &o->workload, &o->technique, &o->profile, &o->page, &o->except };
	struct err e = { "" };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (strcmp(key, lists[i]) == 0) {
			add_names(L, key, list[i]);
			return 0;
		}
	if (strcmp(key, "image") == 0) {
		o->image = image_of(L, key);
	} else if (strcmp(key, "initrd") == 0) {
		o->initrd = path_of(L);
	} else if (strcmp(key, "ram") == 0) {
		o->ram = text_of(L, key);
	} else if (strcmp(key, "cpus") == 0) {
		uint64_t n = api_u64(L, -1);

		if (n < 1 || n > CPUS_MAX)
			luaL_error(L, "compare: cpus = %I: expected 1..%d", (lua_Integer)n, CPUS_MAX);
		o->cpus = (unsigned)n;
	} else if (strcmp(key, "sweep") == 0) {
		o->sweep = text_of(L, key);
	} else if (strcmp(key, "set") == 0) {
		api_each_key(L, -1, "set", add_set, &o->set);
	} else if (strcmp(key, "all") == 0) {
		o->all = flag_of(L, key);
	} else if (strcmp(key, "memory") == 0) {
		o->console_only = !flag_of(L, key);
	} else if (strcmp(key, "max_cycles") == 0) {
		o->max_cycles = api_u64(L, -1);
	} else if (strcmp(key, "seed") == 0) {
		o->seed = api_u64(L, -1);
		o->seed_given = true;
	} else if (show_parse(&h->show, luaL_checkstring(L, -1), &e) != 0) {
		return api_throw(L, &e);
	}
	return 0;
}

/* ---- results ---- */

static void set_u64(lua_State *L, const char *key, uint64_t v)
{
	lua_pushinteger(L, (lua_Integer)v);
	lua_setfield(L, -2, key);
}

static void set_text(lua_State *L, const char *key, const char *v)
{
	lua_pushstring(L, v);
	lua_setfield(L, -2, key);
}

static void push_numbers(lua_State *L, const struct case_record *r)
{
	for (unsigned m = 0; m < METRICS; m++)
		set_u64(L, metric_rows[m].key, record_metric(r, (enum metric)m));
	lua_newtable(L);
	for (unsigned s = 0; s < SHARES; s++)
		set_u64(L, share_rows[s].key, record_share(r, (enum share)s));
	lua_setfield(L, -2, "shares");
	lua_newtable(L);
	for (size_t i = 0; i < r->numbers; i++)
		if (record_number(r, &r->number[i]))
			set_u64(L, r->number[i].name, record_number(r, &r->number[i]));
	lua_setfield(L, -2, "stats");
}

static void push_row(lua_State *L, const struct comparison *c, size_t at)
{
	const struct case_spec *s = &c->plan.spec[at];
	const struct case_record *r = &c->record[at];

	lua_newtable(L);
	set_text(L, "profile", s->profile);
	set_text(L, "workload", s->workload);
	set_text(L, "technique", s->technique);
	if (c->plan.sweep.n)
		set_u64(L, "value", s->value);
	set_text(L, "outcome", case_end_name[r->end]);
	if (r->why && r->why[0])
		set_text(L, "why", r->why);
	lua_pushlstring(L, r->console ? r->console : "", r->console_n);
	lua_setfield(L, -2, "console");
	if (slowdown(c, at) > 0) {
		lua_pushnumber(L, slowdown(c, at));
		lua_setfield(L, -2, "slowdown");
	}
	if (at == native_of(c, at) && c->plan.technique.n > 1) {
		size_t block = at / c->plan.technique.n, v = block % c->plan.values, w = block / c->plan.values;
		char text[512];

		why_sentence(c, w / c->plan.workload.n, w % c->plan.workload.n, v, text, sizeof text);
		set_text(L, "why_text", text);
	}
	push_numbers(L, r);
}

static void push_comparison(lua_State *L, struct holder *h)
{
	const struct comparison *c = &h->c;
	size_t n;
	FILE *f = open_memstream(&h->text, &n);

	comparison_print(c, &h->show, f);
	fclose(f);
	lua_newtable(L);
	lua_pushlstring(L, h->text, n);
	lua_setfield(L, -2, "text");
	lua_pushboolean(L, comparison_status(c) == 0);
	lua_setfield(L, -2, "ok");
	lua_newtable(L);
	for (size_t i = 0; i < c->divergences; i++) {
		lua_pushstring(L, c->divergence[i].text);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "divergences");
	lua_newtable(L);
	for (size_t i = 0; i < c->plan.n; i++) {
		push_row(L, c, i);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "rows");
}

int l_compare(lua_State *L)
{
	static const char *const keys[] = { "workload", "technique", "profile", "page", "except", "image", "initrd", "ram", "cpus", "sweep",
	                                    "set", "memory", "max_cycles", "seed", "all", "show", NULL };
	const struct scenario *s = scenario_of(L);
	struct err e = { "" };
	struct holder *h;
	int status;

	api_not_inside(L, "compare");
	lua_settop(L, 1);
	h = holder_new(L);
	show_parse(&h->show, NULL, &e);         /* all parts */
	if (!lua_isnil(L, 1)) {
		api_keys(L, 1, keys);
		api_each_key(L, 1, "compare", option, h);
	}
	if (h->o.all && h->o.technique.n)
		return luaL_error(L, "compare: all is every technique, 'technique' some of them\n    one of the two");
	if (s->session->o.max_cycles < h->o.max_cycles)
		h->o.max_cycles = s->session->o.max_cycles;
	if (s->session->o.seed_given) {
		h->o.seed = s->session->o.seed;
		h->o.seed_given = true;
	}
	h->o.quiet = s->session->o.quiet;
	h->o.jobs = s->o->jobs;
	h->o.fresh = s->o->fresh;
	h->o.results = s->o->results ? xstrdup(s->o->results) : NULL;
	watchdog_machine(true);
	status = comparison_run(&h->c, &h->o, &e);
	watchdog_machine(false);
	if (status != 0)
		return api_throw(L, &e);
	if (session_interrupted())
		return luaL_error(L, "the comparison was interrupted%s", s->o->results ? "; finished cases are kept" : "");
	push_comparison(L, h);
	comparison_fini(&h->c);         /* pages and consoles: not when the collector likes */
	return 1;
}
