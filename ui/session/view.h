/* view.h - a machine as a debugger sees it: the host with its CPUs, or one virtual machine with its virtual ones. Each CPU
 * is a thread, numbered from 1.
 *
 * A virtual CPU's registers are where the VMM left them: in the physical CPU while it runs there, else in its VMCS and in
 * what the VMM keeps beside it. Control registers are as the guest believes them to be.
 * A guest's linear addresses go through its own page tables; its physical ones are those of its window on host memory,
 * which EPT or shadow tables lead to as well, once they are filled.
 * Looking changes nothing: no TLB fill, no accessed flag, no statistic, no cycle. */
#ifndef UI_SESSION_VIEW_H
#define UI_SESSION_VIEW_H

#include "models/cpu/cpu.h"
#include "ui/session/session.h"

struct view {
	struct run *top;                /* the machine that really runs */
	unsigned vm;                    /* the virtual machine looked at, from 1; 0: the host */
};

enum view_memory { VIEW_LINEAR, VIEW_GUEST_PHYSICAL, VIEW_HOST_PHYSICAL };
enum view_vmx { VIEW_VMX_OFF, VIEW_VMX_ROOT, VIEW_VMX_NON_ROOT };

struct view_state {             /* one thread's registers, put together */
	struct cpu_state s;             /* rip and cr0 to cr4 are exact; flags are not here: */
	uint64_t rflags, cr8;
	uint64_t pc;                    /* linear: gdb knows no segments */
	uint64_t cycle, insns;          /* of the physical CPU */
	uint32_t vmx, vm, mode, cpl;    /* enum view_vmx; which VM's guest runs; enum cpu_mode */
	bool loaded;                    /* these are in the physical CPU, about to execute */
};

struct run *view_run(const struct view *v);             /* the run looked at */
unsigned view_threads(const struct view *v);
const struct cpu *view_cpu(const struct view *v, unsigned thread);     /* the physical CPU */
void view_state(const struct view *v, unsigned thread, struct view_state *out);
/* The thread the machine would run next, or 0: none of this view. */
unsigned view_running(const struct view *v);
bool view_loaded(const struct view *v, unsigned thread); /* its next instruction is the physical CPU's next */

/* How many of the n bytes from `at` on could be read. */
size_t view_peek(const struct view *v, unsigned thread, enum view_memory how, uint64_t at, void *buf, size_t n);
/* How many of the n bytes at a linear address of a physical CPU can be seen: as its translations are now, or, where the VMM
 * of a guest that runs there has not filled its tables yet, as the guest's own tables say. */
size_t view_bytes(struct run *top, const struct cpu *c, uint64_t lin, void *buf, size_t n);
/* Everything or nothing. A change of the machine: the caller tells the timeline. */
bool view_poke(const struct view *v, unsigned thread, enum view_memory how, uint64_t at, const void *buf, size_t n);
/* The physical address behind a linear one, as the view's machine means it. */
bool view_translate(const struct view *v, unsigned thread, uint64_t lin, uint64_t *pa);
/* "CPU 0, ring 3, vm1" */
void view_describe(const struct view *v, unsigned thread, char *buf, size_t n);

/* Writing registers: by what can be written without breaking what else follows from it. False: not this one. */
enum view_set { VIEW_SET_GPR, VIEW_SET_RIP /* linear */, VIEW_SET_IP /* its offset in CS */, VIEW_SET_RFLAGS, VIEW_SET_XMM, VIEW_SET_ST, VIEW_SET_FPU, VIEW_SET_MXCSR };
bool view_register(const struct view *v, unsigned thread, enum view_set what, unsigned i, const uint8_t value[16]);

#endif
