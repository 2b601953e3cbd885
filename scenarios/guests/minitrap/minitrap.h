/* minitrap.h - a trap-and-emulate hypervisor as small as it can be: the VMM of Popek and Goldberg's paper, on IA-32.
 *
 * Their machine has a relocation-bounds register R = (l, b); here it is segmentation. The guest's memory is a piece of ours: what each
 * of its segment registers holds stands in an entry of our GDT, with `l` added to the base, the limit cut to `b`, and ring 0 turned
 * into ring 1. What is privileged or critical traps as #GP and is emulated on a virtual IF, GDT, IDT, task register, CR0 and
 * segment registers. That needs a machine on which critical instructions trap (vmscope's profile row trap.critical). Nothing
 * depends on time and no interrupt comes from outside, so by theorem 2 minitrap runs under minitrap: give it itself as its guest.
 *
 *   memory  |  1 MiB: minitrap  |  its modules  |  the guest's memory, to the end  |
 *
 * modules: the first is the guest's kernel, the others are the guest's modules. Everything the guest prints goes out as it is;
 * lines of minitrap begin with its name.
 * Simplified: no paging for the guest, no interrupts, no task switches, no V86 mode, no x87; ports other than the serial port's and
 * those that end the run read as all ones. */
#ifndef MINITRAP_H
#define MINITRAP_H

#include "../lib/lib.h"

/* What the stubs of start.S leave on the stack. */
struct frame {
	uint32_t gs, fs, es, ds;
	uint32_t edi, esi, ebp, unused, ebx, edx, ecx, eax;
	uint32_t vector, error;
	uint32_t eip, cs, eflags, esp, ss;
};

enum { ES, CS, SS, DS, FS, GS, SEGMENTS };	/* as instructions number them */
enum { GDT_GUEST = 1 /* one for each of them */, GDT_CS = GDT_GUEST + SEGMENTS, GDT_DS, GDT_TSS, GDT_ENTRIES };	/* GDT_CS ..: start.S */
enum { SEL_CS = GDT_CS * 8, SEL_DS = GDT_DS * 8, SEL_TSS = GDT_TSS * 8 };
enum { IF = 1 << 9, IOPL = 3 << 12, NT = 1 << 14, TF = 1 << 8, VM = 1 << 17 };
enum { UD = 6, NP = 11, GP = 13 };

struct table { uint16_t limit; uint32_t base; } __attribute__((packed));

/* The virtual machine, apart from the registers in the frame. */
struct guest {
	uint32_t base, bytes;		/* l and b */
	struct segment { uint32_t selector; uint64_t descriptor; } segment[SEGMENTS];	/* 0: unusable */
	struct table gdt, idt;		/* as the guest has loaded them */
	uint16_t tr, ldt;
	uint32_t tss;			/* its base, guest-physical; 0: none */
	uint32_t cr0, cr2, cr3, cr4;
	uint32_t flags;			/* the virtual IF, IOPL and NT */
	uint32_t cpl;			/* the virtual one */
	uint32_t traps, emulated, reflected;
};
extern struct guest guest;
extern uint64_t gdt[];			/* a page of its own: a VMM outside may trap writes to it, by page */

/* start.S */
extern char trap_stubs[];		/* 16 bytes each, 256 of them */
void guest_go(struct frame *f) __attribute__((noreturn));
void tables_load(const struct table *gdt, const struct table *idt);

/* main.c */
void print(const char *text, ...);
void die(const char *text, ...) __attribute__((noreturn));
void power_off(uint32_t value) __attribute__((noreturn));
void finish(uint32_t value) __attribute__((noreturn));	/* the guest is at its end */

/* load.c */
void guest_load(const void *multiboot, struct frame *f);

/* memory.c: the guest's memory, by guest-physical address and through its segments */
bool guest_read(uint32_t at, void *to, uint32_t n);
bool guest_write(uint32_t at, const void *from, uint32_t n);
uint64_t guest_descriptor(uint32_t selector);		/* of its GDT; 0: beyond it */
bool segment_read(const struct segment *s, uint32_t offset, void *to, uint32_t n);
bool segment_write(const struct segment *s, uint32_t offset, const void *from, uint32_t n);
void segment_set(struct frame *f, unsigned r, uint32_t selector, uint64_t descriptor);	/* checked by the caller */
uint32_t segment_base(uint64_t descriptor);
uint32_t segment_limit(uint64_t descriptor);
uint32_t segment_dpl(uint64_t descriptor);

/* reflect.c: into the guest's IDT and back. length: of INT n; 0: no software interrupt */
void reflect(struct frame *f, uint32_t vector, bool has_error, uint32_t error, uint32_t length);
void guest_iret(struct frame *f);
void inject_gp(struct frame *f, uint32_t error);
uint32_t guest_flags(const struct frame *f);		/* as PUSHF shows them */
void guest_set_flags(struct frame *f, uint32_t flags);

/* emulate.c */
void emulate(struct frame *f);

#endif
