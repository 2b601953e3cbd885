/* virt.h - how a VM's instructions are kept from the machine: one row of virt.def for each choice ("vmx", "trap", "bt", "pv").
 *
 * Everything else of the VMM (exit services, pagers, emulator, interpreter, scheduler) knows a virtual CPU by the names of VMCS
 * fields alone: vcpu_get() and vcpu_set() are VMREAD and VMWRITE under "vmx", and loads and stores of the VMM's own record of
 * the virtual CPU (a page of simulated memory) under the others. So a pager that writes GUEST_CR3 chooses the address
 * space, a service that writes GUEST_RIP moves the guest, whatever the technique; and what software makes of a trapped
 * instruction is an exit reason and a qualification as the hardware would give them. */
#ifndef VMM_VIRT_H
#define VMM_VIRT_H

#include "models/vmm/vmm.h"

struct virt {
	const char *name;                       /* technique's cpu part */
	const struct ring_hooks *hooks;         /* of a technique in rings; NULL: none */
	bool ring;                              /* the guest runs in rings 1 to 3, beside the VMM in its address space (ring/ring.h) */
	/* Can this CPU, with this pager, do it? */
	int (*able)(const struct cpu *c, const struct pager *p, struct err *e);
	int (*vm_init)(struct vm *vm, struct err *e);   /* NULL: nothing */
	void (*vm_fini)(struct vm *vm);
	void (*boot)(struct cpu *c);            /* the VMM's boot, of one physical CPU */
	void (*create)(struct vcpu *v);         /* on its CPU, as vcpu_create(): its fields exist, those of the technique's own are set */
	uint64_t (*get)(struct vcpu *v, enum vmcs_field f);
	void (*set)(struct vcpu *v, enum vmcs_field f, uint64_t x);
	uint64_t (*peek)(const struct vcpu *v, enum vmcs_field f);      /* for people: no cost, nothing changes */
	bool (*has)(const struct vcpu *v, enum vmcs_field f);           /* does the field exist? */
	void (*reach)(struct vcpu *v);          /* its fields can be got and set from here on, whoever holds its CPU; NULL: they always can */
	void (*take_up)(struct vcpu *v);        /* world switch: the physical CPU is its from here on */
	void (*put_away)(struct vcpu *v);       /* and no longer; NULL: nothing */
	void (*serve)(struct vcpu *v);          /* the guest has come back: why, and what is done about it */
	bool (*enter)(struct vcpu *v);          /* false: refused */
	bool (*in_guest)(const struct vcpu *v); /* its physical CPU, which it holds, runs its instructions now */
	void (*flush)(struct vcpu *v, enum invvpid_type type, uint64_t lin);    /* translations of its that are not right any more */
	/* A guest page that the pager traces has been written (or, n a whole page, is about to be, and is not traced any more); NULL: nothing is. */
	void (*written)(struct vcpu *v, gpa_t gpa, unsigned n);
	bool (*fits)(const struct vcpu *v, const struct cpu_state *s);  /* may it be entered in this state, or must it be interpreted? */
	bool (*arm)(struct vcpu *v, cycle_t left);      /* its turn is over in so many cycles; false: the host's timer must tell */
};
#define VIRT(name) extern const struct virt virt_##name;
#include "models/vmm/virt.def"

#endif
