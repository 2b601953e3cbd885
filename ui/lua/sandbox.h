/* sandbox.h - a Lua state that is bounded, deterministic and cannot reach outside.
 *
 * Bounded: memory by the allocator, VM instructions by a hook that cannot be caught away.
 * Deterministic: pairs and next in sorted order, a stable sort, a seeded math.random, tostring
 * without addresses. Closed: no io, os, debug, package, load*, dofile, collectgarbage, string.dump,
 * no __gc; require reads source files of the scenario's own folder. */
#ifndef UI_LUA_SANDBOX_H
#define UI_LUA_SANDBOX_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "sim/err.h"
#include "sim/rng.h"

struct sandbox {
	lua_State *L;
	void *owner;                    /* what the API functions work on */
	size_t memory, memory_max;      /* bytes */
	uint64_t instructions, instructions_max;
	struct rng rng;
	uint64_t last_id;               /* tostring's numbers */
	void (*print)(void *who, const char *text, size_t n);   /* NULL: stdout */
	void *print_who;
	char file[4096];                /* run last, for messages that have no line */
	char folder[4096];              /* where require looks; "" forbids it */
};

#define SANDBOX_MEMORY       (256u << 20)
#define SANDBOX_INSTRUCTIONS 1000000000ull

int sandbox_init(struct sandbox *s, uint64_t seed, size_t memory, uint64_t instructions,
                 struct err *e);
void sandbox_fini(struct sandbox *s);
struct sandbox *sandbox_of(lua_State *L);
/* Source text only: byte code is refused. 0, or -1 with the message in *e. Results stay on
 * the stack. */
int sandbox_run(struct sandbox *s, const char *text, size_t n, const char *name, int results,
                struct err *e);
int sandbox_run_file(struct sandbox *s, const char *path, int results, struct err *e);
/* lua_pcall with the message moved to *e. */
int sandbox_call(lua_State *L, int args, int results, struct err *e);
/* Text as print() writes it. */
void sandbox_print(lua_State *L, const char *text, size_t n);
/* From now on so many more instructions, even after a limit was reached. Returns the limit before. */
uint64_t sandbox_limit(struct sandbox *s, uint64_t instructions_max);
/* A value as text, without addresses; pushed. */
const char *sandbox_tostring(lua_State *L, int i, size_t *n);

/* The limit was moved to the present: look at it at the next instruction. */
void sandbox_hurry(lua_State *L);

/* hygiene.c: the replaced functions of the standard library. */
void hygiene_install(lua_State *L);
/* Push the keys of the table at index t, sorted, as an array; returns how many. */
lua_Integer hygiene_sorted_keys(lua_State *L, int t);

#endif
