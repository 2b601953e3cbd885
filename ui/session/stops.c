/* stops.c - the list of stops of a run, and what was hit; see stops.h. */
#include "ui/session/stops_impl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "models/breakpoint.h"
#include "models/cpu/block.h"
#include "models/watch.h"

static stop_parse *const parsers[STOP_KINDS] = {
#define STOP(ID, name, operands, parse, sentence, more) [STOP_KIND_##ID] = parse,
#include "ui/session/stop.def"
};
const struct stop_kind_row stop_kind_rows[STOP_KINDS] = {
#define STOP(ID, name, operands, parse, sentence, more) [STOP_KIND_##ID] = { name, operands, sentence, more },
#include "ui/session/stop.def"
};

static struct run *runner(const struct run *r)
{
	return r->host ? r->host : (struct run *)(uintptr_t)r;
}

static void tell_machine(struct stops *k)
{
	stop_insn_changed(k);
	stop_event_changed(k);
	stop_look_changed(k);
	machine_stops_changed(k->r->m, k->quiet != 0);
}

bool stop_arm_nothing(struct stops *k, struct stopper *p, bool on, struct err *e)
{
	(void)k, (void)on, (void)e;
	p->fresh = true;
	return true;
}

/* ---- hits ---- */

bool stop_running(const struct stops *k, const struct stopper *p, unsigned cpu)
{
	return !p->vm || p->vm == machine_vm_on(k->r->m, k->r->m->cpu[cpu]);
}

void stop_sentence_of(struct stop_hit *h, const struct stopper *p, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(h->why, sizeof h->why, "stop %u, %.70s", p->s.id, p->s.text);
	if (n < 0 || (size_t)n + 2 >= sizeof h->why || !fmt)
		return;
	memcpy(h->why + n, ": ", 3);
	va_start(ap, fmt);
	vsnprintf(h->why + n + 2, sizeof h->why - (size_t)n - 2, fmt, ap);
	va_end(ap);
}

void stop_note_here(struct stops *k, struct stopper *p, const struct stop_hit *h)
{
	p->s.hits += !p->noted;
	p->noted = true;
	if (!k->any) {
		k->pending = *h;
		k->pending.id = p->s.id;
		k->value.known = false;
	}
	k->any = true;
}

void stop_note(struct stops *k, struct stopper *p, const struct stop_hit *h)
{
	if (k->quiet || p->s.off || !k->r->m->in_run)
		return;
	stop_note_here(k, p, h);
	machine_break(k->r->m);
}

void stops_begin(struct stops *k)
{
	if (!k || k->r->m->break_asked)         /* asked, and not come to yet */
		return;
	k->was_hit = k->any = false;
	for (size_t i = 0; i < k->n; i++)
		k->at[i]->noted = k->at[i]->was_hit = false;
}

/* Every breakpoint at an address is hit at once; the machine names one. */
static void note_breaks(struct stops *k)
{
	const struct breakpoints *b = k->r->m->breakpoints;
	const struct cpu *c = k->r->m->cpu[b->hit_cpu];
	const uint64_t lin = block_linear(c);
	for (size_t i = 0; i < k->n; i++) {
		struct stopper *p = k->at[i];
		if (p->s.kind != STOP_KIND_BREAK || p->s.off || p->lin != lin || (p->cpu >= 0 && (unsigned)p->cpu != c->number) || !stop_running(k, p, c->number))
			continue;
		struct stop_hit h = { .cpu = c->number };
		stop_sentence_of(&h, p, NULL);
		stop_note_here(k, p, &h);
	}
}

void stops_stopped(struct stops *k)
{
	if (!k)
		return;
	if (k->r->m->breakpoints->hit_id)
		note_breaks(k);
	if (!k->any)
		return;
	k->hit = k->pending;
	k->was_hit = true;
	const struct cpu *c = k->r->m->cpu[k->hit.cpu];
	if (!k->hit.access)
		k->hit.address = block_linear(c);
	if (k->value.known) {
		k->hit.after = stop_read(k->r->m, k->value.pa, k->value.n);
		size_t n = strlen(k->hit.why);
		if (k->hit.access & STOP_WRITE)
			snprintf(k->hit.why + n, sizeof k->hit.why - n, ", %#llx -> %#llx", (unsigned long long)k->hit.before, (unsigned long long)k->hit.after);
		else
			snprintf(k->hit.why + n, sizeof k->hit.why - n, ", %#llx", (unsigned long long)k->hit.before);
	}
	k->any = false;
	for (size_t i = 0; i < k->n; i++) {
		k->at[i]->was_hit = k->at[i]->noted;
		k->at[i]->noted = false;
	}
}

bool stops_was_hit(const struct run *r, uint32_t id)
{
	const struct stops *k = runner(r)->stops;
	for (size_t i = 0; stops_hit(r) && i < k->n; i++)
		if (k->at[i]->s.id == id)
			return k->at[i]->was_hit;
	return false;
}

const struct stop_hit *stops_hit(const struct run *r)
{
	r = runner(r);
	return r->stops && r->stops->was_hit && r->last == MACHINE_STOP_BREAK ? &r->stops->hit : NULL;
}

/* ---- silence ---- */

void stops_quiet(struct run *r, bool on)
{
	struct stops *k = stops_of(r);
	k->quiet += on ? 1u : -1u;
	tell_machine(k);
}

void stops_pass(struct run *r)
{
	breakpoints_pass(runner(r)->m->breakpoints);
}

uint64_t *stops_counts(struct run *r)
{
	const struct stops *k = runner(r)->stops;
	if (!k || !k->n)
		return NULL;
	uint64_t *counts = xcalloc(k->n, sizeof *counts);
	for (size_t i = 0; i < k->n; i++)
		counts[i] = k->at[i]->s.hits;
	return counts;
}

void stops_counts_put(struct run *r, uint64_t *counts)
{
	struct stops *k = runner(r)->stops;
	for (size_t i = 0; counts && i < k->n; i++)
		k->at[i]->s.hits = counts[i];
	free(counts);
}

static bool set_off(struct stops *k, struct stopper *p, bool off)
{
	struct err e = { "" };
	if (p->s.off != off && !p->arm(k, p, !off, &e))
		return false;
	p->s.off = off;
	return true;
}

bool stops_alone(struct run *r, uint32_t id, bool *was_off)
{
	struct stops *k = stops_of(r);
	bool any = false;
	for (size_t i = 0; i < k->n; i++)
		any |= k->at[i]->s.id == id;
	for (size_t i = 0; any && i < k->n; i++) {
		was_off[i] = k->at[i]->s.off;
		set_off(k, k->at[i], k->at[i]->s.id != id);
	}
	tell_machine(k);
	return any;
}

void stops_restore(struct run *r, const bool *was_off)
{
	struct stops *k = stops_of(r);
	for (size_t i = 0; i < k->n; i++)
		set_off(k, k->at[i], was_off[i]);
	tell_machine(k);
}

/* ---- the list ---- */

/* State was overwritten: what was before it is not known. */
static void restored(void *who)
{
	struct stops *k = who;
	k->any = k->was_hit = false;
	for (size_t i = 0; i < k->n; i++) {
		k->at[i]->fresh = true;
		k->at[i]->noted = false;
	}
}

struct stops *stops_of(struct run *r)
{
	r = runner(r);
	if (!r->stops) {
		r->stops = xcalloc(1, sizeof *r->stops);
		r->stops->r = r;
		snaps_hook(r->m->snaps, NULL, restored, r->stops);
	}
	return r->stops;
}

static void drop(struct stops *k, struct stopper *p)
{
	if (p->own_free)
		p->own_free(k, p->own);
	free(p);
}

void stops_free(struct stops *k)
{
	for (size_t i = 0; k && i < k->n; i++)
		drop(k, k->at[i]);
	if (k)
		free(k->at);
	free(k);
}

static struct stopper *stopper_new(struct run *r, enum stop_kind kind)
{
	struct stopper *p = xcalloc(1, sizeof *p);
	p->s.kind = kind;
	p->vm = r->host ? r->m->number : 0;
	p->cpu = -1;
	return p;
}

/* Takes p, also when it cannot be armed. */
static uint32_t keep(struct stops *k, struct stopper *p, struct err *e)
{
	p->s.id = k->next_id + 1;
	if (k->n == STOPS_MAX) {
		err_set(e, NULL, NULL, "there are %d stops already: delete one", STOPS_MAX);
		drop(k, p);
		return 0;
	}
	if (!p->arm(k, p, true, e)) {
		drop(k, p);
		return 0;
	}
	if (k->n == k->room) {
		k->room = k->room ? 2 * k->room : 8;
		k->at = xrealloc(k->at, k->room * sizeof *k->at);
	}
	k->at[k->n++] = p;
	k->next_id++;
	tell_machine(k);
	return p->s.id;
}

static const char *row_name(const void *table, size_t i)
{
	return ((const struct stop_kind_row *)table)[i].name;
}

uint32_t stops_add(struct run *r, const char *text, struct err *e)
{
	struct stops *k = stops_of(r);
	const char *operands = text;
	char word[32];
	stop_word(&operands, word, sizeof word);
	for (int i = 0; i < STOP_KINDS; i++) {
		if (strcmp(stop_kind_rows[i].name, word) != 0)
			continue;
		struct stopper *p = stopper_new(r, (enum stop_kind)i);
		snprintf(p->s.text, sizeof p->s.text, "%s %s", stop_kind_rows[i].name, operands);
		for (size_t n = strlen(p->s.text); n && p->s.text[n - 1] == ' '; n--)
			p->s.text[n - 1] = '\0';
		if (parsers[i](k, r, p, operands, e) == 0)
			return keep(k, p, e);
		drop(k, p);
		return 0;
	}
	const char *near = err_nearest(word, row_name, stop_kind_rows, STOP_KINDS);
	char hint[160];
	snprintf(hint, sizeof hint, "%s%s%sall kinds: vmscope list stop-kinds", near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
	err_set(e, NULL, hint, *word ? "unknown kind of stop '%s'" : "a stop begins with its kind%s", word);
	return 0;
}

uint32_t stops_add_break(struct run *r, uint64_t gva, int cpu, struct err *e)
{
	struct stopper *p = stopper_new(r, STOP_KIND_BREAK);
	snprintf(p->s.text, sizeof p->s.text, "break %#llx", (unsigned long long)gva);
	p->lin = gva;
	p->cpu = cpu;
	p->arm = stop_arm_break;
	return keep(stops_of(r), p, e);
}

uint32_t stops_add_memory(struct run *r, enum stop_space space, uint64_t address, uint32_t n, unsigned access, struct err *e)
{
	static const char *const names[] = { "gva", "gpa", "hpa" };
	const enum stop_kind kind = access == STOP_READ ? STOP_KIND_RWATCH : access == STOP_WRITE ? STOP_KIND_WATCH : STOP_KIND_AWATCH;
	struct stopper *p = stopper_new(r, kind);
	snprintf(p->s.text, sizeof p->s.text, "%s %s:%#llx %u", stop_kind_rows[kind].name, names[space], (unsigned long long)address, n);
	p->space = space;
	p->address = address;
	p->n = n;
	p->access = access;
	if (stop_set_memory(stops_of(r), r, p, e) == 0)
		return keep(stops_of(r), p, e);
	drop(stops_of(r), p);
	return 0;
}

static struct stopper *find(const struct run *r, uint32_t id, size_t *at)
{
	const struct stops *k = runner(r)->stops;
	for (size_t i = 0; k && i < k->n; i++)
		if (k->at[i]->s.id == id) {
			*at = i;
			return k->at[i];
		}
	return NULL;
}

uint32_t stops_add_when(struct run *r, void *predicate, const char *text, struct err *e)
{
	struct stopper *p = stopper_new(r, STOP_KIND_WHEN);
	snprintf(p->s.text, sizeof p->s.text, "when %s", text);
	stop_set_when(p, predicate);
	return keep(stops_of(r), p, e);
}

bool stops_remove(struct run *r, uint32_t id)
{
	size_t i;
	struct stopper *p = find(r, id, &i);
	struct stops *k = runner(r)->stops;
	if (!p)
		return false;
	if (!p->s.off)
		p->arm(k, p, false, NULL);
	memmove(&k->at[i], &k->at[i + 1], (--k->n - i) * sizeof *k->at);
	drop(k, p);
	tell_machine(k);
	return true;
}

bool stops_switch(struct run *r, uint32_t id, bool off)
{
	size_t i;
	struct stopper *p = find(r, id, &i);
	if (!p || !set_off(runner(r)->stops, p, off))
		return false;
	tell_machine(runner(r)->stops);
	return true;
}

void stops_forget_when(struct run *r)
{
	struct stops *k = runner(r)->stops;
	for (size_t i = k ? k->n : 0; i-- > 0;)
		if (k->at[i]->s.kind == STOP_KIND_WHEN)
			stops_remove(r, k->at[i]->s.id);
}

uint32_t stops_break_at(const struct run *r, uint64_t lin)
{
	const struct stops *k = runner(r)->stops;
	for (size_t i = 0; k && i < k->n; i++)
		if (k->at[i]->s.kind == STOP_KIND_BREAK && k->at[i]->lin == lin)
			return k->at[i]->s.id;
	return 0;
}

size_t stops_count(const struct run *r)
{
	r = runner(r);
	return r->stops ? r->stops->n : 0;
}

const struct stop *stops_at(const struct run *r, size_t i)
{
	return &runner(r)->stops->at[i]->s;
}
