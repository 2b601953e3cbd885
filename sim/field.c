/* field.c - named views of state: find one by name, read it, write it, print it with its
 * bits' names. */
#include "sim/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/err.h"

void fields_fini(struct fields *f)
{
	free(f->groups);
	memset(f, 0, sizeof *f);
}

void fields_add(struct fields *f, const char *prefix, const struct field_row *rows, size_t n,
                void *obj)
{
	struct field_group *g;

	if (f->n == f->room) {
		f->room = f->room ? 2 * f->room : 16;
		f->groups = xrealloc(f->groups, f->room * sizeof *f->groups);
	}
	g = &f->groups[f->n++];
	memset(g, 0, sizeof *g);
	if ((size_t)snprintf(g->prefix, sizeof g->prefix, "%s", prefix) >= sizeof g->prefix)
		BUG("field prefix '%s' is too long", prefix);
	g->rows = rows;
	g->n = n;
	g->obj = obj;
}

bool fields_find(const struct fields *f, const char *name, const struct field_group **g,
                 const struct field_row **r)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct field_group *group = &f->groups[i];
		size_t len = strlen(group->prefix);
		const char *rest = name;

		if (len) {
			if (strncmp(name, group->prefix, len) != 0 || name[len] != '.')
				continue;
			rest = name + len + 1;
		}
		for (size_t k = 0; k < group->n; k++)
			if (strcmp(group->rows[k].name, rest) == 0) {
				*g = group;
				*r = &group->rows[k];
				return true;
			}
	}
	return false;
}

uint64_t field_read(const struct field_group *g, const struct field_row *r)
{
	uint64_t v = 0;

	if (r->get)
		return r->get(g->obj);
	memcpy(&v, (const uint8_t *)g->obj + r->off, r->size);
	return v;
}

bool field_write(const struct field_group *g, const struct field_row *r, uint64_t v)
{
	if (r->set)
		r->set(g->obj, v);
	else if (r->get || r->readonly)
		return false;
	else
		memcpy((uint8_t *)g->obj + r->off, &v, r->size);
	return true;
}

int field_format(const struct field_row *r, uint64_t v, char *buf, size_t n)
{
	int len = snprintf(buf, n, r->decimal ? "%" PRIu64 : "0x%" PRIx64, v);

	for (const struct field_bits *b = r->bits; b && b->name; b++) {
		uint64_t part = BITS(v, b->hi, b->lo);
		size_t at = (size_t)len < n ? (size_t)len : n;

		if (!part)
			continue;
		if (b->hi == b->lo)
			len += snprintf(buf + at, n - at, " %s", b->name);
		else
			len += snprintf(buf + at, n - at, " %s=%" PRIu64, b->name, part);
	}
	return len;
}
