/* sandbox.c - making the closed, bounded Lua state and running text in it. */
#include "ui/lua/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/lua/watchdog.h"
#include "ui/session/paths.h"

#define HOOK_EVERY 1000
#define SOURCE_MAX (4u << 20)

/* ---- bounds ---- */

static void count_hook(lua_State *L, lua_Debug *ar);

/* Large strings and tables are made by few instructions: 256 bytes count as one. */
static void *allocate(void *ud, void *p, size_t before, size_t n)
{
	struct sandbox *s = ud;
	void *q;

	if (!p)
		before = 0;     /* then it says what kind of object is wanted */
	if (n == 0) {
		free(p);
		s->memory -= before;
		return NULL;
	}
	if (n > before && s->memory + (n - before) > s->memory_max)
		return NULL;
	q = realloc(p, n);
	if (!q)
		return NULL;
	s->memory += n - before;
	s->instructions += n >> 8;
	if (s->instructions >= s->instructions_max && s->L)
		lua_sethook(s->L, count_hook, LUA_MASKCOUNT, 1);
	return q;
}

struct sandbox *sandbox_of(lua_State *L)
{
	return *(struct sandbox **)lua_getextraspace(L);
}

static void count_hook(lua_State *L, lua_Debug *ar)
{
	struct sandbox *s = sandbox_of(L);

	(void)ar;
	watchdog_alive();
	s->instructions += HOOK_EVERY;
	if (s->instructions < s->instructions_max)
		return;
	/* From now on every instruction fails, so that pcall cannot carry on. */
	lua_sethook(L, count_hook, LUA_MASKCOUNT, 1);
	luaL_where(L, 0);       /* a hook runs in the frame of the function it interrupts */
	lua_pushfstring(L, "%sthe scenario ran too long (%I Lua instructions)", lua_tostring(L, -1),
	                (lua_Integer)s->instructions_max);
	lua_error(L);
}

uint64_t sandbox_limit(struct sandbox *s, uint64_t instructions_max)
{
	uint64_t before = s->instructions_max;

	s->instructions_max = instructions_max;
	lua_sethook(s->L, count_hook, LUA_MASKCOUNT, HOOK_EVERY);
	return before;
}

void sandbox_print(lua_State *L, const char *text, size_t n)
{
	const struct sandbox *s = sandbox_of(L);

	if (s->print)
		s->print(s->print_who, text, n);
	else
		fwrite(text, 1, n, stdout);
}

/* ---- the libraries that are open ---- */

static int no_metamethod_gc(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	if (lua_istable(L, 2)) {
		if (lua_getfield(L, 2, "__gc") != LUA_TNIL)
			return luaL_error(L, "__gc is not available: when it would run is not defined");
		if (lua_getfield(L, 2, "__mode") != LUA_TNIL)
			return luaL_error(L, "weak tables are not available: when they forget is not defined");
	}
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

static int require(lua_State *L)
{
	struct sandbox *s = sandbox_of(L);
	const char *name = luaL_checkstring(L, 1);
	char path[sizeof s->folder + 256], *p;
	struct err e = { "" };

	lua_settop(L, 1);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, "vmscope.required");
	if (lua_getfield(L, 2, name) != LUA_TNIL)
		return 1;
	lua_pop(L, 1);
	if (!s->folder[0])
		return luaL_error(L, "require is not available here");
	if (strlen(name) > 200 || strstr(name, "..") ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")])
		return luaL_error(L, "module name '%s': letters, digits, '_' and single dots are allowed", name);
	snprintf(path, sizeof path, "%s/", s->folder);
	p = path + strlen(path);
	for (const char *c = name; *c; c++)
		*p++ = *c == '.' ? '/' : *c;
	snprintf(p, sizeof path - (size_t)(p - path), ".lua");
	if (!paths_inside(s->folder, path))
		return luaL_error(L, "module '%s' not found: require looks for %s.lua in the scenario's folder only", name, name);
	if (sandbox_run_file(s, path, 1, &e) != 0)
		return luaL_error(L, "%s", e.text);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushboolean(L, 1);
	}
	lua_pushvalue(L, -1);
	lua_setfield(L, 2, name);
	return 1;
}

void sandbox_hurry(lua_State *L)
{
	lua_sethook(L, count_hook, LUA_MASKCOUNT, 1);
}

static void open_libraries(lua_State *L)
{
	static const luaL_Reg lib[] = {
		{ LUA_GNAME, luaopen_base }, { LUA_STRLIBNAME, luaopen_string }, { LUA_TABLIBNAME, luaopen_table },
		{ LUA_MATHLIBNAME, luaopen_math }, { LUA_UTF8LIBNAME, luaopen_utf8 }, { LUA_COLIBNAME, luaopen_coroutine },
	};
	static const char *const closed[] = { "load", "loadfile", "loadstring", "dofile",
	                                      "collectgarbage", "warn" };

	for (size_t i = 0; i < ARRAY_LEN(lib); i++) {
		luaL_requiref(L, lib[i].name, lib[i].func, 1);
		lua_pop(L, 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
		lua_pushnil(L);
		lua_setglobal(L, closed[i]);
	}
	lua_getglobal(L, "string");
	lua_pushnil(L);
	lua_setfield(L, -2, "dump");
	lua_pop(L, 1);
	lua_register(L, "setmetatable", no_metamethod_gc);
	lua_register(L, "require", require);
	hygiene_install(L);
}

static int open_protected(lua_State *L)
{
	open_libraries(L);
	return 0;
}

int sandbox_init(struct sandbox *s, uint64_t seed, size_t memory, uint64_t instructions,
                 struct err *e)
{
	memset(s, 0, sizeof *s);
	s->memory_max = memory;
	s->instructions_max = instructions;
	rng_init(&s->rng, seed, "lua");
	s->L = lua_newstate(allocate, s);
	if (!s->L)
		return err_set(e, NULL, NULL, "no memory for Lua");
	*(struct sandbox **)lua_getextraspace(s->L) = s;
	lua_pushcfunction(s->L, open_protected);
	if (sandbox_call(s->L, 0, 0, e) != 0) {
		sandbox_fini(s);
		return -1;
	}
	lua_sethook(s->L, count_hook, LUA_MASKCOUNT, HOOK_EVERY);
	return 0;
}

void sandbox_fini(struct sandbox *s)
{
	if (s->L)
		lua_close(s->L);
	s->L = NULL;
}

/* ---- running ---- */

/* The message as it will be printed; an error value that is no text is named by its type. */
static int message(lua_State *L)
{
	size_t n;

	if (lua_type(L, 1) != LUA_TSTRING)
		lua_pushfstring(L, "error value: %s", sandbox_tostring(L, 1, &n));
	return 1;
}

int sandbox_call(lua_State *L, int args, int results, struct err *e)
{
	int base = lua_gettop(L) - args, status;

	lua_pushcfunction(L, message);
	lua_insert(L, base);
	status = lua_pcall(L, args, results, base);
	lua_remove(L, base);
	if (status == LUA_OK)
		return 0;
	if (status == LUA_ERRMEM) {
		struct sandbox *s = sandbox_of(L);

		lua_pop(L, 1);
		return err_set(e, s->file[0] ? s->file : NULL, "large data belongs into the guest",
		               "the scenario's Lua data need more than %zu MB",
		               s->memory_max >> 20);
	}
	err_set(e, NULL, NULL, "%s", lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) :
	        "error in error handling");
	lua_pop(L, 1);
	return -1;
}

int sandbox_run(struct sandbox *s, const char *text, size_t n, const char *name, int results,
                struct err *e)
{
	char chunk[4200];

	if (memchr(text, '\0', n))
		return err_set(e, name, "vmscope boot runs images", "not a scenario: this is no text");
	snprintf(chunk, sizeof chunk, "@%s", name);
	if (luaL_loadbufferx(s->L, text, n, chunk, "t") != LUA_OK) {
		err_set(e, NULL, NULL, "%s", lua_tostring(s->L, -1));
		lua_pop(s->L, 1);
		return -1;
	}
	return sandbox_call(s->L, 0, results, e);
}

int sandbox_run_file(struct sandbox *s, const char *path, int results, struct err *e)
{
	FILE *f = fopen(path, "rb");
	char *text;
	size_t n, skip = 0;
	int status;

	snprintf(s->file, sizeof s->file, "%s", path);
	if (!f)
		return err_set(e, path, NULL, "cannot open: %s", strerror(errno));
	text = xcalloc(SOURCE_MAX + 1, 1);
	n = fread(text, 1, SOURCE_MAX + 1, f);
	status = ferror(f) ? err_set(e, path, NULL, "cannot read: %s", strerror(errno)) : 0;
	fclose(f);
	if (n > SOURCE_MAX)
		status = err_set(e, path, NULL, "longer than 4 MB: not a scenario");
	/* a #! line, kept as an empty one so that line numbers stay */
	if (n && text[0] == '#')
		skip = strcspn(text, "\n");
	if (status == 0)
		status = sandbox_run(s, text + skip, n - skip, path, results, e);
	free(text);
	return status;
}
