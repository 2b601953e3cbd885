/* globals.c - the scenario language's functions that belong to no object. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/cli/item.h"
#include "ui/export/wrap.h"
#include "ui/lua/api.h"
#include "ui/lua/profile_file.h"
#include "ui/session/paths.h"

struct guests { char name[64][48]; size_t n; };

static void guest_item(void *arg, const char *name)
{
	struct guests *all = arg;

	if (all->n < ARRAY_LEN(all->name))
		snprintf(all->name[all->n++], sizeof all->name[0], "%s", name);
}

static const char *guest_at(const void *table, size_t i)
{
	return ((const struct guests *)table)->name[i];
}

int l_guest(lua_State *L)
{
	struct guests all = { .n = 0 };
	const char *name = luaL_checkstring(L, 1);
	char path[4300];

	if (!paths_guest(name, path, sizeof path)) {
		char dir[4200];
		struct err e = { "" };

		if (paths_there(&e) != 0)
			return api_throw(L, &e);
		snprintf(dir, sizeof dir, "%s/build/guests", paths_root());
		paths_each(dir, ".elf", guest_item, &all);
		return api_unknown(L, "guest", name, guest_at, &all, all.n,
		                   "vmscope list guests; built by make guests");
	}
	lua_pushstring(L, path);
	return 1;
}

int l_profile(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	struct profile p;
	struct err e = { "" };

	if (profile_load(name, &p, NULL, &e) != 0)
		return api_throw(L, &e);
	lua_createtable(L, 0, (int)profile_rows_n + 1);
	lua_pushstring(L, name);
	lua_setfield(L, -2, "name");
	for (size_t i = 0; i < profile_rows_n; i++) {
		lua_pushinteger(L, (lua_Integer)*(const uint64_t *)((const char *)&p +
		        profile_rows[i].off));
		lua_setfield(L, -2, profile_rows[i].key);
	}
	return 1;
}

int l_check(lua_State *L)
{
	struct scenario *s = scenario_of(L);
	bool ok = lua_toboolean(L, 1);
	const char *text = luaL_optstring(L, 2, "");

	if (!ok) {
		fflush(stdout);
		luaL_where(L, 1);
		fprintf(stderr, "%scheck failed%s%s\n", lua_tostring(L, -1), text[0] ? ": " : "",
		        text);
		s->status = 1;
	}
	lua_pushboolean(L, ok);
	return 1;
}

int l_exit(lua_State *L)
{
	struct scenario *s = scenario_of(L);
	lua_Integer status = luaL_optinteger(L, 1, s->status);

	luaL_argcheck(L, status >= 0 && status <= 255, 1, "expected 0..255");
	s->status = (int)status;
	s->exited = true;
	/* Nothing may catch it and carry on: from now on every instruction fails. */
	s->sandbox.instructions = s->sandbox.instructions_max;
	sandbox_hurry(L);
	return luaL_error(L, "exit");
}

static void name_item(void *arg, const struct item *it)
{
	lua_State *L = arg;

	lua_pushstring(L, it->name);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static const char *kind_at(const void *table, size_t i)
{
	return ((const struct kind *)table)[i].name;
}

int l_names(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	for (size_t i = 0; i < kinds_n; i++)
		if (strcmp(kinds[i].name, name) == 0) {
			lua_newtable(L);
			kinds[i].each(name_item, L);
			return 1;
		}
	return api_unknown(L, "kind", name, kind_at, kinds, kinds_n, "vmscope list");
}

/* ---- report ---- */

enum { COLUMNS_MAX = 32, CELL_MAX = 256 };

/* Code points, which is what a terminal's columns are for the text we print. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((uint8_t)*text & 0xc0) != 0x80;
	return n;
}

/* The cell of the row at the top of the stack; numbers are shown as %.14g, floats with a
 * few digits. */
static bool cell(lua_State *L, int columns, lua_Integer i, char *buf, size_t n)
{
	bool number;

	if (lua_rawgeti(L, -1, i) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_rawgeti(L, columns, i);
		lua_rawget(L, -2);
	}
	number = lua_type(L, -1) == LUA_TNUMBER;
	if (lua_isnil(L, -1))
		snprintf(buf, n, "-");
	else if (number && !lua_isinteger(L, -1))
		snprintf(buf, n, "%.4g", lua_tonumber(L, -1));
	else {
		snprintf(buf, n, "%s", sandbox_tostring(L, -1, NULL));
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return number;
}

static void print_cell(lua_State *L, const char *text, size_t to, bool right, bool last)
{
	size_t pad = to > width(text) ? to - width(text) : 0;
	char padded[3 * CELL_MAX];

	snprintf(padded, sizeof padded, "%*s%s%*s%s", right ? (int)pad : 0, "", text, right || last ? 0 : (int)pad, "",
	         last ? "\n" : "  ");
	sandbox_print(L, padded, strlen(padded));
}

/* Its room is the scenario's: a userdata, within the limit of memory. */
int l_wrap(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);
	const lua_Integer indent = luaL_optinteger(L, 2, 2);
	char *room;
	FILE *f;

	luaL_argcheck(L, n <= 1 << 16 && strlen(text) == n, 1, "at most 64 KB of text");
	luaL_argcheck(L, indent >= 0 && indent <= 60, 2, "0..60 columns");
	n = (n + 1) * ((size_t)indent + 2);
	room = lua_newuserdatauv(L, n, 0);
	f = fmemopen(room, n, "w");
	if (!f)
		return luaL_error(L, "wrap: no memory");
	wrap(f, 0, (unsigned)indent, WRAP_PAGE, text);
	fputc('\0', f);
	fclose(f);
	lua_pushstring(L, room);
	return 1;
}

int l_report(lua_State *L)
{
	static const char *const keys[] = { "title", "columns", "rows", NULL };
	size_t wide[COLUMNS_MAX] = { 0 };
	bool right[COLUMNS_MAX] = { false };
	lua_Integer n, rows;
	char text[CELL_MAX];

	lua_settop(L, 1);
	if (lua_istable(L, 1) && lua_getfield(L, 1, "text") == LUA_TSTRING) {   /* what compare made */
		size_t size;
		const char *whole = lua_tolstring(L, -1, &size);

		sandbox_print(L, whole, size);
		fflush(stdout);
		return 0;
	}
	lua_settop(L, 1);
	api_keys(L, 1, keys);
	luaL_argexpected(L, lua_getfield(L, 1, "columns") == LUA_TTABLE, 1, "a table with columns");
	luaL_argexpected(L, lua_getfield(L, 1, "rows") == LUA_TTABLE, 1, "a table with rows");
	n = (lua_Integer)lua_rawlen(L, 2);
	rows = (lua_Integer)lua_rawlen(L, 3);
	luaL_argcheck(L, n >= 1 && n <= COLUMNS_MAX, 1, "expected 1..32 columns");
	if (lua_getfield(L, 1, "title") != LUA_TNIL) {
		const char *title = lua_pushfstring(L, "%s\n", luaL_checkstring(L, -1));
		sandbox_print(L, title, lua_rawlen(L, -1));
	}
	lua_settop(L, 3);
	for (int pass = 0; pass < 2; pass++)
		for (lua_Integer r = 0; r <= rows; r++) {
			if (r)
				luaL_argexpected(L, lua_rawgeti(L, 3, r) == LUA_TTABLE, 1,
				                 "rows that are tables");
			for (lua_Integer i = 1; i <= n; i++) {
				bool number = false;

				if (r) {
					number = cell(L, 2, i, text, sizeof text);
				} else {
					lua_rawgeti(L, 2, i);
					snprintf(text, sizeof text, "%s", luaL_checkstring(L, -1));
					lua_pop(L, 1);
				}
				right[i - 1] |= number;
				if (pass)
					print_cell(L, text, wide[i - 1], right[i - 1], i == n);
				else if (width(text) > wide[i - 1])
					wide[i - 1] = width(text);
			}
			lua_settop(L, 3);
		}
	fflush(stdout);
	return 0;
}
