/* machine.c - machines in Lua: build, boot, type, look. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/symbols.h"
#include "ui/lua/api.h"
#include "ui/lua/profile_file.h"
#include "ui/session/paths.h"

#define MACHINES_MAX  64
#define RAM_TOTAL_MAX (64ull << 30)     /* of all machines of a scenario; only touched pages cost host memory */

/* ---- machine { } ---- */

struct configuring { struct setup *s; bool *console; const char *where; struct err *e; };

/* The text of a value as setup_set takes it; numbers may be written 2e9. */
static const char *value_text(lua_State *L, int i, const char *key, char *buf, size_t n)
{
	switch (lua_type(L, i)) {
	case LUA_TNUMBER:
		snprintf(buf, n, "%" PRIu64, api_u64(L, lua_absindex(L, i)));
		return buf;
	case LUA_TBOOLEAN:
		return lua_toboolean(L, i) ? "true" : "false";
	case LUA_TSTRING:
		return lua_tostring(L, i);
	default:
		luaL_error(L, "%s: a string or a number was expected, got %s", key, luaL_typename(L, i));
		return NULL;
	}
}

static int set_key(lua_State *L, struct setup *s, const char *key, int value, const char *where, struct err *e)
{
	char text[32], path[4300];

	return setup_set(s, key, setup_is_path(key) ? api_path(L, lua_absindex(L, value), path, sizeof path) : value_text(L, value, key, text, sizeof text),
	                 where, e);
}

/* profile = a table: profile "x" with changes; its name says which file the rest comes from. */
static int profile_key(lua_State *L, const char *key, void *arg)
{
	struct configuring *c = arg;

	return set_key(L, c->s, strcmp(key, "name") == 0 ? "profile" : key, -1, c->where, c->e);
}

static int cost_key(lua_State *L, const char *key, void *arg)
{
	struct configuring *c = arg;
	char full[80];

	snprintf(full, sizeof full, "cost.%s", key);
	return set_key(L, c->s, full, -1, c->where, c->e);
}

static const char *const machine_keys[] = { "console", "cost", NULL };

/* One key of machine { }; the value is on top. */
static int machine_key(lua_State *L, const char *key, void *arg)
{
	struct configuring *c = arg;

	if (strcmp(key, "console") == 0) {
		*c->console = lua_toboolean(L, -1);
		return 0;
	}
	if (strcmp(key, "cost") == 0)
		return api_each_key(L, -1, "cost", cost_key, c);
	if (strcmp(key, "profile") == 0 && lua_istable(L, -1))
		return api_each_key(L, -1, "profile", profile_key, c);
	if (!setup_known(key))
		return setup_unknown(key, machine_keys, c->where, c->e);
	return set_key(L, c->s, key, -1, c->where, c->e);
}

static int setup_gc(lua_State *L)
{
	setup_fini(lua_touserdata(L, 1));
	return 0;
}

/* A setup that Lua frees, on the stack. */
static struct setup *setup_push(lua_State *L, const char *where)
{
	struct setup *s = lua_newuserdatauv(L, sizeof *s, 0);

	setup_init(s);
	if (luaL_newmetatable(L, "vmscope.setup")) {
		lua_pushcfunction(L, setup_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	snprintf(s->profile_where, sizeof s->profile_where, "%.127s", where);
	return s;
}

/* A message with its position in front, unless it has one. */
static int positioned(lua_State *L, const char *where, const struct err *e)
{
	if (strncmp(e->text, where, strlen(where)) == 0)
		lua_pushstring(L, e->text);
	else
		lua_pushfstring(L, "%s: %s", where, e->text);
	return lua_error(L);
}

int l_machine_new(lua_State *L)
{
	struct scenario *sc = scenario_of(L);
	bool console = true;
	struct setup *s;
	struct run *r;
	struct err e = { "" };
	char where[256];
	size_t n;
	uint64_t ram = 0;

	lua_settop(L, 1);
	luaL_where(L, 1);
	n = strlen(lua_tostring(L, -1));
	snprintf(where, sizeof where, "%.*s", n > 2 ? (int)n - 2 : 0, lua_tostring(L, -1));     /* without ": " */
	s = setup_push(L, where);
	if (!lua_isnil(L, 1) && api_each_key(L, 1, "machine", machine_key, &(struct configuring){ s, &console, where, &e }) != 0)
		goto failed;
	if (setup_finish(s, &e) != 0 || setup_keys_used(s, &e) != 0)
		goto failed;
	for (size_t i = 0; i < sc->session->n; i++)
		ram += sc->session->runs[i]->m->config.ram;
	if (sc->session->n == MACHINES_MAX || ram + s->config.ram > RAM_TOTAL_MAX) {
		err_set(&e, where, NULL, "a scenario has at most %d machines with 64G of RAM together", MACHINES_MAX);
		goto failed;
	}
	r = session_machine(sc->session, s, &e);
	if (!r)
		goto failed;
	run_face(r)->echo = r->echo = console;
	api_push(L, API_MACHINE, r, -1);
	return 1;
failed:
	return positioned(L, where, &e);
}

/* ---- m:boot ---- */

static void boot_modules(lua_State *L, struct run *r, struct boot_image *b)
{
	if (lua_getfield(L, 2, "modules") == LUA_TNIL)
		return;
	luaL_checktype(L, -1, LUA_TTABLE);
	for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
		const char *text = luaL_checkstring(L, -1);
		size_t n = strcspn(text, " ");
		char path[4300], whole[8600];

		if (b->n_modules == ARRAY_LEN(b->modules))
			luaL_error(L, "boot: more than %d modules", (int)ARRAY_LEN(b->modules));
		lua_pushlstring(L, text, n);    /* "file arguments": the file is checked, the arguments stay */
		snprintf(whole, sizeof whole, "%s%s", api_path(L, lua_gettop(L), path, sizeof path), text + n);
		b->modules[b->n_modules++] = setup_keep(&r->setup, whole);
		lua_pop(L, 2);
	}
}

static const char *boot_file(lua_State *L, struct run *r, const char *key)
{
	char path[4300];

	if (lua_getfield(L, 2, key) == LUA_TNIL)
		return NULL;
	return setup_keep(&r->setup, api_path(L, lua_gettop(L), path, sizeof path));
}

/* What the table at 2 says to load; its strings are kept by r. */
static void boot_options(lua_State *L, const char *what, struct run *r, struct boot_image *b)
{
	lua_settop(L, 2);
	b->kernel = boot_file(L, r, "kernel");
	if (!b->kernel)
		luaL_error(L, "%s: the key 'kernel' is missing\n    for example: kernel = guest \"kernel64\"", what);
	b->initrd = boot_file(L, r, "initrd");
	if (lua_getfield(L, 2, "cmdline") != LUA_TNIL)
		b->cmdline = setup_keep(&r->setup, luaL_checkstring(L, -1));
	if (lua_getfield(L, 2, "base") != LUA_TNIL)
		b->flat_base = api_u64(L, -1);
	boot_modules(L, r, b);
}

static const char *const boot_keys[] = { "kernel", "cmdline", "initrd", "modules", "base", NULL };

int l_boot(lua_State *L)
{
	struct run *r = api_self(L, API_MACHINE)->run;
	struct boot_image b = { 0 };
	struct err e = { "" };

	api_not_inside(L, "m:boot");
	api_not_on_line(L, "booting");
	api_keys(L, 2, boot_keys);
	boot_options(L, "boot", r, &b);
	if (run_boot(r, &b, &e) != 0)
		return api_throw(L, &e);
	return 0;
}

/* ---- m:vm { } ---- */

static const char *const vm_keys[] = { "kernel", "cmdline", "initrd", "modules", "base", "console", NULL };

/* What is the machine's, not its virtual machines'; rows of the profile and their costs are, too. */
static const char *const of_machine[] = { "profile", "speed", "quantum", "host_cpus", "cost", NULL };

static int hosts(const char *key, const struct configuring *c)
{
	char hint[100];

	if (strcmp(key, "host_cpus") == 0)
		snprintf(hint, sizeof hint, "machine { cpus = ... }");
	else
		snprintf(hint, sizeof hint, strchr(key, '.') ? "machine { [\"%s\"] = ... }" : "machine { %s = ... }", key);
	return err_set(c->e, c->where, hint, "vm: %s is not the virtual machine's but its machine's", key);
}

static int vm_key(lua_State *L, const char *key, void *arg)
{
	struct configuring *c = arg;

	for (size_t i = 0; boot_keys[i]; i++)
		if (strcmp(boot_keys[i], key) == 0)
			return 0;
	for (size_t i = 0; of_machine[i]; i++)
		if (strcmp(of_machine[i], key) == 0)
			return hosts(key, c);
	for (size_t i = 0; i < profile_rows_n; i++)
		if (strcmp(profile_rows[i].key, key) == 0)
			return hosts(key, c);
	if (strcmp(key, "console") != 0 && !setup_known(key))
		return setup_unknown(key, vm_keys, c->where, c->e);
	return machine_key(L, key, arg);
}

int l_vm(lua_State *L)
{
	struct run *host = api_self(L, API_MACHINE)->run, *r;
	struct boot_image b = { 0 };
	struct err e = { "" };
	bool console = true;
	char where[256];
	size_t n;

	api_not_inside(L, "m:vm");
	api_not_on_line(L, "making a virtual machine");
	if (host->started)
		return luaL_error(L, "vm: the machine has run already; make its virtual machines first");
	lua_settop(L, 2);
	luaL_where(L, 1);
	n = strlen(lua_tostring(L, -1));
	snprintf(where, sizeof where, "%.*s", n > 2 ? (int)n - 2 : 0, lua_tostring(L, -1));
	struct setup *s = setup_push(L, where);
	s->config.ram = 64u << 20;
	if (setup_set(s, "cpu", "vmx", where, &e) != 0 ||
	    api_each_key(L, 2, "vm", vm_key, &(struct configuring){ s, &console, where, &e }) != 0 || setup_finish(s, &e) != 0)
		goto failed;
	if (!setup_virtual(s)) {
		err_set(&e, where, "cpu = \"vmx\", mmu = \"ept\"", "vm: native is the machine itself, not a virtual machine");
		goto failed;
	}
	if (setup_keys_used(s, &e) != 0)
		goto failed;
	s->config.profile = host->m->config.profile;
	s->config.fast = host->m->config.fast;
	r = session_vm(host, s, &e);
	if (!r)
		goto failed;
	r->echo = console && host->echo;
	boot_options(L, "vm", r, &b);
	if (run_boot(r, &b, &e) != 0)
		return api_throw(L, &e);
	api_push(L, API_VM, r, -1);
	return 1;
failed:
	return positioned(L, where, &e);
}

/* ---- typing ---- */

int l_type(lua_State *L)
{
	struct run *r = api_guest(L);
	size_t n;
	const char *text = luaL_checklstring(L, 2, &n);

	api_not_inside(L, "m:type");
	r->touched = true;
	machine_serial_input(r->m, (const uint8_t *)text, n);
	return 0;
}

int l_key(lua_State *L)
{
	struct run *r = api_guest(L);
	size_t n;
	const char *text = luaL_checklstring(L, 2, &n);
	uint8_t codes[1024];

	api_not_inside(L, "m:key");
	r->touched = true;
	for (size_t at = 0; at < n; at += 200)
		machine_key_input(r->m, codes, keys_for(text + at, n - at < 200 ? n - at : 200, codes, sizeof codes));
	return 0;
}

/* ---- looking ---- */

int l_console(lua_State *L)
{
	const struct run *r = api_guest(L);

	lua_pushlstring(L, r->console ? r->console : "", r->console_n);
	return 1;
}

int l_screen(lua_State *L)
{
	char lines[25][80 * 4 + 1];
	luaL_Buffer b;

	machine_screen_text(api_guest(L)->m, lines);
	luaL_buffinit(L, &b);
	for (unsigned i = 0; i < 25; i++) {
		luaL_addstring(&b, lines[i]);
		luaL_addchar(&b, '\n');
	}
	luaL_pushresult(&b);
	return 1;
}

int l_now(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)machine_now(api_self(L, API_MACHINE)->run->m));
	return 1;
}

int l_seconds(lua_State *L)
{
	const struct machine *m = api_self(L, API_MACHINE)->run->m;

	lua_pushnumber(L, (lua_Number)machine_now(m) / (lua_Number)m->config.profile.hz);
	return 1;
}

int l_instructions(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)machine_icount(api_self(L, API_MACHINE)->run->m));
	return 1;
}

int l_speed(lua_State *L)
{
	lua_pushstring(L, api_self(L, API_MACHINE)->run->m->config.fast ? "fast" : "detailed");
	return 1;
}

int l_status(lua_State *L)
{
	lua_pushinteger(L, run_status(api_self(L, API_MACHINE)->run));
	return 1;
}

int l_name(lua_State *L)
{
	const struct object *vm = luaL_testudata(L, 1, api_class[API_VM]);

	lua_pushstring(L, vm ? vm->run->name : api_self(L, API_MACHINE)->run->name);
	return 1;
}

int l_hash(lua_State *L)
{
	char text[20];

	snprintf(text, sizeof text, "%016" PRIx64, machine_hash(api_self(L, API_MACHINE)->run->m));
	lua_pushstring(L, text);
	return 1;
}

static const char *symbol_name_at(const void *table, size_t i)
{
	return ((const struct symtab *)table)->sym[i].name;
}

int l_symbol(lua_State *L)
{
	const struct symtab *t = api_guest(L)->m->symbols;
	const char *name = luaL_checkstring(L, 2);
	uint64_t addr;

	if (!symtab_find(t, name, &addr))
		return api_unknown(L, "symbol", name, symbol_name_at, t, t->n, "nm of the kernel image");
	lua_pushinteger(L, (lua_Integer)addr);
	return 1;
}

int l_symbol_at(lua_State *L)
{
	const struct symtab *t = api_guest(L)->m->symbols;
	uint64_t off;
	const struct symbol *s = symtab_at(t, api_u64(L, 2), &off);

	if (!s)
		return 0;
	lua_pushstring(L, s->name);
	lua_pushinteger(L, (lua_Integer)off);
	return 2;
}

/* ---- snapshots ---- */

#define SNAPSHOTS_MAX 1000

int l_snapshot(lua_State *L)
{
	struct scenario *s = scenario_of(L);
	struct run *r = api_self(L, API_MACHINE)->run;
	const char *label = luaL_optstring(L, 2, "");
	struct object *o;

	api_not_inside(L, "m:snapshot");
	if (s->snapshots == SNAPSHOTS_MAX)
		return luaL_error(L, "%d snapshots are alive\n    drop some: snapshot:drop()", SNAPSHOTS_MAX);
	o = api_push(L, API_SNAPSHOT, r, -1);
	o->snap = snap_take(r->m->snaps, label);
	s->snapshots++;
	return 1;
}

static struct object *live_snapshot(lua_State *L, int i)
{
	struct object *o = luaL_checkudata(L, i, api_class[API_SNAPSHOT]);

	if (!o->snap)
		luaL_error(L, "this snapshot was dropped");
	return o;
}

int l_restore(lua_State *L)
{
	struct run *r = api_self(L, API_MACHINE)->run;
	const struct object *o = live_snapshot(L, 2);

	api_not_inside(L, "m:restore");
	api_not_on_line(L, "going back");
	if (o->run != r)
		return luaL_error(L, "this snapshot is of machine %s, not of %s", o->run->name, r->name);
	if (r->travel)
		return luaL_error(L, "m:restore: this run is recorded; go back with m:back, m:back_to or m:go");
	snap_restore(r->m->snaps, o->snap);
	return 0;
}

int l_snap_drop(lua_State *L)
{
	struct object *o = live_snapshot(L, 1);

	api_not_inside(L, "dropping a snapshot");
	snap_drop(o->run->m->snaps, o->snap);
	o->snap = NULL;
	scenario_of(L)->snapshots--;
	return 0;
}

int l_snap_bytes(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)snap_bytes(live_snapshot(L, 1)->snap));
	return 1;
}

int l_snap_differs(lua_State *L)
{
	const struct object *o = live_snapshot(L, 1);
	char where[128];

	if (!snap_differs(o->run->m->snaps, o->snap, where, sizeof where))
		return 0;
	lua_pushstring(L, where);
	return 1;
}
