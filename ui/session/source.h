/* source.h - source lines of a kernel image that has DWARF line tables. An image without, or with broken ones, has none.
 *
 * Images are hostile: libdw reads them in a child process with limits, which sends back addresses and line numbers; a
 * crash there is an absence here. File names are the image's, too: a source file is read only when it lies in or below the
 * image's folder, this tree, or a folder that was allowed on the command line. */
#ifndef UI_SESSION_SOURCE_H
#define UI_SESSION_SOURCE_H

#include "sim/base.h"

struct source_line {
	const char *file;               /* as the image names it */
	unsigned line;                  /* from 1 */
	const char *text;               /* NULL: the file is not there, or may not be read */
	uint64_t from, to;              /* addresses of this piece of it */
};

struct source;
struct source *source_open(const char *image, const char *const *allow, unsigned allows);      /* never NULL */
void source_close(struct source *s);
bool source_any(const struct source *s);                /* is there anything? */
bool source_at(struct source *s, uint64_t addr, struct source_line *l);
const char *source_text(struct source *s, const char *file, unsigned line);    /* NULL: no such line */
/* The lowest address of a line; false: no code is made from it. */
bool source_address(const struct source *s, const char *file, unsigned line, uint64_t *addr);
static inline const char *source_base(const char *file)
{
	const char *p = file;
	for (const char *q = file; *q; q++)
		if (*q == '/')
			p = q + 1;
	return p;
}

#endif
