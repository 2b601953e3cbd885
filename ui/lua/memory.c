/* memory.c - looking at and changing memory from Lua: physical (m:read) and linear (m.cpu[0]:read).
 * Looking is a peek: no TLB fill, no accessed bit, no cycle. */
#include <stdio.h>
#include <string.h>

#include "models/mmu/mem.h"
#include "models/mmu/mmu.h"
#include "ui/lua/api.h"

#define READ_MAX (64u << 20)

/* A virtual machine's memory is what its guest sees as physical. */
static struct machine *physical(lua_State *L)
{
	const struct object *vm = luaL_testudata(L, 1, api_class[API_VM]);

	return vm ? vm->run->m : api_self(L, API_MACHINE)->run->m;
}

static bool look(lua_State *L, enum api_module kind, uint64_t at, void *buf, size_t n)
{
	if (kind == API_CPU) {
		const struct object *o = api_self(L, kind);

		return mmu_peek_bytes(&o->run->m->cpu[o->cpu]->mmu, at, buf, n);
	}
	return mem_peek(&physical(L)->mem, HPA(at), buf, n);
}

static int unmapped(lua_State *L, bool linear, uint64_t at, uint64_t n)
{
	char hex[32];

	snprintf(hex, sizeof hex, "0x%llx", (unsigned long long)at);
	return luaL_error(L, linear ? "linear address %s: %I bytes are not all mapped to RAM" :
	                  "physical address %s: %I bytes are not all RAM",
	                  hex, (lua_Integer)n);
}

static int read_bytes(lua_State *L, enum api_module kind)
{
	uint64_t at = api_u64(L, 2), n = api_u64(L, 3);
	luaL_Buffer b;
	char *p;

	luaL_argcheck(L, n <= READ_MAX, 3, "at most 64 MB at once");
	p = luaL_buffinitsize(L, &b, n);
	if (n && !look(L, kind, at, p, n))
		return unmapped(L, kind == API_CPU, at, n);
	luaL_pushresultsize(&b, n);
	return 1;
}

static int read_number(lua_State *L, enum api_module kind, size_t n)
{
	uint64_t v = 0, at = api_u64(L, 2);

	if (!look(L, kind, at, &v, n))
		return unmapped(L, kind == API_CPU, at, n);
	lua_pushinteger(L, (lua_Integer)v);
	return 1;
}

int l_phys_read(lua_State *L) { return read_bytes(L, API_MACHINE); }
int l_phys_u8(lua_State *L) { return read_number(L, API_MACHINE, 1); }
int l_phys_u16(lua_State *L) { return read_number(L, API_MACHINE, 2); }
int l_phys_u32(lua_State *L) { return read_number(L, API_MACHINE, 4); }
int l_phys_u64(lua_State *L) { return read_number(L, API_MACHINE, 8); }
int l_lin_read(lua_State *L) { return read_bytes(L, API_CPU); }
int l_lin_u8(lua_State *L) { return read_number(L, API_CPU, 1); }
int l_lin_u16(lua_State *L) { return read_number(L, API_CPU, 2); }
int l_lin_u32(lua_State *L) { return read_number(L, API_CPU, 4); }
int l_lin_u64(lua_State *L) { return read_number(L, API_CPU, 8); }

int l_phys_write(lua_State *L)
{
	struct machine *m = physical(L);
	uint64_t at = api_u64(L, 2);
	size_t n;
	const char *bytes = luaL_checklstring(L, 3, &n);
	uint8_t probe;

	api_not_inside(L, "writing memory");
	((struct object *)lua_touserdata(L, 1))->run->touched = true;
	if (n && (!mem_peek(&m->mem, HPA(at), &probe, 1) ||
	          !mem_peek(&m->mem, HPA(at + n - 1), &probe, 1)))
		return unmapped(L, false, at, n);
	if (n)
		mem_write(&m->mem, HPA(at), bytes, n);
	return 0;
}

int l_lin_write(lua_State *L)
{
	const struct object *o = api_self(L, API_CPU);
	struct machine *m = o->run->m;
	uint64_t at = api_u64(L, 2);
	size_t n;
	const char *bytes = luaL_checklstring(L, 3, &n);
	struct walk_record w;

	api_not_inside(L, "writing memory");
	((struct object *)lua_touserdata(L, 1))->run->touched = true;
	for (size_t done = 0; done < n;) {      /* all of it is mapped, or nothing is written */
		uint64_t lin = at + done;
		uint8_t probe;

		if (!mmu_peek_bytes(&m->cpu[o->cpu]->mmu, lin, &probe, 1))
			return unmapped(L, true, at, n);
		done += PAGE_SIZE - (lin & 0xfff);
	}
	for (size_t done = 0; done < n;) {
		uint64_t lin = at + done;
		size_t part = PAGE_SIZE - (lin & 0xfff) < n - done ? PAGE_SIZE - (lin & 0xfff) :
		              n - done;

		if (mmu_peek(&m->cpu[o->cpu]->mmu, lin, &w))
			mem_write(&m->mem, w.hpa, bytes + done, part);
		done += part;
	}
	return 0;
}

static void number_field(lua_State *L, const char *name, uint64_t v)
{
	lua_pushinteger(L, (lua_Integer)v);
	lua_setfield(L, -2, name);
}

int l_translate(lua_State *L)
{
	const struct object *o = api_self(L, API_CPU);
	struct walk_record w;
	bool ok = mmu_peek(&o->run->m->cpu[o->cpu]->mmu, api_u64(L, 2), &w);

	if (ok)
		lua_pushinteger(L, (lua_Integer)w.hpa.v);
	else
		lua_pushnil(L);
	lua_newtable(L);
	if (ok)
		number_field(L, "page_size", 1ull << w.page_shift);
	lua_createtable(L, (int)w.n, 0);
	for (unsigned i = 0; i < w.n && i < WALK_REFS_MAX; i++) {
		lua_createtable(L, 0, 5);
		number_field(L, "level", w.ref[i].level);
		number_field(L, "index", w.ref[i].index);
		number_field(L, "table", w.ref[i].table);
		number_field(L, "address", w.ref[i].entry_pa);
		number_field(L, "entry", w.ref[i].entry);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "refs");
	return 2;
}
