/* store.c - results that outlive the process: one file per case, named by the hash of all that determines it, written
 * under another name and then renamed, so that what is there is whole. The identity stands in the file and is compared. */
#include "ui/compare/compare.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void file_name(const char *folder, const char *identity, char *path, size_t n)
{
	size_t len = strlen(identity);

	snprintf(path, n, "%s/%016" PRIx64 "%016" PRIx64 ".case", folder, hash_bytes(1, identity, len), hash_bytes(2, identity, len));
}

int store_open(const char *folder, struct err *e)
{
	struct stat st;

	if (mkdir(folder, 0777) != 0 && errno != EEXIST)
		return err_set(e, folder, NULL, "cannot make the folder of results: %s", strerror(errno));
	if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
		return err_set(e, folder, NULL, "not a folder");
	if (access(folder, W_OK | X_OK) != 0)
		return err_set(e, folder, NULL, "cannot write into the folder of results: %s", strerror(errno));
	return 0;
}

bool store_get(const char *folder, const char *identity, struct case_record *r)
{
	char path[4400];
	FILE *f;
	bool ok;

	file_name(folder, identity, path, sizeof path);
	f = fopen(path, "rb");
	if (!f)
		return false;
	ok = record_read(f, r, identity);
	fclose(f);
	return ok;
}

int store_put(const char *folder, const char *identity, const struct case_record *r, struct err *e)
{
	char path[4400], temporary[4440];
	FILE *f;
	int bad;

	file_name(folder, identity, path, sizeof path);
	snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
	f = fopen(temporary, "wb");
	if (!f)
		return err_set(e, temporary, NULL, "cannot write: %s", strerror(errno));
	bad = record_write(f, r, identity);
	bad |= fclose(f);
	if (bad || rename(temporary, path) != 0) {
		int why = errno;

		unlink(temporary);
		return err_set(e, path, NULL, "cannot write: %s", strerror(why));
	}
	return 0;
}
