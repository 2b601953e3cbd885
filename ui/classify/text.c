/* text.c - the classification as a table for people, and as JSON. */
#include <inttypes.h>
#include <string.h>

#include "ui/classify/classify.h"
#include "ui/export/json.h"
#include "ui/export/wrap.h"

static const char *const mode_names[CLASS_MODES] = { "IA-32", "Intel 64" };

static unsigned count(const struct verdicts *all, enum class_mode mode, const char *word)
{
	unsigned n = 0;
	for (size_t i = 0; i < all->n; i++)
		n += all->v[i].mode == mode && strcmp(verdict_word(&all->v[i]), word) == 0;
	return n;
}

enum { EVIDENCE = 38 };         /* where its column begins */

/* A paragraph of names. */
static void names(FILE *f, const struct verdicts *all, enum class_mode mode, const char *word)
{
	int col = 0;
	for (size_t i = 0; i < all->n; i++) {
		char name[64];
		if (all->v[i].mode != mode || strcmp(verdict_word(&all->v[i]), word) != 0)
			continue;
		verdict_name(&all->v[i], name, sizeof name);
		int n = (int)strlen(name);
		if (!col || col + n + 3 > WRAP_PAGE)
			fprintf(f, "%s    ", col ? ",\n" : ""), col = 4;
		else
			fputs(", ", f), col += 2;
		fputs(name, f);
		col += n;
	}
	fputs(col ? "\n" : "    none\n", f);
}

void classify_print(FILE *f, const struct verdicts *all, bool every)
{
	for (unsigned mode = 0; mode < CLASS_MODES; mode++) {
		unsigned critical = count(all, mode, "critical");
		fprintf(f, "%s%s: %u privileged, %u critical, %u innocuous,\n  %u never executed without a trap here\n", mode ? "\n" : "", mode_names[mode],
		        count(all, mode, "privileged"), critical, count(all, mode, "innocuous"), count(all, mode, "not executed"));
		fprintf(f, "\n  privileged: ring 3 traps whenever ring 0 does not\n");
		names(f, all, mode, "privileged");
		fprintf(f, "\n  critical: sensitive, and ring 3 need not trap\n");
		for (size_t i = 0; i < all->n; i++) {
			const struct verdict *v = &all->v[i];
			char name[64], code[40] = "";
			if (v->mode != mode || !verdict_critical(v))
				continue;
			verdict_name(v, name, sizeof name);
			for (unsigned k = 0; k < v->length; k++)
				snprintf(code + 3 * k, sizeof code - 3 * k, "%02x ", v->code[k]);
			int at = fprintf(f, "    %-10s %-9s %-12s ", name, v->control ? v->behaviour ? "both" : "control" : "behaviour", code);
			wrap(f, (unsigned)at, EVIDENCE, WRAP_PAGE, v->evidence);
			fputc('\n', f);
		}
		if (!critical)
			fprintf(f, "    none\n");
		if (every) {
			fprintf(f, "\n  innocuous\n");
			names(f, all, mode, "innocuous");
			fprintf(f, "\n  never executed without a trap: nothing can be said (they want VMX\n  operation, or a state that was not tried)\n");
			names(f, all, mode, "not executed");
		}
		fprintf(f, "\n  %s\n", critical ? "The sensitive instructions are no subset of the privileged ones: by theorem 1\n  trap-and-emulate alone cannot virtualize this machine." :
		        "The sensitive instructions are a subset of the privileged ones: by theorem 1\n  trap-and-emulate virtualizes this machine.");
	}
}

void classify_json(FILE *f, const struct verdicts *all)
{
	struct json j;
	json_init(&j, f, false);
	json_array(&j, NULL);
	for (size_t i = 0; i < all->n; i++) {
		const struct verdict *v = &all->v[i];
		char name[64], code[40] = "";
		verdict_name(v, name, sizeof name);
		for (unsigned k = 0; k < v->length; k++)
			snprintf(code + 2 * k, sizeof code - 2 * k, "%02x", v->code[k]);
		json_object(&j, NULL);
		json_text(&j, "mode", mode_names[v->mode]);
		json_text(&j, "instruction", name);
		json_text(&j, "class", verdict_word(v));
		json_bool(&j, "control", v->control);
		json_bool(&j, "behaviour", v->behaviour);
		json_u64(&j, "states", v->states);
		json_text(&j, "code", code);
		json_text(&j, "evidence", v->evidence);
		json_end_object(&j);
	}
	json_end_array(&j);
	fputc('\n', f);
}
