/* kinds_export.c - list exports: which ending makes --trace and --stats write what. */
#include <stdio.h>

#include "ui/cli/item.h"

void each_export(item_fn *fn, void *arg)
{
	static const struct item traces[] = {
#define EXPORT(id, ending, what, sentence) { ending[0] ? "--trace " ending : "--trace ...", ending[0] ? ending : NULL, what, sentence, "see docs/manual.md, Exports" },
#include "ui/export/exports.def"
	};
	static const struct item stats[] = {
#define FORM(ending, what, sentence) { "--stats " ending, NULL, what, sentence, "see docs/manual.md, Exports" },
#include "ui/export/stats_forms.def"
	};

	for (size_t i = 0; i < ARRAY_LEN(traces); i++)
		fn(arg, &traces[i]);
	for (size_t i = 0; i < ARRAY_LEN(stats); i++)
		fn(arg, &stats[i]);
}
