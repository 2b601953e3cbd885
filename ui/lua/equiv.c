/* equiv.c - equiv { }: a technique against the bare machine, instruction by instruction. */
#include <stdlib.h>
#include <string.h>

#include "ui/equiv/equiv.h"
#include "ui/lua/api.h"
#include "ui/lua/watchdog.h"

struct asked {
	struct setup setup;
	struct boot_image image;
	struct equiv_options o;
	bool console;
	struct err e;
};

static int asked_gc(lua_State *L)
{
	setup_fini(&((struct asked *)lua_touserdata(L, 1))->setup);
	return 0;
}

static struct asked *asked_push(lua_State *L)
{
	struct asked *a = lua_newuserdatauv(L, sizeof *a, 0);
	memset(a, 0, sizeof *a);
	setup_init(&a->setup);
	a->setup.config.ram = 64u << 20;
	if (luaL_newmetatable(L, "vmscope.equiv")) {
		lua_pushcfunction(L, asked_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return a;
}

static const char *const equiv_keys[] = { "kernel", "initrd", "cmdline", "console", "max_instructions", "max_cycles", NULL };

/* One key; the value is on top. */
static int key(lua_State *L, const char *name, void *arg)
{
	struct asked *a = arg;
	char path[4300];
	if (!strcmp(name, "kernel") || !strcmp(name, "initrd")) {
		const char *kept = setup_keep(&a->setup, api_path(L, lua_gettop(L), path, sizeof path));
		*(*name == 'k' ? &a->image.kernel : &a->image.initrd) = kept;
		return 0;
	}
	if (!strcmp(name, "cmdline"))
		return a->image.cmdline = setup_keep(&a->setup, luaL_checkstring(L, -1)), 0;
	if (!strcmp(name, "console"))
		return a->console = lua_toboolean(L, -1), 0;
	if (!strcmp(name, "max_instructions"))
		return a->o.instructions = api_u64(L, -1), 0;
	if (!strcmp(name, "max_cycles"))
		return a->o.cycles = api_u64(L, -1), 0;
	if (!setup_known(name))
		return setup_unknown(name, equiv_keys, NULL, &a->e);
	const char *text = lua_isboolean(L, -1) ? lua_toboolean(L, -1) ? "true" : "false" : luaL_checkstring(L, -1);
	return setup_set(&a->setup, name, setup_is_path(name) ? api_path(L, lua_gettop(L), path, sizeof path) : text, NULL, &a->e);
}

static void set_u64(lua_State *L, const char *name, uint64_t x)
{
	lua_pushinteger(L, (lua_Integer)x);
	lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *x)
{
	lua_pushstring(L, x);
	lua_setfield(L, -2, name);
}

static void push(lua_State *L, const struct equiv_result *r)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	equiv_print(f, r);
	fclose(f);
	lua_createtable(L, 0, 12);
	lua_pushboolean(L, r->verdict != EQUIV_DIFFERS);
	lua_setfield(L, -2, "ok");
	set_text(L, "text", text);
	free(text);
	set_u64(L, "instructions", r->instructions);
	set_u64(L, "interrupts", r->interrupts);
	if (r->verdict != EQUIV_DIFFERS)
		return;
	set_u64(L, "address", r->linear);
	set_u64(L, "ring", r->ring);
	set_text(L, "symbol", r->symbol);
	set_text(L, "instruction", r->text);
	set_text(L, "reason", r->reason);
	lua_pushboolean(L, r->critical);
	lua_setfield(L, -2, "critical");
	lua_createtable(L, (int)r->fields, 0);
	for (unsigned i = 0; i < r->fields; i++) {
		lua_createtable(L, 0, 3);
		set_text(L, "name", r->field[i].name);
		set_u64(L, "bare", r->field[i].reference);
		set_u64(L, "test", r->field[i].test);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "fields");
}

int l_equiv(lua_State *L)
{
	struct equiv_result result;
	struct session s;
	int status = -1;
	api_not_inside(L, "equiv");
	api_not_on_line(L, "equiv");
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	struct asked *a = asked_push(L);
	if (api_each_key(L, 1, "equiv", key, a) != 0 || setup_finish(&a->setup, &a->e) != 0 || equiv_possible(&a->setup, &a->e) != 0 ||
	    setup_keys_used(&a->setup, &a->e) != 0)
		return api_throw(L, &a->e);
	if (!a->image.kernel)
		return luaL_error(L, "equiv: the key 'kernel' is missing\n    for example: kernel = guest \"kernel64\"");
	struct setup used = a->setup;           /* the session's from here on */
	setup_init(&a->setup);
	session_init(&s, &(struct options){ .max_cycles = NEVER, .quiet = true });
	struct run *r = session_machine(&s, &used, &a->e);
	if (r && run_boot(r, &a->image, &a->e) == 0) {
		run_face(r)->echo = a->console;
		watchdog_machine(true);
		status = equiv(r, &a->image, &a->o, &result, &a->e);
		watchdog_machine(false);
	}
	session_fini(&s);
	if (status != 0)
		return api_throw(L, &a->e);
	push(L, &result);
	return 1;
}
