/* verify.c - did every technique do the same work? The console must be the same text and the guest's RAM must end with the
 * same bytes as on the bare machine; only then do cycles say anything about the technique.
 *
 * The teaching kernel sees to it that its final memory does not depend on when interrupts came (guests/README.md, "The end
 * of a run"). Other guests keep time in memory: --except names what may differ, --console compares the console alone. With
 * several CPUs the memory of other guests also depends on which of them came first, for instance to an allocator: it is left
 * out, and said to be, unless --except names what may differ. */
#include "ui/compare/compare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "models/symbols.h"
#include "ui/session/session.h"
#include "ui/session/setup.h"

/* ---- console ---- */

struct line { const char *p; size_t n; };

static bool next_line(const struct case_record *r, size_t *at, struct line *l)
{
	const char *begin = r->console + *at, *end;

	*l = (struct line){ "", 0 };
	if (*at >= r->console_n)
		return false;
	end = memchr(begin, '\n', r->console_n - *at);
	l->p = begin;
	l->n = end ? (size_t)(end - begin) : r->console_n - *at;
	*at += l->n + (end != NULL);
	return true;
}

static void put_line(FILE *f, const char *who, const struct line *l, bool there)
{
	fprintf(f, "    %-8s ", who);
	if (!there)
		fputs("(the console ends here)", f);
	for (size_t i = 0; i < l->n && i < 100; i++)
		fputc((unsigned char)l->p[i] < 32 || (unsigned char)l->p[i] > 126 ? '?' : l->p[i], f);
	fputc('\n', f);
}

static bool console_differs(const struct case_record *a, const struct case_record *b, FILE *f)
{
	size_t at[2] = { 0, 0 }, number = 1;

	if (a->console_n == b->console_n && (!a->console_n || memcmp(a->console, b->console, a->console_n) == 0))
		return false;
	for (;; number++) {
		struct line la, lb;
		bool ha = next_line(a, &at[0], &la), hb = next_line(b, &at[1], &lb);

		if (ha == hb && la.n == lb.n && memcmp(la.p, lb.p, la.n) == 0 && (ha || hb))
			continue;
		fprintf(f, "the console differs from line %zu on:\n", number);
		put_line(f, "native", &la, ha);
		put_line(f, "here", &lb, hb);
		return true;
	}
}

/* ---- memory ---- */

static bool excepted(const struct memory_range *x, size_t n, uint64_t gpa)
{
	for (size_t i = 0; i < n; i++)
		if (gpa >= x[i].from && gpa < x[i].to)
			return true;
	return false;
}

/* A kernel is linked where its direct map lies; ours and others' begin at one of these. */
static const struct symbol *symbol_of(const struct symtab *t, uint64_t pa, uint64_t *off)
{
	static const uint64_t base[] = { 0, 0xFFFFFFFF80000000, 0x80000000, 0xC0000000 };

	for (size_t i = 0; t && i < ARRAY_LEN(base); i++) {
		const struct symbol *s = symtab_at(t, base[i] + pa, off);

		if (s)
			return s;
	}
	return NULL;
}

static void put_place(FILE *f, uint64_t gpa, const struct symtab *symbols)
{
	uint64_t off;
	const struct symbol *s = symbol_of(symbols, gpa, &off);

	fprintf(f, "%#" PRIx64, gpa);
	if (s)
		fprintf(f, " (%s+%#" PRIx64 ")", s->name, off);
}

static void put_bytes(FILE *f, const char *who, const uint8_t *p, size_t n)
{
	fprintf(f, "    %-8s", who);
	for (size_t i = 0; i < n; i++)
		fprintf(f, " %02x", p[i]);
	fputc('\n', f);
}

static const uint8_t zeroes[PAGE_SIZE];

/* The first byte of the page that differs and may not: PAGE_SIZE when there is none. */
static size_t first_byte(const struct guest_page *a, const struct guest_page *b, const struct memory_range *x, size_t n)
{
	const uint8_t *pa = a ? a->bytes : zeroes, *pb = b ? b->bytes : zeroes;
	uint64_t gpa = a ? a->gpa : b->gpa;

	if (a && b && a->hash == b->hash)
		return PAGE_SIZE;
	for (size_t i = 0; i < PAGE_SIZE; i++)
		if ((!pa || !pb || pa[i] != pb[i]) && !excepted(x, n, gpa + i))
			return i;
	return PAGE_SIZE;
}

static void memory_differs(const struct case_record *a, const struct case_record *b, const struct memory_range *x, size_t n,
                           const struct symtab *symbols, FILE *f)
{
	const struct guest_page *first[2] = { NULL, NULL };
	size_t pages = 0, offset = 0;
	uint64_t gpa = 0;

	for (size_t i = 0, k = 0; i < a->pages || k < b->pages;) {
		const struct guest_page *pa = i < a->pages ? &a->page[i] : NULL, *pb = k < b->pages ? &b->page[k] : NULL;
		size_t at;

		if (pa && pb && pa->gpa != pb->gpa) {   /* zero in one of them */
			if (pa->gpa < pb->gpa)
				pb = NULL;
			else
				pa = NULL;
		}
		at = first_byte(pa, pb, x, n);
		i += pa != NULL;
		k += pb != NULL;
		if (at == PAGE_SIZE)
			continue;
		if (!pages++) {
			first[0] = pa;
			first[1] = pb;
			offset = at;
			gpa = (pa ? pa->gpa : pb->gpa) + at;
		}
	}
	if (!pages)
		return;
	fprintf(f, "%zu page%s of guest memory differ%s; the first byte that does: guest-physical ", pages, pages > 1 ? "s" : "",
	        pages > 1 ? "" : "s");
	put_place(f, gpa, symbols);
	fputc('\n', f);
	for (int w = 0; w < 2; w++) {
		const uint8_t *p = first[w] ? first[w]->bytes : zeroes;
		size_t left = PAGE_SIZE - offset;

		if (p)
			put_bytes(f, w ? "here" : "native", p + offset, left < 16 ? left : 16);
	}
}

char *verify_pair(const struct case_record *want, const struct case_record *got, const struct memory_range *except, size_t n,
                  const struct symtab *symbols, bool memory)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool differs = console_differs(want, got, f);

	if (!differs && want->status != got->status)
		fprintf(f, "the guest's exit status is %d, on the bare machine %d\n", got->status, want->status);
	if (memory)
		memory_differs(want, got, except, n, symbols, f);
	fclose(f);
	if (size)
		return text;
	free(text);
	return NULL;
}

/* ---- what may differ, and names for addresses ---- */

/* The image's symbols: a machine that is never run has them. */
static struct run *symbols_of(struct session *s, const struct case_spec *c, struct err *e)
{
	struct boot_image image = { .kernel = c->image, .initrd = c->initrd, .cmdline = c->cmdline };
	struct options o = { .quiet = true, .max_cycles = NEVER };
	struct setup setup;
	struct run *r = NULL;

	session_init(s, &o);
	setup_init(&setup);
	if (setup_set(&setup, "ram", c->ram, NULL, e) == 0 && setup_finish(&setup, e) == 0)
		r = session_machine(s, &setup, e);
	else
		setup_fini(&setup);
	return r && run_boot(r, &image, e) == 0 ? r : NULL;
}

static int exception(const char *text, const struct symtab *symbols, struct memory_range *x, struct err *e)
{
	const char *dash = strchr(text, '-');
	char low[32];
	uint64_t at;

	if (dash && (size_t)(dash - text) < sizeof low) {
		snprintf(low, sizeof low, "%.*s", (int)(dash - text), text);
		if (parse_number(low, &x->from) && parse_number(dash + 1, &x->to) && x->from <= x->to) {
			x->to += x->to != ~0ull;
			return 0;
		}
	}
	for (size_t i = 0; symbols && i < symbols->n; i++) {
		const struct symbol *s = &symbols->sym[i];

		if (strcmp(s->name, text) != 0)
			continue;
		if (!s->size)
			return err_set(e, "--except", NULL, "symbol %s has no size: give LOW-HIGH, guest-physical", text);
		at = s->addr >= 0xFFFFFFFF80000000 ? s->addr - 0xFFFFFFFF80000000 : s->addr >= 0x80000000 ? s->addr - 0x80000000 : s->addr;
		*x = (struct memory_range){ at, at + s->size };
		return 0;
	}
	return err_set(e, "--except", "a symbol of the image, or LOW-HIGH: guest-physical addresses", "'%s': no such memory", text);
}

static void diverged(struct comparison *c, size_t at, char *text)
{
	c->divergence = xrealloc(c->divergence, (c->divergences + 1) * sizeof *c->divergence);
	c->divergence[c->divergences++] = (struct divergence){ at, text };
}

int verify_prepare(struct comparison *c, struct err *e)
{
	size_t n = c->options.except.n;
	struct err ignored = { "" };
	struct session s;
	struct run *r;
	int status = 0;

	if (!n)
		return 0;
	c->except = xcalloc(n, sizeof *c->except);
	r = symbols_of(&s, &c->plan.spec[0], &ignored);
	for (size_t i = 0; status == 0 && i < n; i++)
		status = exception(c->options.except.v[i], r ? r->m->symbols : NULL, &c->except[i], e);
	session_fini(&s);
	return status;
}

static bool comparable(const struct comparison *c, size_t at)
{
	return at != native_of(c, at) && record_good(&c->record[at]) && record_good(&c->record[native_of(c, at)]);
}

bool verify_memory(const struct comparison *c)
{
	const struct compare_options *o = &c->options;

	return !o->console_only && (o->cpus <= 1 || c->plan.standard || o->except.n);
}

/* What may differ. A paravirtual kernel is another image, with page tables that its loader made, in the lower memory; above that is what
 * its workloads had, tidied up as the native kernel's is. The caller frees it. */
static struct memory_range *may_differ(const struct comparison *c, size_t at, size_t *n)
{
	const struct case_spec *spec = &c->plan.spec[at];
	struct memory_range *x = xcalloc(c->options.except.n + 1, sizeof *x);
	uint64_t ram = 0;

	*n = c->options.except.n;
	if (*n)
		memcpy(x, c->except, *n * sizeof *x);
	if (strcmp(spec->cpu, "pv") == 0) {
		parse_number(spec->ram, &ram);
		x[(*n)++] = (struct memory_range){ 0, (4 << 20) + ram / 64 };
	}
	return x;
}

/* Symbols are looked up only when there is something to tell. */
void verify(struct comparison *c)
{
	struct err ignored = { "" };
	struct session s;
	struct run *r = NULL;
	bool have = false;

	for (size_t i = 0; i < c->plan.n; i++) {
		const struct case_record *want = &c->record[native_of(c, i)];
		char *text;
		struct memory_range *x;
		size_t n;

		if (!comparable(c, i))
			continue;
		x = may_differ(c, i, &n);
		text = verify_pair(want, &c->record[i], x, n, NULL, verify_memory(c));
		if (!text) {
			free(x);
			continue;
		}
		free(text);
		if (!have)
			r = symbols_of(&s, &c->plan.spec[0], &ignored);
		have = true;
		text = verify_pair(want, &c->record[i], x, n, r ? r->m->symbols : NULL, verify_memory(c));
		free(x);
		diverged(c, i, text);
	}
	if (have)
		session_fini(&s);
}
