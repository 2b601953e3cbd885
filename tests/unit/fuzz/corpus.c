/* Every file of tests/fuzz/corpus/TARGET/ through its target: what fuzzers once found stays found. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>

#include "models/boot/image.h"
#include "tests/fuzz/fuzz.h"

static void corpus(const char *name, fuzz_target *target)
{
	char dir[64], path[512];
	unsigned n = 0;
	snprintf(dir, sizeof dir, "tests/fuzz/corpus/%s", name);
	DIR *d = opendir(dir);
	cr_assert(d != NULL, "no folder %s: run from the repository's root", dir);
	for (struct dirent *x; (x = readdir(d));) {
		struct file f;
		struct err e = { "" };
		if (x->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, x->d_name);
		cr_assert(!file_read(&f, path, 1 << 24, &e), "%s", e.text);
		target(f.bytes, f.size);
		file_free(&f);
		n++;
	}
	closedir(d);
	cr_assert(n > 0, "%s is empty", dir);
}

Test(fuzz, loader_corpus) { corpus("loader", fuzz_loader); }
Test(fuzz, exec_corpus) { corpus("exec", fuzz_exec); }
Test(fuzz, vmx_corpus) { corpus("vmx", fuzz_vmx); }
Test(fuzz, lua_corpus) { corpus("lua", fuzz_lua); }
Test(fuzz, snapshot_corpus) { corpus("snapshot", fuzz_snapshot); }
Test(fuzz, gdb_corpus) { corpus("gdb", fuzz_gdb); }
Test(fuzz, hypercall_corpus) { corpus("hypercall", fuzz_hypercall); }
Test(fuzz, isolation_corpus) { corpus("isolation", fuzz_isolation); }
