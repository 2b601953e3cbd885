/* ept.h - the second dimension of translation, inside models/mmu: guest-physical to host-physical. */
#ifndef MMU_EPT_H
#define MMU_EPT_H

#include "models/mmu/walk.h"

/* Bits of an EPT paging-structure entry.
 *   63  62   52 51         12 11 10  9  8  7   6   5  3  2 1 0
 *  +---+-------+-------------+--+--+--+--+--+-----+----+-+-+-+
 *  |SVE|ignored|   address   |  |XU| D| A|PS| IPAT| MT |X|W|R|    bit 60: SSS
 *  +---+-------+-------------+--+--+--+--+--+-----+----+-+-+-+
 * XU with mode-based execute control only; A and D when the EPT pointer's bit 6 is set; D, IPAT and MT where it maps a page. */
#define EPT_R   BIT(0)
#define EPT_W   BIT(1)
#define EPT_X   BIT(2)          /* with mode-based execute control: by supervisor-mode linear addresses */
#define EPT_MT(e) BITS(e, 5, 3)
#define EPT_PS  BIT(7)
#define EPT_A   BIT(8)
#define EPT_D   BIT(9)
#define EPT_XU  BIT(10)
#define EPT_SSS BIT(60)         /* supervisor shadow-stack page, with EPTP_SSS */
#define EPT_SVE BIT(63)         /* suppress #VE */
#define EPTP_AD BIT(6)
#define EPTP_SSS BIT(7)         /* supervisor shadow-stack control */

/* Bits of IA32_VMX_EPT_VPID_CAP that change what entries mean or what is told. */
enum { CAP_X_ONLY = 1 << 0, CAP_2M = 1 << 16, CAP_1G = 1 << 17, CAP_ADVANCED = 1 << 22 };

struct ept_hit {
	uint64_t hpa;                   /* of the byte asked for */
	uint64_t rights;                /* EPT_R, W, X, XU: the AND over the entries used */
	uint8_t shift;                  /* of the page that maps it */
	uint8_t shadow_stack;           /* with EPTP_SSS: supervisor shadow-stack accesses may be made */
	uint8_t dirty;                  /* nothing stands against writing without another walk but the rights */
};

/* Translate one guest-physical address. want: EPT_R, EPT_W, EPT_X as the access needs. for_level: of the guest table being
 * located, 0 for the final address. False: rec->fault. */
bool ept_translate(struct walk *w, gpa_t gpa, uint64_t want, unsigned for_level, struct ept_hit *h);

void ept_fill(struct walk *w);         /* the walk ended well: its caches take what it found */

/* Which of the three an access is. */
static inline uint64_t ept_want(unsigned access)
{
	if (access & ACC_EXEC)
		return EPT_X;
	return access & ACC_RMW ? EPT_R | EPT_W : access & ACC_WRITE ? EPT_W : EPT_R;
}

/* The walker's use of guest paging-structure entries: "accesses to guest paging-structure entries are treated as writes". */
static inline uint64_t ept_want_table(const struct mmu *m)
{
	return m->guest.eptp & EPTP_AD ? EPT_R | EPT_W : EPT_R;
}

#endif
