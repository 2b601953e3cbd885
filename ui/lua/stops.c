/* stops.c - what stops a run (ui/session/stops.h) in the scenario language: m:break_at, m:stop_at, their functions, the list.
 *
 * A stop's function is called between two instructions, when the run has come back: it may do anything but run. */
#include <stdlib.h>
#include <string.h>

#include "models/symbols.h"
#include "ui/lua/api.h"
#include "ui/session/stops.h"

struct stop_fn {
	struct stop_fn *next;
	struct run *run;
	uint32_t id;
	int fn;                         /* registry reference */
	bool plain;                     /* m:break_at: called with the id */
};

static struct run *host_of(struct run *r)
{
	return r->host ? r->host : r;
}

/* Argument 1: a machine, or a virtual one. */
static struct run *self(lua_State *L)
{
	const struct object *o = luaL_testudata(L, 1, api_class[API_VM]);
	return o ? o->run : api_self(L, API_MACHINE)->run;
}

/* The address at index i: a number or a symbol. */
static uint64_t address(lua_State *L, const struct run *r, int i)
{
	uint64_t v;

	if (lua_type(L, i) != LUA_TSTRING)
		return api_u64(L, i);
	if (!symtab_find(run_face(r)->m->symbols, lua_tostring(L, i), &v)) {
		lua_getfield(L, 1, "symbol");           /* for its message */
		lua_pushvalue(L, 1);
		lua_pushvalue(L, i);
		lua_call(L, 2, 1);
	}
	return v;
}

uint32_t api_break_at(lua_State *L, struct run *r, int i)
{
	struct err e = { "" };
	uint32_t id = stops_add_break(r, address(L, r, i), -1, &e);

	if (!id)
		api_throw(L, &e);
	return id;
}

/* The function at index 3, if there is one, is the stop's. */
static int give(lua_State *L, struct run *r, uint32_t id, bool plain)
{
	struct scenario *s = scenario_of(L);

	if (!lua_isnil(L, 3)) {
		struct stop_fn *f = xcalloc(1, sizeof *f);
		lua_pushvalue(L, 3);
		*f = (struct stop_fn){ s->stop_fns, r, id, luaL_ref(L, LUA_REGISTRYINDEX), plain };
		s->stop_fns = f;
	}
	lua_pushinteger(L, id);
	return 1;
}

static void check(lua_State *L, const char *what)
{
	api_not_inside(L, what);
	lua_settop(L, 3);
	if (!lua_isnil(L, 3))
		luaL_checktype(L, 3, LUA_TFUNCTION);
}

int l_break_at(lua_State *L)
{
	struct run *r = self(L);

	check(L, "m:break_at");
	return give(L, r, api_break_at(L, r, 2), true);
}

int l_stop_at(lua_State *L)
{
	struct run *r = self(L);
	struct err e = { "" };
	uint32_t id;

	check(L, "m:stop_at");
	if (lua_isfunction(L, 2)) {
		lua_pushvalue(L, 2);
		id = stops_add_when(r, line_predicate(r, luaL_ref(L, LUA_REGISTRYINDEX)), "(a function)", &e);
	} else {
		id = stops_add(r, luaL_checkstring(L, 2), &e);
	}
	if (!id)
		return api_throw(L, &e);
	return give(L, r, id, false);
}

static void forget(struct scenario *s, struct stop_fn *f)
{
	struct stop_fn **p = &s->stop_fns;

	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	luaL_unref(s->sandbox.L, LUA_REGISTRYINDEX, f->fn);
	free(f);
}

int l_unbreak(lua_State *L)
{
	struct scenario *s = scenario_of(L);
	struct run *r = self(L);
	uint32_t id = (uint32_t)api_u64(L, 2);

	api_not_inside(L, "m:unbreak");
	for (struct stop_fn *f = s->stop_fns; f; f = f->next)
		if (host_of(f->run) == host_of(r) && f->id == id) {
			forget(s, f);
			break;
		}
	lua_pushboolean(L, stops_remove(r, id));
	return 1;
}

void stop_fns_free(struct scenario *s)
{
	while (s->stop_fns)
		forget(s, s->stop_fns);
	for (size_t i = 0; i < s->session->n; i++)
		stops_forget_when(s->session->runs[i]);
}

/* ---- looking ---- */

static void set_integer(lua_State *L, const char *key, uint64_t v)
{
	lua_pushinteger(L, (lua_Integer)v);
	lua_setfield(L, -2, key);
}

static const char *text_of(const struct run *r, uint32_t id)
{
	for (size_t i = 0; i < stops_count(r); i++)
		if (stops_at(r, i)->id == id)
			return stops_at(r, i)->text;
	return "";
}

static void push_hit(lua_State *L, const struct run *r, const struct stop_hit *h)
{
	lua_createtable(L, 0, 8);
	set_integer(L, "id", h->id);
	set_integer(L, "cpu", h->cpu);
	set_integer(L, "address", h->address);
	set_integer(L, "before", h->before);
	set_integer(L, "after", h->after);
	lua_pushstring(L, text_of(r, h->id));
	lua_setfield(L, -2, "text");
	lua_pushstring(L, h->why);
	lua_setfield(L, -2, "why");
	if (h->access) {
		lua_pushstring(L, h->access == STOP_WRITE ? "write" : "read");
		lua_setfield(L, -2, "access");
	}
}

int l_hit(lua_State *L)
{
	const struct run *r = self(L);
	const struct stop_hit *h = stops_hit(r);

	if (h)
		push_hit(L, r, h);
	else
		lua_pushnil(L);
	return 1;
}

int l_stops(lua_State *L)
{
	const struct run *r = self(L);

	lua_createtable(L, (int)stops_count(r), 0);
	for (size_t i = 0; i < stops_count(r); i++) {
		const struct stop *s = stops_at(r, i);
		lua_createtable(L, 0, 3);
		set_integer(L, "id", s->id);
		set_integer(L, "hits", s->hits);
		lua_pushstring(L, s->text);
		lua_setfield(L, -2, "text");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* ---- when the run has come back ---- */

/* Every stop that was hit has its function called; one without it stops, and so does one whose function says so. */
bool handler_break(lua_State *L, struct run *r, bool *stop)
{
	struct scenario *s = scenario_of(L);
	const struct stop_hit *h = stops_hit(r);
	uint32_t id[STOPS_AT_ONCE];
	size_t n = 0;

	*stop = !h;
	for (size_t i = 0; h && i < stops_count(r) && n < ARRAY_LEN(id); i++)
		if (stops_was_hit(r, stops_at(r, i)->id))
			id[n++] = stops_at(r, i)->id;
	for (size_t i = 0; i < n; i++) {
		struct stop_fn *f = s->stop_fns;
		while (f && (host_of(f->run) != host_of(r) || f->id != id[i]))
			f = f->next;
		if (!f) {
			*stop = true;
			continue;
		}
		lua_rawgeti(L, LUA_REGISTRYINDEX, f->fn);
		lua_pushvalue(L, 1);
		if (f->plain)
			lua_pushinteger(L, id[i]);
		else
			push_hit(L, r, h);
		lua_call(L, 2, 1);
		*stop |= lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "stop") == 0;
		lua_pop(L, 1);
	}
	return n > 0;
}
