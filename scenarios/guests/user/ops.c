/* ops.c - one operation, n times: system calls and exceptions as a program meets them. */
#include "user.h"

int user_syscall(const struct params *p)
{
	roi_start();
	loop_fast(p->n);
	roi_stop();
	print("syscall n=%u: ok\n", p->n);
	return 0;
}

int user_int80(const struct params *p)
{
	roi_start();
	loop_int80(p->n);
	roi_stop();
	print("int80 n=%u: ok\n", p->n);
	return 0;
}

int user_getpid(const struct params *p)
{
	uint32_t sum = 0;

	roi_start();
	for (uint32_t i = 0; i < p->n; i++)
		sum += (uint32_t)sys(SYS_getpid, 0, 0, 0);
	roi_stop();
	if (sum != p->n)
		fail("getpid: the first process is not number 1");
	print("getpid n=%u: ok\n", p->n);
	return 0;
}

/* While trap_skip is on, page faults and divide errors step over the two-byte instruction. */
int user_pgfault(const struct params *p)
{
	volatile uint8_t *page = (void *)sys(SYS_mmap, 4096, 4096, 0);

	sys(SYS_trap_skip, 1, 0, 0);
	roi_start();
	loop_store(p->n, (void *)page);
	roi_stop();
	sys(SYS_trap_skip, 0, 0, 0);
	if (*page)
		fail("pgfault: a store to a read-only page");
	print("pgfault n=%u: ok\n", p->n);
	return 0;
}

int user_divzero(const struct params *p)
{
	sys(SYS_trap_skip, 1, 0, 0);
	roi_start();
	loop_divide(p->n);
	roi_stop();
	sys(SYS_trap_skip, 0, 0, 0);
	print("divzero n=%u: ok\n", p->n);
	return 0;
}
