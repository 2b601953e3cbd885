/* paths.c - finding vmscope's own files from where the program is. */
#include "ui/session/paths.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/err.h"

static bool plain_name(const char *name)
{
	return *name && *name != '.' && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == strlen(name);
}

static bool holds_profiles(const char *dir)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof path, "%s/scenarios/cpus", dir);
	return access(path, X_OK) == 0;
}

static char home[PATH_MAX];     /* --home */

int paths_home(const char *dir, struct err *e)
{
	if (strlen(dir) >= sizeof home - 32 || !holds_profiles(dir))
		return err_set(e, "--home", "the folder vmscope was built in, or a copy of its scenarios/ and build/guests/", "%s: there is no scenarios/cpus in it", dir);
	snprintf(home, sizeof home, "%s", dir);
	return 0;
}

const char *paths_root(void)
{
	static char root[PATH_MAX];
	ssize_t n;

	if (home[0])
		return home;
	if (root[0])
		return root;
	n = readlink("/proc/self/exe", root, sizeof root - 1);
	root[n > 0 ? n : 0] = '\0';
	for (char *slash; (slash = strrchr(root, '/')) != NULL;) {
		*slash = '\0';
		if (holds_profiles(root[0] ? root : "/"))
			return root;
	}
	snprintf(root, sizeof root, ".");
	return root;
}

int paths_there(struct err *e)
{
	char program[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
	char *slash;

	if (holds_profiles(paths_root()))
		return 0;
	program[n > 0 ? n : 0] = '\0';
	if ((slash = strrchr(program, '/')) != NULL)
		slash[slash == program] = '\0';
	return err_set(e, NULL, "--home FOLDER names it: the one vmscope was built in",
	               "vmscope's own files are missing: no folder scenarios/cpus in %.300s, above it, or here", program);
}

bool paths_profile(const char *name, char *buf, size_t n)
{
	snprintf(buf, n, "%s/scenarios/cpus/%s.lua", paths_root(), name);
	return plain_name(name) && access(buf, R_OK) == 0;
}

/* DIR/NAME with one of the suffixes. */
static bool find(const char *dir, const char *name, const char *const suffix[3], char *buf, size_t n)
{
	for (size_t i = 0; plain_name(name) && i < 3 && suffix[i]; i++) {
		snprintf(buf, n, "%s/%s/%s%s", paths_root(), dir, name, suffix[i]);
		if (access(buf, R_OK) == 0)
			return true;
	}
	return false;
}

bool paths_guest(const char *name, char *buf, size_t n)
{
	return find("build/guests", name, (const char *const[3]){ ".elf", ".bin", "" }, buf, n);
}

bool paths_scenario(const char *name, char *buf, size_t n)
{
	const size_t len = strlen(name);
	const bool whole = len > 4 && strcmp(name + len - 4, ".lua") == 0;
	return find("scenarios", name, (const char *const[3]){ whole ? "" : ".lua" }, buf, n);
}

bool paths_inside(const char *folder, const char *path)
{
	char a[PATH_MAX], b[PATH_MAX];
	size_t n;

	if (!realpath(folder, a) || !realpath(path, b))
		return false;
	n = strlen(a);
	return strcmp(a, "/") == 0 || (strncmp(a, b, n) == 0 && (b[n] == '/' || b[n] == '\0'));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t paths_each(const char *dir, const char *suffix, void (*fn)(void *arg, const char *name),
                  void *arg)
{
	DIR *d = opendir(dir);
	char **names = NULL;
	size_t n = 0, len = strlen(suffix);

	if (!d)
		return 0;
	for (struct dirent *x; (x = readdir(d));) {
		size_t at = strlen(x->d_name);

		if (at <= len || strcmp(x->d_name + at - len, suffix) != 0)
			continue;
		names = xrealloc(names, (n + 1) * sizeof *names);
		names[n] = xstrdup(x->d_name);
		names[n++][at - len] = '\0';
	}
	closedir(d);
	if (n)
		qsort(names, n, sizeof *names, by_name);
	for (size_t i = 0; i < n; i++) {
		fn(arg, names[i]);
		free(names[i]);
	}
	free(names);
	return n;
}
