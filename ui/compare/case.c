/* case.c - running one case, and what its result depends on. */
#include "ui/compare/case.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "models/breakpoint.h"
#include "models/symbols.h"
#include "ui/export/result.h"
#include "ui/session/session.h"

#define FORMAT 1        /* of records and of what they mean */

const char *const case_end_name[] = {
	[CASE_OK] = "ok", [CASE_FAILED] = "failed", [CASE_LIMIT] = "limit", [CASE_REFUSED] = "refused",
	[CASE_CRASHED] = "crashed", [CASE_NOT_RUN] = "not run",
};

void case_spec_fini(struct case_spec *c)
{
	free(c->workload);
	free(c->cmdline);
	free(c->image);
	free(c->initrd);
	free(c->technique);
	free(c->profile);
	free(c->ram);
	free(c->row);
	memset(c, 0, sizeof *c);
}

void case_record_fini(struct case_record *r)
{
	free(r->why);
	for (size_t i = 0; i < r->numbers; i++)
		free(r->number[i].name);
	free(r->number);
	free(r->console);
	for (size_t i = 0; i < r->pages; i++)
		free(r->page[i].bytes);
	free(r->page);
	memset(r, 0, sizeof *r);
}

/* ---- the machine a case asks for ---- */

static int case_setup(const struct case_spec *c, struct setup *s, struct err *e)
{
	char cpus[16];

	setup_init(s);
	if (setup_set(s, "cpu", c->cpu, NULL, e) != 0 || setup_set(s, "mmu", c->mmu, NULL, e) != 0 ||
	    (c->page[0] && setup_set(s, "page", c->page, "--page", e) != 0) || setup_set(s, "profile", c->profile, NULL, e) != 0 ||
	    setup_set(s, "ram", c->ram, "--ram", e) != 0)
		return -1;
	if (c->whatif && setup_set_pair(s, "trap.critical=1", NULL, e) != 0)
		return -1;
	snprintf(cpus, sizeof cpus, "%u", c->cpus);
	if (setup_set(s, "cpus", cpus, "--cpus", e) != 0)
		return -1;
	for (size_t i = 0; i < c->sets; i++)
		if (setup_set_pair(s, c->set[i], "--set", e) != 0)
			return -1;
	if (c->row && setup_set_pair(s, c->row, "--sweep", e) != 0)
		return -1;
	if (c->seed_given)
		s->config.seed = c->seed;
	return setup_finish(s, e);
}

/* ---- identity ---- */

uint64_t hash_bytes(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (uint64_t w; n; p += 8, n -= n < 8 ? n : 8) {
		w = 0;
		memcpy(&w, p, n < 8 ? n : 8);
		h = (h ^ w ^ n << 56) * 0x9fb21c651e98df25;     /* n: "a" and "a\0" differ */
		h ^= h >> 29;
	}
	return h;
}

bool hash_file(const char *path, uint64_t hash[2])
{
	static uint8_t buf[1 << 16];
	FILE *f = fopen(path, "rb");
	size_t n;
	bool ok;

	hash[0] = 1;
	hash[1] = 2;
	if (!f)
		return false;
	while ((n = fread(buf, 1, sizeof buf, f)) > 0)
		for (int i = 0; i < 2; i++)
			hash[i] = hash_bytes(hash[i], buf, n);
	ok = !ferror(f);
	fclose(f);
	return ok;
}

static int file_line(FILE *f, const char *what, const char *path, struct err *e)
{
	uint64_t hash[2];

	if (!hash_file(path, hash))
		return err_set(e, path, NULL, "cannot read it");
	fprintf(f, "%s %016" PRIx64 "%016" PRIx64 "\n", what, hash[0], hash[1]);
	return 0;
}

char *case_identity(const struct case_spec *c, struct err *e)
{
	static uint64_t program[2];
	struct setup s;
	char *text = NULL;
	size_t n;
	FILE *f;
	int status = 0;

	if (case_setup(c, &s, e) != 0) {
		setup_fini(&s);
		return NULL;
	}
	if (!program[0] && !hash_file("/proc/self/exe", program))
		program[0] = 0; /* no such host: the version is all there is */
	f = open_memstream(&text, &n);
	fprintf(f, "format %d\nprogram %016" PRIx64 "%016" PRIx64 "\n", FORMAT, program[0], program[1]);
	fprintf(f, "technique %s/%s page %s\nprofile %s\n", c->cpu, c->mmu, c->page[0] ? c->page : "-", c->profile);
	for (size_t i = 0; i < profile_rows_n; i++)
		fprintf(f, "%s %" PRIu64 "\n", profile_rows[i].key,
		        *(const uint64_t *)((const char *)&s.config.profile + profile_rows[i].off));
	fprintf(f, "ram %" PRIu64 " cpus %u fast %d seed %" PRIu64 " quantum %" PRIu64 " rtc %" PRIu64 " reboot %d test %d\n",
	        s.config.ram, s.config.cpus, s.config.fast, s.config.seed, s.config.quantum, s.config.rtc_epoch, s.config.reboot,
	        s.config.test_device);
	if (setup_virtual(&s)) {
		fprintf(f, "page-shift %u eager %d tags %d apicv %d nested %d %d shadow-limit %" PRIu64 " flood %u host-cpus %u bt %u %u %u %d %d\n",
		        s.vm.page_shift, s.vm.eager, s.vm.tags, s.vm.apicv, s.vm.nested, s.vm.vmcs_shadowing, s.vm.shadow_limit, s.vm.shadow_flood, s.host_cpus,
		        s.vm.bt.block, s.vm.bt.cache_kb, s.vm.bt.rdtsc, s.vm.bt.no_chain, s.vm.bt.no_adapt);
		fprintf(f, "slice %" PRIu64 "\n", s.vm.slice);
		for (unsigned i = 0; i < VMM_COSTS; i++)
			if (s.vm.cost[i].set)
				fprintf(f, "vmm.%s %" PRIu64 "\n", vmm_cost_rows[i].name, s.vm.cost[i].cycles);
	}
	for (size_t i = 0; status == 0 && i < ARRAY_LEN(s.config.disk); i++)
		if (s.config.disk[i])
			status = file_line(f, "disk", s.config.disk[i], e);
	if (status == 0)
		status = file_line(f, "image", c->image, e);
	if (status == 0 && c->initrd)
		status = file_line(f, "initrd", c->initrd, e);
	fprintf(f, "max-cycles %" PRIu64 "\ncmdline %s\n", c->max_cycles, c->cmdline);
	fclose(f);
	setup_fini(&s);
	if (status != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- numbers ---- */

struct numbers { struct number *v; size_t n, room, hint; };

static struct number *number_named(struct numbers *t, const char *name)
{
	/* They come in the same order each time, with additions: look first behind the last one. */
	for (size_t i = 0; i < t->n; i++) {
		size_t at = (t->hint + i) % t->n;

		if (strcmp(t->v[at].name, name) == 0) {
			t->hint = at + 1;
			return &t->v[at];
		}
	}
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 256;
		t->v = xrealloc(t->v, t->room * sizeof *t->v);
	}
	t->v[t->n] = (struct number){ .name = xstrdup(name) };
	return &t->v[t->n++];
}

struct reading { struct numbers *to; int sign; bool region; };

static void read_one(void *arg, const char *name, uint64_t value, const char *unit, const char *sentence)
{
	const struct reading *r = arg;
	struct number *n;

	(void)unit;
	(void)sentence;
	if (!value || strncmp(name, "sim.", 4) == 0)
		return;
	n = number_named(r->to, name);
	if (!r->region)
		n->whole = value;
	else
		n->region += r->sign > 0 ? value : 0 - value;
}

/* Add (+1) or subtract (-1) all numbers as they are now. */
static void read_all(const struct machine *m, struct numbers *t, struct case_record *r, int sign)
{
	struct reading by = { t, sign, true };

	result_each(m, read_one, &by);
	r->cycles.region += sign > 0 ? machine_now(m) : 0 - machine_now(m);
	r->instructions.region += sign > 0 ? machine_icount(m) : 0 - machine_icount(m);
}

/* ---- the guest's memory ---- */

static void keep_pages(const struct mem *m, struct case_record *r)
{
	static const uint8_t zero[PAGE_SIZE];
	size_t room = 0;
	bool keep;

	for (uint64_t off = 0; off < m->ram_size; off += PAGE_SIZE) {
		gpa_t gpa = { off < m->low_size ? off : MEM_HIGH + off - m->low_size };
		uint8_t bytes[PAGE_SIZE];

		if (!mem_peek(m, (hpa_t){ gpa.v }, bytes, PAGE_SIZE) || memcmp(bytes, zero, PAGE_SIZE) == 0)
			continue;
		if (r->pages == room) {
			room = room ? 2 * room : 256;
			r->page = xrealloc(r->page, room * sizeof *r->page);
		}
		keep = r->pages < CASE_KEEP_MAX / PAGE_SIZE;
		r->page[r->pages] = (struct guest_page){ gpa.v, hash_bytes(1, bytes, PAGE_SIZE), keep ? xcalloc(1, PAGE_SIZE) : NULL };
		if (keep)
			memcpy(r->page[r->pages].bytes, bytes, PAGE_SIZE);
		r->pages++;
	}
}

/* ---- running ---- */

/* A message on one line. */
static char *sentence(const char *text)
{
	char *line = xstrdup(text), *to = line;

	for (const char *p = text; *p; p++) {
		if (*p != '\n') {
			*to++ = *p;
			continue;
		}
		p += strspn(p + 1, " ");
		if (p[1])
			memcpy(to, ": ", 2), to += 2;   /* not longer than newline and indentation */
	}
	*to = '\0';
	return line;
}

/* The guest's last line that says something: why it failed, as it put it. */
static void last_line(const struct run *r, char *buf, size_t n)
{
	size_t end = r->console_n, begin;

	while (end && (r->console[end - 1] == '\n' || r->console[end - 1] == '\r'))
		end--;
	for (begin = end; begin && r->console[begin - 1] != '\n'; begin--)
		;
	snprintf(buf, n, "%.*s", (int)(end - begin < 160 ? end - begin : 160), r->console ? r->console + begin : "");
	for (char *p = buf; *p; p++)
		if ((unsigned char)*p < 32)
			*p = ' ';
}

static void judge(const struct run *r, struct case_record *out)
{
	char text[512], line[200];

	out->status = run_status(r);
	/* isa-debug-exit: value * 2 + 1, so a guest that is content with value 0 ends with status 1 */
	if (r->last == MACHINE_STOP_IDLE || (r->last == MACHINE_STOP_GUEST_EXIT && out->status <= 1))
		return;
	out->end = r->last == MACHINE_STOP_CYCLES ? CASE_LIMIT : CASE_FAILED;
	stop_sentence(r, text, sizeof text - 200);
	last_line(run_face(r), line, sizeof line);
	if (line[0]) {
		size_t at = strlen(text);

		snprintf(text + at, sizeof text - at, "; its last line: %s", line);
	}
	out->why = sentence(text);
}

/* The guest's symbols; what looks for them is the machine that runs. */
static void watch(struct machine *m, const struct symtab *symbols)
{
	static const char *const ends[] = { "roi_begin", "roi_end" };

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		uint64_t at;

		if (symtab_find(symbols, ends[i], &at))
			breakpoint_add(m->breakpoints, at, -1);
	}
	for (unsigned i = 0; i < m->config.cpus; i++)
		m->cpu[i]->breakpoints = m->breakpoints->n != 0;
}

static void go(struct run *r, const struct case_spec *c, struct case_record *out, struct numbers *t)
{
	uint64_t begin = 0;
	bool inside = false;

	const struct symtab *symbols = run_face(r)->m->symbols;

	watch(r->m, symbols);
	symtab_find(symbols, "roi_begin", &begin);
	while (run_until(r, c->max_cycles, 0) == MACHINE_STOP_BREAK) {
		const struct cpu *cpu = r->m->cpu[r->m->breakpoints->hit_cpu];
		bool is, begins = machine_linear(r->m, cpu, cpu_rip(cpu), &is) == begin;

		if (begins == inside)
			continue;       /* nested, or an end without a beginning */
		read_all(r->m, t, out, begins ? -1 : 1);
		inside = begins;
		out->regions += begins;
	}
	if (inside)
		read_all(r->m, t, out, 1);
}

bool case_run(const struct case_spec *c, struct case_record *out)
{
	struct boot_image image = { .kernel = c->image, .initrd = c->initrd, .cmdline = c->cmdline };
	struct options o = { .quiet = true, .max_cycles = NEVER };
	struct err e = { "" };
	struct numbers t = { 0 };
	struct reading whole = { &t, 1, false };
	struct session s;
	struct setup setup;
	struct run *r = NULL;
	bool done = true;

	memset(out, 0, sizeof *out);
	session_init(&s, &o);
	if (case_setup(c, &setup, &e) == 0)
		r = session_machine(&s, &setup, &e);
	else
		setup_fini(&setup);
	if (r)
		run_face(r)->echo = r->echo = false;
	if (!r || run_boot(r, &image, &e) != 0) {
		out->end = CASE_REFUSED;
		out->why = sentence(e.text);
	} else {
		go(r, c, out, &t);
		done = r->last != MACHINE_STOP_USER;
		judge(r, out);
		result_each(r->m, read_one, &whole);
		out->cycles.whole = machine_now(r->m);
		out->instructions.whole = machine_icount(r->m);
		struct run *face = run_face(r);

		out->console = face->console;
		out->console_n = face->console_n;
		face->console = NULL;
		face->console_n = face->console_room = 0;
		keep_pages(&face->m->mem, out);
	}
	out->number = t.v;
	out->numbers = t.n;
	session_fini(&s);
	return done;
}
