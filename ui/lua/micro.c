/* micro.c - m:micro: one instruction, and everything that happened inside it. */
#include "ui/lua/api.h"
#include "ui/session/micro.h"

static int run_one(lua_State *L)
{
	api_run(L, lua_touserdata(L, 1), NEVER, 1);
	return 0;
}

static int list(lua_State *L)
{
	const struct micro *u = lua_touserdata(L, 1);
	const struct machine *m = lua_touserdata(L, 2);
	char text[200];
	lua_createtable(L, (int)micro_count(u), 0);
	for (size_t i = 0; i < micro_count(u); i++) {
		api_push_event(L, m, micro_at(u, i));
		micro_text(u, i, text, sizeof text);
		lua_pushstring(L, text);
		lua_setfield(L, -2, "text");
		lua_pushinteger(L, (lua_Integer)micro_cycles(u, i));
		lua_setfield(L, -2, "took");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* Errors of listeners, and of too little memory, pass through: the record is freed first. */
int l_micro(lua_State *L)
{
	struct run *r = api_self(L, API_MACHINE)->run;
	api_not_inside(L, "m:micro");
	api_not_on_line(L, "m:micro");
	struct micro *u = micro_open(r->travel, r);
	micro_begin(u);
	lua_pushcfunction(L, run_one);
	lua_pushlightuserdata(L, r);
	int status = lua_pcall(L, 1, 0, 0);
	micro_end(u);
	if (status == LUA_OK) {
		lua_pushcfunction(L, list);
		lua_pushlightuserdata(L, u);
		lua_pushlightuserdata(L, r->m);
		status = lua_pcall(L, 2, 1, 0);
	}
	micro_close(u);
	return status == LUA_OK ? 1 : lua_error(L);
}
