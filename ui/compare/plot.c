/* plot.c - pictures of a comparison, drawn by gnuplot: slowdowns as bars, ledgers stacked, the mix of VM exits; of a sweep,
 * lines. A name that ends in .gp gets the script itself. Colours: Okabe and Ito's eight, which people with colour-blindness
 * tell apart; bars also differ by their place, lines by their marks. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ui/compare/text.h"
#include "ui/export/outfile.h"

static const char *const colour[] = { "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#666666" };

static bool ends_in(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);

	return n > k && strcmp(path + n - k, suffix) == 0;
}

static bool have_gnuplot(void)
{
	const char *path = getenv("PATH");

	for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
		size_t n = strcspn(p, ":");
		char file[4200];

		snprintf(file, sizeof file, "%.*s/gnuplot", (int)(n < 4000 ? n : 4000), p);
		if (access(file, X_OK) == 0)
			return true;
		p += n;
		p += *p == ':';
	}
	return false;
}

int plot_check(const char *path, struct err *e)
{
	if (!ends_in(path, ".svg") && !ends_in(path, ".png") && !ends_in(path, ".gp"))
		return err_set(e, "--plot", "a picture: F.svg or F.png; the script that draws it: F.gp", "'%s': unknown kind of picture", path);
	if (!ends_in(path, ".gp") && !have_gnuplot())
		return err_set(e, "--plot", "Debian: apt-get install gnuplot-nox; or --plot F.gp for the script alone", "gnuplot is not installed");
	return 0;
}

/* Text between single quotes of gnuplot, or a cell of its data: nothing in it is looked at. */
static void put_text(FILE *f, const char *text, char quote)
{
	fputc(quote, f);
	for (; *text; text++)
		fputc(*text == quote || (unsigned char)*text < 32 || *text == '\\' ? ' ' : *text, f);
	fputc(quote, f);
}

static void head(FILE *f, const char *path, unsigned wide, unsigned high)
{
	/* the file's name is set in double quotes, where a backslash escapes */
	if (ends_in(path, ".png"))
		fprintf(f, "set terminal pngcairo noenhanced font 'DejaVu Sans,10' size %u,%u background 'white'\n", wide, high);
	else
		fprintf(f, "set terminal svg noenhanced font 'DejaVu Sans,12' size %u,%u background 'white'\n", wide, high);
	if (!ends_in(path, ".gp")) {
		fputs("set output \"", f);
		for (; *path; path++)
			fprintf(f, *path == '"' || *path == '\\' || *path == '`' ? "\\%c" : "%c", *path);
		fputs("\"\n", f);
	}
	fputs("set border 3 linecolor '#444444'\nset tics nomirror out\nset grid ytics linetype 1 linecolor '#dddddd'\nset boxwidth 0.85\n"
	      "set style fill solid 1.0 border -1\nset key outside right top reverse Left noautotitle\n", f);
}

/* ---- bars ---- */

struct bars { const struct comparison *c; size_t profile; FILE *f; };

/* Slowdowns: one group per workload, one bar per technique. */
static void slowdowns(const struct bars *b)
{
	const struct plan *p = &b->c->plan;
	FILE *f = b->f;
	double most = 0, low = 0.5;

	fputs("$slow << END_OF_DATA\n", f);
	for (size_t w = 0; w < p->workload.n; w++) {
		put_text(f, p->workload.v[w], '"');
		for (size_t t = 1; t < p->technique.n; t++) {
			double x = slowdown(b->c, plan_at(p, b->profile, w, 0, t));

			fprintf(f, " %.6g", x);
			most = x > most ? x : most;
			while (x > 0 && x < 1.2 * low)  /* a bar begins at the lower edge */
				low = low > 0.1 ? 0.1 : low / 10;
		}
		fputc('\n', f);
	}
	fputs("END_OF_DATA\n", f);
	if (p->technique.n < 2)
		return;
	fputs("set title ", f);
	fprintf(f, "'Slowdown on %s: cycles of the measured part, bare machine = 1'\n", p->profile.v[b->profile]);
	fprintf(f, "set ylabel 'times native%s'\nset style data histograms\nset style histogram clustered gap 1\n", most > 12 ? " (logarithmic)" : "");
	if (most > 12)
		fprintf(f, "set logscale y 10\nset yrange [%g:*]\n", low);
	else
		fputs("unset logscale y\nset yrange [0:*]\n", f);
	fputs("set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead linecolor '#000000' dashtype 2 front\nplot ", f);
	for (size_t t = 1; t < p->technique.n; t++) {
		fprintf(f, "%s$slow using %zu:xtic(1) linecolor rgb '%s' title ", t > 1 ? ", " : "", t + 1, colour[(t - 1) % ARRAY_LEN(colour)]);
		put_text(f, short_name(b->c, t), '\'');
	}
	fputs("\nunset arrow 1\nunset logscale y\n", f);
}

/* One stacked bar per workload and technique; parts(at, i) in units of `scale`. */
typedef double part_fn(const struct comparison *c, size_t at, size_t i);

static double share_part(const struct comparison *c, size_t at, size_t i)
{
	const struct case_record *native = &c->record[native_of(c, at)];

	return record_good(native) && record_cycles(native) && record_good(&c->record[at])
	       ? (double)record_share(&c->record[at], (enum share)i) / (double)record_cycles(native) : 0;
}

static const enum metric exit_kinds[] = { METRIC_EXIT_FAULT, METRIC_EXIT_CR, METRIC_EXIT_INVLPG, METRIC_EXIT_EPT, METRIC_EXIT_IO,
                                          METRIC_EXIT_CPUID, METRIC_EXIT_IRQ };
enum { EXIT_PARTS = ARRAY_LEN(exit_kinds) + 1 };

static double exit_part(const struct comparison *c, size_t at, size_t i)
{
	const struct case_record *r = &c->record[at];
	uint64_t all = record_metric(r, METRIC_EXITS), v = all;

	if (i < ARRAY_LEN(exit_kinds))
		v = record_metric(r, exit_kinds[i]);
	else
		for (size_t k = 0; k < ARRAY_LEN(exit_kinds); k++)
			v -= record_metric(r, exit_kinds[k]);
	return record_good(r) && all ? 100.0 * (double)v / (double)all : 0;
}

static const char *share_title(size_t i)
{
	return share_rows[i].title;
}

static const char *exit_title(size_t i)
{
	static const char *const title[] = { "page fault, exception", "control register", "INVLPG", "EPT violation", "I/O", "CPUID",
	                                     "interrupt", "other" };

	return title[i];
}

static void stacked(const struct bars *b, const char *name, size_t first, size_t parts, part_fn *part, const char *(*title)(size_t))
{
	const struct plan *p = &b->c->plan;
	FILE *f = b->f;

	fprintf(f, "$%s << END_OF_DATA\n", name);
	for (size_t w = 0; w < p->workload.n; w++) {
		for (size_t t = first; t < p->technique.n; t++) {
			size_t at = plan_at(p, b->profile, w, 0, t);
			char label[160], count[24];

			if (part == exit_part)          /* the mix says nothing about how many */
				compact(record_metric(&b->c->record[at], METRIC_EXITS), count, sizeof count);
			else                            /* a bar that is cut off does not say how tall it is */
				snprintf(count, sizeof count, "%.2f", slowdown(b->c, at));
			snprintf(label, sizeof label, "%s: %s (%s)", p->workload.v[w], short_name(b->c, t), count);
			put_text(f, label, '"');
			for (size_t i = 0; i < parts; i++)
				fprintf(f, " %.6g", part(b->c, at, i));
			fputc('\n', f);
		}
		if (w + 1 < p->workload.n)      /* a gap between workloads */
			for (size_t i = 0; i <= parts; i++)
				fprintf(f, "%s%s", i ? " 0" : "\" \"", i == parts ? "\n" : "");
	}
	fputs("END_OF_DATA\nset style data histograms\nset style histogram rowstacked\nplot ", f);
	for (size_t i = 0; i < parts; i++)
		fprintf(f, "%s$%s using %zu%s linecolor rgb '%s' title '%s'", i ? ", " : "", name, i + 2, i ? "" : ":xtic(1)",
		        colour[i % ARRAY_LEN(colour)], title(i));
	fputc('\n', f);
}

/* A few bars that tower over the rest would hide it. */
#define CUT      6.0
#define CUT_TEXT "6"

static double tallest(const struct bars *b)
{
	const struct plan *p = &b->c->plan;
	double most = 0;

	for (size_t w = 0; w < p->workload.n; w++)
		for (size_t t = 0; t < p->technique.n; t++) {
			double x = slowdown(b->c, plan_at(p, b->profile, w, 0, t));

			most = x > most ? x : most;
		}
	return most;
}

static void bars(const struct comparison *c, const char *path, FILE *f)
{
	const struct plan *p = &c->plan;
	size_t groups = p->workload.n * (p->technique.n + 1);
	unsigned wide = groups < 24 ? 900 : (unsigned)(250 + 22 * groups);
	bool virtual = p->technique.n > 1;

	wide = wide < 6000 ? wide : 6000;
	head(f, path, wide, (unsigned)(p->profile.n * (virtual ? 1380 : 480)));
	fprintf(f, "set multiplot layout %zu,1\nset xtics rotate by %s\n", p->profile.n * (virtual ? 3 : 1),
	        groups < 24 ? "-40 left" : "-55 left font ',8'");
	for (size_t i = 0; i < p->profile.n; i++) {
		struct bars b = { c, i, f };

		if (virtual)
			slowdowns(&b);
		fprintf(f, "set title 'Where the cycles went on %s, in units of the bare machine%s'\nset ylabel 'times native'\nset yrange [0:%s]\n",
		        p->profile.v[i], tallest(&b) > CUT ? " (tall bars are cut off)" : "", tallest(&b) > CUT ? CUT_TEXT : "*");
		stacked(&b, "ledger", 0, SHARES, share_part, share_title);
		if (virtual) {
			fprintf(f, "set title 'VM exits by reason on %s (their number in brackets)'\nset ylabel 'percent of exits'\nset yrange [0:100]\n", p->profile.v[i]);
			stacked(&b, "exits", 1, EXIT_PARTS, exit_part, exit_title);
		}
	}
	fputs("unset multiplot\n", f);
}

/* ---- lines of a sweep ---- */

static void panel(const struct comparison *c, FILE *f, size_t profile, size_t workload)
{
	const struct plan *p = &c->plan;
	bool logarithmic = p->values > 2 && p->sweep.value[0] && p->sweep.value[p->values - 1] / p->sweep.value[0] >= 8 &&
	                   p->sweep.value[2] - p->sweep.value[1] != p->sweep.value[1] - p->sweep.value[0];
	size_t first = p->technique.n > 1;

	fputs("$line << END_OF_DATA\n", f);
	for (size_t v = 0; v < p->values; v++) {
		fprintf(f, "%" PRIu64, p->sweep.value[v]);
		for (size_t t = first; t < p->technique.n; t++) {
			size_t at = plan_at(p, profile, workload, v, t);

			if (!first && record_good(&c->record[at]))
				fprintf(f, " %" PRIu64, record_cycles(&c->record[at]));
			else if (first && slowdown(c, at) > 0)
				fprintf(f, " %.6g", slowdown(c, at));
			else
				fputs(" NaN", f);
		}
		fputc('\n', f);
	}
	fputs("END_OF_DATA\nset title ", f);
	put_text(f, p->workload.v[workload], '\'');
	fprintf(f, "\nset xlabel '%s'\nset ylabel '%s on %s'\nset yrange [0:*]\n%s\nplot ", p->sweep.name, first ? "times native" : "cycles",
	        p->profile.v[profile], logarithmic ? p->sweep.value[p->values - 1] >= 1 << 20 ? "set logscale x 2\nset format x '%.0b%B'" :
	        "set logscale x 2\nset format x '%.0f'" : "unset logscale x\nset format x '%g'");
	for (size_t t = first; t < p->technique.n; t++) {
		fprintf(f, "%s$line using 1:%zu with linespoints linewidth 2 pointtype %zu pointsize 0.9 linecolor rgb '%s' title ",
		        t > first ? ", " : "", t - first + 2, 2 * t + 3, colour[(t - first) % ARRAY_LEN(colour)]);
		put_text(f, short_name(c, t), '\'');
	}
	fputc('\n', f);
}

static void sweep_lines(const struct comparison *c, const char *path, FILE *f)
{
	const struct plan *p = &c->plan;

	head(f, path, 860, (unsigned)(420 * (p->profile.n * p->workload.n < 12 ? p->profile.n * p->workload.n : 12)));
	fprintf(f, "set multiplot layout %zu,1\n", p->profile.n * p->workload.n);
	for (size_t i = 0; i < p->profile.n; i++)
		for (size_t w = 0; w < p->workload.n; w++)
			panel(c, f, i, w);
	fputs("unset multiplot\n", f);
}

/* ---- gnuplot ---- */

/* The script goes to gnuplot's standard input through a file without a name. */
static int draw(FILE *script, const char *path, struct err *e)
{
	int status;
	pid_t pid;

	rewind(script);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return err_set(e, NULL, NULL, "cannot start gnuplot: %s", strerror(errno));
	if (pid == 0) {
		if (dup2(fileno(script), STDIN_FILENO) >= 0)
			execlp("gnuplot", "gnuplot", "-d", (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, path, "--plot F.gp writes the script", "gnuplot could not draw it");
	return 0;
}

int comparison_plot(const struct comparison *c, const char *path, struct err *e)
{
	bool script = ends_in(path, ".gp");
	FILE *f = script ? outfile_open(path, e) : tmpfile();
	int status;

	if (!f)
		return script ? -1 : err_set(e, NULL, NULL, "cannot make a temporary file: %s", strerror(errno));
	if (c->plan.sweep.n)
		sweep_lines(c, path, f);
	else
		bars(c, path, f);
	if (script)
		return outfile_close(f, path, e);
	fflush(f);
	status = draw(f, path, e);
	fclose(f);
	return status;
}
