/* workload.c - the table of workloads, the command line that chooses from it, and the workloads
 * that run in ring 0.  lib/workload.def has the rows.
 *
 * command line: [image's name] workload [parameter=value ...] {; or , workload ...}
 * A workload prints a line "-- name parameters", then one result line. */
#include "kernel.h"

struct workload {
	const char *name;
	void (*kernel)(const struct params *p);	/* NULL: a program in ring 3 */
	unsigned takes;
	struct params defaults;
	const char *sentence;
};

#define KERNEL_PROTOTYPE(name) void bench_##name(const struct params *p);
#define USER_PROTOTYPE(name)
#define WORKLOAD(name, where, ...) where##_PROTOTYPE(name)
#include "../lib/workload.def"

#define KERNEL_FUNCTION(name) bench_##name
#define USER_FUNCTION(name) NULL
static const struct workload workloads[] = {
#define WORKLOAD(name, where, takes, n, size, hz, sentence) \
	{ #name, where##_FUNCTION(name), takes, { n, size, 1, hz, PAGE_BYTES, 10, 0 }, sentence },
#include "../lib/workload.def"
};
enum { WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };

/* At the very beginning of the user image: the address at which every program starts, then the
 * function of each workload in the order of the table, 0 for those of the kernel (user/table.c). */
extern const uintptr_t user_image[1 + WORKLOADS];

static struct {
	uint64_t begin, end;		/* time stamps; only with tsc=1 */
	bool wanted;
} roi_time;

void roi_begin(void);
void roi_end(void);

int workload_find(const char *name)
{
	for (int i = 0; i < WORKLOADS; i++)
		if (same_text(workloads[i].name, name))
			return i;
	return -1;
}

const char *workload_name(int index)
{
	return workloads[index].name;
}

uintptr_t workload_user_start(void)
{
	return user_image[0];
}

uintptr_t workload_user_main(int index)
{
	return user_image[1 + index];
}

/* The region of interest.  Programs get here by a system call. */
void workload_roi(bool begin)
{
	if (begin) {
		if (roi_time.wanted)
			roi_time.begin = tsc_read();
		roi_begin();
	} else {
		roi_end();
		if (roi_time.wanted)
			roi_time.end = tsc_read();
	}
}

/* --- ring 0: one operation, n times ----------------------------------------------------------- */

/* The loop is spelled out so that each operation costs exactly two instructions more, DEC and JNZ,
 * the same two as in bench_empty.  rAX, rCX and rDX begin as given and belong to the operation. */
#define REPEAT(n, operation, ax, cx, dx) do { \
	uintptr_t a_ = (ax), b_, c_ = (cx), d_ = (dx); \
	uint32_t left_ = (n); \
	workload_roi(true); \
	__asm__ volatile(".balign 64\n1:\t" operation "\n\tdec %4\n\tjnz 1b" \
			 : "+a"(a_), "=&b"(b_), "+c"(c_), "+d"(d_), "+S"(left_) \
			 : : "memory", "cc"); \
	workload_roi(false); \
} while (0)

void bench_empty(const struct params *p)
{
	REPEAT(p->n, "", 0, 0, 0);
}

void bench_in(const struct params *p)
{
	REPEAT(p->n, OP_IN, 0, 0, 0);
}

void bench_cr8(const struct params *p)
{
	REPEAT(p->n, OP_TPR, 0, 0, DEVICE_BASE + 0x80 /* TPR */);
}

void bench_cli(const struct params *p)
{
	REPEAT(p->n, OP_CLI_STI, 0, 0, 0);
	irq_disable();
}

void bench_cpuid(const struct params *p)
{
	REPEAT(p->n, OP_CPUID, 0, 0, 0);
}

void bench_rdtsc(const struct params *p)
{
	REPEAT(p->n, OP_RDTSC, 0, 0, 0);
}

static void nothing(void)
{
}

void bench_callret(const struct params *p)
{
#ifdef __x86_64__
	REPEAT(p->n, "call *%%rdx", 0, 0, (uintptr_t)nothing);
#else
	REPEAT(p->n, "call *%%edx", 0, 0, (uintptr_t)nothing);
#endif
}

/* Kernel code that is nothing but branches: what a binary translator's chaining is for. */
void bench_branchy(const struct params *p)
{
	uint32_t steps = 0;

	workload_roi(true);
	for (uint32_t i = 1; i < p->n; i++)
		for (uint32_t x = i; x != 1; steps++) {
			if (x & 1) {
				x += x / 2 + 1;		/* (3x + 1) / 2 */
				__asm__ volatile("" : "+r"(x));	/* a branch, no conditional move */
			} else {
				x /= 2;
			}
		}
	workload_roi(false);
	kprintf("branchy: %u steps\n", steps);
}

/* A page in an address space that is loaded and whose translation is in use; its entry goes from
 * read-only to writable and back. */
void bench_ptemod(const struct params *p)
{
	struct space s;
	uintptr_t page;
	pte_t *entry;

	space_create(&s);
	page = space_map(&s, PAGE_BYTES, PAGE_BYTES, true);
	space_fault(&s, page, true);
	root_load(s.root);
	(void)*(volatile char *)page;
	entry = vm_entry(s.root, page, PAGE_BYTES, false);
	REPEAT(p->n, OP_PTE_WRITE, (uintptr_t)*entry, PTE_RW, (uintptr_t)entry);
	tlb_flush_page(page);
	root_load(physical_of(kernel_root));
	space_destroy(&s);
}

/* Random reads, most of which miss the TLB when size is beyond its reach; after so many of every
 * 1000 a page of those in use changes between writable and read-only. The two costs of memory
 * virtualization on one knob: TLB misses and page-table updates. */
void bench_ptemix(const struct params *p)
{
	uint32_t pages = p->size / PAGE_BYTES, x = random_start(p->seed), due = 0, sum = 0;
	struct space s;
	uintptr_t base;

	space_create(&s);
	base = space_map(&s, (uintptr_t)pages * PAGE_BYTES, PAGE_BYTES, true);
	for (uint32_t i = 0; i < pages; i++)
		space_fault(&s, base + (uintptr_t)i * PAGE_BYTES, true);
	root_load(s.root);
	for (uint32_t i = 0; i < pages; i++)
		*(volatile uint32_t *)(base + (uintptr_t)i * PAGE_BYTES) = i;
	workload_roi(true);
	for (uint32_t i = 0; i < p->n; i++) {
		uintptr_t page = base + (uintptr_t)(random_next(&x) % pages) * PAGE_BYTES;

		sum += *(volatile uint32_t *)(page + (x >> 26) * 64);	/* any of its 64 lines */
		due += p->updates;
		if (due >= 1000) {
			pte_t *entry = vm_entry(s.root, page, PAGE_BYTES, false);

			due -= 1000;
			updates_begin();
			pte_write(entry, pte_read(entry) ^ PTE_RW);
			tlb_flush_page(page);
			updates_end();
		}
	}
	workload_roi(false);
	root_load(physical_of(kernel_root));
	space_destroy(&s);
	kprintf("ptemix: %u pages, sum 0x%08x\n", pages, sum);
}

/* --- the command line ------------------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_separator(char c)
{
	return c == ';' || c == ',';
}

/* Copies the next word, up to a space, a separator or (if stop_at is not 0) that character. */
static const char *word(const char *at, char *to, unsigned room, char stop_at)
{
	while (is_space(*at))
		at++;
	while (*at && !is_space(*at) && !is_separator(*at) && *at != stop_at && --room)
		*to++ = *at++;
	*to = 0;
	return at;
}

/* Decimal with an optional k, m or g (1024-fold); false if it is something else. */
static bool number(const char *text, uint32_t *value)
{
	uint32_t n = 0;

	if (!*text)
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (n > (UINT32_MAX - 9) / 10)
			return false;
		n = n * 10 + (uint32_t)(*text - '0');
	}
	for (const char *s = "kmg"; *s && *text; s++) {
		if (n > UINT32_MAX / 1024)
			return false;
		n *= 1024;
		if (*text == *s || *text == *s - 'a' + 'A') {
			text++;
			break;
		}
	}
	*value = n;
	return !*text;
}

static const struct key {
	const char *name;
	unsigned takes;			/* bit of params.h; 0: every workload */
	size_t offset;
	uint32_t least, most;
} keys[] = {
	{ "n",     N,     offsetof(struct params, n),          1, UINT32_MAX },
	{ "size",  SIZE,  offsetof(struct params, size),       PAGE_BYTES, RAM_LIMIT },
	{ "seed",  SEED,  offsetof(struct params, seed),       0, UINT32_MAX },
	{ "hz",    HZ,    offsetof(struct params, hz),         0, 10000 },
	{ "pages", PAGES, offsetof(struct params, page_bytes), PAGE_BYTES, LARGE_PAGE_BYTES },
	{ "updates", UPDATES, offsetof(struct params, updates), 0, 1000 },
	{ "tsc",   0,     offsetof(struct params, tsc),        0, 1 },
};
enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

static uint32_t *field(struct params *p, const struct key *k)
{
	return (uint32_t *)((char *)p + k->offset);
}

static bool set_parameter(const struct workload *w, struct params *p, const char *name,
			  const char *text)
{
	for (const struct key *k = keys; k < keys + KEYS; k++) {
		uint32_t value;

		if (!same_text(k->name, name))
			continue;
		if (k->takes && !(w->takes & k->takes)) {
			kprintf("%s takes no %s=\n", w->name, name);
			return false;
		}
		if (!number(text, &value) || value < k->least || value > k->most ||
		    (k->takes == HZ && value && value < 20) ||
		    (k->takes == PAGES && value != k->least && value != k->most)) {
			kprintf("%s: %s=%s is out of range\n", w->name, name, text);
			return false;
		}
		*field(p, k) = value;
		return true;
	}
	kprintf("%s: unknown parameter %s=\n", w->name, name);
	return false;
}

static void print_header(const struct workload *w, struct params *p)
{
	kprintf("-- %s", w->name);
	for (const struct key *k = keys; k < keys + KEYS; k++) {
		if (!(w->takes & k->takes))
			continue;
		kprintf(" %s=", k->name);
		if (k->takes == PAGES)
			kprintf("%s", p->page_bytes == LARGE_PAGE_BYTES ? "2m" : "4k");
		else
			kprintf("%u", *field(p, k));
	}
	kprintf("\n");
}

static bool run(const struct workload *w, struct params *p)
{
	bool ok = true;

	print_header(w, p);
	roi_time.wanted = p->tsc;
	vm_direct_map(w->takes & PAGES ? p->page_bytes : LARGE_PAGE_BYTES);
	timer_start(p->hz);
	if (w->kernel) {
		w->kernel(p);
		kprintf("%s n=%u: ok\n", w->name, p->n);
	} else {
		ok = proc_run((int)(w - workloads), p) == 0 || same_text(w->name, "nop");
	}
	timer_start(0);
	if (p->tsc) {
		uint64_t cycles = roi_time.end - roi_time.begin;

		kprintf("%s: 0x%08x%08x TSC cycles\n", w->name, (unsigned)(cycles >> 32),
			(unsigned)cycles);
	}
	memset(&roi_time, 0, sizeof(roi_time));
	return ok;
}

static void help(void)
{
	kprintf("usage: workload [n=] [size=] [seed=] [hz=] [pages=4k|2m] [updates=] [tsc=1]"
		" {; workload ...}\n");
	for (const struct workload *w = workloads; w < workloads + WORKLOADS; w++) {
		kprintf("%10s  ", w->name);
		if (w->takes & N)
			kprintf("n=%6u  %s\n", w->defaults.n, w->sentence);
		else
			kprintf("          %s\n", w->sentence);
	}
}

/* Some loaders put the image's own name first. */
static const char *skip_image_name(const char *line)
{
	char first[16];
	const char *after = word(line, first, sizeof(first), 0);
	bool path = false;

	if (workload_find(first) >= 0 || same_text(first, "help"))
		return line;
	for (; *after && !is_space(*after) && !is_separator(*after); after++)
		;
	for (const char *s = line; s < after; s++)
		path |= *s == '/' || *s == '.';
	return path ? after : line;
}

/* One workload with its parameters from the front of the line. */
static const char *run_one(const char *line, bool *ok)
{
	char name[16], key[16], value[16];
	const struct workload *w;
	struct params p;
	int index;

	line = word(line, name, sizeof(name), 0);
	index = workload_find(name);
	if (index < 0 && !same_text(name, "help")) {
		kprintf("unknown workload '%s'; 'help' lists them\n", name);
		*ok = false;
		return line;
	}
	if (index < 0) {
		help();
		return line;
	}
	w = &workloads[index];
	p = w->defaults;
	for (;;) {
		line = word(line, key, sizeof(key), '=');
		if (!*key)
			break;
		if (*line == '=')
			line++;
		line = word(line, value, sizeof(value), 0);
		*ok = set_parameter(w, &p, key, value);
		if (!*ok)
			return line;
	}
	*ok = run(w, &p);
	return line;
}

/* false as soon as a workload is unknown, refused or fails. */
bool workload_run_all(const char *line)
{
	char first[2];
	bool ok = true;

	line = skip_image_name(line);
	if (!*word(line, first, sizeof(first), 0) && !*first)
		line = "help";
	while (ok && *line) {
		while (is_space(*line) || is_separator(*line))
			line++;
		if (*line)
			line = run_one(line, &ok);
	}
	return ok;
}
