/* stop_look.c - change, ledger, when: what can only be known by looking after each instruction.
 *
 * A condition stops the run when it becomes true, a field when it has another value than at the boundary before. So nothing
 * that is already so stops it, and after a snapshot was restored the first boundary only says what is.
 * An account cannot fill faster than the clock runs: `ledger` looks again when it could be full. */
#include <stdlib.h>
#include <string.h>

#include "ui/session/stops_impl.h"

static bool looks(const struct stopper *p)
{
	return !p->s.off && (p->s.kind == STOP_KIND_CHANGE || p->s.kind == STOP_KIND_LEDGER || p->s.kind == STOP_KIND_WHEN);
}

static void value_free(struct stops *k, void *own)
{
	struct stop_value *v = own;
	const struct line_eval *lua = &k->r->session->line;
	if (v->predicate && lua->forget)        /* else its language is gone, and it with it */
		lua->forget(lua->who, v->predicate);
	free(v);
}

/* ---- looking ---- */

static struct stop_hit noted(const struct stops *k, struct stopper *p, uint64_t before, uint64_t after)
{
	const struct stop_value *v = p->own;
	struct stop_hit h = { .cpu = k->r->m->s.running, .before = before, .after = after };
	if (p->s.kind == STOP_KIND_CHANGE) {
		stop_sentence_of(&h, p, "%#llx -> %#llx", (unsigned long long)before, (unsigned long long)after);
	} else if (p->s.kind == STOP_KIND_LEDGER) {
		v->read(k, p, v, &h.after);
		stop_sentence_of(&h, p, "%llu cycles", (unsigned long long)h.after);
	} else {
		stop_sentence_of(&h, p, NULL);
	}
	return h;
}

/* What is compared from boundary to boundary. */
static bool state(const struct stops *k, const struct stopper *p, uint64_t *x)
{
	const struct stop_value *v = p->own;
	if (!v->read(k, p, v, x))
		return false;
	if (p->s.kind == STOP_KIND_LEDGER)
		*x = *x >= v->limit;
	return true;
}

static void look_again(struct stops *k)
{
	struct machine *m = k->r->m;
	uint64_t soonest = NEVER;
	for (size_t i = 0; i < k->n && !k->quiet; i++) {
		const struct stop_value *v = k->at[i]->own;
		uint64_t spent;
		if (!looks(k->at[i]))
			continue;
		if (k->at[i]->s.kind != STOP_KIND_LEDGER)
			soonest = 0;
		else if (v->read(k, k->at[i], v, &spent) && spent < v->limit && (v->limit - spent) / m->config.cpus < soonest)
			soonest = (v->limit - spent) / m->config.cpus;
	}
	for (unsigned i = 0; i < m->config.cpus; i++)
		m->cpu[i]->look_at = soonest == NEVER ? NEVER : soonest == 0 ? 0 : m->cpu[i]->ledger.now + soonest;
}

static bool look(void *who, struct machine *m)
{
	struct stops *k = who;
	uint64_t cycles = 0, icount = machine_icount(m);
	bool any = false;
	for (unsigned i = 0; i < m->config.cpus; i++)
		cycles += m->cpu[i]->ledger.now;
	/* the same boundary once more: what is different was changed by hand */
	bool same = icount == k->looked.icount && cycles == k->looked.cycles && m->s.now == k->looked.now;
	k->looked.icount = icount;
	k->looked.cycles = cycles;
	k->looked.now = m->s.now;
	for (size_t i = 0; i < k->n; i++) {
		struct stopper *p = k->at[i];
		uint64_t x, last = p->last;
		if (!looks(p) || !state(k, p, &x))
			continue;
		bool hit = !p->fresh && !same && x != last && (p->s.kind == STOP_KIND_CHANGE || x);
		p->fresh = false;
		p->last = x;
		if (!hit)
			continue;
		struct stop_hit h = noted(k, p, last, x);
		stop_note_here(k, p, &h);
		any = true;
	}
	look_again(k);
	return any;
}

void stop_look_changed(struct stops *k)
{
	bool any = false;
	for (size_t i = 0; i < k->n; i++) {
		if (k->quiet)
			k->at[i]->fresh = true;
		any |= looks(k->at[i]);
	}
	k->r->m->look = any && !k->quiet ? look : NULL;
	k->r->m->look_who = k;
	look_again(k);
}

/* ---- change ---- */

int stop_change(struct stops *k, struct run *r, struct stopper *p, const char *operands, struct err *e)
{
	struct stop_value *v = xcalloc(1, sizeof *v);
	char word[96];
	p->own = v;
	p->own_free = value_free;
	p->arm = stop_arm_nothing;
	stop_word(&operands, word, sizeof word);
	if (!*word || *operands)
		return err_set(e, NULL, "as in: change cpu0.cr0, change vmcs.guest_cr3", *word ? "'%s': expected one field" : "the name of a field is missing%s", operands);
	return stop_find_field(k, r, p, v, word, e);
}

/* ---- ledger ---- */

static bool read_ledger(const struct stops *k, const struct stopper *p, const struct stop_value *v, uint64_t *x)
{
	const struct machine *m = k->r->m;
	(void)p;
	*x = 0;
	for (unsigned c = 0; c < m->config.cpus; c++)
		for (int a = 0; a < ACCT_N; a++)
			for (int w = 0; (v->account < 0 || v->account == a) && w < WHY_N; w++)
				if (v->why < 0 || v->why == w)
					*x += m->cpu[c]->ledger.spent[a][w];
	return true;
}

static const char *ledger_name(const void *table, size_t i)
{
	static const char *const accounts[] = { "idle", "vmm", "hardware", "vm0.kernel", "vm0.user", "vm1.kernel", "vm1.user" };
	(void)table;
	return i < ARRAY_LEN(accounts) ? accounts[i] : ledger_why[i - ARRAY_LEN(accounts)].name;
}

/* A name is an account's or a cause's. */
static bool take_name(struct stop_value *v, const char *name)
{
	char buf[32];
	for (unsigned a = 0; v->account < 0 && a < ACCT_N; a++)
		if (strcmp(ledger_acct_name(a, buf, sizeof buf), name) == 0) {
			v->account = (int)a;
			return true;
		}
	for (int w = 0; v->why < 0 && w < WHY_N; w++)
		if (strcmp(ledger_why[w].name, name) == 0) {
			v->why = w;
			return true;
		}
	return false;
}

int stop_ledger(struct stops *k, struct run *r, struct stopper *p, const char *operands, struct err *e)
{
	struct stop_value *v = xcalloc(1, sizeof *v);
	char word[64], number[32];
	(void)k, (void)r;
	p->own = v;
	p->own_free = value_free;
	p->arm = stop_arm_nothing;
	v->read = read_ledger;
	v->account = v->why = -1;
	stop_word(&operands, word, sizeof word);
	stop_word(&operands, number, sizeof number);
	if (*operands || !parse_number(number, &v->limit) || !v->limit)
		return err_set(e, NULL, "as in: ledger vmm 1000000, ledger vm1.kernel/walk.ept 5000", "'%s': expected a number of cycles", number);
	char *slash = strchr(word, '/');
	if (slash)
		*slash++ = '\0';
	const char *bad = !take_name(v, word) ? word : slash && !take_name(v, slash) ? slash : NULL;
	if (!bad)
		return 0;
	const char *near = err_nearest(bad, ledger_name, NULL, 7 + WHY_N);
	char hint[160];
	snprintf(hint, sizeof hint, "%s%s%sall names: vmscope list accounts, vmscope list ledger", near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
	return err_set(e, NULL, hint, "unknown account or cause '%s'", bad);
}

/* ---- when ---- */

static bool read_when(const struct stops *k, const struct stopper *p, const struct stop_value *v, uint64_t *x)
{
	const struct line_eval *lua = &k->r->session->line;
	if (!lua->holds || !stop_running(k, p, k->r->m->s.running))
		return false;
	*x = lua->holds(lua->who, v->predicate);
	return true;
}

void stop_set_when(struct stopper *p, void *predicate)
{
	struct stop_value *v = xcalloc(1, sizeof *v);
	v->predicate = predicate;
	v->read = read_when;
	p->own = v;
	p->own_free = value_free;
	p->arm = stop_arm_nothing;
}

int stop_when(struct stops *k, struct run *r, struct stopper *p, const char *operands, struct err *e)
{
	const struct line_eval *lua = &k->r->session->line;
	if (!*operands)
		return err_set(e, NULL, "as in: when cpu.rax == 5", "a Lua expression is missing");
	if (!lua->predicate)
		return err_set(e, NULL, "with a scenario, boot --stop or the stepping screen there is", "'%s': there is no Lua here to ask", operands);
	void *predicate = lua->predicate(lua->who, r, operands, e);
	if (!predicate)
		return -1;
	stop_set_when(p, predicate);
	return 0;
}
