/* cmd_list.c - vmscope list KIND. */
#include <stdio.h>
#include <string.h>

#include "ui/cli/args.h"
#include "ui/cli/item.h"
#include "ui/export/wrap.h"
#include "ui/session/paths.h"

/* Columns as wide as their widest entry, within reason. */
struct widths { size_t name, detail; unsigned columns; };

static void measure(void *arg, const struct item *it)
{
	struct widths *w = arg;
	size_t n = strlen(it->name), d = strlen(it->detail);

	if (n > w->name && n <= 30)
		w->name = n;
	if (d > w->detail && d <= 40)
		w->detail = d;
}

static void line(void *arg, const struct item *it)
{
	const struct widths *w = arg;
	int at = printf("%-*s", (int)w->name, it->name);
	unsigned indent = (unsigned)(w->name + 2 + (w->detail ? w->detail + 2 : 0));

	if (w->detail)
		at += printf("  %-*s", (int)w->detail, it->detail);
	at += printf("  ");
	if (w->columns && indent > w->columns / 2)      /* no room beside it */
		indent = (unsigned)w->name + 2;
	wrap(stdout, (unsigned)at, indent, w->columns, it->sentence);
	putchar('\n');
}

static const char *kind_at(const void *table, size_t i)
{
	return ((const struct kind *)table)[i].name;
}

int cmd_list(struct args *a, struct err *e)
{
	const char *name = a->operands ? a->operand[0] : "kinds", *near;
	struct widths w = { .columns = wrap_terminal() };
	char hint[120];

	if (a->operands > 1)
		return err_set(e, NULL, "vmscope help list", "list takes one kind, %u were given",
		               a->operands);
	if (strcmp(name, "lua-meta") == 0) {    /* for editors; make meta writes it to a file */
		api_meta();
		return 0;
	}
	for (size_t i = 0; i < kinds_n; i++)
		if (strcmp(kinds[i].name, name) == 0) {
			kinds[i].each(measure, &w);
			if (!w.name && paths_there(e) != 0)
				return -1;
			kinds[i].each(line, &w);
			return 0;
		}
	near = err_nearest(name, kind_at, kinds, kinds_n);
	snprintf(hint, sizeof hint, "%s%s%sall kinds: vmscope list", near ? "did you mean '" : "",
	         near ? near : "", near ? "'? " : "");
	return err_set(e, NULL, hint, "unknown kind '%s'", name);
}
