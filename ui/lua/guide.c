/* guide.c - guide{}: pages that lead a person through the run on the stepping screen. */
#include <string.h>

#include "ui/lua/api.h"
#include "ui/session/guide.h"

static const char pages_key;    /* its address names the table of pages in the registry */

static int ask(lua_State *L)
{
	lua_Integer page = lua_tointeger(L, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &pages_key);
	lua_rawgeti(L, -1, page + 1);
	lua_getfield(L, -1, "done");
	lua_call(L, 0, 1);
	return 1;
}

/* A predicate that fails says so on the screen, once: its page counts as done. */
static bool done(void *who, size_t page)
{
	struct scenario *s = who;
	lua_State *L = s->sandbox.L;
	struct err e = { "" };
	struct run *inside = s->inside;
	bool on_line = s->on_line;
	s->inside = NULL;
	s->on_line = true;
	lua_pushcfunction(L, ask);
	lua_pushinteger(L, (lua_Integer)page);
	bool yes = true;
	if (sandbox_call(L, 1, 1, &e) != 0) {
		s->pending = e;
	} else {
		yes = lua_toboolean(L, -1);
		lua_pop(L, 1);
	}
	s->inside = inside;
	s->on_line = on_line;
	return yes;
}

static const char *text_field(lua_State *L, int page, const char *key, bool needed)
{
	int type = lua_getfield(L, 2, key);
	if (type == LUA_TNIL && !needed)
		return NULL;
	if (type != LUA_TSTRING)
		luaL_error(L, "guide: page %d: %s: a text was expected, got %s", page, key, luaL_typename(L, -1));
	return lua_tostring(L, -1);
}

int l_guide(lua_State *L)
{
	static const char *const keys[] = { "title", "text", "show", "done", NULL };
	struct scenario *s = scenario_of(L);
	struct guide *g = &s->session->guide;
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	guide_free(g);
	for (int i = 1; lua_geti(L, 1, i) != LUA_TNIL; i++) {
		if (!lua_istable(L, -1))
			return luaL_error(L, "guide: page %d: a table { title = , text = , ... } was expected, got %s", i, luaL_typename(L, -1));
		api_keys(L, 2, keys);
		const char *title = text_field(L, i, "title", true), *text = text_field(L, i, "text", true), *show = text_field(L, i, "show", false);
		struct guide_page *p = guide_add(g, title, text, show);
		int type = lua_getfield(L, 2, "done");
		if (type != LUA_TNIL && type != LUA_TFUNCTION)
			return luaL_error(L, "guide: page %d: done: a function was expected, got %s", i, luaL_typename(L, -1));
		p->task = type == LUA_TFUNCTION;
		lua_settop(L, 1);
	}
	lua_settop(L, 1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &pages_key);
	g->done = done;
	g->who = s;
	return 0;
}
