/* setup.c - keys and values of a machine's configuration, from config.def and the
 * profile's rows. */
#include "ui/session/setup.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ui/cli/technique.h"
#include "ui/lua/profile_file.h"

enum config_id {
#define CONFIG(ID, key, value, who, sentence) CONFIG_##ID,
#define COST_KEYS(prefix, who)
#include "ui/session/config.def"
	CONFIG_N
};

const struct config_row config_rows[] = {
#define CONFIG(ID, key, value, who, sentence) { key, value, who, sentence },
#define COST_KEYS(prefix, who)
#include "ui/session/config.def"
};
const size_t config_rows_n = ARRAY_LEN(config_rows);

static const struct { const char *prefix, *who; } cost_keys[] = {
#define CONFIG(ID, key, value, who, sentence)
#define COST_KEYS(prefix, who) { prefix, who },
#include "ui/session/config.def"
};

void setup_init(struct setup *s)
{
	memset(s, 0, sizeof *s);
	machine_config_defaults(&s->config);
	s->vm.page_shift = 12;
	s->vm.tags = true;
	snprintf(s->profile, sizeof s->profile, "skylake");
}

void setup_fini(struct setup *s)
{
	for (size_t i = 0; i < s->n_texts; i++)
		free(s->texts[i]);
	free(s->texts);
	free(s->rows);
	free(s->given);
	memset(s, 0, sizeof *s);
}

const char *setup_keep(struct setup *s, const char *text)
{
	s->texts = xrealloc(s->texts, (s->n_texts + 1) * sizeof *s->texts);
	return s->texts[s->n_texts++] = xstrdup(text);
}

/* ---- values ---- */

bool parse_number(const char *text, uint64_t *v)
{
	char *end;
	uint64_t n, scale = 1;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 0);
	if (*end == '.' || ((*end == 'e' || *end == 'E') && strncasecmp(text, "0x", 2) != 0)) {
		double d = strtod(text, &end);

		if (*end || !(d >= 0 && d < 1.8446744073709552e19) || d != floor(d))
			return false;
		*v = (uint64_t)d;
		return true;
	}
	switch (*end) {
	case 'K': case 'k': scale = 1ull << 10; end++; break;
	case 'M': case 'm': scale = 1ull << 20; end++; break;
	case 'G': case 'g': scale = 1ull << 30; end++; break;
	case 'T': case 't': scale = 1ull << 40; end++; break;
	}
	if (errno || *end || (scale > 1 && n > ~0ull / scale))
		return false;
	*v = n * scale;
	return true;
}

static int number(const char *key, const char *value, uint64_t min, uint64_t max, uint64_t *v,
                  const char *where,
                  struct err *e)
{
	if (!parse_number(value, v))
		return err_set(e, where, "numbers: 12, 0x10, 512M, 2e9",
		               "%s = %s: a number was expected", key, value);
	if (*v < min || *v > max)
		return err_set(e, where, NULL, "%s = %s: expected %" PRIu64 "..%" PRIu64, key,
		               value, min, max);
	return 0;
}

static const char *const rdtsc_names[] = { "inline", "callout", "trap" };
static const char *const apicv_names[] = { "full", "access", "tpr", "off" };    /* enum apicv */

static int yes_no(const char *key, const char *value, bool *v, const char *where, struct err *e)
{
	if (strcmp(value, "true") == 0 || strcmp(value, "1") == 0 || strcmp(value, "yes") == 0)
		*v = true;
	else if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0 || strcmp(value, "no") == 0)
		*v = false;
	else
		return err_set(e, where, NULL, "%s = %s: expected true or false", key, value);
	return 0;
}

static int no_or_yes(const char *key, const char *value, bool *no, const char *where, struct err *e)
{
	bool yes = !*no;
	int bad = yes_no(key, value, &yes, where, e);
	*no = !yes;
	return bad;
}

bool setup_is_path(const char *key)
{
	return strncmp(key, "disk", 4) == 0;
}

/* ---- keys ---- */

/* All keys as one list: what is known beside them, config.def's, then the profile's. */
struct key_list { const char *const *more; size_t n; };

static const char *key_at(const void *table, size_t i)
{
	const struct key_list *l = table;

	if (i < l->n)
		return l->more[i];
	i -= l->n;
	return i < config_rows_n ? config_rows[i].key : profile_rows[i - config_rows_n].key;
}

bool setup_known(const char *key)
{
	for (size_t i = 0; i < config_rows_n + profile_rows_n; i++)
		if (strcmp(key_at(&(struct key_list){ NULL, 0 }, i), key) == 0)
			return true;
	return strncmp(key, "vmm.", 4) == 0;
}

int setup_unknown(const char *key, const char *const *more, const char *where, struct err *e)
{
	struct key_list all = { more, 0 };
	const char *near;
	char hint[160];

	while (more && more[all.n])
		all.n++;
	near = err_nearest(key, key_at, &all, all.n + config_rows_n + profile_rows_n);

	snprintf(hint, sizeof hint, "%s%s%sall keys: vmscope list config",
	         near ? "did you mean '" : "", near ? near : "",
	         near ? "'? " : "");
	return err_set(e, where, hint, "unknown key '%s'", key);
}

/* A profile row: checked against its range now, so that the position is right; applied when the
 * profile is loaded. */
static int set_row(struct setup *s, const char *key, const char *value, const char *where,
                   struct err *e)
{
	struct profile scratch;
	struct setup_row *r;
	uint64_t v;
	bool known = false, flag;

	for (size_t i = 0; i < profile_rows_n; i++)
		known |= strcmp(profile_rows[i].key, key) == 0;
	if (!known)
		return setup_unknown(key, NULL, where, e);
	if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
		if (yes_no(key, value, &flag, where, e) != 0)
			return -1;
		v = flag;
	} else if (number(key, value, 0, ~0ull, &v, where, e) != 0) {
		return -1;
	}
	profile_defaults(&scratch);
	if (profile_set(&scratch, key, v, where, e) != 0)
		return -1;
	s->rows = xrealloc(s->rows, (s->n_rows + 1) * sizeof *s->rows);
	r = &s->rows[s->n_rows++];
	snprintf(r->key, sizeof r->key, "%s", key);
	snprintf(r->where, sizeof r->where, "%s", where ? where : "");
	r->value = v;
	return 0;
}

static const char *cost_at(const void *table, size_t i)
{
	return ((const struct vmm_cost_row *)table)[i].name;
}

/* vmm.NAME: what a phase of the VMM's software costs. */
static int set_cost(struct setup *s, const char *key, const char *value, const char *where, struct err *e)
{
	const char *near = err_nearest(key + 4, cost_at, vmm_cost_rows, VMM_COSTS);
	char hint[160];

	for (unsigned i = 0; i < VMM_COSTS; i++) {
		if (strcmp(key + 4, vmm_cost_rows[i].name) != 0)
			continue;
		s->vm.cost[i].set = true;
		return number(key, value, 0, 1000000000, &s->vm.cost[i].cycles, where, e);
	}
	snprintf(hint, sizeof hint, "%s%s%sall of them: vmscope list vmm-costs", near ? "did you mean 'vmm." : "",
	         near ? near : "", near ? "'? " : "");
	return err_set(e, where, hint, "unknown cost of the VMM '%s'", key + 4);
}

static int set(struct setup *s, const char *key, const char *value, const char *where, struct err *e)
{
	struct machine_config *c = &s->config;
	uint64_t v = 0;
	size_t id = 0;
	bool flag;

	while (id < CONFIG_N && strcmp(config_rows[id].key, key) != 0)
		id++;
	switch (id) {
	case CONFIG_PROFILE:
		if ((size_t)snprintf(s->profile, sizeof s->profile, "%s",
		                     value) >= sizeof s->profile)
			return err_set(e, where, "all profiles: vmscope list profiles",
			               "unknown profile '%s'", value);
		snprintf(s->profile_where, sizeof s->profile_where, "%s", where ? where : "");
		return 0;
	case CONFIG_RAM:
		if (number(key, value, 1 << 20, 1ull << 40, &v, where, e) != 0)
			return -1;
		if (v % PAGE_SIZE)
			return err_set(e, where, NULL, "ram = %s: expected a multiple of 4096",
			               value);
		c->ram = v;
		return 0;
	case CONFIG_CPUS:
		if (number(key, value, 1, CPUS_MAX, &v, where, e) != 0)
			return -1;
		c->cpus = (unsigned)v;
		return 0;
	case CONFIG_SPEED:
		if (strcmp(value, "fast") != 0 && strcmp(value, "detailed") != 0)
			return err_set(e, where, NULL, "speed = %s: expected detailed or fast",
			               value);
		c->fast = strcmp(value, "fast") == 0;
		return 0;
	case CONFIG_SEED:
		return number(key, value, 0, ~0ull, &c->seed, where, e);
	case CONFIG_QUANTUM:
		return number(key, value, 1, 1000000000, &c->quantum, where, e);
	case CONFIG_DISK: case CONFIG_DISK2: case CONFIG_DISK3: case CONFIG_DISK4:
		c->disk[id - CONFIG_DISK] = setup_keep(s, value);
		return 0;
	case CONFIG_RTC:
		return number(key, value, 0, 4102444800, &c->rtc_epoch, where, e);
	case CONFIG_TRACE_RING:
		if (number(key, value, 1, 1 << 24, &v, where, e) != 0)
			return -1;
		if (v & (v - 1))
			return err_set(e, where, NULL, "trace_ring = %s: expected a power of two",
			               value);
		c->trace_ring = v;
		return 0;
	case CONFIG_TEST_DEVICE:
		if (yes_no(key, value, &flag, where, e) != 0)
			return -1;
		c->test_device = flag;
		return 0;
	case CONFIG_REBOOT:
		return yes_no(key, value, &c->reboot, where, e);
	case CONFIG_CPU:
		s->cpu = setup_keep(s, value);
		return 0;
	case CONFIG_MMU:
		s->mmu = setup_keep(s, value);
		return 0;
	case CONFIG_PAGE:
		if (!parse_number(value, &v) || (v != 1 << 12 && v != 1 << 21 && v != 1 << 30))
			return err_set(e, where, NULL, "page = %s: expected 4K, 2M or 1G", value);
		s->vm.page_shift = v == 1 << 12 ? 12 : v == 1 << 21 ? 21 : 30;
		return 0;
	case CONFIG_EAGER:
		return yes_no(key, value, &s->vm.eager, where, e);
	case CONFIG_TAGS:
		return yes_no(key, value, &s->vm.tags, where, e);
	case CONFIG_APICV:
		for (unsigned i = 0; i < ARRAY_LEN(apicv_names); i++)
			if (!strcmp(value, apicv_names[i])) {
				s->vm.apicv = (enum apicv)i;
				return 0;
			}
		return err_set(e, where, NULL, "apicv = %s: expected full, access, tpr or off", value);
	case CONFIG_SHADOW:
		return number(key, value, 1 << 16, 1ull << 34, &s->vm.shadow_limit, where, e);
	case CONFIG_HOST_CPUS:
		if (number(key, value, 1, CPUS_MAX, &v, where, e) != 0)
			return -1;
		s->host_cpus = (unsigned)v;
		return 0;
	case CONFIG_SLICE:
		return number(key, value, 1000, 1000000000000, &s->vm.slice, where, e);
	case CONFIG_NESTED:
		return yes_no(key, value, &s->vm.nested, where, e);
	case CONFIG_SHADOW_FLOOD:
		if (number(key, value, 0, 60000, &v, where, e) != 0)
			return -1;
		s->vm.shadow_flood = v ? (unsigned)v : ~0u;
		return 0;
	case CONFIG_VMCS_SHADOWING:
		return yes_no(key, value, &s->vm.vmcs_shadowing, where, e);
	case CONFIG_BT_CHAIN:
		return no_or_yes(key, value, &s->vm.bt.no_chain, where, e);
	case CONFIG_BT_ADAPTIVE:
		return no_or_yes(key, value, &s->vm.bt.no_adapt, where, e);
	case CONFIG_BT_BLOCK:
		if (number(key, value, 1, 32, &v, where, e) != 0)
			return -1;
		s->vm.bt.block = (unsigned)v;
		return 0;
	case CONFIG_BT_CACHE:
		if (number(key, value, 16 << 10, 1920 << 10, &v, where, e) != 0)
			return -1;
		s->vm.bt.cache_kb = (unsigned)(v >> 10);
		return 0;
	case CONFIG_BT_RDTSC:
		for (unsigned i = 0; i < ARRAY_LEN(rdtsc_names); i++)
			if (!strcmp(value, rdtsc_names[i])) {
				s->vm.bt.rdtsc = i;
				return 0;
			}
		return err_set(e, where, NULL, "bt_rdtsc = %s: expected inline, callout or trap", value);
	case CONFIG_RESET:
		return yes_no(key, value, &s->reset_on_shutdown, where, e);
	default:
		return strncmp(key, "vmm.", 4) == 0 ? set_cost(s, key, value, where, e) :
		                                      set_row(s, key, value, where, e);
	}
}

/* ---- who uses a key ---- */

static const char *config_users(const char *key)
{
	for (size_t i = 0; i < config_rows_n; i++)
		if (strcmp(config_rows[i].key, key) == 0)
			return config_rows[i].who;
	for (size_t i = 0; i < ARRAY_LEN(cost_keys); i++)
		if (strncmp(cost_keys[i].prefix, key, strlen(cost_keys[i].prefix)) == 0)
			return cost_keys[i].who;
	return "";
}

/* Is what "bt", "shadow", "shadow.wp", "vmx/ept" or "vmm" names, w[0..n-1], this one? */
static bool is_technique(const char *w, size_t n, const char *cpu, const char *mmu)
{
	const char *slash = memchr(w, '/', n);
	size_t base = strcspn(mmu, ".");

	if (n == 3 && memcmp(w, "vmm", 3) == 0)
		return strcmp(cpu, "native") != 0;
	if (slash)
		return is_technique(w, (size_t)(slash - w), cpu, mmu) && is_technique(slash + 1, n - (size_t)(slash + 1 - w), cpu, mmu);
	return (strlen(cpu) == n && memcmp(w, cpu, n) == 0) || (strlen(mmu) == n && memcmp(w, mmu, n) == 0) ||
	       (base == n && memcmp(w, mmu, n) == 0);
}

bool setup_key_used(const char *key, const char *cpu, const char *mmu)
{
	const char *who = config_users(key);

	if (strcmp(mmu, "shadow") == 0)
		mmu = "shadow.wp";
	for (const char *p = who; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		if (is_technique(p, n, cpu, mmu))
			return true;
		p += n;
	}
	return !*who;
}

const char *setup_users(const char *key, char *buf, size_t room)
{
	const char *who = config_users(key);
	size_t at = 0;

	if (strcmp(who, "vmm") == 0)
		return "any VMM";
	buf[0] = '\0';
	for (const char *p = who, *end; *p && at < room; p = end + strspn(end, " ")) {
		end = p + strcspn(p, " ");
		at += (size_t)snprintf(buf + at, room - at, "%s%.*s", p == who ? "" : *end ? ", " : " or ", (int)(end - p), p);
	}
	return buf;
}

/* The first of them, as a way out. */
static void choose(const char *who, const char *flag, char *buf, size_t room)
{
	const size_t n = strcspn(who, " ");
	const char *slash = memchr(who, '/', n);

	if (strcmp(who, "vmm") == 0)
		snprintf(buf, room, flag ? "%s vmx" : "%scpu = vmx", flag ? flag : "");
	else if (flag)
		snprintf(buf, room, "%s %.*s", flag, (int)n, who);
	else if (slash)
		snprintf(buf, room, "cpu = %.*s, mmu = %.*s", (int)(slash - who), who, (int)(who + n - slash - 1), slash + 1);
	else
		snprintf(buf, room, "%s = %.*s", technique_is_mmu(who, n) ? "mmu" : "cpu", (int)n, who);
}

int setup_unused(const char *key, const char *under, const char *flag, const char *where, struct err *e)
{
	char list[120], way[80], hint[120];

	choose(config_users(key), flag, way, sizeof way);
	snprintf(hint, sizeof hint, "leave it out, or choose %s", way);
	return err_set(e, where, hint, "%s has no effect %s: it is of use under %s", key, under, setup_users(key, list, sizeof list));
}

int setup_set(struct setup *s, const char *key, const char *value, const char *where, struct err *e)
{
	struct setup_given *g;

	if (set(s, key, value, where, e) != 0)
		return -1;
	if (!*config_users(key))
		return 0;
	s->given = xrealloc(s->given, (s->n_given + 1) * sizeof *s->given);
	g = &s->given[s->n_given++];
	snprintf(g->key, sizeof g->key, "%s", key);
	snprintf(g->where, sizeof g->where, "%s", where ? where : "");
	return 0;
}

int setup_keys_used(const struct setup *s, struct err *e)
{
	const bool is = setup_virtual(s);
	const char *cpu = is ? s->vm.cpu : "native", *mmu = is ? s->vm.mmu : "native";
	char under[64] = "on the bare machine";

	if (is)
		snprintf(under, sizeof under, "under %s/%s", cpu, mmu);
	for (size_t i = 0; i < s->n_given; i++)
		if (!setup_key_used(s->given[i].key, cpu, mmu))
			return setup_unused(s->given[i].key, under, NULL, s->given[i].where[0] ? s->given[i].where : NULL, e);
	return 0;
}

bool setup_virtual(const struct setup *s)
{
	return (s->cpu && strcmp(s->cpu, "native") != 0) || (s->mmu && strcmp(s->mmu, "native") != 0);
}

int setup_set_pair(struct setup *s, const char *pair, const char *where, struct err *e)
{
	const char *eq = strchr(pair, '=');
	char key[64];

	if (!eq || eq == pair || (size_t)(eq - pair) >= sizeof key)
		return err_set(e, where, "for example: ram=64M", "'%s': expected KEY=VALUE", pair);
	snprintf(key, sizeof key, "%.*s", (int)(eq - pair), pair);
	return setup_set(s, key, eq + 1, where, e);
}

int setup_finish(struct setup *s, struct err *e)
{
	if (technique_check(s->cpu, s->mmu, e) != 0)
		return -1;
	if (setup_virtual(s)) {
		s->vm.cpu = s->cpu ? s->cpu : "vmx";
		s->vm.mmu = s->mmu ? s->mmu : technique_mmu(s->vm.cpu);
		s->vm.vcpus = s->config.cpus;
	}
	if (profile_load(s->profile, &s->config.profile,
	                 s->profile_where[0] ? s->profile_where : NULL, e) != 0)
		return -1;
	for (size_t i = 0; i < s->n_rows; i++)
		if (profile_set(&s->config.profile, s->rows[i].key, s->rows[i].value,
		                s->rows[i].where, e) != 0)
			return -1;
	return profile_check(&s->config.profile,
	                     s->n_rows ? s->rows[s->n_rows - 1].where : s->profile, e);
}
