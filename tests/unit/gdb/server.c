/* Where to listen, as it is written on the command line. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "ui/gdb/stub.h"

#define GOOD(name, where, want_host, want_port, want_arch) Test(gdb_where, name) { \
	struct gdb_where w; \
	struct err e = { "" }; \
	cr_assert(eq(int, gdb_where(where, &w, &e), 0), "%s", e.text); \
	cr_expect(eq(str, w.host, want_host)); \
	cr_expect(eq(int, w.port, want_port)); \
	cr_expect(eq(int, w.arch, want_arch)); \
}
#define BAD(name, where) Test(gdb_where, name) { \
	struct gdb_where w; \
	struct err e = { "" }; \
	cr_expect(eq(int, gdb_where(where, &w, &e), -1)); \
	cr_expect(strstr(e.text, "expected [ADDRESS:]PORT") != NULL, "%s", e.text); \
}
GOOD(a_port_is_loopback, "1234", "127.0.0.1", 1234, -1)
GOOD(a_colon_too, ":1234", "127.0.0.1", 1234, -1)
GOOD(any_port, "0", "127.0.0.1", 0, -1)
GOOD(zeros_before, "000000000065535", "127.0.0.1", 65535, -1)
GOOD(an_address, "192.0.2.1:1", "192.0.2.1", 1, -1)
GOOD(a_name, "localhost:80", "localhost", 80, -1)
GOOD(version_six, "[::1]:80", "::1", 80, -1)
GOOD(an_architecture, "1234,i386", "127.0.0.1", 1234, GDB_I386)
GOOD(another, "[::1]:1234,x86-64", "::1", 1234, GDB_X86_64)
GOOD(the_third, "1234,i8086", "127.0.0.1", 1234, GDB_I8086)
BAD(nothing, "")
BAD(no_port, "localhost:")
BAD(too_high, "65536")
BAD(far_too_high, "18446744073709551617")
BAD(negative, "-1")
BAD(words, "gdb")
BAD(no_architecture, "1234,")
BAD(an_unknown_architecture, "1234,arm")
BAD(words_behind, "1234,i386x")
