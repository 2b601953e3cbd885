/* chip.c - what every chip has in common (chip.h), and the tables of the board's statistics and
 * trace events. */
#include "models/io/chip.h"

const struct stat_row io_stat_rows[IO_STAT_N] = {
#define STAT(NAME, name, unit, sentence) [IO_STAT_##NAME] = { name, STAT_##unit, sentence },
#include "models/io/io_stat.def"
};

const struct trace_row io_trace_rows[] = {
#define EVENT(NAME, name, args, sentence) { name, args, sentence },
#include "models/io/io_trace.def"
};
const size_t io_trace_rows_n = ARRAY_LEN(io_trace_rows);
_Static_assert((int)IO_TRACE_END_ <= (int)TRACE_VMM,
               "the board's trace events overflow their range");

void chip_init(struct chip *c, const char *name, const struct dev_ops *ops,
               const struct io_env *env)
{
	c->env = env;
	c->component = trace_component(env->trace, name);
	if (ops->event)
		c->owner = evq_owner(env->evq, name, ops->event, c);
	if (ops->init)
		ops->init(c);
	if (ops->reset)
		ops->reset(c);
}
