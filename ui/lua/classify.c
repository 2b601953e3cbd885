/* classify.c - classify { }: Popek and Goldberg's classes of instructions, measured. */
#include <stdlib.h>

#include "ui/classify/classify.h"
#include "ui/lua/api.h"
#include "ui/lua/profile_file.h"
#include "ui/lua/watchdog.h"

static bool flag(lua_State *L, const char *key)
{
	int type = lua_getfield(L, 1, key);
	if (type != LUA_TNIL && type != LUA_TBOOLEAN)
		luaL_error(L, "classify: %s: true or false was expected, got %s", key, lua_typename(L, type));
	return lua_toboolean(L, -1);
}

int l_classify(lua_State *L)
{
	static const char *const keys[] = { "profile", "umip", "trap_critical", NULL };
	const char *name = "skylake";
	struct profile p;
	struct err e = { "" };
	struct verdicts all;
	bool umip = false, trap = false;
	if (!lua_isnoneornil(L, 1)) {
		luaL_checktype(L, 1, LUA_TTABLE);
		lua_settop(L, 1);
		api_keys(L, 1, keys);
		if (lua_getfield(L, 1, "profile") != LUA_TNIL)
			name = luaL_checkstring(L, -1);
		umip = flag(L, "umip");
		trap = flag(L, "trap_critical");
	}
	if (profile_load(name, &p, NULL, &e) != 0)
		return api_throw(L, &e);
	const struct class_options o = { &p, umip, trap };
	watchdog_machine(true);
	int status = classify(&o, &all, &e);
	watchdog_machine(false);
	if (status != 0)
		return api_throw(L, &e);
	lua_createtable(L, (int)all.n, 0);
	for (size_t i = 0; i < all.n; i++) {
		const struct verdict *v = &all.v[i];
		char text[64];
		verdict_name(v, text, sizeof text);
		lua_createtable(L, 0, 6);
		lua_pushstring(L, text);
		lua_setfield(L, -2, "instruction");
		lua_pushinteger(L, v->mode == CLASS_INTEL64 ? 64 : 32);
		lua_setfield(L, -2, "mode");
		lua_pushstring(L, verdict_word(v));
		lua_setfield(L, -2, "class");
		lua_pushboolean(L, v->control);
		lua_setfield(L, -2, "control");
		lua_pushboolean(L, v->behaviour);
		lua_setfield(L, -2, "behaviour");
		lua_pushstring(L, v->evidence);
		lua_setfield(L, -2, "evidence");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	free(all.v);
	return 1;
}
