/* user.h - what a user program has: system calls, print, and its parameters. */
#ifndef USER_H
#define USER_H

#include "../lib/lib.h"
#include "../lib/params.h"

enum {
#define SYSCALL(nr, name, arguments, sentence) SYS_##name = nr,
#include "../lib/syscall.def"
};

/* In start32.S or start64.S. */
intptr_t sys(uintptr_t nr, uintptr_t a, uintptr_t b, uintptr_t c);

/* Loops around one operation, in start*.S: two instructions per turn besides the operation. */
void loop_fast(uint32_t n);		/* the empty system call, SYSENTER or SYSCALL */
void loop_int80(uint32_t n);		/* the empty system call, INT 0x80 */
void loop_store(uint32_t n, void *to);	/* a store of two bytes' length */
void loop_divide(uint32_t n);		/* a division by zero, two bytes long */

void print(const char *text, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *what) __attribute__((noreturn));	/* prints it and exits with status 1 */
void *map(const struct params *p, uint32_t bytes);	/* zeroed, in pages of p->page_bytes */

static inline void exit(int status)
{
	sys(SYS_exit, (uintptr_t)status, 0, 0);
}

static inline void roi_start(void)
{
	sys(SYS_roi, 1, 0, 0);
}

static inline void roi_stop(void)
{
	sys(SYS_roi, 0, 0, 0);
}

#endif
