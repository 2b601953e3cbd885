/* api.h - the scenario language: what its functions share. One row of api.def, one function,
 * one test. */
#ifndef UI_LUA_API_H
#define UI_LUA_API_H

#include "ui/lua/sandbox.h"
#include "ui/lua/scenario.h"

enum api_module {
	API_GLOBAL, API_MACHINE, API_VM, API_CPU, API_VIEW, API_STATS, API_LEDGER, API_SNAPSHOT, API_MODULES
};

struct scenario {
	struct sandbox sandbox;
	struct session *session;
	const struct scenario_options *o;
	char file[4096], folder[4096];
	bool *used;                     /* which --set was read */
	int status;                     /* so far: 1 after a failed check */
	bool exited;                    /* exit() was called */
	struct handler *handlers;       /* Lua functions that listen */
	struct stop_fn *stop_fns;       /* those called when a stop was hit */
	bool on_line;                   /* a line of the stepping screen is evaluated */
	struct run *inside;             /* the machine that is running now: no second run inside */
	struct run *pending_of;         /* a callback failed in here: its message is `pending` */
	struct err pending;
	unsigned snapshots;
};

/* What every object of the language is: a machine, or a part of one. */
struct object {
	struct run *run;
	int cpu;                        /* -1: all of the machine */
	char prefix[48];                /* views: of field names */
	struct snap *snap;
};

struct api_row {
	enum api_module module;
	const char *name;
	/* a method; or, when the type does not begin with "fun(", yields the property's value */
	lua_CFunction fn;
	const char *type, *doc;         /* as LuaCATS writes types */
};
extern const struct api_row api_rows[];
extern const size_t api_rows_n;
extern const char *const api_class[API_MODULES];        /* "Machine" */

void api_install(lua_State *L);
struct scenario *scenario_of(lua_State *L);
struct object *api_push(lua_State *L, enum api_module kind, struct run *run, int cpu);
struct object *api_self(lua_State *L, enum api_module kind);    /* argument 1, checked */
/* Argument 1, a machine or a virtual machine: what a guest runs on. Of a machine that has some, the first. */
struct run *api_guest(lua_State *L);

/* Throw e's message. */
int api_throw(lua_State *L, const struct err *e);
/* Throw: an unknown name, with a suggestion from names[0..n-1]. */
int api_unknown(lua_State *L, const char *what, const char *name,
                const char *(*name_at)(const void *, size_t), const void *table,
                size_t n, const char *list);
/* The options table at index i may only have these keys (ended by NULL). */
void api_keys(lua_State *L, int i, const char *const *keys);
/* Call fn for each key of the table at index t, in order, the value on top of the stack, until it
 * returns other than 0. Keys that are not names: an error in the words of `what`. */
typedef int api_key_fn(lua_State *L, const char *key, void *arg);
int api_each_key(lua_State *L, int t, const char *what, api_key_fn *fn, void *arg);
/* A file a scenario names: relative to its folder, and inside what it may read. Pushed. */
const char *api_path(lua_State *L, int i, char *buf, size_t n);
uint64_t api_u64(lua_State *L, int i);          /* a whole number, also 2e9 */

/* Run the machine from Lua: callbacks' errors come out here. */
enum machine_stop api_run(lua_State *L, struct run *r, cycle_t until, uint64_t n);
void api_not_inside(lua_State *L, const char *what);
void api_not_on_line(lua_State *L, const char *what);   /* the stepping screen does it itself */
/* line.c: the session's line_eval is this scenario's. */
void line_install(struct scenario *s);
/* A condition for stops_add_when(): the function at a registry reference, taken. */
void *line_predicate(struct run *r, int fn);

/* Listeners (events.c). */
void api_push_event(lua_State *L, const struct machine *m, const struct trace_record *r);       /* as a table */
void handlers_free(struct scenario *s);
/* Stops (stops.c). */
#define STOPS_AT_ONCE 64
uint32_t api_break_at(lua_State *L, struct run *r, int i);      /* a breakpoint at the address or symbol at index i; its id */
/* Call the functions of the stops that were hit; argument 1 is the machine. False: it was none of them. */
bool handler_break(lua_State *L, struct run *r, bool *stop);
void stop_fns_free(struct scenario *s);

/* view.c: reading and writing a field by name; see there. */
int view_index(lua_State *L, struct object *o, const char *key);
int view_set(lua_State *L, struct object *o, const char *key);

#define API(module, name, fn, type, doc) int fn(lua_State *L);
#include "ui/lua/api.def"

#endif
