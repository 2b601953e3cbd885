/* reference.h - the bare machine that follows the run under test: a native CPU and memory, whose devices are the other's answers.
 *
 * It executes the guest's instructions by the CPU model as any bare machine does; no device event ever runs, ports and
 * device memory answer what the VM's devices answered the same access, and what is written to them is compared. It can go back
 * by one instruction: to try whether an interrupt came before or after it, and to tell which one it was. */
#ifndef UI_EQUIV_REFERENCE_H
#define UI_EQUIV_REFERENCE_H

#include "models/machine.h"
#include "models/vmm/vmm.h"
#include "ui/equiv/state.h"

/* Bytes of guest RAM that were read or written. */
struct span { uint64_t gpa, value; uint32_t len; };
struct spans { struct span *at; size_t n, room; };
/* The guest's access to a device, as the VM's devices saw it. */
struct access { uint64_t addr, value; uint8_t size; bool write, memory; };
struct accesses { struct access *at; size_t n, room, used; };

struct reference {
	struct machine *m;
	struct cpu *c;
	/* ---- of the run under test, since the last instruction that was compared ---- */
	struct spans test_reads, test_writes, dma;
	struct accesses seen;
	/* ---- of the instruction that the reference executes ---- */
	struct spans writes;
	struct cpu_state before;
	uint8_t *old;                   /* bytes its writes replaced, in order */
	size_t old_n, old_room;
	bool quiet;                     /* memory changes from outside: not the instruction's */
	bool adopt;                     /* it read what no device of the VM was asked for (a local APIC in hardware): results are taken over */
	bool other;                     /* a device was accessed otherwise */
	char other_name[32];
	uint64_t other_reference, other_test;
	uint64_t accesses;              /* to devices, compared */
	uint8_t *tables;                /* a bit for each 4 bytes of RAM that a page walk has read */
};

struct reference *reference_new(const struct machine *guest, const struct cpu *model, const struct boot_image *image, struct err *e);
void reference_free(struct reference *r);

void reference_begin(struct reference *r);      /* from here on: one instruction of the guest */
void reference_back(struct reference *r);       /* to where it began */
/* One instruction, an iteration of a repeated one, or the delivery of the exception it raised. False: the CPU is halted. */
bool reference_step(struct reference *r);
void reference_interrupt(struct reference *r, uint8_t vector, bool rf);  /* rf: with RF set in the frame */
void reference_adopt(struct reference *r, const struct seen *test);     /* general registers and flags */
/* "The upper 32 bits of general registers are undefined" when 64-bit mode is entered: what the run under test has there. */
void reference_halves(struct reference *r, const struct cpu_state *test);
/* What devices of the VM wrote to its memory (DMA): from the VM's. */
void reference_copy(struct reference *r, const struct spans *what, const struct mem *from);
/* The first byte in which the reference's memory is other than the VM's where either wrote. */
bool reference_memory_differs(struct reference *r, const struct mem *test, uint64_t *gpa, uint64_t *mine, uint64_t *tests);
/* The same for all memory. */
bool reference_all_differs(const struct reference *r, const struct mem *test, uint64_t *gpa, uint64_t *mine, uint64_t *tests);
void reference_done(struct reference *r);       /* the instruction is compared: forget what it did */

void spans_add(struct spans *s, uint64_t gpa, uint32_t len, uint64_t value);
void accesses_add(struct accesses *s, const struct access *a);
/* A page walk read this entry: of its lowest byte, the accessed and dirty flags are not compared. */
void reference_table(struct reference *r, uint64_t gpa);

#endif
