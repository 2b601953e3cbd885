/* Source lines: from the teaching kernel's DWARF; nothing from images that have none or lie. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ui/session/source.h"

#define IMAGE "build/guests/kernel64.elf"

static char *image(size_t *n)
{
	FILE *f = fopen(IMAGE, "rb");
	cr_assert(f != NULL);
	fseek(f, 0, SEEK_END);
	*n = (size_t)ftell(f);
	char *bytes = malloc(*n);
	rewind(f);
	cr_assert(eq(sz, fread(bytes, 1, *n, f), *n));
	fclose(f);
	return bytes;
}

static struct source *open_bytes(const char *bytes, size_t n)
{
	char path[] = "/tmp/source-test-XXXXXX";
	int fd = mkstemp(path);
	cr_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	close(fd);
	struct source *s = source_open(path, NULL, 0);
	unlink(path);
	return s;
}

/* The first address that has a line. */
static uint64_t any_address(struct source *s, struct source_line *l)
{
	for (uint64_t a = 0xffffffff80100000; a < 0xffffffff80120000; a++)
		if (source_at(s, a, l))
			return a;
	return 0;
}

Test(source, the_teaching_kernel_has_lines_and_their_text)
{
	struct source *s = source_open(IMAGE, NULL, 0);
	struct source_line l;
	uint64_t at = any_address(s, &l), back;
	cr_assert(source_any(s) && at);
	cr_expect(l.text != NULL, "%s:%u", l.file, l.line);
	cr_expect(l.from <= at && at < l.to);
	cr_assert(source_address(s, l.file, l.line, &back));
	cr_expect(back <= at);
	cr_expect(source_text(s, l.file, 1000000) == NULL);
	cr_expect(not(source_at(s, 0x10, &l)));
	source_close(s);
}

Test(source, no_image_has_no_lines)
{
	struct source_line l;
	const char *const paths[] = { NULL, "/nonexistent", "Makefile", "build/guests/realmode.bin", "/" };
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct source *s = source_open(paths[i], NULL, 0);
		cr_expect(not(source_any(s)), "%zu", i);
		cr_expect(not(source_at(s, 0, &l)));
		source_close(s);
	}
}

Test(source, files_elsewhere_are_not_read)
{
	size_t n;
	char *bytes = image(&n);
	struct source_line l;
	/* every file the image names becomes one outside of all folders that may be read, as long as the name was */
	for (size_t i = 0; i + 12 < n; i++)
		if (memcmp(bytes + i, "kernel/vm.c", 12) == 0)
			memcpy(bytes + i, "/etc/passwd", 12);
	struct source *s = open_bytes(bytes, n);
	bool any = false;
	for (uint64_t a = 0xffffffff80100000; a < 0xffffffff80120000; a++)
		if (source_at(s, a, &l) && strcmp(l.file, "/etc/passwd") == 0) {
			any = true;
			cr_expect(l.text == NULL);
		}
	(void)any;
	source_close(s);
	free(bytes);
}

Test(source, broken_images_are_quiet_absences)
{
	size_t n;
	char *bytes = image(&n);
	struct source_line l;
	uint32_t x = 12345;
	for (unsigned round = 0; round < 12; round++) {
		char *bent = malloc(n);
		memcpy(bent, bytes, n);
		for (unsigned i = 0; i < 400; i++) {
			x = x * 1664525 + 1013904223;
			bent[round < 4 ? x % 4096 : x % n] = (char)(x >> 24);
		}
		struct source *s = open_bytes(bent, round % 3 == 0 ? n / 2 : n);
		(void)any_address(s, &l);
		source_close(s);
		free(bent);
	}
	free(bytes);
}
