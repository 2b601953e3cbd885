/* plan.c - from what is asked for to the list of cases. */
#include "ui/compare/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "ui/cli/technique.h"
#include "ui/session/paths.h"
#include "ui/session/setup.h"

#define NATIVE "native/native"
#define RAM_MAX (16ull << 30)
#define WHATIF ":whatif"
static const char *const standard_techniques[] = { NATIVE, "vmx/shadow.wp", "vmx/ept", "vmx/ept:2M" };
static const char *const all_techniques[] = {
#define PAIR(technique) technique,
#include "ui/compare/all.def"
};

/* "vmx/ept:2M" -> cpu, mmu, page; "trap/shadow.wp:whatif" -> cpu, mmu, on that machine. "bt" -> its usual mmu. Without a cpu it is vmx. */
static int split_technique(const char *text, struct case_spec *c, struct err *e)
{
	static const char hint[] = "for example: native, ept, ept:2M, shadow.wp, bt/shadow.wp; vmscope list techniques";
	const char *slash = strchr(text, '/'), *mmu = slash ? slash + 1 : text, *colon = strchr(mmu, ':');
	size_t n = colon ? (size_t)(colon - mmu) : strlen(mmu);

	if (slash == text || !n || (slash && (size_t)(slash - text) >= sizeof c->cpu) || n >= sizeof c->mmu ||
	    (colon && strlen(colon + 1) >= sizeof c->page))
		return err_set(e, NULL, hint, "technique '%s': expected CPU/MMU or CPU/MMU:PAGE", text);
	snprintf(c->mmu, sizeof c->mmu, "%.*s", (int)n, mmu);
	if (slash)
		snprintf(c->cpu, sizeof c->cpu, "%.*s", (int)(slash - text), text);
	else if (technique_mmu(c->mmu)) {       /* "bt", "native" */
		snprintf(c->cpu, sizeof c->cpu, "%.*s", (int)n, mmu);
		snprintf(c->mmu, sizeof c->mmu, "%s", technique_mmu(c->cpu));
	} else
		snprintf(c->cpu, sizeof c->cpu, "vmx");
	snprintf(c->page, sizeof c->page, "%s", colon ? colon + 1 : "");
	c->whatif = strcmp(c->page, WHATIF + 1) == 0;
	if (c->whatif && strcmp(c->cpu, "trap") != 0)
		return err_set(e, NULL, "trap/shadow.wp:whatif", "technique '%s': the others need no critical instruction to trap", text);
	if (c->whatif) {
		c->page[0] = '\0';
		return technique_check(c->cpu, c->mmu, e);
	}
	if (colon && strcmp(c->page, "4K") != 0 && strcmp(c->page, "2M") != 0 && strcmp(c->page, "1G") != 0)
		return err_set(e, NULL, "EPT maps with pages of 4K, 2M or 1G", "technique '%s': unknown page size '%s'", text, c->page);
	if (colon && strcmp(c->mmu, "ept") != 0)
		return err_set(e, NULL, NULL, "technique '%s': only EPT has a page size of its own; the guest's is a parameter of the "
		               "workload, pages=2m", text);
	return technique_check(c->cpu, c->mmu, e);
}

static bool has_name(const struct names *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i], name) == 0)
			return true;
	return false;
}

static void add_once(struct names *t, const char *name)
{
	if (!has_name(t, name))
		names_add(t, name, strlen(name));
}

/* EPT with each page size of --page; 4 KB, the default, has no suffix. */
static int add_technique(struct plan *p, const struct compare_options *o, const char *name, struct err *e)
{
	struct case_spec c = { .workload = NULL };
	char text[64];

	if (split_technique(name, &c, e) != 0)
		return -1;
	snprintf(text, sizeof text, "%s/%s%s%s%s", c.cpu, c.mmu, c.page[0] && strcmp(c.page, "4K") != 0 ? ":" : "",
	         strcmp(c.page, "4K") != 0 ? c.page : "", c.whatif ? WHATIF : "");
	if (strcmp(c.mmu, "ept") != 0 || c.page[0] || !o->page.n) {
		add_once(&p->technique, text);
		return 0;
	}
	for (size_t i = 0; i < o->page.n; i++) {
		char page[8];

		snprintf(page, sizeof page, "%s", o->page.v[i]);
		if (strcasecmp(page, "4K") == 0) {
			add_once(&p->technique, text);
			continue;
		}
		for (char *q = page; *q; q++)
			*q = (char)(*q >= 'a' && *q <= 'z' ? *q - 32 : *q);
		snprintf(text, sizeof text, "%s/%s:%s", c.cpu, c.mmu, page);
		if (split_technique(text, &c, e) != 0)
			return -1;
		add_once(&p->technique, text);
		snprintf(text, sizeof text, "%s/%s", c.cpu, c.mmu);
	}
	return 0;
}

static int add_techniques(struct plan *p, const struct compare_options *o, const char *const *name, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (add_technique(p, o, name[i], e) != 0)
			return -1;
	return 0;
}

static int plan_techniques(struct plan *p, const struct compare_options *o, struct err *e)
{
	names_add(&p->technique, NATIVE, strlen(NATIVE));       /* first: it is what the others are measured against */
	for (size_t i = 0; i < o->technique.n; i++)
		if (add_technique(p, o, o->technique.v[i], e) != 0)
			return -1;
	if (o->technique.n)
		return 0;
	return o->all ? add_techniques(p, o, all_techniques, ARRAY_LEN(all_techniques), e) :
	                add_techniques(p, o, standard_techniques, ARRAY_LEN(standard_techniques), e);
}

static void plan_workloads(struct plan *p, const struct compare_options *o)
{
	bool standard;
	char smp[24];

	for (size_t i = 0; i < o->workload.n; i++)
		if (o->workload.v[i][0])
			add_once(&p->workload, o->workload.v[i]);
	standard = !p->workload.n;
	if (standard && o->cpus > 1 && p->standard) {   /* the one that has the others do something */
		snprintf(smp, sizeof smp, "smp n=%u", o->cpus - 1);
		names_add(&p->workload, smp, strlen(smp));
		return;
	}
	for (size_t i = 0; standard && i < standard_rows_n; i++)
		names_add(&p->workload, standard_rows[i].name, strlen(standard_rows[i].name));
}

/* Parameters of the standard table go between the name and what was given, so that what was given wins. */
static char *command_line(const char *workload, bool standard, const struct sweep *sweep, uint64_t value)
{
	size_t name = strcspn(workload, " ");
	const char *more = "";
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	for (size_t i = 0; standard && i < standard_rows_n; i++)
		if (strlen(standard_rows[i].name) == name && strncmp(standard_rows[i].name, workload, name) == 0)
			more = standard_rows[i].parameters;
	fprintf(f, "%.*s%s%s%s", (int)name, workload, more[0] ? " " : "", more, workload + name);
	if (sweep->name[0] && !sweep->row)
		fprintf(f, " %s=%" PRIu64, sweep->name, value);
	fclose(f);
	return text;
}

static int image_of(const struct compare_options *o, char *path, size_t n, bool *standard, struct err *e)
{
	const char *name = o->image ? o->image : "kernel64";

	*standard = false;
	if (strchr(name, '/') || !paths_guest(name, path, n))
		snprintf(path, n, "%s", name);
	else
		*standard = strcmp(name, "kernel64") == 0 || strcmp(name, "kernel32") == 0;
	if (access(path, R_OK) != 0 && !strchr(name, '/') && paths_there(e) != 0)
		return -1;
	if (access(path, R_OK) != 0)
		return err_set(e, NULL, "a path, or the name of a built guest: vmscope list guests; make guests builds them",
		               "%s: no such image", name);
	return 0;
}

/* Under pv the same kernel's paravirtual build: kernel64-pv.elf beside kernel64.elf. */
static void paravirtual(struct case_spec *c, bool standard)
{
	const char *dot = strrchr(c->image, '.');
	size_t n = strlen(c->image) + 8;
	char *twin;

	if (!standard || strcmp(c->cpu, "pv") != 0 || !dot)
		return;
	twin = xcalloc(n, 1);
	snprintf(twin, n, "%.*s-pv%s", (int)(dot - c->image), c->image, dot);
	free(c->image);
	c->image = twin;
}

static void add_case(struct plan *p, const struct compare_options *o, const char *image, bool standard, size_t profile,
                     size_t workload, size_t value, size_t technique)
{
	struct case_spec *c = &p->spec[p->n++];
	struct err e = { "" };
	char text[96];

	c->value = p->sweep.n ? p->sweep.value[value] : 0;
	c->workload = xstrdup(p->workload.v[workload]);
	c->cmdline = command_line(c->workload, standard, &p->sweep, c->value);
	c->image = xstrdup(image);
	c->initrd = o->initrd ? xstrdup(o->initrd) : NULL;
	c->technique = xstrdup(p->technique.v[technique]);
	if (split_technique(c->technique, c, &e) != 0)
		BUG("%s", e.text);
	paravirtual(c, standard);
	c->profile = xstrdup(p->profile.v[profile]);
	c->set = o->set.v;
	c->sets = o->set.n;
	c->ram = xstrdup(o->ram ? o->ram : "128M");
	c->cpus = o->cpus ? o->cpus : 1;
	if (p->sweep.row) {
		snprintf(text, sizeof text, "%s=%" PRIu64, p->sweep.name, c->value);
		c->row = xstrdup(text);
	}
	c->seed = o->seed;
	c->seed_given = o->seed_given;
	c->max_cycles = o->max_cycles;
}

/* A key that all of the techniques would ignore. */
static int key_used(const struct plan *p, const char *key, const char *flag, struct err *e)
{
	for (size_t i = 0; i < p->technique.n; i++) {
		struct case_spec c = { .workload = NULL };

		if (split_technique(p->technique.v[i], &c, e) != 0 || setup_key_used(key, c.cpu, c.mmu))
			return 0;
	}
	return setup_unused(key, "under any technique of this comparison", "--technique", flag, e);
}

static int keys_used(const struct plan *p, const struct compare_options *o, struct err *e)
{
	for (size_t i = 0; i < o->set.n; i++) {
		char key[64], hint[120];

		snprintf(key, sizeof key, "%.*s", (int)strcspn(o->set.v[i], "="), o->set.v[i]);
		if (compare_own_flag(key)) {
			snprintf(hint, sizeof hint, "say %s", compare_own_flag(key));
			return err_set(e, "--set", hint, "%s is what the cases of a comparison differ in", key);
		}
		if (key_used(p, key, "--set", e) != 0)
			return -1;
	}
	return p->sweep.row ? key_used(p, p->sweep.name, "--sweep", e) : 0;
}

int plan_make(struct plan *p, const struct compare_options *o, struct err *e)
{
	char image[4300];
	uint64_t ram;
	bool standard;
	size_t cases;

	memset(p, 0, sizeof *p);
	if (o->ram && (!parse_number(o->ram, &ram) || ram < 1 << 20 || ram > RAM_MAX))
		return err_set(e, "--ram", "64M, 1G, ...: final memory is compared byte by byte", "ram = %s: expected 1M..16G", o->ram);
	if (image_of(o, image, sizeof image, &standard, e) != 0 || plan_techniques(p, o, e) != 0)
		return -1;
	p->standard = standard;
	if (o->sweep && sweep_parse(&p->sweep, o->sweep, e) != 0)
		return -1;
	if (keys_used(p, o, e) != 0)
		return -1;
	p->values = p->sweep.n ? p->sweep.n : 1;
	plan_workloads(p, o);
	for (size_t w = 0; standard && w < p->workload.n; w++)
		if (workload_check(p->workload.v[w], p->sweep.n && !p->sweep.row ? p->sweep.name : NULL, e) != 0)
			return -1;
	for (size_t i = 0; i < o->profile.n; i++)
		add_once(&p->profile, o->profile.v[i]);
	if (!p->profile.n)
		names_add(&p->profile, "skylake", 7);
	cases = p->profile.n * p->workload.n * p->values * p->technique.n;
	if (cases > COMPARE_CASES_MAX)
		return err_set(e, NULL, NULL, "%zu cases: at most %d", cases, COMPARE_CASES_MAX);
	p->spec = xcalloc(cases, sizeof *p->spec);
	for (size_t i = 0; i < p->profile.n; i++)
		for (size_t w = 0; w < p->workload.n; w++)
			for (size_t v = 0; v < p->values; v++)
				for (size_t t = 0; t < p->technique.n; t++)
					add_case(p, o, image, standard, i, w, v, t);
	return 0;
}

void plan_fini(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		case_spec_fini(&p->spec[i]);
	free(p->spec);
	free(p->sweep.value);
	names_fini(&p->profile);
	names_fini(&p->workload);
	names_fini(&p->technique);
	memset(p, 0, sizeof *p);
}
