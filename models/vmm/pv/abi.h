/* abi.h - what a paravirtual kernel and the VMM agree on. Guests include this file: C and assembly, nothing of vmscope's.
 *
 *              number   arguments                  result   instruction          changed
 *   Intel 64   RAX      RDI RSI RDX R10            RAX      SYSCALL, INT 82H     RCX and R11 by SYSCALL
 *   IA-32      EAX      EBX ECX EDX ESI            EAX      INT 82H              -
 *
 * Only the kernel can call: from a program SYSCALL is a system call and INT 82H a #GP. A negative result is an error,
 * the PV_E* below; all others are fine. Pointers are linear addresses in the address space that is loaded; "frame" is the machine address of
 * a page. A machine address is the guest's own physical address plus pv_start.base, for its memory is one piece.
 *
 * The image says that it is a paravirtual kernel by an ELF note: name "vmscope", type PV_NOTE, and
 * struct pv_note. The loader makes page tables for it, and begins at note.entry in the kernel's privilege level: paging on,
 * 64-bit or 32-bit flat segments, events masked, no stack; R/EBX = multiboot information (physical), R/ESI = struct pv_start (linear).
 * All RAM up to 1 GB is mapped at note.base by 4 KB pages, those of page tables read-only. */
#ifndef PV_ABI_H
#define PV_ABI_H

#define PV_VERSION  1
#define PV_NOTE     1
#define PV_INT      0x82
#define PV_FLAG_IF  0x200

/* Of hypercall.def, for assembly. */
#define PV_CALL_STACK_SWITCH  6
#define PV_CALL_UPDATE_VA     8
#define PV_CALL_IRET          13
#define PV_CALL_EVENT_DELIVER 18

/* Errors. */
#define PV_EPERM  -1            /* not the guest's: the VMM's corner, another VM's memory */
#define PV_ENOENT -2            /* nothing is there: no table maps that address, not pinned */
#define PV_E2BIG  -7            /* more than one call may ask for */
#define PV_EAGAIN -11           /* the VMM still takes an old use of the frame apart: ask again */
#define PV_EFAULT -14           /* an address that is not mapped, or not the guest's memory */
#define PV_EBUSY  -16           /* the frame is used as something else, or too often */
#define PV_EINVAL -22           /* a value that is not allowed */
#define PV_ENOSYS -38           /* no such hypercall */

/* Events. */
#define PV_PORT_TIMER 0         /* others: 1 to 15, the lines of the virtual 8259s; 16 to 63: event_send */
#define PV_PORTS      64

/* Offsets in struct pv_shared, for assembly. */
#define PV_SHARED_MASK     0
#define PV_SHARED_UPCALL   1
#define PV_SHARED_MASKED   16

/* mmu_update: what is asked for, in bits 2:0 of `at`. */
#define PV_UPDATE_ENTRY  0      /* at: machine address of an entry; value goes there */
#define PV_UPDATE_FLUSH  1      /* value: linear address whose translation goes */
#define PV_UPDATE_FLUSH_ALL 2
#define PV_BATCH_MAX     128

/* update_va */
#define PV_VA_FLUSH 1

/* pv_start.flags */
#define PV_DIRECT    1          /* pv/direct: page tables hold machine addresses and are the hardware's; base is not 0 */
#define PV_TWO_ROOTS 2          /* Intel 64 and pv/direct: a program runs on a root of its own; all entries have US */

#ifndef __ASSEMBLER__
#include <stdint.h>

struct pv_note {                /* ELF note "vmscope", type PV_NOTE */
	uint32_t version, wide;         /* PV_VERSION; 1: Intel 64 */
	uint64_t entry, base;           /* linear: first instruction; where RAM is to be mapped, a multiple of 1 GB */
};
struct pv_start {               /* in a page of the guest's memory */
	uint32_t version, flags;
	uint64_t base;                  /* what to add to a physical address for a machine address */
	uint64_t root;                  /* physical: the page tables in force */
	uint64_t map;                   /* physical: entry n maps page n at note.base; these tables lie one behind the other */
	uint64_t end;                   /* physical: where the loader's things end, behind the image */
};
struct pv_shared {              /* a page of the guest's memory that both sides write */
	uint8_t mask;                   /* 1: no upcall. The VMM sets it at each entry into the kernel */
	uint8_t upcall;                 /* something is pending: set by the VMM, cleared by the kernel before it looks */
	uint8_t pad[6];
	uint64_t pending;               /* a bit for each port: set by the VMM, cleared by the kernel */
	uint64_t masked;                /* ports whose bit makes no upcall: the kernel's */
	uint64_t cr2;                   /* of the last page fault */
};
struct pv_trap {                /* of set_traps */
	uint32_t vector, flags;         /* PV_TRAP_* */
	uint64_t handler;
};
#define PV_TRAP_USER 1          /* programs may raise it by INT n */
#define PV_TRAP_FAST 2          /* IA-32, INT n: enters the kernel without the VMM; events stay unmasked */

struct pv_update { uint64_t at, value; };

enum pv_call {
#define HYPERCALL(nr, NAME, name, ...) PV_CALL_##NAME##_ = nr,
#include "models/vmm/pv/hypercall.def"
	PV_CALLS
};
_Static_assert(PV_CALL_STACK_SWITCH_ == PV_CALL_STACK_SWITCH && PV_CALL_UPDATE_VA_ == PV_CALL_UPDATE_VA &&
               PV_CALL_IRET_ == PV_CALL_IRET && PV_CALL_EVENT_DELIVER_ == PV_CALL_EVENT_DELIVER, "hypercall.def");

/* What the kernel is entered with: on its stack, from lower to higher addresses, words of its size: error (exceptions that have one),
 * ip, cs, flags, sp, ss (the last two always on Intel 64; on IA-32 when a program was interrupted). The
 * flags' IF says whether events were unmasked; cs has privilege level 0 for the kernel. `iret` wants RAX, R11 and RCX below (Intel 64), EAX
 * (IA-32) and then the same. */
#endif
#endif
