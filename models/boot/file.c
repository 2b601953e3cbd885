/* file.c - files as checked byte ranges. */
#include "models/boot/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int file_read(struct file *f, const char *path, size_t limit, struct err *e)
{
	*f = (struct file){ .path = path };
	if (!*path)
		return err_set(e, NULL, "images that are built: vmscope list guests, in build/guests", "the name of a file is empty");
	FILE *in = fopen(path, "rb");
	if (!in)
		return err_set(e, path, NULL, "%s", strerror(errno));
	struct stat st;
	if (fstat(fileno(in), &st) || !S_ISREG(st.st_mode)) {
		fclose(in);
		return err_set(e, path, NULL, "not a regular file");
	}
	if ((uint64_t)st.st_size > limit) {
		fclose(in);
		return err_set(e, path, "give the machine more memory: --ram 1G",
		               "%llu bytes do not fit into %zu bytes of RAM",
		               (unsigned long long)st.st_size, limit);
	}
	f->size = (size_t)st.st_size;
	f->bytes = xcalloc(f->size + 1, 1);
	size_t got = fread(f->bytes, 1, f->size, in);
	fclose(in);
	if (got != f->size) {
		file_free(f);
		return err_set(e, path, NULL, "read error");
	}
	return 0;
}

void file_free(struct file *f)
{
	free(f->bytes);
	f->bytes = NULL;
	f->size = 0;
}

const void *file_at(const struct file *f, uint64_t off, uint64_t n)
{
	return off <= f->size && n <= f->size - off ? f->bytes + off : NULL;
}
