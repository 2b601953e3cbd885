/* pipe.c - bytes from process to process.  A pipe is a number that children inherit by knowing it;
 * it lives until the process that made it ends. */
#include "kernel.h"

enum { PIPES = 8, PIPE_BYTES = 512, CHUNK = 64 };

struct pipe {
	int owner;			/* pid; 0: this pipe is free */
	uint32_t in, out;		/* bytes ever written and read; in - out are inside */
	uint8_t data[PIPE_BYTES];
};

static struct pipe pipes[PIPES];

int pipe_create(void)
{
	for (int i = 0; i < PIPES; i++)
		if (!pipes[i].owner) {
			pipes[i].owner = current->pid;
			return i;
		}
	return -1;
}

static void put(struct pipe *p, const uint8_t *from, unsigned bytes)
{
	while (bytes--) {
		while (p->in - p->out == PIPE_BYTES) {
			proc_wakeup(p);
			proc_sleep(p);
		}
		p->data[p->in++ % PIPE_BYTES] = *from++;
	}
	proc_wakeup(p);
}

static void get(struct pipe *p, uint8_t *to, unsigned bytes)
{
	while (bytes--) {
		while (p->in == p->out) {
			proc_wakeup(p);
			proc_sleep(p);
		}
		*to++ = p->data[p->out++ % PIPE_BYTES];
	}
	proc_wakeup(p);
}

/* Move exactly so many bytes between the current process's memory and a pipe. */
bool pipe_transfer(unsigned pipe, uintptr_t user, uintptr_t bytes, bool write)
{
	uint8_t chunk[CHUNK];

	if (pipe >= PIPES || !pipes[pipe].owner)
		return false;
	while (bytes) {
		unsigned part = bytes < CHUNK ? (unsigned)bytes : CHUNK;

		if (write) {
			if (!copy_in(&current->space, chunk, user, part))
				return false;
			put(&pipes[pipe], chunk, part);
		} else {
			get(&pipes[pipe], chunk, part);
			if (!copy_out(&current->space, user, chunk, part))
				return false;
		}
		user += part;
		bytes -= part;
	}
	return true;
}

void pipe_release(int owner)
{
	for (int i = 0; i < PIPES; i++)
		if (pipes[i].owner == owner)
			memset(&pipes[i], 0, sizeof(pipes[i]));
}

void pipe_quiesce(void)
{
	memset(pipes, 0, sizeof(pipes));
}
