/* api.c - the objects of the scenario language and how their names are found, all by api.def. */
#include "ui/lua/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/cli/item.h"
#include "ui/session/paths.h"

const struct api_row api_rows[] = {
#define API(module, name, fn, type, doc) { API_##module, name, fn, type, doc },
#include "ui/lua/api.def"
};
const size_t api_rows_n = ARRAY_LEN(api_rows);

const char *const api_class[API_MODULES] = {
	[API_GLOBAL] = "", [API_MACHINE] = "Machine", [API_VM] = "Vm", [API_CPU] = "Cpu", [API_VIEW] = "View", [API_STATS] = "Stats",
	[API_LEDGER] = "Ledger", [API_SNAPSHOT] = "Snapshot",
};

static bool is_method(const struct api_row *r)
{
	return strncmp(r->type, "fun(", 4) == 0;
}

struct scenario *scenario_of(lua_State *L)
{
	return sandbox_of(L)->owner;
}

/* ---- errors ---- */

int api_throw(lua_State *L, const struct err *e)
{
	return luaL_error(L, "%s", e->text);
}

int api_unknown(lua_State *L, const char *what, const char *name,
                const char *(*name_at)(const void *, size_t), const void *table,
                size_t n, const char *list)
{
	const char *near = err_nearest(name, name_at, table, n);

	return luaL_error(L, "unknown %s '%s'%s%s%s\n    all names: %s", what, name, near ? "; did you mean '" : "", near ? near : "",
	                  near ? "'?" : "", list);
}

static const char *list_at(const void *table, size_t i)
{
	return ((const char *const *)table)[i];
}

int api_each_key(lua_State *L, int t, const char *what, api_key_fn *fn, void *arg)
{
	lua_Integer n;
	int keys, status = 0;

	t = lua_absindex(L, t);
	luaL_checktype(L, t, LUA_TTABLE);
	luaL_checkstack(L, 10, "too many nested options");
	n = hygiene_sorted_keys(L, t);
	keys = lua_gettop(L);
	for (lua_Integer i = 1; status == 0 && i <= n; i++) {
		lua_rawgeti(L, keys, i);
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "%s: a key of type %s, names were expected", what,
			           luaL_typename(L, -1));
		lua_pushvalue(L, -1);
		lua_rawget(L, t);
		status = fn(L, lua_tostring(L, -2), arg);
		lua_settop(L, keys);
	}
	lua_settop(L, keys - 1);
	return status;
}

static int known_key(lua_State *L, const char *key, void *arg)
{
	const char *const *keys = arg, *near;
	size_t n = 0;
	luaL_Buffer b;

	for (; keys[n]; n++)
		if (strcmp(keys[n], key) == 0)
			return 0;
	near = err_nearest(key, list_at, keys, n);
	luaL_buffinit(L, &b);
	for (size_t k = 0; k < n; k++) {
		luaL_addstring(&b, k ? ", " : "");
		luaL_addstring(&b, keys[k]);
	}
	luaL_pushresult(&b);
	return luaL_error(L, "unknown key '%s'%s%s%s\n    known: %s", key, near ? "; did you mean '" : "", near ? near : "",
	                  near ? "'?" : "", lua_tostring(L, -1));
}

void api_keys(lua_State *L, int i, const char *const *keys)
{
	api_each_key(L, i, "options", known_key, (void *)keys);
}

uint64_t api_u64(lua_State *L, int i)
{
	int whole;
	lua_Integer v = lua_tointegerx(L, i, &whole);

	if (!whole || (lua_type(L, i) == LUA_TNUMBER && lua_tonumber(L, i) < 0 &&
	               !lua_isinteger(L, i)))
		luaL_error(L, "a whole number was expected, got %s",
		           lua_isnumber(L, i) ? lua_tostring(L, i) : luaL_typename(L, i));
	return (uint64_t)v;
}

/* ---- files ---- */

static bool named_on_command_line(const struct scenario *s, const char *path)
{
	for (unsigned i = 0; i < s->o->sets; i++) {
		const char *eq = strchr(s->o->set[i], '=');

		if (eq && strcmp(eq + 1, path) == 0)
			return true;
	}
	return false;
}

const char *api_path(lua_State *L, int i, char *buf, size_t n)
{
	struct scenario *s = scenario_of(L);
	const char *path = luaL_checkstring(L, i);
	char guests[4200];

	if (named_on_command_line(s, path)) {
		snprintf(buf, n, "%s", path);
		return buf;
	}
	if (path[0] == '/')
		snprintf(buf, n, "%s", path);
	else
		snprintf(buf, n, "%s/%s", s->folder, path);
	snprintf(guests, sizeof guests, "%s/build/guests", paths_root());
	if (paths_inside(s->folder, buf) || paths_inside(guests, buf))
		return buf;
	for (unsigned k = 0; k < s->o->allows; k++)
		if (paths_inside(s->o->allow[k], buf))
			return buf;
	luaL_error(L, "%s: no such file that this scenario may read\n"
	           "    it may read its own folder, the built guests, files named by --set, and folders named by --allow", path);
	return NULL;
}

/* ---- objects ---- */

struct object *api_push(lua_State *L, enum api_module kind, struct run *run, int cpu)
{
	struct object *o = lua_newuserdatauv(L, sizeof *o, 0);

	memset(o, 0, sizeof *o);
	o->run = run;
	o->cpu = cpu;
	luaL_setmetatable(L, api_class[kind]);
	return o;
}

struct object *api_self(lua_State *L, enum api_module kind)
{
	return luaL_checkudata(L, 1, api_class[kind]);
}

struct run *api_guest(lua_State *L)
{
	const struct object *o = luaL_testudata(L, 1, api_class[API_VM]);

	return o ? o->run : run_face(api_self(L, API_MACHINE)->run);
}

struct names { enum api_module module; const char *name[ARRAY_LEN(api_rows)]; size_t n; };

static void names_of(struct names *all, enum api_module module)
{
	all->n = 0;
	for (size_t i = 0; i < api_rows_n; i++)
		if (api_rows[i].module == module)
			all->name[all->n++] = api_rows[i].name;
}

int stats_index(lua_State *L, struct object *o, const char *key);
int ledger_index(lua_State *L, struct object *o, const char *key);

/* upvalue 1: the module. A row of the table; else what the module finds by itself. */
static int object_index(lua_State *L)
{
	enum api_module module = (enum api_module)lua_tointeger(L, lua_upvalueindex(1));
	struct object *o = api_self(L, module);
	struct names all;
	const char *key;

	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "a %s is indexed by name, not by a %s", api_class[module],
		                  luaL_typename(L, 2));
	key = lua_tostring(L, 2);
	for (size_t i = 0; i < api_rows_n; i++) {
		const struct api_row *r = &api_rows[i];

		if (r->module != module || strcmp(r->name, key) != 0)
			continue;
		if (!is_method(r))
			return r->fn(L);
		lua_pushcfunction(L, r->fn);
		return 1;
	}
	switch (module) {
	case API_CPU: case API_VIEW: return view_index(L, o, key);
	case API_STATS: return stats_index(L, o, key);
	case API_LEDGER: return ledger_index(L, o, key);
	default:
		names_of(&all, module);
		return api_unknown(L, "name", key, list_at, all.name, all.n, "vmscope list lua");
	}
}

static int object_newindex(lua_State *L)
{
	enum api_module module = (enum api_module)lua_tointeger(L, lua_upvalueindex(1));
	struct object *o = api_self(L, module);
	const char *key = luaL_checkstring(L, 2);

	if (module == API_CPU || module == API_VIEW)
		return view_set(L, o, key);
	if (module == API_MACHINE && strcmp(key, "speed") == 0) {
		static const char *const speed[] = { "detailed", "fast", NULL };
		int fast = luaL_checkoption(L, 3, NULL, speed);

		api_not_inside(L, "changing the speed");
		machine_set_fast(o->run->m, fast);
		return 0;
	}
	return luaL_error(L, "'%s' of a %s cannot be assigned", key, api_class[module]);
}

static int object_tostring(lua_State *L)
{
	enum api_module module = (enum api_module)lua_tointeger(L, lua_upvalueindex(1));
	const struct object *o = api_self(L, module);

	if (o->cpu >= 0)
		lua_pushfstring(L, "%s %s cpu%d", api_class[module], o->run->name, o->cpu);
	else
		lua_pushfstring(L, "%s %s", api_class[module], o->run->name);
	return 1;
}

/* ---- globals ---- */

/* _G's __index: a name nobody defined is a typing error more often than a test. */
static int undefined_global(lua_State *L)
{
	struct names all;

	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	names_of(&all, API_GLOBAL);
	return api_unknown(L, "name", lua_tostring(L, 2), list_at, all.name, all.n, "vmscope list lua; Lua's own libraries: string table math utf8 coroutine");
}

static int set_index(lua_State *L)
{
	struct scenario *s = scenario_of(L);
	const char *key = luaL_checkstring(L, 2), *value = NULL;
	uint64_t v;

	for (unsigned i = 0; i < s->o->sets; i++) {
		const char *eq = strchr(s->o->set[i], '=');
		size_t n = (size_t)(eq - s->o->set[i]);

		if (strlen(key) == n && memcmp(key, s->o->set[i], n) == 0) {
			value = eq + 1;
			s->used[i] = true;
		}
	}
	if (!value)
		return 0;
	if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
		lua_pushboolean(L, value[0] == 't');
	else if (lua_stringtonumber(L, value) == 0) {
		if (parse_number(value, &v))
			lua_pushinteger(L, (lua_Integer)v);
		else
			lua_pushstring(L, value);
	}
	return 1;
}

static int set_newindex(lua_State *L)
{
	return luaL_error(L, "the table 'set' comes from the command line: --set %s=VALUE",
	                  luaL_checkstring(L, 2));
}

void api_install(lua_State *L)
{
	for (int k = API_MACHINE; k < API_MODULES; k++) {
		luaL_newmetatable(L, api_class[k]);
		lua_pushinteger(L, k);
		lua_pushcclosure(L, object_index, 1);
		lua_setfield(L, -2, "__index");
		lua_pushinteger(L, k);
		lua_pushcclosure(L, object_newindex, 1);
		lua_setfield(L, -2, "__newindex");
		lua_pushinteger(L, k);
		lua_pushcclosure(L, object_tostring, 1);
		lua_setfield(L, -2, "__tostring");
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
		lua_pop(L, 1);
	}
	for (size_t i = 0; i < api_rows_n; i++)
		if (api_rows[i].module == API_GLOBAL)
			lua_register(L, api_rows[i].name, api_rows[i].fn);
	lua_newtable(L);
	lua_newtable(L);
	lua_pushcfunction(L, set_index);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, set_newindex);
	lua_setfield(L, -2, "__newindex");
	lua_setmetatable(L, -2);
	lua_setglobal(L, "set");
	lua_pushglobaltable(L);
	lua_newtable(L);
	lua_pushcfunction(L, undefined_global);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
}

void api_each(void (*fn)(void *arg, const struct item *it), void *arg)
{
	for (size_t i = 0; i < api_rows_n; i++) {
		const struct api_row *r = &api_rows[i];
		char name[64];

		snprintf(name, sizeof name, "%s%s%s", api_class[r->module],
		         r->module == API_GLOBAL ? "" : is_method(r) ? ":" : ".", r->name);
		fn(arg, &(struct item){ name, r->name, r->type, r->doc, NULL });
	}
}
