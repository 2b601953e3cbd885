/* syscall.c - the system calls; lib/syscall.def has their numbers and how they are called. */
#include "kernel.h"

static intptr_t sys_null(uintptr_t a, uintptr_t b, uintptr_t c)
{
	(void)a, (void)b, (void)c;	/* entry*.S answers number 0 itself */
	return 0;
}

static intptr_t sys_exit(uintptr_t status, uintptr_t b, uintptr_t c)
{
	(void)b, (void)c;
	proc_exit((int)status);
}

static intptr_t sys_write(uintptr_t text, uintptr_t bytes, uintptr_t c)
{
	(void)c;
	for (uintptr_t i = 0; i < bytes; i++) {
		char byte;

		if (!copy_in(&current->space, &byte, text + i, 1))
			return -1;
		console_put(byte);
	}
	return 0;
}

static intptr_t sys_getpid(uintptr_t a, uintptr_t b, uintptr_t c)
{
	(void)a, (void)b, (void)c;
	return current->pid;
}

static intptr_t sys_fork(uintptr_t a, uintptr_t b, uintptr_t c)
{
	(void)a, (void)b, (void)c;
	return proc_fork();
}

static intptr_t sys_wait(uintptr_t status_address, uintptr_t b, uintptr_t c)
{
	int status, pid = proc_wait(&status);

	(void)b, (void)c;
	if (pid > 0 && !copy_out(&current->space, status_address, &status, sizeof(status)))
		return -1;
	return pid;
}

static intptr_t sys_exec(uintptr_t name_address, uintptr_t n, uintptr_t c)
{
	struct params p = { .n = (uint32_t)n };
	char name[16];

	(void)c;
	for (unsigned i = 0; i < sizeof(name); i++) {
		if (!copy_in(&current->space, &name[i], name_address + i, 1))
			return -1;
		if (!name[i])
			return proc_exec(workload_find(name), &p) ? 0 : -1;
	}
	return -1;
}

static intptr_t sys_yield(uintptr_t a, uintptr_t b, uintptr_t c)
{
	(void)a, (void)b, (void)c;
	proc_yield();
	return 0;
}

static intptr_t sys_mmap(uintptr_t bytes, uintptr_t page_bytes, uintptr_t writable)
{
	if (page_bytes != PAGE_BYTES && page_bytes != LARGE_PAGE_BYTES)
		return -1;
	return (intptr_t)space_map(&current->space, bytes, page_bytes, writable);
}

static intptr_t sys_munmap(uintptr_t address, uintptr_t b, uintptr_t c)
{
	(void)b, (void)c;
	return space_unmap(&current->space, address) ? 0 : -1;
}

static intptr_t sys_pipe(uintptr_t a, uintptr_t b, uintptr_t c)
{
	(void)a, (void)b, (void)c;
	return pipe_create();
}

static intptr_t sys_pipe_read(uintptr_t pipe, uintptr_t to, uintptr_t bytes)
{
	return pipe_transfer((unsigned)pipe, to, bytes, false) ? 0 : -1;
}

static intptr_t sys_pipe_write(uintptr_t pipe, uintptr_t from, uintptr_t bytes)
{
	return pipe_transfer((unsigned)pipe, from, bytes, true) ? 0 : -1;
}

static intptr_t sys_sleep(uintptr_t ticks, uintptr_t b, uintptr_t c)
{
	(void)b, (void)c;
	return timer_sleep((uint32_t)ticks) ? 0 : -1;
}

static intptr_t sys_disk_read(uintptr_t sector, uintptr_t to, uintptr_t dma)
{
	uint8_t data[SECTOR_BYTES];

	if (!disk_read((uint32_t)sector, data, dma))
		return -1;
	return copy_out(&current->space, to, data, sizeof(data)) ? 0 : -1;
}

static intptr_t sys_trap_skip(uintptr_t on, uintptr_t b, uintptr_t c)
{
	(void)b, (void)c;
	if (on)
		space_populate(&current->space);	/* no page fault but the measured ones */
	cpu_trap_skip(on);
	return 0;
}

static intptr_t sys_roi(uintptr_t begin, uintptr_t b, uintptr_t c)
{
	(void)b, (void)c;
	workload_roi(begin);
	return 0;
}

typedef intptr_t syscall_function(uintptr_t a, uintptr_t b, uintptr_t c);

static syscall_function *const table[] = {
#define SYSCALL(nr, name, arguments, sentence) [nr] = sys_##name,
#include "../lib/syscall.def"
};

void syscall(struct trapframe *tf)
{
	if (tf->ax < sizeof(table) / sizeof(table[0]))
		tf->ax = (uintptr_t)table[tf->ax](tf->ARG0, tf->ARG1, tf->ARG2);
	else
		tf->ax = (uintptr_t)-1;
}
