/* outfile.c - opening and closing what a user asked to be written. */
#include "ui/export/outfile.h"

#include <errno.h>
#include <string.h>

FILE *outfile_open(const char *path, struct err *e)
{
	FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");

	if (!f)
		err_set(e, path, NULL, "cannot write: %s", strerror(errno));
	return f;
}

int outfile_close(FILE *f, const char *path, struct err *e)
{
	int bad = fflush(f) != 0 || ferror(f), why = errno;

	if (f != stdout && fclose(f) != 0) {
		bad = 1;
		why = errno;
	}
	return bad ? err_set(e, path, NULL, "cannot write: %s", strerror(why)) : 0;
}
