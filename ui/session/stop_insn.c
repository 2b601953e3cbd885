/* stop_insn.c - stops before an instruction by its name, or by its class: what can be virtualized by trapping shows in these.
 *
 * While one is set the run goes instruction by instruction and decodes each one more time. */
#include <stdlib.h>
#include <string.h>

#include "models/breakpoint.h"
#include "models/cpu/block.h"
#include "models/cpu/decode.h"
#include "ui/session/stops_impl.h"

struct names {
	bool row[INSN_N];
};

static void names_free(struct stops *k, void *own)
{
	(void)k;
	free(own);
}

static unsigned row_at(struct cpu *c, uint64_t lin)
{
	uint8_t bytes[INSN_BYTES_MAX];
	struct uop u;
	unsigned n = sizeof bytes, here = PAGE_SIZE - (lin & 0xfff);
	if (n > here && !mmu_peek_bytes(&c->mmu, lin, bytes, n))
		n = here;
	if (!mmu_peek_bytes(&c->mmu, lin, bytes, n) || !decode(c->decoder, c->profile, block_key(c), bytes, n, &u))
		return INSN_INVALID;
	return u.row;
}

static bool before(void *who, struct cpu *c, uint64_t lin)
{
	struct stops *k = who;
	unsigned row = INSN_N;
	bool any = false;
	for (size_t i = 0; i < k->n; i++) {
		struct stopper *p = k->at[i];
		if (p->s.kind != STOP_KIND_INSN || p->s.off || !stop_running(k, p, c->number))
			continue;
		if (row == INSN_N)
			row = row_at(c, lin);
		if (row == INSN_INVALID || !((const struct names *)p->own)->row[row])
			continue;
		struct stop_hit h = { .cpu = c->number };
		stop_sentence_of(&h, p, "%s", insn_name((enum insn)row));
		stop_note_here(k, p, &h);
		any = true;
	}
	return any;
}

void stop_insn_changed(struct stops *k)
{
	bool any = false;
	for (size_t i = 0; i < k->n; i++)
		any |= k->at[i]->s.kind == STOP_KIND_INSN && !k->at[i]->s.off;
	k->r->m->breakpoints->insn = any ? before : NULL;
	k->r->m->breakpoints->insn_who = k;
}

static const char *insn_at(const void *table, size_t i)
{
	(void)table;
	return insn_name((enum insn)(i + 1));
}

/* One name of the list: a mnemonic, one with a trailing *, or a class. */
static bool take(struct names *names, const char *name, size_t n)
{
	static const struct { const char *name; enum sensitivity is; } classes[] = {
		{ "innocuous", INSN_INNOCUOUS }, { "privileged", INSN_PRIVILEGED }, { "sensitive", INSN_SENSITIVE },
	};
	bool any = false, prefix = n && name[n - 1] == '*';
	for (unsigned c = 0; c < ARRAY_LEN(classes); c++)
		for (unsigned i = INSN_INVALID + 1; strlen(classes[c].name) == n && memcmp(classes[c].name, name, n) == 0 && i < INSN_N; i++)
			if (insn_rows[i].sensitivity == classes[c].is)
				any = names->row[i] = true;
	for (unsigned i = INSN_INVALID + 1; i < INSN_N; i++) {
		const char *is = insn_name((enum insn)i);
		if (prefix ? strncmp(is, name, n - 1) == 0 : strlen(is) == n && memcmp(is, name, n) == 0)
			any = names->row[i] = true;
	}
	return any;
}

int stop_insn(struct stops *k, struct run *r, struct stopper *p, const char *operands, struct err *e)
{
	struct names *names = xcalloc(1, sizeof *names);
	(void)k, (void)r;
	p->own = names;
	p->own_free = names_free;
	p->arm = stop_arm_nothing;
	if (!*operands)
		return err_set(e, NULL, "as in: insn cpuid,rdmsr   insn sensitive", "the name of an instruction is missing");
	for (const char *at = operands; *at; at += strspn(at, ", \t")) {
		size_t n = strcspn(at, ", \t");
		if (n && !take(names, at, n)) {
			char word[40], hint[160];
			snprintf(word, sizeof word, "%.*s", (int)(n < 39 ? n : 39), at);
			const char *near = err_nearest(word, insn_at, NULL, INSN_N - 1);
			snprintf(hint, sizeof hint, "%s%s%sall names: vmscope list insns; and the classes privileged, sensitive, innocuous",
			         near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
			return err_set(e, NULL, hint, "unknown instruction '%s'", word);
		}
		at += n;
	}
	return 0;
}
