/* machine.h - the composition root: a configuration becomes a wired PC; and the only thing that advances time.
 *
 * CPUs interleave deterministically: the CPU whose clock is least runs next (ties: lowest number), for at most `quantum`
 * cycles and never past the next device event. Whose turn it is and until when is state, so stepping, running through
 * and restoring snapshots give the same interleaving.
 * No global state: any number of machines in one process. */
#ifndef MODELS_MACHINE_H
#define MODELS_MACHINE_H

#include "models/cpu/cpu.h"
#include "models/mmu/mem.h"
#include "models/profile.h"
#include "sim/err.h"
#include "sim/evq.h"
#include "sim/field.h"
#include "sim/snap.h"
#include "sim/stat.h"
#include "sim/trace.h"

struct machine_config {
	struct profile profile;
	uint64_t ram;                   /* bytes: a multiple of 4 KB, 1 MB .. 1 TB */
	unsigned cpus;                  /* 1..16 */
	bool fast;                      /* speed: fast instead of detailed */
	uint64_t seed;
	cycle_t quantum;                /* cycles one CPU runs before another has its turn; 0: the default */
	const char *disk[4];            /* image files, or NULL; writes go to a copy in memory */
	const char *disk_where;         /* for messages */
	uint64_t trace_ring;            /* records kept; 0: the default */
	uint64_t rtc_epoch;             /* seconds since 1970 the RTC starts at: a constant, for determinism */
	bool reboot;                    /* a reset boots the same image again, memory kept, instead of ending the run */
	bool test_device;               /* QEMU's pc-testdev, debug-exit and pci-testdev (kvm-unit-tests) */
};
void machine_config_defaults(struct machine_config *c);

/* What to load: see loader.h for each format's rules. */
struct boot_image {
	const char *kernel, *initrd, *cmdline;          /* paths and text; initrd and cmdline may be NULL */
	const char *modules[8];                         /* multiboot modules beyond initrd, "path args" */
	unsigned n_modules;
	uint64_t flat_base;                             /* flat binary: load and entry address (real mode below 1 MB); 0: not given */
};

enum machine_stop {
	MACHINE_STOP_CYCLES,    /* the cycle limit */
	MACHINE_STOP_ICOUNT,    /* the instruction limit */
	MACHINE_STOP_GUEST_EXIT,/* port 0xf4 or power-off: `exit_status` */
	MACHINE_STOP_SHUTDOWN,  /* triple fault with nothing to reset it */
	MACHINE_STOP_RESET,     /* the guest asked for a cold reset; there is no firmware to start over from */
	MACHINE_STOP_IDLE,      /* every CPU halted and no event pending: nothing can ever happen */
	MACHINE_STOP_BREAK,     /* a breakpoint or watchpoint, or whoever looks (machine_break, m->look) */
	MACHINE_STOP_USER,      /* machine_interrupt() */
};

struct machine_state {          /* plain */
	cycle_t now;                    /* machine time: no CPU or event acts before it any more */
	cycle_t slice_end;              /* the running CPU's turn ends when its clock reaches this */
	uint32_t running;               /* CPU whose turn it is */
	uint32_t stop;                  /* a lasting reason to stop (exit, shutdown, reset) + 1; 0: none */
	uint32_t exit_status, resets;
	uint32_t reset;                 /* enum machine_reset asked for */
	uint32_t cold;                  /* of a virtual machine: nothing goes on after its reset */
};

#define MACHINE_VMS_MAX 15
struct vm_config;               /* models/vmm/vmm.h */

struct board;                   /* models/io/board.h: the devices */

struct machine {
	struct machine_config config;
	struct machine_state s;
	struct mem mem;
	struct cache_hier *caches;
	struct cpu *cpu[CPUS_MAX];
	struct board *board;
	struct evq evq;
	struct trace trace;
	struct stats stats;
	struct fields fields;
	struct snaps *snaps;
	struct symtab *symbols;         /* of the kernel image, models/symbols.h; may be empty */
	volatile int interrupted;       /* set by machine_interrupt(), from a signal handler too */
	struct boot_image booted;       /* what machine_boot() loaded last, our copies */
	bool reset_on_shutdown;         /* a triple fault resets the machine instead of ending the run (default: end) */
	/* ---- what stops a run besides the machine's own reasons: no state ---- */
	struct breakpoints *breakpoints;/* models/breakpoint.h */
	struct watches *watches;        /* models/watch.h */
	/* Asked at each boundary between instructions, after the events due there, from a CPU clock of look_at on: true stops the
	 * run. It may look and move look_at, but change nothing. */
	bool (*look)(void *who, struct machine *m);
	void *look_who;
	bool break_asked;               /* machine_break(): at the next boundary */
	bool in_run, in_device;         /* machine_run() is under way; a device event is */
	/* ---- virtual machines (models/vmm) ---- */
	struct vmm *vmm;                /* NULL: none was asked for */
	struct machine *guest[MACHINE_VMS_MAX]; /* guest[i]: what VM i + 1 believes it runs on */
	unsigned guests;
	/* This is such a machine: its RAM is a piece of the host's, its CPUs never run (they hold what the VMM keeps of a
	 * virtual CPU: local APIC, MSRs, reset state), its devices are the VMM's device models. */
	struct machine *host;
	hpa_t base;
	unsigned number;                /* of the virtual machine, from 1; 0: a real one */
	char prefix[8];                 /* of its names: "vm1." */
	unsigned components[2];         /* its devices' on the trace: from, up to */
};

struct machine *machine_new(const struct machine_config *config, struct err *e);
void machine_free(struct machine *m);
int machine_boot(struct machine *m, const struct boot_image *image, struct err *e);

/* A virtual machine under the modelled VMM: `config` is what its guest finds (RAM, CPUs, disks), as for machine_new().
 * Made before the machine runs; then machine_boot() on what comes back loads its kernel. */
struct machine *machine_vm(struct machine *host, const struct machine_config *config, const struct vm_config *vm, struct err *e);

/* Run until the earliest clock reaches `until`, or `n` more instructions have completed over all CPUs (0: no limit),
 * or something else happens. Stops between instructions. */
enum machine_stop machine_run(struct machine *m, cycle_t until, uint64_t n);
enum machine_stop machine_step(struct machine *m);      /* one instruction of the CPU whose turn it is */
cycle_t machine_now(const struct machine *m);           /* machine time: the least clock of the CPUs that run */
uint64_t machine_icount(const struct machine *m);
void machine_interrupt(struct machine *m);
/* From inside the run: it stops at the next boundary between instructions, after the events due there, with
 * MACHINE_STOP_BREAK. Between runs nothing happens. */
void machine_break(struct machine *m);
/* Breakpoints or watches were added or removed, or silenced: `quiet` ones stop nothing. */
void machine_stops_changed(struct machine *m, bool quiet);
void machine_look_at(struct machine *m, cycle_t from);  /* on every CPU; NEVER: nobody looks */
/* The virtual machine whose code runs on a CPU, by number; 0: none does. */
unsigned machine_vm_on(const struct machine *m, const struct cpu *c);
/* The guest's linear address where a CPU is at lin: another one when it executes translated code (bt). *begins: an instruction
 * of the guest's begins there. */
uint64_t machine_linear(const struct machine *m, const struct cpu *c, uint64_t lin, bool *begins);
void machine_set_fast(struct machine *m, bool fast);

/* Console and input, models/io/board.h forwards them. */
typedef void console_fn(void *who, const uint8_t *bytes, size_t n);
void machine_on_console(struct machine *m, console_fn *fn, void *who);          /* COM1 output */
void machine_serial_input(struct machine *m, const uint8_t *bytes, size_t n);   /* queued to COM1's receiver */
void machine_key_input(struct machine *m, const uint8_t *scancodes, size_t n);  /* queued to the keyboard, set 1 */
/* VGA text memory as UTF-8 lines (25 of 80). */
void machine_screen_text(const struct machine *m, char lines[25][80 * 4 + 1]);
uint64_t machine_hash(const struct machine *m);         /* of the whole state */

#endif
