/* valid.h - a CPU in VMX operation whose current VMCS passes every check of VM entry, in a few variants. */
#ifndef TESTS_VMX_VALID_H
#define TESTS_VMX_VALID_H

#include "tests/unit/cpu/fixture.h"

enum valid_base {
	VALID_LONG,             /* 64-bit guest of a 64-bit host */
	VALID_PROT,             /* 32-bit guest, paging of two levels */
	VALID_PAE,              /* 32-bit guest, PAE paging, no EPT */
	VALID_V86,              /* virtual-8086 guest */
	VALID_REAL,             /* unrestricted guest in real mode, EPT */
	VALID_HOST32,           /* 32-bit guest of a 32-bit host */
	VALID_NEHALEM,          /* VALID_LONG on a CPU of the first generation with EPT */
	VALID_CET,              /* VALID_LONG on a CPU with control-flow enforcement */
	VALID_CET32,            /* VALID_HOST32 on such a one */
	VALID_BASES
};

#define VALID_VMXON 0x400000u
#define VALID_VMCS  0x401000u
#define VALID_PDPT  0x402000u   /* of VALID_PAE */
#define VALID_EPT   0x410000u   /* of VALID_REAL: an identity map of the RAM, 2 MB pages */
#define VALID_HOST  0x420000u   /* RIP of the host */
#define VALID_GUEST 0x421000u   /* RIP of the guest */

struct fixture *valid_new(enum valid_base base);

#endif
