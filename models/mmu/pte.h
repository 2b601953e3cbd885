/* pte.h - bits of paging-structure entries and of the registers that choose how they are read.
 * SDM Vol. 3A, "Paging": formats of CR3 and paging-structure entries. */
#ifndef MMU_PTE_H
#define MMU_PTE_H

#include "sim/base.h"

#define PTE_P   BIT(0)
#define PTE_RW  BIT(1)
#define PTE_US  BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A   BIT(5)
#define PTE_D   BIT(6)
#define PTE_PS  BIT(7)          /* in a PDE or PDPTE: maps a page */
#define PTE_G   BIT(8)
#define PTE_SWITCH BIT(52)      /* agile paging: the table below is the guest's own */
#define PTE_PK(e) BITS(e, 62, 59)
#define PTE_XD  BIT(63)

/* Identical to models/cpu/cpu.h, which this folder may not include. */
#define CR0_WP BIT(16)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_PGE BIT(7)
#define CR4_LA57 BIT(12)
#define CR4_PCIDE BIT(17)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define CR4_PKE BIT(22)
#define CR4_CET BIT(23)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)
#define CR3_KEEP BIT(63)        /* MOV to CR3 with PCIDs: keep this PCID's translations */

#endif
