/* compare.c - a comparison from beginning to end. */
#include "ui/compare/compare.h"

#include <stdlib.h>
#include <string.h>

int comparison_run(struct comparison *c, struct compare_options *o, struct err *e)
{
	char **identity;
	int status = 0;

	memset(c, 0, sizeof *c);
	c->options = *o;
	memset(o, 0, sizeof *o);
	if (plan_make(&c->plan, &c->options, e) != 0 || verify_prepare(c, e) != 0)
		return -1;
	if (c->options.results && store_open(c->options.results, e) != 0)
		return -1;
	identity = xcalloc(c->plan.n, sizeof *identity);
	for (size_t i = 0; status == 0 && i < c->plan.n; i++)
		if (!(identity[i] = case_identity(&c->plan.spec[i], e)))
			status = -1;
	if (status == 0) {
		c->record = xcalloc(c->plan.n, sizeof *c->record);
		status = pool_run(c, identity, e);
	}
	for (size_t i = 0; i < c->plan.n; i++)
		free(identity[i]);
	free(identity);
	if (status == 0)
		verify(c);
	return status;
}

void comparison_fini(struct comparison *c)
{
	for (size_t i = 0; c->record && i < c->plan.n; i++)
		case_record_fini(&c->record[i]);
	free(c->record);
	for (size_t i = 0; i < c->divergences; i++)
		free(c->divergence[i].text);
	free(c->divergence);
	free(c->except);
	plan_fini(&c->plan);
	compare_options_fini(&c->options);
	memset(c, 0, sizeof *c);
}

bool comparison_spared(const struct comparison *c, size_t at)
{
	return c->options.all && c->record[at].end == CASE_REFUSED && record_good(&c->record[native_of(c, at)]);
}

int comparison_status(const struct comparison *c)
{
	for (size_t i = 0; i < c->plan.n; i++)
		if (!record_good(&c->record[i]) && !comparison_spared(c, i))
			return 1;
	return c->divergences != 0;
}
