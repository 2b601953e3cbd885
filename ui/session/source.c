/* source.c - see source.h. The only file that knows libdw. */
#include "ui/session/source.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/err.h"
#include "ui/session/paths.h"

#define LINES_MAX   2000000     /* records taken from an image */
#define FILES_MAX   20000
#define FILE_MAX    (4u << 20)  /* bytes of one source file */
#define WAIT_MS     10000       /* for the child, altogether */
#define CHILD_BYTES (2ull << 30)

struct record { uint64_t addr; uint32_t file, line; };  /* line 0: a gap begins; on the pipe: file UINT32_MAX: a file's name of `line` bytes follows */
struct file { char *name, *text, **line; unsigned lines; bool tried; };

struct source {
	struct record *r;
	size_t n, room;
	struct file *file;
	size_t files;
	char folder[PATH_MAX];
	char **allow;
	unsigned allows;
};

/* ---- the child ---- */

static void send(int fd, const void *p, size_t n)
{
	for (const char *q = p; n;) {
		ssize_t done = write(fd, q, n);
		if (done <= 0)
			_exit(1);
		q += done;
		n -= (size_t)done;
	}
}

static uint32_t send_name(int fd, const char *dir, const char *name, uint32_t number)
{
	char path[PATH_MAX];
	if (dir[0] != '/')              /* ours say where they are in this tree: images are the same wherever it lies */
		dir = paths_root();
	snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? "" : dir, name[0] == '/' ? "" : "/", name);
	struct record r = { 0, UINT32_MAX, (uint32_t)strlen(path) };
	send(fd, &r, sizeof r);
	send(fd, path, r.line);
	return number;
}

static void send_unit(int fd, Dwarf_Die *die, uint32_t *files)
{
	Dwarf_Lines *lines;
	Dwarf_Attribute attr;
	size_t n;
	const char *dir = dwarf_formstring(dwarf_attr(die, DW_AT_comp_dir, &attr)), *last = NULL;
	uint32_t number = 0;
	if (dwarf_getsrclines(die, &lines, &n) != 0)
		return;
	for (size_t i = 0; i < n; i++) {
		Dwarf_Line *l = dwarf_onesrcline(lines, i);
		Dwarf_Addr addr;
		int line = 0;
		bool end = false;
		const char *name = dwarf_linesrc(l, NULL, NULL);
		if (!name || dwarf_lineaddr(l, &addr) != 0 || dwarf_lineno(l, &line) != 0 || dwarf_lineendsequence(l, &end) != 0)
			continue;
		if (name != last) {
			number = send_name(fd, dir ? dir : "", name, (*files)++);
			last = name;
		}
		struct record r = { addr, number, end || line < 0 ? 0 : (uint32_t)line };
		send(fd, &r, sizeof r);
	}
}

static void child(const char *image, int out)
{
	struct rlimit cpu = { 8, 8 }, core = { 0, 0 };
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &core);
#ifndef __SANITIZE_ADDRESS__
	struct rlimit memory = { CHILD_BYTES, CHILD_BYTES };
	setrlimit(RLIMIT_AS, &memory);
#endif
	static const int deadly[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
	for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
		signal(deadly[i], SIG_DFL);
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	Dwarf *d = fd >= 0 ? dwarf_begin(fd, DWARF_C_READ) : NULL;
	Dwarf_Off off = 0, next;
	size_t header;
	uint32_t files = 0;
	while (d && dwarf_nextcu(d, off, &next, &header, NULL, NULL, NULL) == 0) {
		Dwarf_Die die;
		if (dwarf_offdie(d, off + header, &die))
			send_unit(out, &die, &files);
		off = next;
	}
	_exit(0);
}

/* ---- what it sends ---- */

static bool take(int fd, void *p, size_t n, int *ms)
{
	for (char *q = p; n;) {
		struct pollfd in = { .fd = fd, .events = POLLIN };
		int ready = poll(&in, 1, 100);
		if (ready == 0 && (*ms -= 100) <= 0)
			return false;
		if (ready <= 0)
			continue;
		ssize_t got = read(fd, q, n);
		if (got <= 0)
			return false;
		q += got;
		n -= (size_t)got;
	}
	return true;
}

static void receive(struct source *s, int fd)
{
	struct record r;
	int ms = WAIT_MS;
	while (s->n < LINES_MAX && take(fd, &r, sizeof r, &ms)) {
		if (r.file == UINT32_MAX) {
			if (r.line >= PATH_MAX || s->files == FILES_MAX)
				return;
			char *name = xcalloc(1, r.line + 1);
			s->file = xrealloc(s->file, (s->files + 1) * sizeof *s->file);
			s->file[s->files++] = (struct file){ .name = name };
			if (!take(fd, name, r.line, &ms))
				return;
			continue;
		}
		if (r.file >= s->files)
			return;
		if (s->n == s->room) {
			s->room = s->room ? 2 * s->room : 4096;
			s->r = xrealloc(s->r, s->room * sizeof *s->r);
		}
		s->r[s->n++] = r;
	}
}

/* By address; where a sequence ends another may begin: the end comes first. */
static int by_address(const void *a, const void *b)
{
	const struct record *x = a, *y = b;
	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return x->line == 0 ? -(y->line != 0) : y->line == 0;
}

struct source *source_open(const char *image, const char *const *allow, unsigned allows)
{
	struct source *s = xcalloc(1, sizeof *s);
	int fd[2];
	if (!image || pipe(fd) != 0)
		return s;
	const char *slash = strrchr(image, '/');
	snprintf(s->folder, sizeof s->folder, "%.*s", slash ? (int)(slash - image) : 1, slash ? image : ".");
	s->allow = xcalloc(allows + 1, sizeof *s->allow);
	for (; s->allows < allows; s->allows++)
		s->allow[s->allows] = xstrdup(allow[s->allows]);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(fd[0]);
		child(image, fd[1]);
	}
	close(fd[1]);
	if (pid > 0) {
		receive(s, fd[0]);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(fd[0]);
	if (s->n)
		qsort(s->r, s->n, sizeof *s->r, by_address);
	return s;
}

void source_close(struct source *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->files; i++) {
		free(s->file[i].name);
		free(s->file[i].text);
		free(s->file[i].line);
	}
	for (unsigned i = 0; i < s->allows; i++)
		free(s->allow[i]);
	free(s->allow);
	free(s->file);
	free(s->r);
	free(s);
}

bool source_any(const struct source *s) { return s->n; }

/* ---- files ---- */

static bool may_read(const struct source *s, const char *path)
{
	char tree[PATH_MAX];
	snprintf(tree, sizeof tree, "%.4000s/scenarios", paths_root());
	if (paths_inside(s->folder, path) || paths_inside(tree, path))
		return true;
	for (unsigned i = 0; i < s->allows; i++)
		if (paths_inside(s->allow[i], path))
			return true;
	return false;
}

static void load(const struct source *s, struct file *f)
{
	struct stat st;
	FILE *in;
	f->tried = true;
	if (stat(f->name, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX || !may_read(s, f->name) || !(in = fopen(f->name, "rb")))
		return;
	f->text = xcalloc(1, (size_t)st.st_size + 1);
	size_t n = fread(f->text, 1, (size_t)st.st_size, in);
	fclose(in);
	f->text[n] = '\0';
	for (char *p = f->text, *nl; *p; p = nl) {
		if (f->lines % 256 == 0)
			f->line = xrealloc(f->line, (f->lines + 256) * sizeof *f->line);
		f->line[f->lines++] = p;
		nl = p + strcspn(p, "\n");
		if (*nl)
			*nl++ = '\0';
	}
}

static const char *text_of(const struct source *s, struct file *f, unsigned line)
{
	if (!f->tried)
		load(s, f);
	return line >= 1 && line <= f->lines ? f->line[line - 1] : NULL;
}

bool source_at(struct source *s, uint64_t addr, struct source_line *l)
{
	size_t lo = 0, hi = s->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (s->r[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || s->r[lo - 1].line == 0)
		return false;
	struct record *r = &s->r[lo - 1];
	struct file *f = &s->file[r->file];
	*l = (struct source_line){ f->name, r->line, text_of(s, f, r->line), r->addr, lo < s->n ? s->r[lo].addr : r->addr + 1 };
	return true;
}

const char *source_text(struct source *s, const char *file, unsigned line)
{
	for (size_t i = 0; i < s->files; i++)
		if (s->file[i].name == file || strcmp(s->file[i].name, file) == 0)
			return text_of(s, &s->file[i], line);
	return NULL;
}

bool source_address(const struct source *s, const char *file, unsigned line, uint64_t *addr)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->r[i].line == line && strcmp(s->file[s->r[i].file].name, file) == 0) {
			*addr = s->r[i].addr;
			return true;
		}
	return false;
}
