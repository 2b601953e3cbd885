/* classify.c - from experiments to verdicts; see classify.h. */
#include "ui/classify/classify.h"

#include <stdlib.h>
#include <string.h>

#include "ui/classify/forms.h"
#include "ui/classify/lab.h"

/* One form, one encoding, one state: both rings, then what else could make a difference. */
struct experiment {
	struct lab *l;
	const uint8_t *bytes;
	unsigned n;
	struct verdict *v;
	bool only_ring0, both;          /* in some state: ring 0 alone executed it; ring 3 executed it too */
};

static void evidence(struct experiment *x, const char *text)
{
	if (x->v->evidence[0])
		return;
	snprintf(x->v->evidence, sizeof x->v->evidence, "%s", text);
	memcpy(x->v->code, x->bytes, x->n);
	x->v->length = (uint8_t)x->n;
}

static void changed(struct experiment *x, const struct outcome *before, const struct outcome *after, unsigned ring, enum lab_state state)
{
	char what[160], text[240];
	if (x->v->control || !lab_changed(x->l, before, after, what, sizeof what))
		return;
	x->v->control = true;
	snprintf(text, sizeof text, "in ring %u (%s) it changed %s", ring, state_names[state], what);
	evidence(x, text);
}

/* Two executions, each with what was before. */
static void compared(struct experiment *x, const struct outcome a[2], const struct outcome b[2], enum lab_state state, const char *where)
{
	char what[160], text[240];
	if (x->v->behaviour || a[1].trapped || b[1].trapped || !lab_results(x->l, a, b, what, sizeof what))
		return;
	x->v->behaviour = true;
	snprintf(text, sizeof text, "%s (%s): %s", where, state_names[state], what);
	evidence(x, text);
}

static void state(struct experiment *x, enum lab_state s)
{
	struct outcome o[2][2], other[2];
	bool runs[2];
	for (unsigned i = 0; i < 2; i++) {
		lab_run(x->l, x->bytes, x->n, 3 * i, s, RESOURCE_NONE, &o[i][0], &o[i][1]);
		runs[i] = !o[i][1].trapped;
		x->v->states += runs[i];
	}
	x->v->ring0 |= runs[0];
	x->v->ring3 |= runs[1];
	x->only_ring0 |= runs[0] && !runs[1];
	x->both |= runs[1];
	for (unsigned i = 0; i < 2; i++)
		if (runs[i])
			changed(x, &o[i][0], &o[i][1], 3 * i, s);
	compared(x, o[0], o[1], s, "ring 0, then ring 3");
	for (unsigned r = 1; r < RESOURCES && runs[1] && !x->v->behaviour; r++) {
		char where[80];
		lab_run(x->l, x->bytes, x->n, 3, s, (enum lab_resource)r, &other[0], &other[1]);
		snprintf(where, sizeof where, "ring 3, then with another %s", resource_names[r]);
		compared(x, o[1], other, s, where);
	}
}

static void form(struct lab *l, const struct form *f, struct verdict *v)
{
	struct experiment x = { .l = l, .v = v };
	memset(v, 0, sizeof *v);
	v->insn = f->insn;
	v->shape = f->shape;
	v->mode = l->mode;
	for (unsigned i = 0; i < f->n; i++) {
		x.bytes = f->at[i].bytes;
		x.n = f->at[i].length;
		for (unsigned s = 0; s < STATES; s++)
			state(&x, (enum lab_state)s);
	}
	v->privileged = x.only_ring0 && !x.both;
	if (!v->length) {
		memcpy(v->code, f->at[0].bytes, f->at[0].length);
		v->length = f->at[0].length;
	}
}

static int by_name(const void *a, const void *b)
{
	const struct verdict *x = a, *y = b;
	if (x->mode != y->mode)
		return x->mode < y->mode ? -1 : 1;
	int order = strcmp(insn_name(x->insn), insn_name(y->insn));
	return order ? order : (int)x->shape - (int)y->shape;
}

int classify(const struct class_options *o, struct verdicts *all, struct err *e)
{
	memset(all, 0, sizeof *all);
	for (unsigned mode = 0; mode < CLASS_MODES; mode++) {
		struct lab l;
		struct forms forms;
		if (lab_open(&l, o, (enum class_mode)mode, e) != 0)
			return -1;
		forms_find(l.m->cpu[0], &forms);
		all->v = xrealloc(all->v, (all->n + forms.n) * sizeof *all->v);
		for (size_t i = 0; i < forms.n; i++)
			form(&l, &forms.f[i], &all->v[all->n++]);
		free(forms.f);
		lab_close(&l);
	}
	qsort(all->v, all->n, sizeof *all->v, by_name);
	return 0;
}

const char *verdict_word(const struct verdict *v)
{
	return v->privileged ? "privileged" : verdict_critical(v) ? "critical" : verdict_unknown(v) ? "not executed" : "innocuous";
}

void verdict_name(const struct verdict *v, char *buf, size_t n)
{
	static const char *const shape[] = { [FORM_PLAIN] = "", [FORM_SEG] = "sreg", [FORM_CR] = "cr", [FORM_DR] = "dr", [FORM_FAR] = "far" };
	snprintf(buf, n, "%s%s%s", insn_name(v->insn), *shape[v->shape] ? " " : "", shape[v->shape]);
}
