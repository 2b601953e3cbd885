/* profile_file.c - reading scenarios/cpus/NAME.lua: `return { {"key", value, "source"}, ... }`. */
#include "ui/lua/profile_file.h"

#include <stdio.h>
#include <string.h>

#include "ui/lua/profile_rows.h"
#include "ui/lua/sandbox.h"
#include "ui/session/paths.h"

struct names { char name[64][32]; size_t n; };

static void add_name(void *arg, const char *name)
{
	struct names *all = arg;

	if (all->n < ARRAY_LEN(all->name))
		snprintf(all->name[all->n++], sizeof all->name[0], "%s", name);
}

static const char *name_at(const void *table, size_t i)
{
	return ((const struct names *)table)->name[i];
}

static int unknown(const char *name, const char *where, struct err *e)
{
	char dir[4200], hint[128];
	struct names all = { .n = 0 };
	const char *near;

	if (paths_there(e) != 0)
		return -1;
	snprintf(dir, sizeof dir, "%s/scenarios/cpus", paths_root());
	paths_each(dir, ".lua", add_name, &all);
	near = err_nearest(name, name_at, &all, all.n);
	snprintf(hint, sizeof hint, "%s%s%sall profiles: vmscope list profiles",
	         near ? "did you mean '" : "", near ? near : "",
	         near ? "'? " : "");
	return err_set(e, where, hint, "unknown profile '%s'", name);
}

/* The row at the top of the stack. */
static int read_row(lua_State *L, lua_Integer i, const char *path, profile_row_fn *fn, void *arg,
                    struct err *e)
{
	char where[4400];
	lua_Integer v;
	int ok;

	snprintf(where, sizeof where, "%s: row %lld", path, (long long)i);
	if (!lua_istable(L, -1))
		return err_set(e, where, NULL, "expected { \"key\", value, \"source\" }");
	lua_rawgeti(L, -1, 1);
	lua_rawgeti(L, -2, 2);
	lua_rawgeti(L, -3, 3);
	v = lua_tointegerx(L, -2, &ok);
	if (lua_type(L, -3) != LUA_TSTRING || !ok || v < 0 || lua_type(L, -1) != LUA_TSTRING ||
	    lua_rawlen(L, -1) < 5)
		return err_set(e, where, NULL, "expected { \"key\", whole number, \"source\" }: a number without a source says nothing");
	if (fn(arg, lua_tostring(L, -3), (uint64_t)v, lua_tostring(L, -1), where, e) != 0)
		return -1;
	lua_pop(L, 3);
	return 0;
}

int profile_each(const char *name, const char *where, profile_row_fn *fn, void *arg, struct err *e)
{
	char path[4300];
	struct sandbox s;
	int status;

	if (!paths_profile(name, path, sizeof path))
		return unknown(name, where, e);
	if (sandbox_init(&s, 0, 16u << 20, 10000000, e) != 0)
		return -1;
	status = sandbox_run_file(&s, path, 1, e);
	if (status == 0 && !lua_istable(s.L, -1))
		status = err_set(e, path, NULL,
		                 "expected: return { { \"key\", value, \"source\" }, ... }");
	for (lua_Integer i = 1; status == 0 && lua_rawgeti(s.L, -1, i) != LUA_TNIL; i++) {
		status = read_row(s.L, i, path, fn, arg, e);
		lua_settop(s.L, 1);
	}
	sandbox_fini(&s);
	return status;
}

static int set_row(void *arg, const char *key, uint64_t value, const char *source,
                   const char *where, struct err *e)
{
	(void)source;
	return profile_set(arg, key, value, where, e);
}

int profile_load(const char *name, struct profile *p, const char *where, struct err *e)
{
	profile_defaults(p);
	if (profile_each(name, where, set_row, p, e) != 0)
		return -1;
	snprintf(p->name, sizeof p->name, "%s", name);
	return profile_check(p, name, e);
}
