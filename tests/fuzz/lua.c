/* Fuzz target: any bytes as a scenario, under small limits. Refused or run; never a crash, never without end. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "ui/lua/scenario.h"

int fuzz_lua(const uint8_t *data, size_t n)
{
	static const char *const set[] = { "n=12", "text=words" };
	struct options o = { .quiet = true, .max_cycles = 200000, .max_instructions = 20000 };
	struct scenario_options so = { .set = set, .sets = 2, .memory = 8 << 20, .instructions = 300000 };
	struct session s;
	struct err e = { "" };

	session_init(&s, &o);
	if (scenario_run_text(&s, &so, (const char *)data, n, "tests/fuzz/corpus/lua/fuzz.lua", &e) < 0 && !e.text[0])
		abort();        /* refused without a word */
	session_fini(&s);
	return 0;
}
