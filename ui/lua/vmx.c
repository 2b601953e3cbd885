/* vmx.c - VMX operation in Lua: why a VM entry failed. */
#include "ui/lua/api.h"
#include "ui/session/vm_entry.h"

static void text_field(lua_State *L, const char *key, const char *text)
{
	lua_pushstring(L, text);
	lua_setfield(L, -2, key);
}

static void number_field(lua_State *L, const char *key, uint64_t v)
{
	lua_pushinteger(L, (lua_Integer)v);
	lua_setfield(L, -2, key);
}

static void push_failure(lua_State *L, unsigned cpu, const struct vmx_failed *f, const struct vmx_failure *x)
{
	const struct vmx_check_row *row = &vmx_check_rows[x->check];
	struct check_text t;

	check_text(&t, x);
	lua_createtable(L, 0, 14);
	text_field(L, "check", row->name);
	text_field(L, "title", row->title);
	text_field(L, "field", t.field);
	number_field(L, "found", x->found);
	number_field(L, "wrong", x->wrong);
	text_field(L, "bits", t.wrong);
	text_field(L, "expected", row->expected);
	text_field(L, "hint", row->hint);
	text_field(L, "consequence", t.consequence);
	number_field(L, "cpu", cpu);
	number_field(L, "cycle", f->when);
	number_field(L, "rip", f->rip);
	if (x->entry) {
		number_field(L, "entry", x->entry);
		number_field(L, "msr", x->msr);
	}
}

int l_entry_failures(lua_State *L)
{
	const struct machine *m = api_self(L, API_MACHINE)->run->m;
	lua_Integer n = 0;

	lua_newtable(L);
	for (unsigned i = 0; i < m->config.cpus; i++) {
		const struct vmx_failed *f = &m->cpu[i]->failed;

		for (unsigned k = 0; k < f->n && k < VMX_FAILED_MAX; k++) {
			push_failure(L, i, f, &f->f[k]);
			lua_rawseti(L, -2, ++n);
		}
	}
	return 1;
}
