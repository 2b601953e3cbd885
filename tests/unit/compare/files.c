/* JSON, CSV and the script of pictures, from records that are written by hand. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "made_up.h"

static char *slurp(const char *path)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n), *f = fopen(path, "rb");
	int ch;

	cr_assert(f != NULL);
	while ((ch = fgetc(f)) != EOF)
		fputc(ch, out);
	fclose(f);
	fclose(out);
	unlink(path);
	return text;
}

static char *file(int (*write_file)(const struct comparison *, const char *, struct err *), const struct comparison *c, const char *suffix)
{
	struct err e = { "" };
	char path[64];

	snprintf(path, sizeof path, "/tmp/vmscope-test-%ld%s", (long)getpid(), suffix);
	cr_assert(eq(int, write_file(c, path, &e), 0), "%s", e.text);
	return slurp(path);
}

Test(files, csv_has_a_line_per_case_and_as_many_cells_in_each)
{
	struct comparison c;
	unsigned commas = 0, n = 0, lines = 0;
	char *text;

	made_up(&c);
	text = file(comparison_csv, &c, ".csv");
	cr_expect(eq(int, strncmp(text, "profile,workload,technique,sweep,value,end,diverges,slowdown,cycles,instructions,exits,", 87), 0), "%s", text);
	for (const char *p = text; *p; p++) {
		n += *p == ',';
		if (*p != '\n')
			continue;
		if (!lines++)
			commas = n;
		cr_expect(eq(uint, n, commas));
		n = 0;
	}
	cr_expect(eq(uint, lines, 7));
	cr_expect(says(text, "\nskylake,forkwait,vmx/shadow.wp,,,ok,0,5.714286,6000,500,400,300,90,0,0,10,"), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(files, csv_quotes_what_needs_it)
{
	struct comparison c;
	char *text;

	made_up(&c);
	free(c.plan.spec[0].workload);
	c.plan.spec[0].workload = xstrdup("a \"b\", c");
	text = file(comparison_csv, &c, ".csv");
	cr_expect(says(text, "\nskylake,\"a \"\"b\"\", c\",native/native,"), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(files, json_says_what_diverges)
{
	struct comparison c;
	char *text;

	made_up(&c);
	made_up_console(&c.record[2], "hello\n");
	verify(&c);
	text = file(comparison_json, &c, ".json");
	cr_expect(says(text, "\"verified\": false"), "%s", text);
	cr_expect(says(text, "\"case\": 2,"), "%s", text);
	cr_expect(says(text, "\"technique\": \"vmx/shadow.wp\""));
	cr_expect(says(text, "\"exits.exception\": 300"));
	cr_expect(says(text, "\"cpu0.exit.exception\": {\n          \"measured\": 300,\n          \"whole\": 600"), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(files, a_full_disk_is_told)
{
	struct comparison c;
	struct err e = { "" };

	made_up(&c);
	cr_expect(eq(int, comparison_csv(&c, "/dev/full", &e), -1));
	cr_expect(says(e.text, "cannot write"));
	comparison_fini(&c);
}

Test(plot, the_script_holds_every_number)
{
	struct comparison c;
	char *text;

	made_up(&c);
	text = file(comparison_plot, &c, ".gp");
	cr_expect(says(text, "\"gups\" 1.01 1.91\n"), "%s", text);
	cr_expect(says(text, "\"forkwait: shadow.wp (5.71)\" 0.952381 0 0.047619 0 1.90476 1.42857 1.38095 0\n"), "%s", text);
	cr_expect(says(text, "\"forkwait: ept (12)\" 16.6667 0 0 66.6667 16.6667 0 0 0\n"), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(plot, names_cannot_leave_their_quotes)
{
	struct comparison c;
	char *text;

	made_up(&c);
	free(c.plan.workload.v[0]);
	c.plan.workload.v[0] = xstrdup("a\"\n!touch x\n'`b`\\");
	text = file(comparison_plot, &c, ".gp");
	cr_expect(says(text, "\"a  !touch x '`b` \" 1.01"), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(plot, kinds_of_pictures)
{
	struct err e = { "" };

	cr_expect(eq(int, plot_check("x.gp", &e), 0));
	cr_expect(eq(int, plot_check("x.pdf", &e), -1));
	cr_expect(says(e.text, "unknown kind of picture"));
}
