/* vm_entry.c - see vm_entry.h. A check's words are its row's (models/cpu/vmx/check.def); the bits are named as the VMCS's
 * fields name them. */
#include "ui/session/vm_entry.h"

#include <inttypes.h>

#include "models/symbols.h"
#include "ui/export/wrap.h"

/* ---- one failure in words ---- */

static const struct field_bits *name_of(const struct field_bits *b, unsigned bit)
{
	for (; b && b->name; b++)
		if (bit >= b->lo && bit <= b->hi)
			return b;
	return NULL;
}

/* "bit 5 (ne) is 0, bits 63:32" */
static void bits_text(char *buf, size_t n, enum vmcs_field f, uint64_t found, uint64_t wrong)
{
	size_t at = 0;

	buf[0] = '\0';
	if (wrong == vmcs_mask(f)) {
		snprintf(buf, n, "the value as a whole");
		return;
	}
	for (unsigned lo = 0, hi; lo < 64 && at < n; lo = hi + 1) {
		const struct field_bits *name = name_of(vmcs_bits(f), lo);

		hi = lo;
		if (!(wrong >> lo & 1))
			continue;
		/* a named bit stands alone; others run together until a right one or a named one */
		while (hi < 63 && wrong >> (hi + 1) & 1 && (name ? hi < name->hi : !name_of(vmcs_bits(f), hi + 1)))
			hi++;
		if (hi > lo)
			at += (size_t)snprintf(buf + at, n - at, "%sbits %u:%u", at ? ", " : "", hi, lo);
		else
			at += (size_t)snprintf(buf + at, n - at, "%sbit %u", at ? ", " : "", lo);
		if (name && at < n)
			at += (size_t)snprintf(buf + at, n - at, " (%s)", name->name);
		if (hi == lo && at < n)
			at += (size_t)snprintf(buf + at, n - at, " is %u", (unsigned)(found >> lo & 1));
	}
}

static const char *consequence(enum vmx_check k)
{
	switch (vmx_check_rows[k].area) {
	case VMX_AREA_CONTROL: return "VM-instruction error 7: VM entry with invalid control field(s)";
	case VMX_AREA_HOST:    return "VM-instruction error 8: VM entry with invalid host-state field(s)";
	case VMX_AREA_GUEST:   return "VM exit with reason 33: VM-entry failure due to invalid guest state";
	default:               return "VM exit with reason 34: VM-entry failure due to MSR loading";
	}
}

void check_text(struct check_text *t, const struct vmx_failure *x)
{
	const struct vmx_check_row *row = &vmx_check_rows[x->check];
	enum vmcs_field f = (enum vmcs_field)row->field;
	const struct field_row field = { .name = vmcs_rows[f].name, .bits = vmcs_bits(f) };

	t->field = vmcs_rows[f].name;
	snprintf(t->consequence, sizeof t->consequence, "%s", consequence((enum vmx_check)x->check));
	if (x->entry && x->check != VMX_CHECK_MSR_COUNT) {
		snprintf(t->found, sizeof t->found, "entry %u: MSR %XH, value 0x%" PRIx64, x->entry, x->msr, x->found);
		snprintf(t->wrong, sizeof t->wrong, "entry %u", x->entry);
		return;
	}
	field_format(&field, x->found, t->found, sizeof t->found);
	bits_text(t->wrong, sizeof t->wrong, f, x->found, x->wrong);
}

/* ---- the list ---- */

static void place(char *buf, size_t n, const struct machine *m, uint64_t rip)
{
	uint64_t offset;
	const struct symbol *sym = symtab_at(m->symbols, rip, &offset);

	if (sym)
		snprintf(buf, n, "0x%" PRIx64 " (%s+0x%" PRIx64 ")", rip, sym->name, offset);
	else
		snprintf(buf, n, "0x%" PRIx64, rip);
}

static void one(FILE *out, unsigned number, const struct vmx_failure *x)
{
	const struct vmx_check_row *row = &vmx_check_rows[x->check];
	struct check_text t;

	check_text(&t, x);
	fprintf(out, "  %u. %s\n", number, row->name);
	wrap_line(out, 15, "     found     %s = %s", t.field, t.found);
	wrap_line(out, 15, "     wrong     %s", t.wrong);
	wrap_line(out, 15, "     expected  %s", row->expected);
	wrap_line(out, 15, "     hint      %s", row->hint);
	wrap_line(out, 15, "     manual    SDM Vol. 3C, \"%s\"", row->title);
}

bool vm_entry_print(FILE *out, const struct machine *m)
{
	bool any = false;

	for (unsigned i = 0; i < m->config.cpus; i++) {
		const struct vmx_failed *f = &m->cpu[i]->failed;
		unsigned shown = f->n < VMX_FAILED_MAX ? f->n : VMX_FAILED_MAX;
		char where[160];

		if (!f->n)
			continue;
		any = true;
		place(where, sizeof where, m, f->rip);
		wrap_line(out, 2, "the last VM entry of cpu%u, by the instruction at %s, cycle %" PRIu64 ", failed %u of %u checks:", i, where,
		          f->when, f->n, (unsigned)VMX_CHECKS);
		for (unsigned k = 0; k < shown; k++)
			one(out, k + 1, &f->f[k]);
		if (shown < f->n)
			fprintf(out, "  and %u more\n", f->n - shown);
		wrap_line(out, 2, "  The first decides: %s.%s", consequence((enum vmx_check)f->f[0].check),
		          f->n > 1 ? " The others would have been next." : "");
	}
	return any;
}
