/* proc.c - processes, and who runs next.
 *
 *	FREE -> RUNNABLE <-> RUNNING -> ZOMBIE -> FREE
 *	            ^           |
 *	            +-- SLEEPING+
 *
 * Process 0 is the kernel's own thread, the one that boot.S began; it starts the first program and
 * waits for it.  Each process has a kernel stack of one frame; at its top lies the trapframe of the
 * program, and while the process does not run, its struct context lies at the lower end:
 *
 *	top	struct trapframe	registers of the program in ring 3
 *		C frames of the kernel
 *		struct context		registers of the kernel itself   <- proc.context
 *
 * The kernel is not preempted: a tick ends a turn only on the way back to ring 3.  Interrupt
 * handlers do wake processes, so what they touch is changed with interrupts off. */
#include "kernel.h"

extern char user_image[], user_text_end[], user_data_end[];
void context_switch(struct context **save, struct context *load);
void trap_return(void);

static struct proc procs[PROCS];
static int last_pid;
struct proc *current = &procs[0];
bool turn_is_over;

void proc_init(void)
{
	procs[0].state = RUNNING;
	procs[0].program = "kernel";
	procs[0].space.root = physical_of(kernel_root);
}

/* --- the scheduler ---------------------------------------------------------------------------- */

static uintptr_t stack_top(const struct proc *p)
{
	return (uintptr_t)direct(p->stack) + PAGE_BYTES;
}

/* Round robin: the first that can run after the one that ran last, that one itself last of all. */
static struct proc *next_runnable(void)
{
	for (int i = 1; i <= PROCS; i++) {
		struct proc *p = &procs[(current - procs + i) % PROCS];

		if (p->state == RUNNABLE)
			return p;
	}
	return NULL;
}

/* Give the processor away; returns when the caller is chosen again.  Interrupts are off.  With
 * nothing to run the processor halts, still on the caller's stack and in its address space.      */
static void schedule(void)
{
	struct proc *before = current, *next;

	while (!(next = next_runnable()))
		irq_wait();
	next->state = RUNNING;
	if (next == before)
		return;
	current = next;
	cpu_stack_set(stack_top(next));
	root_load(next->space.root);
	context_switch(&before->context, next->context);
}

void proc_yield(void)
{
	uintptr_t flags = irq_save();

	current->state = RUNNABLE;
	schedule();
	irq_restore(flags);
}

void proc_sleep(const void *what)
{
	uintptr_t flags = irq_save();

	current->waiting_for = what;
	current->state = SLEEPING;
	schedule();
	irq_restore(flags);
}

void proc_wakeup(const void *what)
{
	uintptr_t flags = irq_save();

	for (struct proc *p = procs; p < procs + PROCS; p++)
		if (p->state == SLEEPING && p->waiting_for == what)
			p->state = RUNNABLE;
	irq_restore(flags);
}

/* --- a process begins ------------------------------------------------------------------------- */

static struct trapframe *trapframe_of(const struct proc *p)
{
	return (struct trapframe *)stack_top(p) - 1;
}

/* A process that will return to ring 3 as its trapframe says, once that and the space are filled in
 * and it is made RUNNABLE. */
static struct proc *proc_create(const char *program)
{
	struct proc *p = procs;

	while (p < procs + PROCS && p->state != FREE)
		p++;
	if (p == procs + PROCS)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->pid = ++last_pid;
	p->parent = current->pid;
	p->program = program;
	p->stack = frame_alloc_zeroed(PAGE_BYTES);
	p->context = (struct context *)trapframe_of(p) - 1;
	p->context->ip = (uintptr_t)trap_return;
	return p;
}

/* An address space with the user programs' image and a stack, all to be paged in on demand. */
static void space_load(struct space *s)
{
	uintptr_t text_end = (uintptr_t)user_text_end, data_end = (uintptr_t)user_data_end;
	uintptr_t image = physical_of(user_image);

	space_create(s);
	space_add(s, (struct region){ USER_IMAGE, text_end, PAGE_BYTES, image, false });
	space_add(s, (struct region){ text_end, data_end, PAGE_BYTES,
				      image + (text_end - USER_IMAGE), true });
	space_add(s, (struct region){ USER_STACK_TOP - USER_STACK_BYTES, USER_STACK_TOP, PAGE_BYTES,
				      0, true });
}

/* Start `program` afresh: user_start(&params, main), the params lying at the top of the stack. */
static void program_start(struct trapframe *tf, struct space *s, int program,
			  const struct params *p)
{
	uintptr_t sp = (USER_STACK_TOP - sizeof(*p)) & -(uintptr_t)64;

	if (!copy_out(s, sp, p, sizeof(*p)))
		panic("no stack for %s", workload_name(program));
	memset(tf, 0, sizeof(*tf));
#ifndef __x86_64__
	tf->ds = tf->es = SEL_UDATA;
#endif
	tf->ip = workload_user_start();
	tf->cs = SEL_UCODE;
	tf->flags = FLAGS_IF | FLAGS_FIXED;
	tf->sp = sp;
	tf->ss = SEL_UDATA;
	tf->ARG0 = sp;
	tf->ARG1 = workload_user_main(program);
}

int proc_fork(void)
{
	struct proc *child = proc_create(current->program);

	if (!child)
		return -1;
	space_fork(&child->space, &current->space);
	*trapframe_of(child) = *trapframe_of(current);
	trapframe_of(child)->ax = 0;
	child->state = RUNNABLE;
	return child->pid;
}

bool proc_exec(int program, const struct params *p)
{
	struct space old = current->space;

	if (program < 0 || !workload_user_main(program))
		return false;
	space_load(&current->space);
	program_start(trapframe_of(current), &current->space, program, p);
	root_load(current->space.root);
	space_destroy(&old);
	current->program = workload_name(program);
	return true;
}

/* --- a process ends --------------------------------------------------------------------------- */

/* Its parent learns of it, or process 0 if the parent is gone. */
void proc_exit(int status)
{
	struct proc *parent = procs;

	pipe_release(current->pid);
	root_load(physical_of(kernel_root));
	space_destroy(&current->space);
	current->space.root = physical_of(kernel_root);
	for (struct proc *p = procs; p < procs + PROCS; p++) {
		if (p->state != FREE && p->parent == current->pid)
			p->parent = 0;
		if (p->state != FREE && p->pid == current->parent)
			parent = p;
	}
	irq_disable();
	current->status = status;
	current->state = ZOMBIE;
	proc_wakeup(parent);
	proc_wakeup(&procs[0]);
	schedule();
	panic("a dead process runs");
}

int proc_wait(int *status)
{
	uintptr_t flags = irq_save();
	int pid = 0;

	while (!pid) {
		pid = -1;
		for (struct proc *p = procs + 1; p < procs + PROCS; p++) {
			if (p->state == FREE || p->parent != current->pid)
				continue;
			pid = 0;
			if (p->state != ZOMBIE)
				continue;
			pid = p->pid;
			*status = p->status;
			frame_free(p->stack, PAGE_BYTES);
			memset(p, 0, sizeof(*p));
			break;
		}
		if (!pid)
			proc_sleep(current);
	}
	irq_restore(flags);
	return pid;
}

/* Run a program and all that it forks to the end; its exit status. */
int proc_run(int program, const struct params *p)
{
	struct proc *first = proc_create(workload_name(program));
	int first_pid = first->pid, pid, status, result = -1;

	space_load(&first->space);
	program_start(trapframe_of(first), &first->space, program, p);
	first->state = RUNNABLE;
	while ((pid = proc_wait(&status)) > 0)
		if (pid == first_pid)
			result = status;
	last_pid = 0;
	return result;
}

void proc_quiesce(void)
{
	procs[0].waiting_for = NULL;
	procs[0].context = NULL;
	memset(procs + 1, 0, sizeof(procs) - sizeof(procs[0]));
	last_pid = 0;
	turn_is_over = false;
	cpu_stack_set(0);
#ifdef __x86_64__
	extern uintptr_t user_stack;
	user_stack = 0;
#endif
}
