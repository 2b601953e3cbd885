/* numbers.c - statistics and the ledger in Lua: m.stats["cpu0.walk"],
 * m.ledger["vm0.kernel/execute"]. */
#include <stdio.h>
#include <string.h>

#include "ui/lua/api.h"

/* ---- statistics ---- */

int l_stats(lua_State *L)
{
	api_push(L, API_STATS, api_self(L, API_MACHINE)->run, -1);
	return 1;
}

static void add_stat(void *arg, const char *name, const struct stat_row *row, uint64_t value)
{
	lua_State *L = arg;

	(void)row;
	lua_pushinteger(L, (lua_Integer)value);
	lua_setfield(L, -2, name);
}

int l_stats_all(lua_State *L)
{
	const struct object *o = api_self(L, API_STATS);

	lua_newtable(L);
	stats_each(&o->run->m->stats, add_stat, L);
	return 1;
}

/* For suggestions: the names without their prefixes. */
struct stat_names { const struct stats *s; };

static const char *stat_at(const void *table, size_t i)
{
	const struct stat_names *t = table;

	for (size_t g = 0; g < t->s->n; g++) {
		const struct stat_set *set = &t->s->sets[g];

		if (i < set->n)
			return set->rows[i].name;
		i -= set->n;
	}
	return NULL;
}

int stats_index(lua_State *L, struct object *o, const char *key);
int stats_index(lua_State *L, struct object *o, const char *key)
{
	const struct stats *s = &o->run->m->stats;
	struct stat_names t = { .s = s };
	const char *dot = strchr(key, '.'), *near;
	uint64_t v;
	size_t n = 0;

	if (stats_get(s, key, &v)) {
		lua_pushinteger(L, (lua_Integer)v);
		return 1;
	}
	for (size_t g = 0; g < s->n; g++)
		n += s->sets[g].n;
	near = err_nearest(dot && strncmp(key, "cpu", 3) == 0 ? dot + 1 : key, stat_at, &t, n);
	return luaL_error(L, "unknown statistic '%s'%s%s%s\n    all names: vmscope list stats (for example cpu0.walk)", key,
	                  near ? "; did you mean one that ends in '" : "", near ? near : "",
	                  near ? "'?" : "");
}

/* ---- the ledger ---- */

int l_ledger(lua_State *L)
{
	const struct object *o = lua_touserdata(L, 1);

	api_push(L, API_LEDGER, o->run, o->cpu);
	return 1;
}

static uint64_t cell(const struct object *o, unsigned acct, unsigned why)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < o->run->m->config.cpus; i++)
		if (o->cpu < 0 || (unsigned)o->cpu == i)
			sum += o->run->m->cpu[i]->ledger.spent[acct][why];
	return sum;
}

int l_ledger_all(lua_State *L)
{
	const struct object *o = api_self(L, API_LEDGER);
	char acct[32], name[64];

	lua_newtable(L);
	for (unsigned a = 0; a < ACCT_N; a++)
		for (unsigned w = 0; w < WHY_N; w++) {
			uint64_t v = cell(o, a, w);

			if (!v)
				continue;
			snprintf(name, sizeof name, "%s/%s", ledger_acct_name(a, acct, sizeof acct),
			         ledger_why[w].name);
			lua_pushinteger(L, (lua_Integer)v);
			lua_setfield(L, -2, name);
		}
	return 1;
}

/* Does `word` (n bytes; NULL: anything) name this account? "vm0" is both its kernel and its
 * user code. */
static bool acct_is(unsigned a, const char *word, size_t n)
{
	char name[32];

	if (!word)
		return true;
	ledger_acct_name(a, name, sizeof name);
	return (strlen(name) == n && memcmp(name, word, n) == 0) ||
	       (a >= ACCT_GUEST && strcspn(name, ".") == n && memcmp(name, word, n) == 0);
}

static bool why_is(unsigned w, const char *word, size_t n)
{
	return !word || (strlen(ledger_why[w].name) == n &&
	                 memcmp(ledger_why[w].name, word, n) == 0);
}

static const char *why_at(const void *table, size_t i)
{
	static const char *const acct[] = { "idle", "vmm", "hardware", "vm0", "vm0.kernel",
	                                    "vm0.user" };

	(void)table;
	return i < WHY_N ? ledger_why[i].name : acct[i - WHY_N];
}

static bool sum_cells(const struct object *o, const char *acct, size_t acct_n, const char *why,
                      size_t why_n, uint64_t *sum)
{
	bool any = false;

	*sum = 0;
	for (unsigned a = 0; a < ACCT_N; a++)
		for (unsigned w = 0; w < WHY_N; w++)
			if (acct_is(a, acct, acct_n) && why_is(w, why, why_n)) {
				*sum += cell(o, a, w);
				any = true;
			}
	return any;
}

int ledger_index(lua_State *L, struct object *o, const char *key);
int ledger_index(lua_State *L, struct object *o, const char *key)
{
	const char *slash = strchr(key, '/');
	size_t n = strlen(key), first = slash ? (size_t)(slash - key) : n;
	uint64_t sum;

	if (slash ? sum_cells(o, key, first, slash + 1, n - first - 1, &sum)
	          : sum_cells(o, key, n, NULL, 0, &sum) || sum_cells(o, NULL, 0, key, n, &sum)) {
		lua_pushinteger(L, (lua_Integer)sum);
		return 1;
	}
	return api_unknown(L, "account or cause", key, why_at, NULL, WHY_N + 6,
	                   "vmscope list ledger; vmscope list accounts");
}

int l_ledger_total(lua_State *L)
{
	uint64_t sum;

	sum_cells(api_self(L, API_LEDGER), NULL, 0, NULL, 0, &sum);
	lua_pushinteger(L, (lua_Integer)sum);
	return 1;
}
