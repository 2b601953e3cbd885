/* travel.c - going back from a scenario: m:record, m:back, m:back_to, m:go. */
#include <string.h>

#include "ui/lua/api.h"
#include "ui/session/travel.h"

int l_record(lua_State *L)
{
	struct run *r = api_self(L, API_MACHINE)->run;
	api_not_inside(L, "m:record");
	/* the stepping screen, when it is about to take over, records by itself */
	if (!r->travel && !r->session->stepper) {
		bool echo = run_face(r)->echo;
		travel_open(r);
		run_face(r)->echo = echo;
	}
	return 0;
}

static struct travel *recording(lua_State *L, const char *what)
{
	struct run *r = api_self(L, API_MACHINE)->run;
	api_not_inside(L, what);
	api_not_on_line(L, what);
	if (!r->travel)
		luaL_error(L, "%s: nothing is recorded; call m:record() before the machine runs", what);
	if (r->touched)
		timeline_changed(travel_timeline(r->travel));
	r->touched = false;
	return r->travel;
}

int l_back(lua_State *L)
{
	struct travel *v = recording(L, "m:back");
	uint64_t n = lua_isnoneornil(L, 2) ? 1 : api_u64(L, 2);
	luaL_argcheck(L, n > 0 && n <= INT64_MAX, 2, "at least one instruction");
	lua_pushboolean(L, travel_back(v, n) == TRAVEL_DONE);
	return 1;
}

int l_back_to(lua_State *L)
{
	struct travel *v = recording(L, "m:back_to");
	struct err e = { "" };
	enum travelled how = lua_isnoneornil(L, 2) ? travel_back_continue(v) : travel_back_event(v, luaL_checkstring(L, 2), &e);
	if (how == TRAVEL_REFUSED)
		return api_throw(L, &e);
	lua_pushboolean(L, how == TRAVEL_DONE);
	return 1;
}

/* Of the value on the top. */
static uint64_t count(lua_State *L, const char *what)
{
	uint64_t n = api_u64(L, -1);
	if (n > INT64_MAX)
		luaL_error(L, "m:go: %s = %I: none is negative", what, (LUAI_UACINT)n);
	return n;
}

int l_go(lua_State *L)
{
	static const char *const keys[] = { "instruction", "cycle", "event", "n", NULL };
	struct travel *v = recording(L, "m:go");
	struct timeline *t = travel_timeline(v);
	struct err e = { "" };
	bool there;
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	api_keys(L, 2, keys);
	uint64_t n = lua_getfield(L, 2, "n") == LUA_TNIL ? 1 : count(L, "n");
	if (lua_getfield(L, 2, "instruction") != LUA_TNIL) {
		there = timeline_goto(t, (struct moment){ count(L, "instruction"), 0 });
	} else if (lua_getfield(L, 2, "cycle") != LUA_TNIL) {
		there = timeline_goto_cycle(t, count(L, "cycle"));
	} else if (lua_getfield(L, 2, "event") != LUA_TNIL) {
		enum travelled how = travel_to_nth(v, luaL_checkstring(L, -1), n, &e);
		if (how == TRAVEL_REFUSED)
			return api_throw(L, &e);
		there = how == TRAVEL_DONE;
	} else {
		return luaL_error(L, "m:go: where to? instruction = , cycle = , or event = and n =");
	}
	lua_pushboolean(L, there);
	return 1;
}

int l_past(lua_State *L)
{
	const struct run *r = api_self(L, API_MACHINE)->run;
	lua_pushboolean(L, r->travel && travel_in_past(r->travel));
	return 1;
}
