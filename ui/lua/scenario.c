/* scenario.c - one scenario: a sandbox with the scenario language in it, and what remains of it
 * afterwards. */
#include "ui/lua/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/lua/api.h"

static int install(lua_State *L)
{
	api_install(L);
	return 0;
}

static int start(struct scenario *s, struct session *session, const struct scenario_options *o,
                 const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');

	memset(s, 0, sizeof *s);
	for (unsigned i = 0; i < o->sets; i++)
		if (!strchr(o->set[i], '='))
			return err_set(e, "--set", "for example: --set n=200",
			               "'%s': expected KEY=VALUE", o->set[i]);
	if (sandbox_init(&s->sandbox, session->o.seed, o->memory ? o->memory : SANDBOX_MEMORY,
	                 o->instructions ? o->instructions : SANDBOX_INSTRUCTIONS, e) != 0)
		return -1;
	s->sandbox.owner = s;
	s->session = session;
	s->o = o;
	s->used = xcalloc(o->sets + 1, sizeof *s->used);
	snprintf(s->file, sizeof s->file, "%s", path);
	snprintf(s->folder, sizeof s->folder, "%.*s", slash ? (int)(slash - path) : 1,
	         slash ? path : ".");
	if (slash == path)
		snprintf(s->folder, sizeof s->folder, "/");
	snprintf(s->sandbox.folder, sizeof s->sandbox.folder, "%s", s->folder);
	line_install(s);
	lua_pushcfunction(s->sandbox.L, install);
	return sandbox_call(s->sandbox.L, 0, 0, e);
}

/* Listeners point into the session's machines: they go before those do. */
static int finish(struct scenario *s, int status, struct err *e)
{
	if (status != 0 && s->exited) {
		e->text[0] = '\0';
		status = 0;
	}
	for (unsigned i = 0; status == 0 && i < s->o->sets && !s->session->o.quiet; i++)
		if (!s->used[i])
			fprintf(stderr, "warning: --set %s: the scenario did not ask for it\n",
			        s->o->set[i]);
	handlers_free(s);
	stop_fns_free(s);
	memset(&s->session->line, 0, sizeof s->session->line);
	for (size_t i = 0; i < s->session->n; i++)
		s->session->runs[i]->console_line = NULL;
	sandbox_fini(&s->sandbox);
	free(s->used);
	return status == 0 ? s->status : -1;
}

int scenario_run_file(struct session *session, const struct scenario_options *o, const char *path,
                      struct err *e)
{
	struct scenario *s = xcalloc(1, sizeof *s);
	int status = start(s, session, o, path, e);

	if (status == 0)
		status = sandbox_run_file(&s->sandbox, path, 0, e);
	if (s->sandbox.L)
		status = finish(s, status, e);
	free(s);
	return status;
}

int scenario_run_text(struct session *session, const struct scenario_options *o, const char *text,
                      size_t n, const char *name,
                      struct err *e)
{
	struct scenario *s = xcalloc(1, sizeof *s);
	int status = start(s, session, o, name, e);

	if (status == 0)
		status = sandbox_run(&s->sandbox, text, n, name, 0, e);
	if (s->sandbox.L)
		status = finish(s, status, e);
	free(s);
	return status;
}

struct scenario *scenario_line_open(struct session *session, const struct scenario_options *o, struct err *e)
{
	struct scenario *s = xcalloc(1, sizeof *s);

	if (start(s, session, o, "line", e) == 0)
		return s;
	scenario_line_close(s);
	return NULL;
}

void scenario_line_close(struct scenario *s)
{
	struct err ignored = { "" };

	if (!s)
		return;
	if (s->sandbox.L)
		finish(s, 0, &ignored);
	free(s);
}
