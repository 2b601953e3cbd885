/* field.h - named, typed views of state. Lua, panes, dumps, diffs, `list` and `explain` read the
 * same views, so a new device needs no new code in any of them. Reading a field changes nothing. */
#ifndef SIM_FIELD_H
#define SIM_FIELD_H

#include "sim/base.h"

struct field_bits { uint8_t hi, lo; const char *name, *what; };     /* ended by a NULL name */

struct field_row {
	const char *name;               /* lower-case dotted: "cr0", "gdtr.base", "irr" */
	uint32_t off;                   /* offset in the object, unless get != NULL */
	uint8_t size;                   /* bytes: 1, 2, 4, 8 */
	uint8_t decimal;                /* print in decimal */
	/* something follows from its value: it cannot be set by writing it */
	uint8_t readonly;
	const struct field_bits *bits;  /* named bits, or NULL */
	const char *what;               /* one line: the manual's name of it */
	uint64_t (*get)(const void *obj);
	/* NULL: by offset when get is NULL too, else read-only */
	void (*set)(void *obj, uint64_t v);
};

struct field_group { char prefix[24]; const struct field_row *rows; size_t n; void *obj; };
struct fields { struct field_group *groups; size_t n, room; };

void fields_fini(struct fields *f);
void fields_add(struct fields *f, const char *prefix, const struct field_row *rows, size_t n,
                void *obj);
bool fields_find(const struct fields *f, const char *name, const struct field_group **g,
                 const struct field_row **r);
uint64_t field_read(const struct field_group *g, const struct field_row *r);
bool field_write(const struct field_group *g, const struct field_row *r, uint64_t v);
/* "0x80050033 pe mp ne wp pg": the value, then the names of set bits (name=value for
 * wider ones). */
int field_format(const struct field_row *r, uint64_t v, char *buf, size_t n);

#endif
