/* record.c - a case's record as bytes: lines of text, then the pages. It goes through a pipe's twin, an unnamed file, from
 * worker to parent, and into the folder of results. What is read may be anything: counts are bounded, nothing is believed
 * before the last word was found, and the identity must be the one asked for. */
#include "ui/compare/case.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS_MAX = 100000, PAGES_MAX = 1 << 24, TEXT_MAX = 32 << 20 };

static void put_text(FILE *f, const char *what, const char *text, size_t n)
{
	fprintf(f, "%s %zu\n", what, n);
	fwrite(text, 1, n, f);
	fputc('\n', f);
}

static void put_u64(FILE *f, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		fputc((int)(v >> 8 * i & 0xff), f);
}

static void put_number(FILE *f, const struct number *n)
{
	fprintf(f, "%" PRIu64 " %" PRIu64 " %s\n", n->whole, n->region, n->name ? n->name : "-");
}

int record_write(FILE *f, const struct case_record *r, const char *identity)
{
	fputs("vmscope-case\n", f);
	put_text(f, "identity", identity, strlen(identity));
	fprintf(f, "end %d status %d regions %u\n", (int)r->end, r->status, r->regions);
	put_text(f, "why", r->why ? r->why : "", r->why ? strlen(r->why) : 0);
	put_text(f, "console", r->console ? r->console : "", r->console_n);
	put_number(f, &r->cycles);
	put_number(f, &r->instructions);
	fprintf(f, "numbers %zu\n", r->numbers);
	for (size_t i = 0; i < r->numbers; i++)
		put_number(f, &r->number[i]);
	fprintf(f, "pages %zu\n", r->pages);
	for (size_t i = 0; i < r->pages; i++) {
		put_u64(f, r->page[i].gpa);
		put_u64(f, r->page[i].hash);
		fputc(r->page[i].bytes ? 'b' : '-', f);
		if (r->page[i].bytes)
			fwrite(r->page[i].bytes, 1, PAGE_SIZE, f);
	}
	fputs("end\n", f);
	return fflush(f) != 0 || ferror(f) ? -1 : 0;
}

/* ---- reading ---- */

static bool get_text(FILE *f, const char *what, char **text, size_t *n)
{
	char word[16];
	char *buf;

	if (fscanf(f, "%15s %zu", word, n) != 2 || strcmp(word, what) != 0 || *n > TEXT_MAX || fgetc(f) != '\n')
		return false;
	buf = xcalloc(1, *n + 1);
	if (fread(buf, 1, *n, f) != *n || fgetc(f) != '\n') {
		free(buf);
		return false;
	}
	*text = buf;
	return true;
}

static bool get_number(FILE *f, struct number *n, bool named)
{
	char name[128];

	if (fscanf(f, "%" SCNu64 " %" SCNu64 " %127s", &n->whole, &n->region, name) != 3)
		return false;
	if (named)
		n->name = xstrdup(name);
	return true;
}

static bool get_u64(FILE *f, uint64_t *v)
{
	uint8_t b[8];

	if (fread(b, 1, 8, f) != 8)
		return false;
	*v = 0;
	for (int i = 0; i < 8; i++)
		*v |= (uint64_t)b[i] << 8 * i;
	return true;
}

static bool get_page(FILE *f, struct guest_page *p)
{
	int has;

	p->bytes = NULL;
	if (!get_u64(f, &p->gpa) || !get_u64(f, &p->hash) || (has = fgetc(f)) == EOF)
		return false;
	if (has != 'b')
		return has == '-';
	p->bytes = xcalloc(1, PAGE_SIZE);
	return fread(p->bytes, 1, PAGE_SIZE, f) == PAGE_SIZE;
}

static bool get_pages(FILE *f, struct case_record *r)
{
	size_t n, room = 0;

	if (fscanf(f, " pages %zu", &n) != 1 || n > PAGES_MAX || fgetc(f) != '\n')
		return false;
	while (r->pages < n) {
		if (r->pages == room) {         /* grows with what is really there */
			room = room ? 2 * room : 256;
			r->page = xrealloc(r->page, room * sizeof *r->page);
		}
		if (!get_page(f, &r->page[r->pages++]))
			return false;
		if (r->pages > 1 && r->page[r->pages - 1].gpa <= r->page[r->pages - 2].gpa)
			return false;
	}
	return true;
}

static bool get_numbers(FILE *f, struct case_record *r)
{
	size_t n;

	if (!get_number(f, &r->cycles, false) || !get_number(f, &r->instructions, false) || fscanf(f, " numbers %zu", &n) != 1 ||
	    n > NUMBERS_MAX)
		return false;
	r->number = xcalloc(n ? n : 1, sizeof *r->number);
	for (; r->numbers < n; r->numbers++)
		if (!get_number(f, &r->number[r->numbers], true))
			return false;
	return true;
}

static bool get_all(FILE *f, struct case_record *r, const char *identity)
{
	char *text = NULL;
	size_t n;
	int end;
	bool same;

	if (fscanf(f, "vmscope-case%*1[\n]") != 0 || !get_text(f, "identity", &text, &n))
		return false;
	same = strcmp(text, identity) == 0;
	free(text);
	if (!same || fscanf(f, " end %d status %d regions %u", &end, &r->status, &r->regions) != 3 || end < 0 || end > CASE_NOT_RUN)
		return false;
	r->end = (enum case_end)end;
	return get_text(f, "why", &r->why, &n) && get_text(f, "console", &r->console, &r->console_n) && get_numbers(f, r) &&
	       get_pages(f, r) && fgetc(f) == 'e' && fgetc(f) == 'n' && fgetc(f) == 'd';
}

bool record_read(FILE *f, struct case_record *r, const char *identity)
{
	memset(r, 0, sizeof *r);
	if (get_all(f, r, identity))
		return true;
	case_record_fini(r);
	return false;
}
