/* guest_run.h - a session with a guest booted, for tests of what the faces do with a run. */
#ifndef TESTS_GUEST_RUN_H
#define TESTS_GUEST_RUN_H

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ui/session/session.h"

/* What makes every reference of a walk happen. */
#define NO_WALK_CACHES "psc.pde=0 psc.pdpte=0 psc.pml4e=0 nested.tlb=0 ept.psc=0"

/* keys: as printf, key=value with blanks between, on a machine of 64 MB. */
PRINTF(4, 5) static inline struct run *guest_run(struct session *s, const char *kernel, const char *cmdline, const char *keys, ...)
{
	static const struct options o = { .max_cycles = NEVER, .quiet = true };
	struct err e = { "" };
	struct setup setup;
	char text[256];
	va_list ap;
	va_start(ap, keys);
	vsnprintf(text, sizeof text, keys, ap);
	va_end(ap);
	session_init(s, &o);
	setup_init(&setup);
	cr_assert_eq(setup_set(&setup, "ram", "64M", "test", &e), 0, "%s", e.text);
	for (char *key = strtok(text, " "); key; key = strtok(NULL, " "))
		cr_assert_eq(setup_set_pair(&setup, key, "test", &e), 0, "%s", e.text);
	cr_assert_eq(setup_finish(&setup, &e), 0, "%s", e.text);
	struct run *r = session_machine(s, &setup, &e);
	cr_assert_not_null(r, "%s", e.text);
	const struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	cr_assert_eq(run_boot(r, &image, &e), 0, "%s", e.text);
	return r;
}

#endif
