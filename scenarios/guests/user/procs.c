/* procs.c - processes and address spaces: the workloads that are hard on page tables. */
#include "user.h"

enum { PAGE_BYTES = 4096 };

static int wait_for_child(void)
{
	int status;

	if (sys(SYS_wait, (uintptr_t)&status, 0, 0) < 0)
		fail("wait");
	return status;
}

/* Four pages of data for children to write to. */
static uint32_t data[4][PAGE_BYTES / sizeof(uint32_t)] __attribute__((aligned(PAGE_BYTES)));

int user_forkwait(const struct params *p)
{
	uint32_t sum = 0;

	for (unsigned page = 0; page < 4; page++)
		data[page][0] = page;
	roi_start();
	for (uint32_t i = 0; i < p->n; i++) {
		intptr_t pid = sys(SYS_fork, 0, 0, 0);

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			uint32_t mine = i;

			for (unsigned page = 0; page < 4; page++) {
				data[page][i % 1024] += i;
				mine = checksum(mine, data[page][0]);
			}
			exit((int)(mine & 0x7FFFFFFF));
		}
		sum = checksum(sum, (uint32_t)wait_for_child());
	}
	roi_stop();
	for (unsigned page = 0; page < 4; page++)
		if (data[page][0] != page)
			fail("forkwait: a child wrote to its parent's memory");
	print("forkwait n=%u: %u children, checksum 0x%08x: ok\n", p->n, p->n, sum);
	return 0;
}

int user_nop(const struct params *p)
{
	return (int)p->n;
}

int user_forkexec(const struct params *p)
{
	uint32_t sum = 0;

	roi_start();
	for (uint32_t i = 0; i < p->n; i++) {
		intptr_t pid = sys(SYS_fork, 0, 0, 0);

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			sys(SYS_exec, (uintptr_t)"nop", i, 0);
			fail("exec");
		}
		sum = checksum(sum, (uint32_t)wait_for_child());
	}
	roi_stop();
	print("forkexec n=%u: %u programs, checksum 0x%08x: ok\n", p->n, p->n, sum);
	return 0;
}

int user_ctxsw(const struct params *p)
{
	intptr_t there = sys(SYS_pipe, 0, 0, 0), back = sys(SYS_pipe, 0, 0, 0);
	intptr_t pid = sys(SYS_fork, 0, 0, 0);
	uint32_t token = 0;

	if (there < 0 || back < 0 || pid < 0)
		fail("ctxsw: pipe or fork");
	if (pid == 0) {
		for (uint32_t i = 0; i < p->n; i++) {
			sys(SYS_pipe_read, (uintptr_t)there, (uintptr_t)&token, sizeof(token));
			token++;
			sys(SYS_pipe_write, (uintptr_t)back, (uintptr_t)&token, sizeof(token));
		}
		exit(0);
	}
	roi_start();
	for (uint32_t i = 0; i < p->n; i++) {
		token++;
		sys(SYS_pipe_write, (uintptr_t)there, (uintptr_t)&token, sizeof(token));
		sys(SYS_pipe_read, (uintptr_t)back, (uintptr_t)&token, sizeof(token));
	}
	roi_stop();
	wait_for_child();
	if (token != 2 * p->n)
		fail("ctxsw: the token was lost");
	print("ctxsw n=%u: token %u: ok\n", p->n, token);
	return 0;
}

int user_mmapchurn(const struct params *p)
{
	uint32_t sum = 0, pages = (p->size + PAGE_BYTES - 1) / PAGE_BYTES;

	roi_start();
	for (uint32_t i = 0; i < p->n; i++) {
		volatile uint32_t *m = map(p, p->size);

		for (uint32_t page = 0; page < pages; page++)
			m[page * (PAGE_BYTES / sizeof(*m))] += i + page;
		for (uint32_t page = 0; page < pages; page++)
			sum = checksum(sum, m[page * (PAGE_BYTES / sizeof(*m))]);
		if (sys(SYS_munmap, (uintptr_t)m, 0, 0))
			fail("munmap");
	}
	roi_stop();
	print("mmapchurn n=%u: %u pages each, checksum 0x%08x: ok\n", p->n, pages, sum);
	return 0;
}

/* The order in which the children end is up to the timer; the sum is not. */
int user_spin(const struct params *p)
{
	uint32_t sum = 0;

	roi_start();
	for (uint32_t i = 0; i < p->n; i++) {
		intptr_t pid = sys(SYS_fork, 0, 0, 0);

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			uint32_t x = random_start(i + 1);

			for (uint32_t turn = 0; turn < 2000000; turn++)
				random_next(&x);
			exit((int)(x & 0xFFFFFF));
		}
	}
	for (uint32_t i = 0; i < p->n; i++)
		sum += (uint32_t)wait_for_child();
	roi_stop();
	print("spin n=%u: sum 0x%08x: ok\n", p->n, sum);
	return 0;
}

/* --- processes that misbehave ----------------------------------------------------------------- */

/* An address that the compiler knows nothing about. */
static volatile int *at(intptr_t address)
{
	__asm__("" : "+r"(address));
	return (volatile int *)address;
}

static void null_read(void)
{
	(void)*at(16);
}

static void text_write(void)
{
	*at(0x400000) = 0;
}

static void kernel_read(void)
{
	(void)*at(INT32_MIN);		/* 2 GiB below the end: KERNBASE in both images */
}

static void wild_write(void)
{
	*at(0x70000000) = 1;
}

static void halt(void)
{
	__asm__ volatile("hlt");
}

static void port_read(void)
{
	__asm__ volatile("inb $0x80, %%al" : : : "eax");
}

static void undefined(void)
{
	__asm__ volatile("ud2");
}

static void divide(void)
{
	__asm__ volatile("div %0" : : "r"(0) : "eax", "edx");
}

static void hidden_vector(void)
{
	__asm__ volatile("int $14");
}

int user_faults(const struct params *p)
{
	static void (*const misdeed[])(void) = {
		null_read, text_write, kernel_read, wild_write, halt, port_read, undefined, divide,
		hidden_vector,
	};
	enum { MISDEEDS = sizeof(misdeed) / sizeof(misdeed[0]) };
	uint32_t killed = 0;

	(void)p;
	roi_start();
	for (unsigned i = 0; i < MISDEEDS; i++) {
		intptr_t pid = sys(SYS_fork, 0, 0, 0);

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			misdeed[i]();
			exit(0);
		}
		killed += wait_for_child() >= 128;
	}
	roi_stop();
	if (killed != MISDEEDS)
		fail("faults: a misdeed went unpunished");
	print("faults: %u killed: ok\n", killed);
	return 0;
}
