/* minivisor.h - who offers what to whom. Read the files in this order: main.c, vmcs.c, ept.c, exit.c; load.c and
 * console.c as needed; start.S where C ends. */
#ifndef MINIVISOR_H
#define MINIVISOR_H

#include "../lib/lib.h"
#include "vmx.h"

#define PAGE		4096u
#define LARGE_PAGE	(2u << 20)
#define HOME		0x4000000u	/* 64 MiB: where minivisor is linked; the guest's memory ends here */
#define GUEST_INFO	0x9000u		/* guest-physical: the multiboot information it is given */

/* The guest's general registers; RSP, RIP and RFLAGS are fields of the VMCS. start.S knows the order. */
struct registers {
	uint64_t rax, rcx, rdx, rbx, unused, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};

struct guest {
	struct registers r;
	bool launched;
	uint64_t pending[4];	/* external interrupts taken from the controller and not yet injected, by vector */
	uint64_t exits[REASONS], cycles[REASONS];
};

/* What the command line says. */
struct options {
	uint64_t ram;		/* ram=	   bytes the guest has, at most HOME */
	uint64_t offset;	/* offset= host-physical minus guest-physical address of its RAM */
	uint64_t page;		/* pages=  4k or 2m: of EPT */
	const char *io;		/* io=	   console, all or none: which ports exit */
	uint32_t poke_field;	/* poke=   field:value, hexadecimal: overwrite a VMCS field before the first VM entry */
	uint64_t poke_value;
	bool poke, tsc;		/* tsc=1   cycles from exit to entry in the statistics */
};
extern struct options options;

/* start.S */
/* Enter the guest: VMLAUNCH or VMRESUME. False: it failed. True: a VM exit has happened, and *r is the guest's. */
bool vm_enter(struct registers *r, bool launch);
extern char vm_exit_point[];	/* where VM exits go: in the middle of vm_enter */
extern char trap_stubs[];	/* 16 bytes each */

/* console.c */
void print(const char *text, ...);
void die(const char *text, ...) __attribute__((noreturn));	/* minivisor cannot go on */
void power_off(uint32_t value) __attribute__((noreturn));
static inline void outb(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

/* vmcs.c */
void vmx_start(void);				/* VMXON */
void vmcs_fill(uint32_t entry, uint64_t eptp);	/* a new VMCS for a guest that begins at `entry` */

/* ept.c */
uint64_t ept_start(void);			/* an empty map; the EPT pointer */
bool ept_fault(uint64_t gpa);			/* map the page; false: there is nothing at that address */
static inline void *guest_memory(uint64_t gpa) { return (void *)(gpa + options.offset); }

/* load.c */
uint32_t guest_load(const void *multiboot);	/* the kernel into the guest's memory; its entry point */

/* exit.c */
void handle_exit(struct guest *g);
void inject_pending(struct guest *g);
const char *reason_name(unsigned reason);

/* main.c */
void finish(struct guest *g, const char *why, uint32_t value) __attribute__((noreturn));

/* hook.c: a lab may put its own in its place */
bool lab_exit(struct guest *g, unsigned reason, uint64_t qualification);

#endif
