/* saved.c - arrangements of panes kept by name, in $XDG_CONFIG_HOME/vmscope/layouts (or ~/.config): a line each, "name = spec"
 * as layout.def writes specs. Without either variable they are kept while the screen lasts. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ui/tui/tui.h"

static bool folder(char *buf, size_t n, bool make)
{
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char path[3800];
	if (base && base[0] == '/')
		snprintf(path, sizeof path, "%.3700s", base);
	else if (home && home[0] == '/')
		snprintf(path, sizeof path, "%.3700s/.config", home);
	else
		return false;
	if (make)
		(void)mkdir(path, 0700);
	snprintf(buf, n, "%s/vmscope", path);
	if (make)
		(void)mkdir(buf, 0700);
	return true;
}

static void keep(struct tui *t, const char *name, const char *spec)
{
	struct saved *s = NULL;
	for (unsigned i = 0; i < t->saves; i++)
		if (strcmp(t->saved[i].name, name) == 0)
			s = &t->saved[i];
	if (!s && t->saves < SAVED_MAX)
		s = &t->saved[t->saves++];
	if (!s)
		return;
	snprintf(s->name, sizeof s->name, "%s", name);
	snprintf(s->spec, sizeof s->spec, "%s", spec);
}

/* A file that is not there, or lines that are nothing, are no error: whoever wrote them sees what is missing. */
void saved_load(struct tui *t)
{
	char path[4000], line[SPEC_MAX + 64];
	if (!folder(path, sizeof path, false))
		return;
	strcat(path, "/layouts");
	FILE *f = fopen(path, "r");
	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		char *eq = strchr(line, '='), *name = line + strspn(line, " \t"), *spec;
		if (!eq || line[0] == '#')
			continue;
		spec = eq + 1 + strspn(eq + 1, " \t");
		spec[strcspn(spec, "\n")] = '\0';
		while (eq > name && (eq[-1] == ' ' || eq[-1] == '\t'))
			eq--;
		*eq = '\0';
		struct err e;
		if (*name && strlen(name) < sizeof t->saved[0].name && spec_check(spec, &e) == 0)
			keep(t, name, spec);
	}
	fclose(f);
}

int saved_save(struct tui *t, const char *name, struct err *e)
{
	char path[4000], file[4020];
	if (!*name || strlen(name) >= sizeof t->saved[0].name || name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")])
		return err_set(e, NULL, NULL, "'%s': a name of letters, digits, - and _, at most %zu", name, sizeof t->saved[0].name - 1);
	for (unsigned i = 0; i < layout_rows_n; i++)
		if (strcmp(layout_rows[i].name, name) == 0)
			return err_set(e, NULL, NULL, "'%s' is one of vmscope's own: take another name", name);
	if (t->saves == SAVED_MAX)
		return err_set(e, NULL, NULL, "%d arrangements are saved already", SAVED_MAX);
	keep(t, name, layout_spec(t));
	if (!folder(path, sizeof path, true)) {
		tui_say(t, false, "'%s' is kept while the screen lasts: neither XDG_CONFIG_HOME nor HOME says where to", name);
		return 0;
	}
	snprintf(file, sizeof file, "%s/layouts", path);
	FILE *f = fopen(file, "w");
	if (!f)
		return err_set(e, NULL, NULL, "cannot write %s: %s", file, strerror(errno));
	for (unsigned i = 0; i < t->saves; i++)
		fprintf(f, "%s = %s\n", t->saved[i].name, t->saved[i].spec);
	if (fclose(f) != 0)
		return err_set(e, NULL, NULL, "cannot write %s: %s", file, strerror(errno));
	tui_say(t, false, "saved in %s", file);
	return 0;
}
