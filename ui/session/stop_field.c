/* stop_field.c - what has a value that may change: fields and their bits, VMCS fields, accounts of the ledger.
 *
 * Of a virtual machine, a CPU's fields are those of its virtual CPU while it is in a physical one; its VMCS has its fields
 * always, wherever they are. A machine's own "vmcs" is the current one of a CPU. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/vmx/vmx.h"
#include "ui/session/stops_impl.h"

/* ---- reading ---- */

static const struct vcpu *vcpu_of(const struct stops *k, unsigned vm, unsigned number)
{
	const struct vmm *v = k->r->m->vmm;
	for (unsigned i = 0; v && i < v->vcpus; i++)
		if (v->vcpu[i]->vm->number == vm && v->vcpu[i]->number == number)
			return v->vcpu[i];
	return NULL;
}

static bool read_field(const struct stops *k, const struct stopper *p, const struct stop_value *v, uint64_t *x)
{
	(void)k, (void)p;
	*x = BITS(field_read(v->group, v->row), v->hi, v->lo);
	return true;
}

static bool read_guest_register(const struct stops *k, const struct stopper *p, const struct stop_value *v, uint64_t *x)
{
	const struct vcpu *guest = vcpu_of(k, p->vm, v->cpu);
	if (!guest || machine_vm_on(k->r->m, guest->cpu) != p->vm ||
	    k->r->m->vmm->vcpu[k->r->m->vmm->s.current[guest->cpu->number] - 1] != guest)
		return false;
	const struct field_group there = { .obj = guest->cpu };
	*x = BITS(field_read(&there, v->row), v->hi, v->lo);
	return true;
}

static bool read_vmcs(const struct stops *k, const struct stopper *p, const struct stop_value *v, uint64_t *x)
{
	const struct vcpu *guest = p->vm ? vcpu_of(k, p->vm, v->cpu) : NULL;
	const struct cpu *c = guest ? guest->cpu : k->r->m->cpu[v->cpu];
	const struct vmcs *now = c->vmcs;
	struct vmcs away;
	if (p->vm && !guest)
		return false;
	if (guest && (!now || now->pa != guest->s.vmcs)) {
		if (!vmcs_peek(c, guest->s.vmcs, &away))
			return false;
		now = &away;
	}
	if (!now)
		return false;
	*x = now->f[v->vmcs];
	return true;
}

/* ---- finding ---- */

struct all_names { char **name; size_t n; };
static const char *name_at(const void *table, size_t i) { return ((const struct all_names *)table)->name[i]; }

static int unknown(const struct stops *k, const char *name, struct err *e)
{
	const struct fields *f = &k->r->m->fields;
	struct all_names all = { NULL, 0 };
	char hint[160], full[96];
	for (size_t g = 0; g < f->n; g++)
		for (size_t i = 0; i < f->groups[g].n; i++) {
			bool cpu0 = strcmp(f->groups[g].prefix, "cpu0") == 0;
			snprintf(full, sizeof full, "%s.%s", f->groups[g].prefix, f->groups[g].rows[i].name);
			all.name = xrealloc(all.name, (all.n + 2) * sizeof *all.name);
			all.name[all.n++] = xstrdup(full);
			if (cpu0 && !strchr(name, '.'))
				all.name[all.n++] = xstrdup(f->groups[g].rows[i].name);
		}
	const char *near = err_nearest(name, name_at, &all, all.n);
	snprintf(hint, sizeof hint, "%s%s%sall names: vmscope list fields; vmcs.NAME: vmscope list vmcs", near ? "did you mean '" : "", near ? near : "",
	         near ? "'? " : "");
	for (size_t i = 0; i < all.n; i++)
		free(all.name[i]);
	free(all.name);
	return err_set(e, NULL, hint, "unknown field '%s'", name);
}

static const char *vmcs_name(const void *table, size_t i)
{
	return ((const struct vmcs_row *)table)[i].name;
}

static int find_vmcs(struct stop_value *v, const char *name, struct err *e)
{
	char lower[64];
	size_t n = 0;
	for (; name[n] && n < sizeof lower - 1; n++)
		lower[n] = (char)tolower((unsigned char)name[n]);
	lower[n] = '\0';
	v->read = read_vmcs;
	for (int i = 0; i < VMCS_N; i++)
		if (strcmp(vmcs_rows[i].name, lower) == 0) {
			v->vmcs = i;
			return 0;
		}
	const char *near = err_nearest(lower, vmcs_name, vmcs_rows, VMCS_N);
	char hint[120];
	snprintf(hint, sizeof hint, "%s%s%sall names: vmscope list vmcs", near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
	return err_set(e, NULL, hint, "unknown VMCS field '%s'", name);
}

/* A field, or a named bit of one. */
static bool find(const struct fields *f, const char *name, struct stop_value *v)
{
	const char *dot = strrchr(name, '.');
	char field[96];
	v->hi = 63;
	v->lo = 0;
	if (fields_find(f, name, &v->group, &v->row))
		return true;
	snprintf(field, sizeof field, "%.*s", dot ? (int)(dot - name) : 0, name);
	if (!dot || !fields_find(f, field, &v->group, &v->row))
		return false;
	for (const struct field_bits *b = v->row->bits; b && b->name; b++)
		if (strcmp(b->name, dot + 1) == 0) {
			v->hi = b->hi;
			v->lo = b->lo;
			return true;
		}
	return false;
}

int stop_find_field(struct stops *k, struct run *r, struct stopper *p, struct stop_value *v, const char *name, struct err *e)
{
	const struct machine *m = k->r->m;
	const char *rest = name;
	char full[120];
	uint64_t cpu = 0;
	size_t digits = strncmp(name, "cpu", 3) == 0 ? strspn(name + 3, "0123456789") : 0;
	bool numbered = digits && name[3 + digits] == '.';
	if (numbered) {
		cpu = strtoul(name + 3, NULL, 10);
		rest = name + 3 + digits + 1;
	}
	if (numbered && cpu >= r->m->config.cpus)
		return err_set(e, NULL, NULL, "'%s': this machine has the CPUs 0 to %u", name, r->m->config.cpus - 1);
	v->cpu = (unsigned)cpu;
	if (strncmp(rest, "vmcs.", 5) == 0)
		return find_vmcs(v, rest + 5, e);
	v->read = read_field;
	if (p->vm) {            /* its devices have its name before theirs; its CPUs are in physical ones */
		snprintf(full, sizeof full, "%s%s", r->m->prefix, name);
		if (find(&m->fields, full, v) || (strncmp(name, r->m->prefix, strlen(r->m->prefix)) == 0 && find(&m->fields, name, v)))
			return 0;
		snprintf(full, sizeof full, "cpu0.%s", rest);
		v->read = read_guest_register;
		return find(&m->fields, full, v) && strcmp(v->group->prefix, "cpu0") == 0 ? 0 : unknown(k, name, e);
	}
	if (find(&m->fields, name, v))
		return 0;
	snprintf(full, sizeof full, "cpu0.%s", name);
	return find(&m->fields, full, v) ? 0 : unknown(k, name, e);
}
