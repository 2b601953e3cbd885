/* stops.h - what stops a run: break- and watchpoints, caught events, conditions. One list for every face.
 *
 * A stop is written as text, the same in the stepping screen, in Lua, with --stop and in what `vmscope list stop-kinds`
 * explains; stop.def has a row for each kind:
 *
 *   break ADDRESS|SYMBOL                     before the instruction there
 *   watch|rwatch|awatch [gva:|gpa:|hpa:]ADDRESS|SYMBOL [N]   after a write, a read, or either, of any of N bytes (1)
 *   catch EVENT [if ARG OP VALUE [and ...]]  a trace event (exit.cpuid, exception, vmwrite, port ...) and its arguments
 *   insn MNEMONIC[,...]                      before an instruction of that name or class
 *   change FIELD                             after the instruction that changed it: cpu0.cr0, cpu0.vmcs.GUEST_RIP
 *   ledger ACCOUNT[/CAUSE] N                 when so many cycles are on it
 *   when LUA                                 when it becomes true, asked after each instruction
 *
 * A stop is at a boundary between two instructions, and a matter of state alone: the same moment whether the run is driven in
 * one piece or step by step, again after going back, or searched backwards. What is already so does not stop it at once.
 *
 * A stop added to a virtual machine's run holds while that machine runs, and its gva and gpa are that machine's; hpa is
 * always the host's. Looking costs no simulated time. Stops are not part of snapshots: they stay when time is travelled,
 * and travel_back_continue() finds the last of them. */
#ifndef UI_SESSION_STOPS_H
#define UI_SESSION_STOPS_H

#include "sim/err.h"
#include "ui/session/session.h"

enum stop_kind {
#define STOP(ID, name, operands, parse, sentence, more) STOP_KIND_##ID,
#include "ui/session/stop.def"
	STOP_KINDS
};
struct stop_kind_row { const char *name, *operands, *sentence, *more; };
extern const struct stop_kind_row stop_kind_rows[STOP_KINDS];
enum stop_space { STOP_GVA, STOP_GPA, STOP_HPA };
enum { STOP_READ = 1, STOP_WRITE = 2 };         /* access, as bits */

struct stop {
	uint32_t id;                    /* from 1, never reused in one run */
	enum stop_kind kind;
	char text[120];                 /* as it was written */
	uint64_t hits;
	bool off;                       /* kept, but does not stop */
};

struct stop_hit {
	uint32_t id;
	unsigned cpu;
	uint64_t address;               /* memory: what was accessed, in the stop's space; otherwise the next instruction */
	unsigned access;                /* memory: STOP_READ or STOP_WRITE */
	uint64_t before, after;         /* memory and fields: the value, at most 8 bytes of it */
	char why[160];                  /* a sentence */
};

uint32_t stops_add(struct run *r, const char *text, struct err *e);    /* 0: e says why */
/* For gdb: cpu -1: any. */
uint32_t stops_add_break(struct run *r, uint64_t gva, int cpu, struct err *e);
uint32_t stops_add_memory(struct run *r, enum stop_space space, uint64_t address, uint32_t n, unsigned access, struct err *e);
/* `when`, with a predicate the scenario language has made (session->line): taken, also when it fails. */
uint32_t stops_add_when(struct run *r, void *predicate, const char *text, struct err *e);
bool stops_remove(struct run *r, uint32_t id);
bool stops_switch(struct run *r, uint32_t id, bool off);
void stops_forget_when(struct run *r);          /* the language they are in goes away */
uint32_t stops_break_at(const struct run *r, uint64_t lin);    /* the breakpoint there, 0: none */
size_t stops_count(const struct run *r);
const struct stop *stops_at(const struct run *r, size_t i);
bool stops_was_hit(const struct run *r, uint32_t id);   /* one of those that did: several may be hit at once */
/* What stopped the run last (run->last is MACHINE_STOP_BREAK), or NULL. */
const struct stop_hit *stops_hit(const struct run *r);

#endif
