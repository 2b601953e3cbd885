#include "made_up.h"

#include <stdlib.h>
#include <string.h>

void made_up_number(struct case_record *r, const char *name, uint64_t whole, uint64_t region)
{
	r->number = xrealloc(r->number, (r->numbers + 1) * sizeof *r->number);
	r->number[r->numbers++] = (struct number){ xstrdup(name), whole, region };
}

void made_up_page(struct case_record *r, uint64_t gpa, const char *bytes, size_t offset)
{
	uint8_t *page = xcalloc(1, PAGE_SIZE);

	memcpy(page + offset, bytes, strlen(bytes));
	r->page = xrealloc(r->page, (r->pages + 1) * sizeof *r->page);
	r->page[r->pages++] = (struct guest_page){ gpa, hash_bytes(1, page, PAGE_SIZE), page };
}

void made_up_console(struct case_record *r, const char *text)
{
	free(r->console);
	r->console = xstrdup(text);
	r->console_n = strlen(text);
}

static void spec(struct case_spec *s, const char *workload, const char *technique, const char *cpu, const char *mmu)
{
	s->workload = xstrdup(workload);
	s->cmdline = xstrdup(workload);
	s->image = xstrdup("none");
	s->technique = xstrdup(technique);
	snprintf(s->cpu, sizeof s->cpu, "%s", cpu);
	snprintf(s->mmu, sizeof s->mmu, "%s", mmu);
	s->profile = xstrdup("skylake");
	s->ram = xstrdup("128M");
}

/* Columns: user execute, kernel execute, walks, hardware, service, shadow fills. */
struct row { uint64_t user, kernel, guest, ept, shadow, switches, service, fill, exits, faults, cr, violations, misses, refs[3]; };

static const struct row rows[] = {
	/* gups */
	{ 700, 0, 300, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, { 100, 0, 0 } },
	{ 700, 0, 0, 0, 300, 5, 3, 2, 1, 1, 0, 0, 100, { 0, 0, 100 } },
	{ 700, 0, 300, 900, 0, 5, 5, 0, 1, 0, 0, 1, 100, { 100, 400, 0 } },
	/* forkwait */
	{ 100, 900, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, { 40, 0, 0 } },
	{ 100, 900, 0, 0, 50, 2000, 1500, 1450, 400, 300, 90, 0, 10, { 0, 0, 40 } },
	{ 100, 900, 50, 150, 0, 20, 30, 0, 12, 2, 0, 8, 10, { 40, 120, 0 } },
};

static void record(struct case_record *r, const struct row *w)
{
	const struct { const char *name; uint64_t v; } number[] = {
		{ "cpu0.stlb.miss", w->misses }, { "cpu0.walk.cycles", w->guest + w->ept + w->shadow }, { "cpu0.walk.ref.guest", w->refs[0] }, { "cpu0.walk.ref.ept", w->refs[1] },
		{ "cpu0.walk.ref.shadow", w->refs[2] }, { "cpu0.exit.exception", w->faults }, { "cpu0.exit.cr_access", w->cr },
		{ "cpu0.exit.ept_violation", w->violations }, { "cpu0.exit.io", w->exits - w->faults - w->cr - w->violations },
		{ "cpu0.ledger.vm1.user/execute", w->user }, { "cpu0.ledger.vm1.kernel/execute", w->kernel },
		{ "cpu0.ledger.vm1.user/walk.guest", w->guest }, { "cpu0.ledger.vm1.user/walk.ept", w->ept },
		{ "cpu0.ledger.vm1.user/walk.shadow", w->shadow }, { "cpu0.ledger.hardware/vm-exit", w->switches },
		{ "cpu0.ledger.vmm/exit-service", w->service }, { "cpu0.ledger.vmm/shadow-fill", w->fill },
	};

	r->regions = 1;
	r->status = 1;
	r->cycles.region = w->user + w->kernel + w->guest + w->ept + w->shadow + w->switches + w->service + w->fill;
	r->cycles.whole = 10 * r->cycles.region;
	r->instructions = (struct number){ NULL, 2000, 500 };
	for (size_t i = 0; i < ARRAY_LEN(number); i++)
		if (number[i].v)
			made_up_number(r, number[i].name, 2 * number[i].v, number[i].v);
	made_up_console(r, "hello\nworld\n");
	made_up_page(r, 0x100000, "kernel", 0);
	made_up_page(r, 0x102000, "data", 16);
}

void made_up(struct comparison *c)
{
	static const char *const workload[] = { "gups", "forkwait" };
	static const struct { const char *name, *cpu, *mmu; } technique[] = {
		{ "native/native", "native", "native" }, { "vmx/shadow.wp", "vmx", "shadow.wp" }, { "vmx/ept", "vmx", "ept" },
	};

	memset(c, 0, sizeof *c);
	compare_options_init(&c->options);
	names_add(&c->plan.profile, "skylake", 7);
	for (size_t w = 0; w < 2; w++)
		names_add(&c->plan.workload, workload[w], strlen(workload[w]));
	for (size_t t = 0; t < 3; t++)
		names_add(&c->plan.technique, technique[t].name, strlen(technique[t].name));
	c->plan.values = 1;
	c->plan.spec = xcalloc(6, sizeof *c->plan.spec);
	c->record = xcalloc(6, sizeof *c->record);
	for (; c->plan.n < 6; c->plan.n++) {
		size_t t = c->plan.n % 3;

		spec(&c->plan.spec[c->plan.n], workload[c->plan.n / 3], technique[t].name, technique[t].cpu, technique[t].mmu);
		record(&c->record[c->plan.n], &rows[c->plan.n]);
	}
}

bool says(const char *text, const char *what)
{
	return text && strstr(text, what) != NULL;
}
