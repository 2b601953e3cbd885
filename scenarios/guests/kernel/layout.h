/* layout.h - where things are.  The same drawing for IA-32 and Intel 64; only KERNBASE differs.
 *
 *	KERNBASE + 1 GiB    device window: 2 MiB of uncached memory at the local APIC
 *	KERNBASE            direct map: physical address p is at KERNBASE + p, up to 1 GiB of RAM
 *	0x80000000 -------- end of user space
 *	0x7FFF0000          user stack, grows down on demand
 *	0x10000000          mmap
 *	0x00400000          user image: text, read-only data, data
 *	0x00000000          never mapped, so that a null pointer faults
 *
 * Above the device window's 2 MiB and below KERNBASE (Intel 64) nothing is ever mapped: room for a
 * VMM that must share the address space with its guest.
 * Used by C, assembly and the linker script.                                                   */
#ifndef LAYOUT_H
#define LAYOUT_H

#define PAGE_SHIFT	12
#define PAGE_BYTES	0x1000
#define LARGE_PAGE_BYTES 0x200000	/* PAE and 4-level paging alike */

#define KERNEL_LOAD	0x100000
#define RAM_LIMIT	0x40000000

#ifdef __x86_64__
#define KERNBASE	0xFFFFFFFF80000000
#else
#define KERNBASE	0x80000000
#endif
#define DEVICE_BASE	(KERNBASE + RAM_LIMIT)
#define DEVICE_PHYSICAL	0xFEE00000	/* local APIC */

#define USER_IMAGE	0x00400000
#define USER_MMAP	0x10000000
#define USER_STACK_BYTES 0x10000
#define USER_STACK_TOP	0x7FFF0000
#define USER_TOP	0x80000000

/* GDT selectors.  The order is dictated by SYSENTER/SYSEXIT (kernel code, kernel data, user code,
 * user data) and by SYSRET to 64-bit code (user data, user code).                               */
#define SEL_KCODE	0x08
#define SEL_KDATA	0x10
#ifdef __x86_64__
#define SEL_UDATA	(0x18 | 3)
#define SEL_UCODE	(0x20 | 3)
#else
#define SEL_UCODE	(0x18 | 3)
#define SEL_UDATA	(0x20 | 3)
#endif
#define SEL_TSS		0x28

#define VEC_DIVIDE	0
#define VEC_PAGE_FAULT	14
#define VEC_IRQ		32		/* the 16 lines of the two 8259 start here */
#define VEC_SYSCALL	0x80
#define VECTORS		129

#endif
