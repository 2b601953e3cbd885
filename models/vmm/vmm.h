/* vmm.h - the modelled virtualization software: virtual machines, their CPUs, and how they are paged.
 *
 * It is C, but it obeys the hardware (design, decision 3): it gets control when the CPU completes a VM exit or takes an
 * interrupt in root operation (cpu->root), reads and writes guest state through VMREAD and VMWRITE (vcpu_get, vcpu_set)
 * and simulated memory, and each of these costs cycles and moves cache lines. Between them it is charged rows of
 * cost.def. General registers are the CPU's own: software saves what it changes.
 *
 *   vmm.c      life, the VMM's own memory            exit*.c, exit_service.def  one service routine per exit reason
 *   vm.c       a VM: memory, devices                 ept.c        the EPT builder                (pager "ept")
 *   vcpu.c     a virtual CPU; virt*: VMX, rings          shadow*.c    the shadow pagers              (pagers "shadow.*", "agile")
 *   sched.c    which vCPU runs where, world switch   emulate.c    instructions that touch devices or guarded tables
 *   interrupt.c  what a vCPU is interrupted by       interpret.c  guests in a state VM entry refuses: real mode without
 *   pager.def  the pagers                                         "unrestricted guest"
 *   apicv.c    what of a local APIC the hardware does
 *
 * State is plain and in snapshot sections; pointers are wiring. */
#ifndef VMM_VMM_H
#define VMM_VMM_H

#include "models/cpu/vmx/vmx.h"
#include "models/io/board.h"
#include "models/mmu/mem.h"

#define VMS_MAX   15            /* VM 0 is the bare machine's own software; the ledger has 16 */
#define VCPUS_MAX 16            /* of one VM */

enum vmm_cost {                 /* software phases of VMM code, cycles from cost.def */
#define COST(NAME, name, cycles, why, sentence) VMM_COST_##NAME,
#include "models/vmm/cost.def"
	VMM_COSTS
};
struct vmm_cost_row { const char *name, *sentence; cycle_t cycles; enum why why; };
extern const struct vmm_cost_row vmm_cost_rows[VMM_COSTS];
enum vmm_stat {
#define STAT(NAME, name, unit, sentence) VMM_STAT_##NAME,
#include "models/vmm/vmm_stat.def"
	VMM_STAT_N
};

enum vmm_trace {
	VMM_TRACE_BASE_ = TRACE_VMM - 1,
#define EVENT(NAME, name, args, sentence) VMM_TRACE_##NAME,
#include "models/vmm/vmm_trace.def"
	VMM_TRACE_END_
};
extern const struct stat_row vmm_stat_rows[VMM_STAT_N];
extern const struct trace_row vmm_trace_rows[];        /* at TRACE_VMM */
extern const size_t vmm_trace_rows_n;

enum apicv { APICV_FULL /* all the CPU has */, APICV_ACCESS, APICV_TPR, APICV_OFF };    /* apicv.c */

struct vm_config {
	char name[16];
	const char *cpu, *mmu;          /* technique: "vmx"; "ept", "shadow.wp", ... (technique.def) */
	uint64_t ram;
	unsigned vcpus;
	unsigned page_shift;            /* EPT: the largest page to map with: 12, 21, 30 */
	bool eager;                     /* EPT: map everything at the start instead of at the first violation */
	bool tags;                      /* use VPIDs */
	enum apicv apicv;               /* at most: what of its local APIC the hardware does */
	uint64_t shadow_limit;          /* bytes of shadow tables kept; 0: the default */
	unsigned shadow_flood;          /* trapped writes to a table until its shadow is given up; 0: the default, ~0: never */
	bool nested;                    /* it is offered VMX (nested/); under trap: critical instructions trap in it, too */
	bool vmcs_shadowing;            /* and its VMREADs and VMWRITEs reach a shadow VMCS */
	struct { unsigned block, cache_kb, rdtsc; bool no_chain, no_adapt; } bt;        /* binary translation, bt/bt.c; 0: the default */
	cycle_t slice;                  /* turn of a virtual CPU while others wait for its physical one; 0: the default */
	struct { bool set; cycle_t cycles; } cost[VMM_COSTS];   /* instead of cost.def's; the VMM is one: for all its VMs */
};

struct vm;
struct vmm;
struct virt;
struct nested;

/* One virtual CPU. */
struct vcpu_state {             /* plain */
	uint64_t vmcs;                  /* its VMCS */
	uint64_t cr0, cr3, cr4;         /* as the guest believes them to be */
	uint64_t efer;                  /* likewise; the VMCS's has LME only while LMA is set when the pager owns CR0 */
	uint64_t pdpte[4];              /* likewise, under a pager that owns CR3; with EPT they are in the VMCS */
	uint32_t runnable, launched;    /* runnable: has been started */
	uint32_t halted, pending_event; /* pending_event: ENTRY_INTR_INFO to inject at the next entry, 0 none */
	uint32_t pending_error, pending_length;
	uint32_t window;                /* VMM_WINDOW_*: what the VMCS asks for now */
	uint32_t reload;                /* the model's state has changed: it goes into the VMCS before the next entry */
	uint32_t interpreting;          /* INTERPRET_*: not to be entered, see interpret.c */
	uint32_t interpret_one;         /* at least an instruction, whether it may be entered or not */
	uint32_t blocked;               /* halted with interrupts off: only an NMI, INIT or start-up IPI helps */
	uint64_t apic_page;             /* its virtual-APIC page, host-physical */
	uint64_t eoi_exit[4];           /* as in the VMCS */
	uint32_t apicv, tpr_threshold;  /* enum apicv: the VMCS's controls; likewise */
	cycle_t ran, since;             /* cycles it has run; when it was given the CPU last */
	uint64_t segments;              /* under ring/segment.c: its page, host-physical */
	uint32_t real_changed;          /* in rings: RING_REAL_*, to be loaded into the physical CPU before it is entered */
	uint32_t translated;            /* in rings: it runs, or is about to, translated 32-bit code (bt) */
	uint32_t privilege;             /* in rings: what pager->privilege() was told last: 0 nothing, 1 user, 2 kernel */
	uint32_t blocking;              /* in rings: interruptibility bits 1:0 as the record has them */
	uint32_t renew;                 /* after interpretation: translations may be others, though no control register is */
	uint64_t cr2;                   /* in rings: while it runs, the guest's CR2; after a #PF, where that struck */
	uint64_t entered_rip;           /* in rings: where it was entered last */
	uint32_t entered_rf;            /* RF when it was entered there; under VMX, when an interrupt or NMI was injected last */
	uint32_t switching;             /* in rings: it was taken up and has not been entered since */
	uint32_t segments_changed; /* likewise: registers to be loaded before it is entered, a bit for each enum seg_reg, SEG_N: GDTR */
};
enum { VMM_WINDOW_INTERRUPT = 1, VMM_WINDOW_NMI = 2 };
enum { INTERPRET_WANTED = 1 /* its state is where it always is */, INTERPRET_MODEL /* its state is the model's */ };
struct vcpu {
	struct vcpu_state s;
	struct vm *vm;
	unsigned number;
	struct cpu *cpu;                /* the physical CPU it runs on */
	struct cpu *model;              /* what the VMM keeps of it beside the VMCS: local APIC, MSRs, CPUID, and while it
	                                 * does not run the registers no VMCS holds; never runs */
	void *pager;                    /* the pager's own, per vCPU */
	struct nested *nested;          /* its VMX operation; NULL: not offered (nested/nested.h) */
};

/* How guest-physical (and for shadow paging, guest-linear) memory is mapped: one row per variant. All work is charged. */
enum paged { PAGED_FIXED /* go on: the access will succeed now */,
             PAGED_INJECT /* the guest's own fault: page_fault() has injected it, with its own error code and CR2 */,
             PAGED_EMULATE /* not RAM, or a guarded table: emulate the instruction at gpa */ };
/* A pager with page_fault() owns the real CR0, CR3 and CR4 of its guest, EFER.LMA and the VM-entry control that follows
 * it: exit.c checks what the guest writes (#GP), stores it in s.cr0, s.cr3, s.cr4 or s.efer, puts it in the read shadow, and
 * calls cr_written(), which loads PDPTEs too (false: #GP(0), the caller puts the old value back). Such a guest is not
 * offered PCIDs, protection keys or INVPCID. */
#define PAGER_EFER 16           /* cr_written(): EFER */
struct pager {
	const char *name;               /* "ept", "shadow.wp", ... */
	/* Bytes of host-physical memory its tables need, below 4 GB, aligned to 2 MB, zeroed: vm->tables, before vm_init. NULL: none. */
	uint64_t (*needs)(const struct vm_config *c);
	int (*vm_init)(struct vm *vm, struct err *e);
	void (*vcpu_init)(struct vcpu *v);      /* with its VMCS current: set the controls it needs */
	void (*fini)(struct vm *vm);
	/* Exits. NULL: cannot happen under this pager. */
	enum paged (*page_fault)(struct vcpu *v, uint64_t lin, uint32_t error, gpa_t *gpa);
	enum paged (*ept_violation)(struct vcpu *v, gpa_t gpa, uint64_t qualification);
	bool (*cr_written)(struct vcpu *v, unsigned cr, uint64_t old, uint64_t now);
	void (*invlpg)(struct vcpu *v, uint64_t lin);
	void (*invpcid)(struct vcpu *v, unsigned type, unsigned pcid, uint64_t lin);
	/* The instruction that was to be emulated is not known: true, it may be restarted (the guarded table is no longer one). */
	bool (*restart)(struct vcpu *v);
	/* An emulated write to guest RAM has been made. True: it had to be, something there is the VMM's concern. */
	bool (*write)(struct vcpu *v, gpa_t gpa, const void *bytes, unsigned n);
	void (*entering)(struct vcpu *v);       /* before a VM entry after a world switch */
	uint64_t (*memory)(const struct vm *vm);        /* bytes of tables now */
	bool shadow;                    /* what the hardware walks are tables of the VMM's, not the guest's own */
	bool (*agile)(const struct vcpu *v);            /* enter it with agile paging; NULL: never */
	/* For guests that run beside the VMM (ring/ring.h). The virtual CPL has become 0, or another: of two roots for one CR3, the
	 * one for it (Intel 64); and writes to a guest page are to trap, or no longer: pager->write()
	 * tells virt->written. Traces of a page are counted: as many offs as ons. The page is given up by the pager itself, and written told
	 * of all of it, where writes cannot be carried out one by one. */
	void (*privilege)(struct vcpu *v, bool kernel);
	void (*trace)(struct vcpu *v, uint64_t frame, bool on);
};
extern const struct pager pager_shadow_flush, pager_shadow_vtlb, pager_shadow_wp, pager_shadow_unsync, pager_agile;
extern const struct pager *const pagers[];
extern const size_t pagers_n;

/* What its devices have written and no pager knows of yet, as guest-physical ranges. */
#define VM_WROTE 8
struct vm_wrote {               /* plain */
	struct { uint64_t from, to; } range[VM_WROTE];
	uint32_t n, pad;
};

struct vm {
	struct vm_config config;
	struct vm_wrote wrote;
	unsigned number;                /* 1.. */
	hpa_t base;                     /* its RAM in host-physical memory, contiguous */
	hpa_t tables;                   /* the pager's: pager->needs() bytes */
	uint64_t entry_base;            /* what entries of its page tables have added to guest-physical addresses (pv/direct) */
	hpa_t corner;                   /* tables of the VMM's part of its address spaces (ring/corner.c); 0: it has none */
	struct mem mem;                 /* a window on it: guest-physical addresses */
	const struct virt *virt;        /* virt.h */
	void *technique;                /* its own */
	struct vm_parts {               /* what it consists of before the VMM knows it: built and booted like a bare machine */
		struct mem *mem;                /* the window on its RAM */
		hpa_t base;                     /* where that is in host-physical memory; contiguous */
		struct board *board;            /* its devices: the VMM's device models */
		/* Models of its virtual CPUs, which never run: local APIC, MSRs, CPUID; machine_boot() leaves the entry
		 * state in cpu[i]->s. Their ledger.now is what virtual APIC timers go by: to be set before virtual
		 * devices are touched. */
		struct cpu *const *cpu;
		const uint32_t *stop;           /* not 0: the guest has ended (power-off, exit port, reset) */
	} parts;
	struct vcpu *vcpu[VCPUS_MAX];
	const struct pager *pager;
	void *paging;                   /* the pager's own */
	struct vmm *vmm;
	uint64_t stat[VMM_STAT_N];
	uint32_t stopped, exit_status;  /* the guest asked to end */
	struct trace silent;            /* nobody listens */
	char refused[96];               /* why the VMM had to stop it: what is not modelled, by name; "" */
};

/* What the VMM hangs on: the machine's parts, borrowed. */
struct vmm_parts {
	struct mem *mem;
	struct cpu *const *cpu;         /* physical CPUs */
	unsigned cpus;
	struct evq *evq;
	struct trace *trace;
	struct stats *stats;
	struct snaps *snaps;
	const struct profile *profile;
};

struct exit_seen;
struct vmm_state {              /* plain */
	uint64_t heap;                  /* host-physical: the next free page of the VMM's own memory */
	uint64_t low, high;             /* pieces for VMs are cut off below `low`, and from `high` up */
	uint32_t started, pad;
	uint32_t current[CPUS_MAX];     /* by physical CPU: number of the virtual CPU it holds, + 1; 0: none */
	cycle_t slice_end[CPUS_MAX];    /* when that one's turn ends */
};
struct vmm {
	struct vmm_state s;
	struct vmm_parts p;
	cycle_t cost[VMM_COSTS];        /* cost.def, or as a scenario has it */
	cycle_t slice;                  /* turn of a virtual CPU while others wait for the same CPU */
	struct vm *vm[VMS_MAX];
	unsigned vms;
	struct vcpu *vcpu[VMS_MAX * VCPUS_MAX];         /* of all VMs */
	unsigned vcpus;
	uint32_t owner;                 /* in evq: the host's timer */
	/* Somebody looks at exits before they are served. True: it has done what there was to do. */
	bool (*exit_seen)(void *who, struct vcpu *v, const struct exit_seen *x);
	void *exit_who;
};
struct exit_seen { uint32_t reason, length; uint64_t qualification; };

/* ---- what a service routine may use ---- */
uint64_t vcpu_get(struct vcpu *v, enum vmcs_field f);           /* VMREAD, or what the technique (virt.h) has in its place */
void vcpu_set(struct vcpu *v, enum vmcs_field f, uint64_t x);   /* VMWRITE */
uint64_t vcpu_peek(const struct vcpu *v, enum vmcs_field f);    /* for people: no cost */
bool vcpu_has(const struct vcpu *v, enum vmcs_field f);
void vmm_cost(struct cpu *c, enum vmm_cost what);               /* one software phase */
/* Guest RAM by guest-physical address, timed, charged to the phase's cause; false: not RAM. */
bool vm_gpa_to_hpa(const struct vm *vm, gpa_t gpa, hpa_t *hpa);
bool vcpu_read_gpa(struct vcpu *v, gpa_t gpa, void *buf, unsigned n);
enum written { WRITTEN_NOT, WRITTEN, WRITTEN_WATCHED /* the pager watches what lies there */ };
enum written vcpu_write_gpa(struct vcpu *v, gpa_t gpa, const void *buf, unsigned n);    /* tells the pager */
void vcpu_inject(struct vcpu *v, enum vector vec, bool has_error, uint32_t error);      /* an exception, at the next entry; with the one being delivered */
void vcpu_skip(struct vcpu *v);                                 /* past the instruction that exited */
uint64_t vcpu_reg(struct vcpu *v, unsigned r);                  /* a general register: RSP is in the VMCS */
void vcpu_reg_set(struct vcpu *v, unsigned r, uint64_t x);
void vcpu_now(struct vcpu *v);                                  /* before virtual devices are touched: their time is now */
void vcpu_refuse(struct vcpu *v, const char *what);             /* the VM stops: not modelled */
void vcpu_flush(struct vcpu *v);                                /* its tagged translations go (INVVPID); untagged ones do anyway */
void vcpu_invalidate(struct vcpu *v, enum invvpid_type type, uint64_t lin);     /* some of them */

/* ---- the VMM's own memory ---- */
hpa_t vmm_page(struct vmm *v);                                  /* a zeroed page, never given back; 0: none is left */
/* A piece of host-physical memory for a VM; low: below 4 GB. */
int vmm_cut(struct vmm *v, uint64_t size, uint64_t align, bool low, hpa_t *base, struct err *e);
static inline struct vcpu *vmm_holder(const struct vmm *m, const struct cpu *c) /* the virtual CPU that holds c, or NULL */
{
	uint32_t n = m->s.current[c->number];
	return n ? m->vcpu[n - 1] : NULL;
}
static inline struct vmm *vmm_of(const struct cpu *c) { return c->root.who; }   /* whose software runs in root operation there */

/* ---- between the VMM's files ---- */
void vcpu_create(struct vcpu *v);                               /* on its CPU, in root operation: VMCS and start state */
void vcpu_load_state(struct vcpu *v);                           /* model->s into the VMCS: at the start, after INIT or SIPI */
void vcpu_renew(struct vcpu *v);                                /* after it, on one that has run: control registers may be any others */
bool vcpu_enter(struct vcpu *v);                                /* false: VM entry failed, the VM is refused */
unsigned vcpu_vpid(const struct vcpu *v);
void vcpu_touch_regs(struct vcpu *v, hpa_t at, bool write);     /* the VMM's copy of the general registers: two lines at `at` */
void vcpu_injected(struct vcpu *v);                             /* the pending event has gone to where the guest gets it */
void vcpu_serve(struct vcpu *v);                                /* exit.c: the exit in its fields, registers saved */
bool vcpu_pending(struct vcpu *v);                        /* interrupt.c: something its model holds wants it to run */
void vcpu_interrupt(struct vcpu *v);                            /* the event to inject at the entry to come, or the window for it */
enum switch_step { STEP_INTERRUPT = 1, STEP_VMM, STEP_SAVE, STEP_DECIDE, STEP_TIMER, STEP_RESTORE, STEP_SPACE, STEP_JUMP };
void vcpu_switch_step(struct vcpu *v, enum switch_step step);   /* for the trace */
bool vcpu_turn_over(const struct vcpu *v);                      /* others wait for its CPU, and it has had its slice */
void vcpu_device_writes(struct vcpu *v);                        /* vm.c: its pager is told what devices have written, before it is entered */
bool vcpu_started(struct vcpu *v);                              /* INIT, start-up IPI: done; true: it may run */
void vmm_run(struct vmm *v, struct cpu *c);                     /* sched.c: enter whoever is next, or idle */
void vmm_kick(struct vmm *v, struct cpu *c);                    /* a host interrupt to a physical CPU */
#define DR7_ENABLED 0xffu
bool vcpu_watched(struct vcpu *v);      /* its debug registers watch something: what they would see of an instruction, the interpreter knows alone */
void vcpu_registers_out(struct vcpu *v);                        /* of the CPU that holds it: to the model, and back */
void vcpu_registers_in(struct vcpu *v);
void vcpu_wake(struct vcpu *v);                                 /* it has reason to run */
bool vcpu_fits(const struct vcpu *v);                           /* may it be entered in the state the model holds? */
void vcpu_interpret_one(struct vcpu *v);                        /* the instruction at RIP, or the event pending, before it is entered again */
void vcpu_interpret_light(struct vcpu *v);                      /* likewise; what is not a change of a control register leaves translations as they are */
bool vcpu_interpret(struct vcpu *v);                            /* an instruction in software; false: none, it may be entered */
void apicv_init(struct vcpu *v);                                /* apicv.c */
void apicv_out(struct vcpu *v);                                 /* before VM entry: the model's local APIC into the virtual-APIC page */
void apicv_in(struct vcpu *v);                                  /* after a VM exit: back */
bool apicv_pending(struct vcpu *v);                             /* of one that is in its guest */
uint64_t ept_apic_page(const struct vm *vm);                    /* its APIC-access page, host-physical; 0: none (any more) */
unsigned ept_largest(const struct vcpu *v, uint64_t gpa);        /* shift of the largest page the pager would map there */
void ept_apic_unmap(struct vcpu *v);                            /* the guest's local APIC is not at its default address */
bool vcpu_write_msr(struct vcpu *v, uint32_t nr, uint64_t x);    /* exit.c: one whose WRMSR exits; false: #GP(0) */
bool vcpu_in_guest(const struct vcpu *v);
void identity_init(struct vm *vm, hpa_t root);                  /* identity.c: for vm_restricted() ones */
void identity_load(struct vcpu *v);                             /* s.cr0, cr3, cr4, efer have changed, paging with them or off */
bool vm_restricted(const struct vm *vm, const struct cpu *c);   /* EPT without "unrestricted guest" */
void host_interrupt(struct cpu *c);                             /* the host's handler for the interrupt just acknowledged */
#define HOST_VECTOR 0xec
#define PAGER(name) extern const struct pager pager_##name;
#include "models/vmm/pager.def"

/* emulate.c: decode and carry out the instruction at the guest's RIP. Memory operands in guest RAM are reached as the
 * guest would (faults are injected); elsewhere they go to vm_mmio. */
enum emulated {
	EMULATED,               /* it met a device, or memory that the pager watches */
	EMULATED_IN_VAIN,       /* it did not: the hardware could have done it */
	EMULATE_INJECTED,
	EMULATE_UNKNOWN,        /* by name on the trace; nothing has changed */
};
enum emulated vcpu_emulate(struct vcpu *v);
/* Walk the guest's own page tables in software: PAGED_FIXED with *gpa and the rights, or PAGED_INJECT with the error code. */
enum paged vcpu_walk(struct vcpu *v, uint64_t lin, unsigned access, gpa_t *gpa, uint32_t *error);
uint64_t vm_mmio_read(struct vcpu *v, gpa_t gpa, unsigned size);
void vm_mmio_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t x);

/* ---- life: the machine's side ---- */
struct vmm *vmm_new(const struct vmm_parts *p, struct err *e);
void vmm_free(struct vmm *v);
/* Room for a VM's RAM, aligned for the largest page asked for. */
int vmm_place(struct vmm *v, uint64_t ram, unsigned page_shift, hpa_t *base, struct err *e);
struct vm *vmm_vm(struct vmm *v, const struct vm_config *c, const struct vm_parts *p, struct err *e);
/* A guest's reset: before its machine resets the models, and after it, when the guest goes on. */
void vmm_resetting(struct vmm *v, const struct cpu *const *model, unsigned n);
void vmm_reset(struct vmm *v, const struct cpu *const *model, unsigned n);
uint64_t vmm_linear(const struct vmm *v, const struct cpu *c, uint64_t lin, bool *begins);      /* of the guest that runs there: machine_linear() */
uint64_t vcpu_rflags_peek(const struct vcpu *v);        /* of a guest in rings, while it runs */
void vmm_start(struct vmm *v);          /* the machine begins to run; the first time, the VMM boots and its VMs start */
/* The virtual CPU that `model` is a part of has something pending: interrupt, NMI, INIT, start-up IPI. */
void vmm_attention(struct vmm *v, struct cpu *model);

#endif
