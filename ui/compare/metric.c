/* metric.c - what the tables show, from a record's numbers. */
#include "ui/compare/compare.h"

#include <string.h>

#include "sim/ledger.h"

const struct metric_row metric_rows[METRICS] = {
#define METRIC(NAME, key, head, patterns, sentence) { key, head, patterns, sentence },
#include "ui/compare/metric.def"
};

const struct share_row share_rows[SHARES] = {
#define SHARE(NAME, key, title, sentence) { key, title, sentence },
#include "ui/compare/share.def"
};

bool record_good(const struct case_record *r)
{
	return r->end == CASE_OK;
}

uint64_t record_number(const struct case_record *r, const struct number *n)
{
	return r->regions ? n->region : n->whole;
}

uint64_t record_cycles(const struct case_record *r)
{
	return record_number(r, &r->cycles);
}

static bool glob(const char *p, size_t n, const char *name)
{
	for (; n; p++, n--, name++) {
		if (*p == '*') {
			for (;; name++) {
				if (glob(p + 1, n - 1, name))
					return true;
				if (!*name)
					return false;
			}
		}
		if (*p != *name)
			return false;
	}
	return !*name;
}

static bool any_glob(const char *patterns, const char *name)
{
	for (const char *p = patterns; *p;) {
		size_t n = strcspn(p, " ");

		if (glob(p, n, name))
			return true;
		p += n;
		p += *p == ' ';
	}
	return false;
}

uint64_t record_sum(const struct case_record *r, const char *patterns)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < r->numbers; i++)
		if (any_glob(patterns, r->number[i].name))
			sum += record_number(r, &r->number[i]);
	return sum;
}

/* Bytes are a level, not a flow: the whole run's. */
static uint64_t vmm_memory(const struct case_record *r)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < r->numbers; i++)
		if (any_glob("*.shadow.peak *.ept.bytes", r->number[i].name))
			sum += r->number[i].whole;
	return sum;
}

uint64_t record_metric(const struct case_record *r, enum metric m)
{
	switch (m) {
	case METRIC_CYCLES: return record_cycles(r);
	case METRIC_INSTRUCTIONS: return record_number(r, &r->instructions);
	case METRIC_MEMORY: return vmm_memory(r);
	default: return record_sum(r, metric_rows[m].patterns);
	}
}

/* ---- the ledger ---- */

static enum share share_of(const char *account, const char *why)
{
	static const struct { const char *why; enum share share; } of_guest[] = {
		{ "execute", SHARE_EXECUTE }, { "fetch", SHARE_MEMORY }, { "load.*", SHARE_MEMORY }, { "store", SHARE_MEMORY },
		{ "tlb.*", SHARE_WALK }, { "walk.*", SHARE_WALK }, { "halt", SHARE_IDLE }, { "translate", SHARE_SERVICE },
	};

	if (strcmp(account, "idle") == 0)
		return SHARE_IDLE;
	if (strcmp(account, "hardware") == 0 || strcmp(why, "vm-exit") == 0 || strcmp(why, "vm-entry") == 0)
		return SHARE_SWITCH;
	if (strcmp(why, "shadow-fill") == 0 || strcmp(why, "shadow-sync") == 0)
		return SHARE_SHADOW;
	if (strcmp(account, "vmm") == 0)
		return SHARE_SERVICE;
	for (size_t i = 0; i < ARRAY_LEN(of_guest); i++)
		if (any_glob(of_guest[i].why, why))
			return of_guest[i].share;
	return SHARE_EVENT;
}

uint64_t record_share(const struct case_record *r, enum share s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < r->numbers; i++) {
		const char *name = strstr(r->number[i].name, ".ledger."), *slash;
		char account[32];

		if (!name || !(slash = strchr(name, '/')) || (size_t)(slash - name - 8) >= sizeof account)
			continue;
		memcpy(account, name + 8, (size_t)(slash - name - 8));
		account[slash - name - 8] = '\0';
		if (share_of(account, slash + 1) == s)
			sum += record_number(r, &r->number[i]);
	}
	return sum;
}

/* ---- against native ---- */

size_t native_of(const struct comparison *c, size_t at)
{
	return at - at % c->plan.technique.n;   /* native is the first of the techniques */
}

double slowdown(const struct comparison *c, size_t at)
{
	const struct case_record *r = &c->record[at], *native = &c->record[native_of(c, at)];

	if (!record_good(r) || !record_good(native) || !record_cycles(native))
		return 0;
	return (double)record_cycles(r) / (double)record_cycles(native);
}
