/* fuzz.h - fuzz targets. Each takes any bytes and must come back; a crash is a finding.
 *
 * `make fuzz TARGET=loader TIME=60` builds one with libFuzzer and sanitizers; tests/unit/fuzz/corpus.c runs every
 * file of tests/fuzz/corpus/TARGET/ (what was once found, and a few seeds) through the same function in `make test`. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

typedef int fuzz_target(const uint8_t *data, size_t n);
fuzz_target fuzz_loader;        /* kernel images */
fuzz_target fuzz_exec;          /* machine code and page tables */
fuzz_target fuzz_snapshot;      /* snapshot files */
fuzz_target fuzz_lua;           /* scenarios */
fuzz_target fuzz_vmx;           /* guests and VMCSs in VMX operation */
fuzz_target fuzz_gdb;           /* a debugger's packets */
fuzz_target fuzz_isolation;     /* a hostile VM beside another: isolation_techniques, the first byte of the input */
fuzz_target fuzz_hypercall;     /* a paravirtual guest's hypercalls, beside another VM */
extern const unsigned isolation_techniques;

/* One machine for all inputs: the first call builds it, the others go back to how it was. */
struct machine;
struct snap;
struct fuzz_machine { struct machine *m; struct snap *fresh; };
struct machine *fuzz_machine(struct fuzz_machine *f, uint64_t ram);

#endif
