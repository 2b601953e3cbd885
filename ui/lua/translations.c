/* translations.c - vm:translations(): the code caches of a virtual machine under binary translation. */
#include <stdlib.h>

#include "sim/err.h"
#include "ui/lua/api.h"
#include "ui/session/translations.h"

struct listing { lua_State *L; int n; };

static void set_int(lua_State *L, const char *key, uint64_t x)
{
	lua_pushinteger(L, (lua_Integer)x);
	lua_setfield(L, -2, key);
}

static bool add_line(void *who, const struct translation_line *l)
{
	struct listing *k = who;
	lua_createtable(k->L, 0, 5);
	if (l->begins) {
		set_int(k->L, "rip", l->rip);
		lua_pushstring(k->L, l->guest);
		lua_setfield(k->L, -2, "guest");
	}
	set_int(k->L, "at", l->at);
	lua_pushstring(k->L, l->code);
	lua_setfield(k->L, -2, "code");
	lua_pushstring(k->L, l->note);
	lua_setfield(k->L, -2, "note");
	lua_rawseti(k->L, -2, ++k->n);
	return true;
}

static void add_block(lua_State *L, const struct vcpu *v, const struct bt_seen *b, const struct symtab *symbols)
{
	lua_createtable(L, 0, 9);
	set_int(L, "vcpu", v->number);
	set_int(L, "rip", b->d.pc);
	set_int(L, "at", b->at);
	set_int(L, "instructions", b->d.insns);
	set_int(L, "guest_bytes", b->d.guest_len);
	set_int(L, "bytes", b->d.len);
	lua_pushboolean(L, b->d.live);
	lua_setfield(L, -2, "live");
	lua_createtable(L, BT_EXITS_MAX, 0);
	for (unsigned i = 0; i < b->d.exits && i < BT_EXITS_MAX; i++) {
		lua_createtable(L, 0, 2);
		set_int(L, "target", b->d.exit[i]);
		lua_pushboolean(L, b->d.to[i] != 0);
		lua_setfield(L, -2, "chained");
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_setfield(L, -2, "exits");
	lua_createtable(L, b->d.points, 0);
	translation_lines(b, v, symbols, add_line, &(struct listing){ L, 0 });
	lua_setfield(L, -2, "lines");
}

int l_translations(lua_State *L)
{
	const struct run *r = api_self(L, API_VM)->run;
	const struct vcpu *v;
	int n = 0;
	if (!translations_of(r, 0))
		return luaL_error(L, "vm:translations: this virtual machine is not under bt: cpu = \"bt\", mmu = \"shadow\"");
	/* Lua's memory may run out: what it frees then is its own */
	struct bt_seen *b = lua_newuserdatauv(L, sizeof *b, 0);
	lua_newtable(L);
	for (unsigned c = 0; (v = translations_of(r, c)) != NULL; c++)
		for (unsigned k = 0; bt_see(v, k, b); k++) {
			add_block(L, v, b, r->m->symbols);
			lua_rawseti(L, -2, ++n);
		}
	return 1;
}
