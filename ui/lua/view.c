/* view.c - registers and device state by name: m.cpu[0].rip, m.cpu[0].gdtr.base,
 * m.cpu[0]["cr0.pg"], m.dev.pit.count. Reading changes nothing; writing is possible between
 * instructions only. */
#include <stdio.h>
#include <string.h>

#include "ui/lua/api.h"

static const char *full_name(lua_State *L, const struct object *o, const char *key, char *buf,
                             size_t n)
{
	if ((size_t)snprintf(buf, n, "%s%s%s", o->prefix, o->prefix[0] ? "." : "", key) >= n)
		luaL_error(L, "unknown field '%s'", key);
	return buf;
}

/* "cr0.pg": the field and the bits in it. */
static const struct field_bits *bits_of(const struct fields *f, const char *name,
                                        const struct field_group **g, const struct field_row **r)
{
	const char *dot = strrchr(name, '.');
	char field[96];

	if (!dot)
		return NULL;
	snprintf(field, sizeof field, "%.*s", (int)(dot - name), name);
	if (!fields_find(f, field, g, r))
		return NULL;
	for (const struct field_bits *b = (*r)->bits; b && b->name; b++)
		if (strcmp(b->name, dot + 1) == 0)
			return b;
	return NULL;
}

static bool is_prefix(const struct fields *f, const char *name)
{
	size_t n = strlen(name);
	char full[96];

	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->groups[i].n; k++) {
			snprintf(full, sizeof full, "%s.%s", f->groups[i].prefix,
			         f->groups[i].rows[k].name);
			if (strncmp(full, name, n) == 0 && full[n] == '.')
				return true;
		}
	return false;
}

/* For suggestions: the fields below the view's prefix. */
struct below { const struct fields *f; const char *prefix; };

static const char *below_at(const void *table, size_t i)
{
	const struct below *b = table;

	for (size_t g = 0; g < b->f->n; g++) {
		if (i < b->f->groups[g].n)
			return strcmp(b->f->groups[g].prefix, b->prefix) == 0 ||
			       !b->prefix[0] ? b->f->groups[g].rows[i].name : NULL;
		i -= b->f->groups[g].n;
	}
	return NULL;
}

static int unknown(lua_State *L, const struct fields *f, const struct object *o, const char *key)
{
	struct below b = { f, o->prefix };
	size_t n = 0;

	for (size_t g = 0; g < f->n; g++)
		n += f->groups[g].n;
	return api_unknown(L, "field", key, below_at, &b, n, "vmscope list fields");
}

int view_index(lua_State *L, struct object *o, const char *key)
{
	const struct fields *f = &o->run->m->fields;
	const struct field_group *g;
	const struct field_row *r;
	const struct field_bits *b;
	char name[96];

	full_name(L, o, key, name, sizeof name);
	if (fields_find(f, name, &g, &r)) {
		lua_pushinteger(L, (lua_Integer)field_read(g, r));
	} else if ((b = bits_of(f, name, &g, &r)) != NULL) {
		lua_pushinteger(L, (lua_Integer)BITS(field_read(g, r), b->hi, b->lo));
	} else if (is_prefix(f, name)) {
		struct object *v = api_push(L, API_VIEW, o->run, o->cpu);

		snprintf(v->prefix, sizeof v->prefix, "%.47s", name);
	} else {
		return unknown(L, f, o, key);
	}
	return 1;
}

int view_set(lua_State *L, struct object *o, const char *key)
{
	struct machine *m = o->run->m;
	const struct field_group *g;
	const struct field_row *r;
	const struct field_bits *b = NULL;
	uint64_t v = api_u64(L, 3);
	char name[96];

	api_not_inside(L, "writing a register");
	full_name(L, o, key, name, sizeof name);
	if (!fields_find(&m->fields, name, &g, &r) && !(b = bits_of(&m->fields, name, &g, &r)))
		return unknown(L, &m->fields, o, key);
	if (b) {
		uint64_t mask = MASK(b->hi - b->lo + 1) << b->lo;

		v = (field_read(g, r) & ~mask) | (v << b->lo & mask);
	}
	if (!field_write(g, r, v))
		return luaL_error(L, "field '%s' is read-only", name);
	o->run->touched = true;
	if (o->cpu >= 0)
		cpu_restored(m->cpu[o->cpu]);
	return 0;
}

int l_dev(lua_State *L)
{
	api_push(L, API_VIEW, api_self(L, API_MACHINE)->run, -1);
	return 1;
}

static int no_such_cpu(lua_State *L)
{
	return luaL_error(L, "no CPU %s: this machine has 0..%I", luaL_tolstring(L, 2, NULL),
	                  lua_tointeger(L, lua_upvalueindex(1)) - 1);
}

int l_cpus(lua_State *L)
{
	struct run *r = api_self(L, API_MACHINE)->run;
	unsigned n = r->m->config.cpus;

	lua_createtable(L, (int)n, 0);
	for (unsigned i = 0; i < n; i++) {
		struct object *o = api_push(L, API_CPU, r, (int)i);

		snprintf(o->prefix, sizeof o->prefix, "cpu%u", i);
		lua_rawseti(L, -2, i);
	}
	lua_newtable(L);
	lua_pushinteger(L, n);
	lua_pushcclosure(L, no_such_cpu, 1);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	return 1;
}

int l_cpu_cycles(lua_State *L)
{
	const struct object *o = api_self(L, API_CPU);

	lua_pushinteger(L, (lua_Integer)o->run->m->cpu[o->cpu]->ledger.now);
	return 1;
}

int l_cpu_number(lua_State *L)
{
	lua_pushinteger(L, api_self(L, API_CPU)->cpu);
	return 1;
}
