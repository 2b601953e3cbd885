/* hygiene.c - the standard library's functions whose results vary from run to run, replaced.
 *
 *   pairs, next      by key: numbers, then strings, then booleans (Lua: order of a hash that is seeded by the clock)
 *   table.sort       stable merge sort (Lua: pivots from the clock for larger tables)
 *   math.random      the scenario's seeded stream
 *   tostring, print, string.format("%s")   objects by number instead of address; %p is refused */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/lua/sandbox.h"

/* ---- pairs and next ---- */

struct key { int rank; lua_Number num; lua_Integer order; const char *text; size_t n; };

/* Rank and value of the key at index i; objects have no order. */
static struct key key_of(lua_State *L, int i)
{
	struct key k = { 0 };

	switch (lua_type(L, i)) {
	case LUA_TNUMBER:
		k.num = lua_tonumber(L, i);
		k.order = lua_isinteger(L, i) ? lua_tointeger(L, i) : 0;
		break;
	case LUA_TSTRING:
		k.rank = 1;
		k.text = lua_tolstring(L, i, &k.n);
		break;
	case LUA_TBOOLEAN:
		k.rank = 2;
		k.num = lua_toboolean(L, i);
		break;
	default:
		k.rank = 3;
	}
	return k;
}

static int key_compare(const struct key *a, const struct key *b)
{
	int c;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->rank == 1) {
		c = memcmp(a->text, b->text, a->n < b->n ? a->n : b->n);
		return c ? c : a->n < b->n ? -1 : a->n > b->n;
	}
	if (a->num != b->num)
		return a->num < b->num ? -1 : 1;
	/* integers beyond 2^53 can share a float */
	return a->order < b->order ? -1 : a->order > b->order;
}

static int by_key(const void *a, const void *b)
{
	return key_compare(a, b);
}

static int no_order(lua_State *L)
{
	return luaL_error(L, "this table has several keys that are objects: their order is not defined; use an array");
}

lua_Integer hygiene_sorted_keys(lua_State *L, int t)
{
	struct pair { struct key k; lua_Integer at; } *keys;
	lua_Integer n = 0, objects = 0;
	int array;

	lua_newtable(L);
	array = lua_gettop(L);
	for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1)) {
		lua_pushvalue(L, -2);
		lua_rawseti(L, array, ++n);
	}
	keys = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *keys, 0);
	for (lua_Integer i = 0; i < n; i++) {
		lua_rawgeti(L, array, i + 1);
		keys[i].k = key_of(L, -1);      /* the array keeps a string's bytes alive */
		keys[i].at = i + 1;
		objects += keys[i].k.rank == 3;
		lua_pop(L, 1);
	}
	if (objects > 1)
		no_order(L);
	qsort(keys, (size_t)n, sizeof *keys, by_key);
	lua_createtable(L, n < 1 << 20 ? (int)n : 1 << 20, 0);
	for (lua_Integer i = 0; i < n; i++) {
		lua_rawgeti(L, array, keys[i].at);
		lua_rawseti(L, -2, i + 1);
	}
	lua_replace(L, array);
	lua_settop(L, array);
	return n;
}

/* upvalues: the sorted keys, how many, the next one */
static int pairs_step(lua_State *L)
{
	lua_Integer n = lua_tointeger(L, lua_upvalueindex(2)),
	        i = lua_tointeger(L, lua_upvalueindex(3));

	while (i < n) {
		lua_rawgeti(L, lua_upvalueindex(1), ++i);
		lua_pushvalue(L, -1);
		lua_rawget(L, 1);
		if (!lua_isnil(L, -1)) {
			lua_pushinteger(L, i);
			lua_replace(L, lua_upvalueindex(3));
			return 2;
		}
		lua_pop(L, 2);          /* removed meanwhile */
	}
	lua_pushnil(L);
	return 1;
}

static int sorted_pairs(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_settop(L, 1);
	if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
		lua_pushvalue(L, 1);
		lua_call(L, 1, 3);
		return 3;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_pushinteger(L, hygiene_sorted_keys(L, 1));
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, pairs_step, 3);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

/* The least key above the given one: linear, for the rare caller; pairs is the way to walk. */
static int sorted_next(lua_State *L)
{
	struct key from, best = { 0 }, k;
	bool first, found = false;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	first = lua_isnil(L, 2);
	from = key_of(L, 2);
	if (!first && from.rank == 3)
		return no_order(L);
	lua_pushnil(L);         /* 3: the best key so far */
	for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
		k = key_of(L, -2);
		if (k.rank == 3 && found && best.rank == 3)
			return no_order(L);
		if ((!first && key_compare(&k, &from) <= 0) ||
		    (found && key_compare(&k, &best) >= 0))
			continue;
		best = k;
		found = true;
		lua_pushvalue(L, -2);
		lua_replace(L, 3);
	}
	lua_settop(L, 3);
	if (!found)
		return 1;
	lua_pushvalue(L, 3);
	lua_rawget(L, 1);
	return 2;
}

/* ---- table.sort ---- */

/* Is b < a, so that b must go first? a and b are the two topmost values; popped. */
static bool second_first(lua_State *L, bool by_function)
{
	bool yes;

	if (!by_function) {
		yes = lua_compare(L, -1, -2, LUA_OPLT);
		lua_pop(L, 2);
		return yes;
	}
	lua_pushvalue(L, 2);
	lua_insert(L, -3);              /* f a b */
	lua_insert(L, -2);              /* f b a */
	lua_call(L, 2, 1);
	yes = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return yes;
}

/* Bottom-up merges between two arrays at stack indices 3 and 4; a function that orders badly cannot
 * break it. */
static int stable_sort(lua_State *L)
{
	lua_Integer n;
	bool by_function = !lua_isnoneornil(L, 2);
	int from = 3, to = 4;

	luaL_checktype(L, 1, LUA_TTABLE);
	if (by_function)
		luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	n = luaL_len(L, 1);
	luaL_argcheck(L, n < 1 << 30, 1, "array too big");
	lua_newtable(L);
	lua_newtable(L);
	for (lua_Integer i = 1; i <= n; i++) {
		lua_geti(L, 1, i);
		lua_rawseti(L, 3, i);
	}
	for (lua_Integer width = 1; width < n; width *= 2) {
		for (lua_Integer lo = 1; lo <= n; lo += 2 * width) {
			lua_Integer mid = lo + width < n + 1 ? lo + width : n + 1;
			lua_Integer hi = lo + 2 * width < n + 1 ? lo + 2 * width : n + 1, a = lo,
			        b = mid;

			for (lua_Integer out = lo; out < hi; out++) {
				bool take_b = a == mid;

				if (a < mid && b < hi) {
					lua_rawgeti(L, from, a);
					lua_rawgeti(L, from, b);
					take_b = second_first(L, by_function);
				}
				lua_rawgeti(L, from, take_b ? b++ : a++);
				lua_rawseti(L, to, out);
			}
		}
		from = 7 - from;
		to = 7 - to;
	}
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, from, i);
		lua_seti(L, 1, i);
	}
	return 0;
}

/* ---- math.random ---- */

static int seeded_random(lua_State *L)
{
	struct rng *r = &sandbox_of(L)->rng;
	lua_Integer lo = 1, hi;

	switch (lua_gettop(L)) {
	case 0:
		lua_pushnumber(L, (lua_Number)(rng_u64(r) >> 11) * 0x1p-53);
		return 1;
	case 1:
		hi = luaL_checkinteger(L, 1);
		if (hi == 0) {
			lua_pushinteger(L, (lua_Integer)rng_u64(r));
			return 1;
		}
		break;
	case 2:
		lo = luaL_checkinteger(L, 1);
		hi = luaL_checkinteger(L, 2);
		break;
	default:
		return luaL_error(L, "wrong number of arguments");
	}
	luaL_argcheck(L, lo <= hi, lua_gettop(L), "interval is empty");
	if ((lua_Unsigned)hi - (lua_Unsigned)lo == ~0ull)
		lua_pushinteger(L, (lua_Integer)rng_u64(r));
	else
		lua_pushinteger(L, (lua_Integer)((lua_Unsigned)lo + rng_below(r,
		        (lua_Unsigned)hi - (lua_Unsigned)lo + 1)));
	return 1;
}

static int seed_random(lua_State *L)
{
	rng_init(&sandbox_of(L)->rng, (uint64_t)luaL_checkinteger(L, 1), "lua");
	return 0;
}

/* ---- text of values ---- */

/* "table: 3": the number an object got when its text was first asked for. */
static void push_object_name(lua_State *L, int i)
{
	const char *kind = luaL_typename(L, i);

	i = lua_absindex(L, i);
	if (luaL_getmetafield(L, i, "__name") == LUA_TSTRING)
		kind = lua_tostring(L, -1);
	else
		lua_pushnil(L);
	if (!luaL_getsubtable(L, LUA_REGISTRYINDEX, "vmscope.ids")) {
		lua_createtable(L, 0, 1);
		lua_pushliteral(L, "k");
		lua_setfield(L, -2, "__mode");
		lua_setmetatable(L, -2);
	}
	lua_pushvalue(L, i);
	if (lua_rawget(L, -2) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_pushinteger(L, (lua_Integer)++sandbox_of(L)->last_id);
		lua_pushvalue(L, i);
		lua_pushvalue(L, -2);
		lua_rawset(L, -4);
	}
	lua_pushfstring(L, "%s: %I", kind, lua_tointeger(L, -1));
	lua_replace(L, -4);
	lua_pop(L, 2);
}

const char *sandbox_tostring(lua_State *L, int i, size_t *n)
{
	switch (lua_type(L, i)) {
	case LUA_TTABLE: case LUA_TFUNCTION: case LUA_TUSERDATA: case LUA_TTHREAD:
	        case LUA_TLIGHTUSERDATA:
		if (luaL_getmetafield(L, i, "__tostring") == LUA_TNIL) {
			push_object_name(L, i);
			return lua_tolstring(L, -1, n);
		}
		lua_pop(L, 1);
	}
	return luaL_tolstring(L, i, n);
}

static int own_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	sandbox_tostring(L, 1, NULL);
	return 1;
}

static int own_print(lua_State *L)
{
	int n = lua_gettop(L);

	for (int i = 1; i <= n; i++) {
		size_t len;
		const char *text = sandbox_tostring(L, i, &len);

		if (i > 1)
			sandbox_print(L, "\t", 1);
		sandbox_print(L, text, len);
		lua_pop(L, 1);
	}
	sandbox_print(L, "\n", 1);
	fflush(stdout);
	return 0;
}

/* upvalue: the original */
static int own_format(lua_State *L)
{
	int n = lua_gettop(L);
	size_t len;
	const char *f = luaL_checklstring(L, 1, &len);

	for (const char *p = f; (p = memchr(p, '%', len - (size_t)(p - f))) != NULL; p++) {
		p++;
		p += strspn(p, "-+ #0123456789.");
		if (*p == 'p')
			return luaL_error(L, "string.format: %%p is not available: addresses differ from run to run");
		if ((size_t)(p - f) >= len)
			break;
	}
	for (int i = 2; i <= n; i++) {
		int type = lua_type(L, i);

		if (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA ||
		    type == LUA_TTHREAD) {
			sandbox_tostring(L, i, NULL);
			lua_replace(L, i);
		}
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, n, 1);
	return 1;
}

void hygiene_install(lua_State *L)
{
	lua_register(L, "pairs", sorted_pairs);
	lua_register(L, "next", sorted_next);
	lua_register(L, "tostring", own_tostring);
	lua_register(L, "print", own_print);
	lua_getglobal(L, "table");
	lua_pushcfunction(L, stable_sort);
	lua_setfield(L, -2, "sort");
	lua_getglobal(L, "math");
	lua_pushcfunction(L, seeded_random);
	lua_setfield(L, -2, "random");
	lua_pushcfunction(L, seed_random);
	lua_setfield(L, -2, "randomseed");
	lua_getglobal(L, "string");
	lua_getfield(L, -1, "format");
	lua_pushcclosure(L, own_format, 1);
	lua_setfield(L, -2, "format");
	lua_pop(L, 3);
}
