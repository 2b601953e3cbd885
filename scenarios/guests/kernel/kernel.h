/* kernel.h - what the kernel's files offer each other, file by file, in reading order. */
#ifndef KERNEL_H
#define KERNEL_H

#include "../lib/lib.h"
#include "../lib/params.h"
#include "arch.h"
#include "layout.h"
#include "privop.h"

enum { IRQ_TIMER = 0, IRQ_DISK = 14 };

/* --- console.c: the 16550 --------------------------------------------------------------------- */
void console_put(char c);
void kprintf(const char *text, ...) __attribute__((format(printf, 1, 2)));
void panic(const char *text, ...) __attribute__((format(printf, 1, 2), noreturn));

/* --- power.c: the end of the run -------------------------------------------------------------- */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_PANIC = 2 };	/* values for isa-debug-exit */
void power_off(uint32_t value) __attribute__((noreturn));
void quiesce(void);

/* --- multiboot.c: what the loader said -------------------------------------------------------- */
struct boot_info {
	uintptr_t ram_bytes;		/* end of the RAM around the kernel, at most RAM_LIMIT */
	char line[512];			/* command line */
};
extern struct boot_info boot_info;
void multiboot_read(uintptr_t physical);

/* --- frame.c: physical memory ----------------------------------------------------------------- */
void frame_init(void);
uintptr_t frame_alloc(uintptr_t bytes);	/* PAGE_BYTES or LARGE_PAGE_BYTES; contents undefined */
uintptr_t frame_alloc_zeroed(uintptr_t bytes);
void frame_share(uintptr_t frame);	/* one more user */
void frame_free(uintptr_t frame, uintptr_t bytes);	/* one user less; freed with the last */
bool frame_is_shared(uintptr_t frame);
void frame_quiesce(void);

static inline void *direct(uintptr_t physical)
{
	return (void *)(physical + KERNBASE);
}

static inline uintptr_t physical_of(const void *kernel_pointer)
{
	return (uintptr_t)kernel_pointer - KERNBASE;
}

/* --- vm.c: page tables, address spaces, page faults ------------------------------------------- */
#define PTE_P	0x001
#define PTE_RW	0x002
#define PTE_US	0x004
#define PTE_A	0x020
#define PTE_D	0x040
#define PTE_PS	0x080
#define PTE_G	0x100
#define PTE_AVL	0x200			/* free for software */

struct region {				/* a stretch of user space and where its pages come from */
	uintptr_t start, end;		/* end = 0: this slot is free */
	uintptr_t page_bytes;
	uintptr_t image;		/* physical address of its contents; 0: zeroes */
	bool writable;
};

enum { REGIONS = 12 };

struct space {
	uintptr_t root;			/* physical address of the top table, as CR3 wants it */
	struct region region[REGIONS];
};

#ifdef PV
extern pte_t *kernel_root;		/* made by the loader */
#else
extern pte_t kernel_root[];
#endif
void vm_init(void);
void vm_direct_map(uintptr_t page_bytes);
pte_t *vm_entry(uintptr_t root, uintptr_t address, uintptr_t page_bytes, bool create);
void space_create(struct space *s);
void space_destroy(struct space *s);
void space_fork(struct space *to, struct space *from);
void space_add(struct space *s, struct region r);
uintptr_t space_map(struct space *s, uintptr_t bytes, uintptr_t page_bytes, bool writable);
bool space_unmap(struct space *s, uintptr_t start);
void space_populate(struct space *s);
bool space_fault(struct space *s, uintptr_t address, bool write);
void *space_touch(struct space *s, uintptr_t address, bool write);
bool copy_in(struct space *s, void *to, uintptr_t from, uintptr_t bytes);
bool copy_out(struct space *s, uintptr_t to, const void *from, uintptr_t bytes);

/* --- cpu.c: GDT, TSS, IDT, fast system calls -------------------------------------------------- */
void cpu_init(void);
void cpu_stack_set(uintptr_t top);
void cpu_trap_skip(bool on);

/* --- trap.c: exceptions, interrupts, system calls arrive -------------------------------------- */
void trap(struct trapframe *tf);

/* --- proc.c: processes and the scheduler ------------------------------------------------------ */
enum proc_state { FREE, RUNNABLE, RUNNING, SLEEPING, ZOMBIE };

struct proc {
	enum proc_state state;
	int pid;
	int parent;			/* pid; 0 is the kernel's own thread */
	int status;			/* from exit, for wait */
	const char *program;
	const void *waiting_for;	/* while SLEEPING */
	struct space space;
	uintptr_t stack;		/* frame of the kernel stack */
	struct context *context;	/* saved registers while not RUNNING */
};

enum { PROCS = 32, KILLED = 128 };	/* status of a killed process: KILLED + vector */

extern struct proc *current;
extern bool turn_is_over;		/* a tick came: yield before returning to the program */
void proc_init(void);
int proc_run(int program, const struct params *p);
int proc_fork(void);
void proc_exit(int status) __attribute__((noreturn));
int proc_wait(int *status);
bool proc_exec(int program, const struct params *p);
void proc_yield(void);
void proc_sleep(const void *what);
void proc_wakeup(const void *what);
void proc_quiesce(void);

/* --- syscall.c -------------------------------------------------------------------------------- */
void syscall(struct trapframe *tf);

/* --- pipe.c ----------------------------------------------------------------------------------- */
int pipe_create(void);
bool pipe_transfer(unsigned pipe, uintptr_t user, uintptr_t bytes, bool write);
void pipe_release(int owner);
void pipe_quiesce(void);

/* --- timer.c: 8259 and 8254 ------------------------------------------------------------------- */
void pic_init(void);
void pic_enable(unsigned irq, bool on);
bool pic_acknowledge(unsigned irq);
void timer_start(uint32_t hz);
void timer_tick(void);
bool timer_sleep(uint32_t ticks);
void timer_quiesce(void);

/* --- disk.c: IDE primary master --------------------------------------------------------------- */
enum { SECTOR_BYTES = 512 };
bool disk_read(uint32_t sector, void *to, bool dma);
void disk_interrupt(void);
void disk_quiesce(void);

/* --- workload.c: the table, the command line, the ring-0 workloads ---------------------------- */
int workload_find(const char *name);
const char *workload_name(int index);
bool workload_run_all(const char *line);
void workload_roi(bool begin);
uintptr_t workload_user_main(int index);
uintptr_t workload_user_start(void);

#endif
