/* state.h - what a CPU keeps of VMX operation: plain data, a section of snapshots. */
#ifndef CPU_VMX_STATE_H
#define CPU_VMX_STATE_H

#include "models/cpu/vmx/vmcs.h"

struct vmx_state {
	uint64_t vmxon;                 /* address of the VMXON region, or VMCS_NONE: outside VMX operation */
	int32_t current;                /* slot of the current VMCS, or -1 */
	uint8_t guest;                  /* VMX non-root operation */
	uint8_t service;                /* modelled root software is to be called: a VM exit has completed */
	uint8_t mtf_pending;            /* a pending MTF VM exit */
	uint8_t vm;                     /* number of the VM whose guest runs, for the ledger; 0: none */
	uint8_t agile;                  /* the VMM asks for agile paging at the next VM entry; no VMCS has a field for it */
	/* Without VMX operation: modelled software has ring 0, guests the others; cpu_root_modelled(). */
	uint8_t deprivileged;
	uint8_t virtual_user;           /* such a guest believes to be at a CPL above 0: for the ledger */
	uint8_t pad[5];
	cycle_t timer_end;              /* clock at which the VMX-preemption timer reaches 0; NEVER: off */
	cycle_t ple_first, ple_last;    /* PAUSE-loop exiting: first and last PAUSE of the loop */
	uint64_t clock;                 /* of vmcs.used */
	uint32_t trap;                  /* a trap-like exit of the virtual APIC due before the next instruction: its reason; 0 none */
	uint32_t virtual_pending;       /* a virtual interrupt is recognised */
	uint64_t trap_qualification;
	uint64_t smm_monitor_ctl;
	struct vmcs slot[VMCS_SLOTS];
};

/* A VM-entry check that failed (vmx.h), and all those of the last VM entry: for people, not state. */
struct vmx_failure {
	uint32_t check;                 /* enum vmx_check */
	uint32_t entry, msr;            /* area MSR: number of the entry from 1, and its MSR */
	uint32_t pad;
	uint64_t found, wrong;          /* the field's (the entry's) value; the bits of it that are wrong */
};
#define VMX_FAILED_MAX 32
struct vmx_failed {
	cycle_t when;
	uint64_t rip;                   /* of the VMLAUNCH or VMRESUME */
	uint32_t n;                     /* checks that failed; 0: the last VM entry passed them, or there was none */
	struct vmx_failure f[VMX_FAILED_MAX];   /* the first of them */
};

/* The fields of the last VM entry that passed all checks (check_again.c): not state. */
struct vmx_passed {
	uint8_t valid, lma;
	uint64_t pa, f[VMCS_N];
};

/* A VM exit on its way. */
struct vmx_exit {
	uint32_t reason;                /* enum exit_reason, and bits 31:27 */
	uint32_t insn_length, insn_info;
	uint32_t intr_info, intr_error;
	uint64_t qualification, linear, physical;
};

#endif
