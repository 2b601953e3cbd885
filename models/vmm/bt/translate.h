/* translate.h - guest code in, code for the cache out: the pure half of binary translation. See translate.c.
 *
 * A block is at most env->limit guest instructions, up to a branch, within a page. What becomes of each instruction:
 * a row of translate.def, or as it is. Whatever the block needs beyond registers lies in the virtual CPU's shared page
 * (struct bt_shared) and in the head of its code cache (bt_head()): reached relative to RIP in 64-bit code, through GS,
 * which the guest's own code never sees, in 32-bit code.
 *
 * Each translated instruction is a point: to which state of the guest what the CPU holds there corresponds. That makes
 * faults and interrupts precise, wherever in a sequence they strike. */
#ifndef VMM_BT_TRANSLATE_H
#define VMM_BT_TRANSLATE_H

#include "models/cpu/decode.h"

#define BT_INSNS_MAX   32               /* guest instructions of a block, at most */
#define BT_CODE_MAX    2560             /* its bytes in the cache, at most */
#define BT_POINTS_MAX  512
#define BT_EXITS_MAX   2

/* The page the translated code and the VMM share: plain, in simulated memory, the guest's kernel may write it. */
struct bt_shared {
	uint64_t r[8];                  /* spilled general registers, by number */
	uint64_t pc;                    /* where an indirect branch goes: guest's, */
	uint64_t target;                /* translated */
	uint64_t flags_delta;           /* what PUSHF adds to the real flags, beside vif: virtual IOPL - IF */
	uint64_t cr0, cr3, cr4;         /* virtual, for MOV from CR and SMSW */
	uint32_t vif;                   /* virtual IF: 0 or RFLAGS_IF */
	uint32_t pending;               /* an interrupt waits for vif: 0 or 1 */
	uint32_t cs, ss, gs, ldtr, tr;  /* virtual selectors */
	uint32_t tpr_wait;              /* interrupts wait, for CR8 or for something else: the VMM is to see CR8 change */
	uint64_t cr8;                   /* virtual */
	uint64_t tsc_offset;            /* the guest's time-stamp counter less the CPU's */
	uint32_t tsc_low, ah_flags;     /* RDTSC in 32-bit code: half of the answer; the flags as LAHF and SETO AL leave them */
	uint64_t cr8_new, zero, cr8_sum, zero_too;      /* MOV to CR8 looks whether it may; read from their second bytes on */
};

/* How the guest's RIP follows from where the CPU is. */
enum bt_rip { BT_AT /* pc + point.guest */, BT_IN_CX /* RCX, before it is reloaded */, BT_IN_PC /* shared.pc */, BT_EXIT0, BT_EXIT1 };
enum bt_callout {
#define CALLOUT(NAME, name, sentence) BT_CALLOUT_##NAME,
#include "models/vmm/bt/callout.def"
	BT_CALLOUTS
};
enum { BT_VIF_AL = 1 /* vif's second byte is still in AL */, BT_SHADOW = 2 /* the instruction before was STI */,
       BT_SPACE = 4 /* translations may be others after it */, BT_AFTER = 8 /* the guest's instruction is done, its translation not */,
       BT_FLAGS = 16 /* the guest's status flags are in shared.ah_flags */, BT_TIME = 32 /* RDTSC itself: what it overwrites is spilled */ };
struct bt_point {               /* 8 bytes, as it is in the side table */
	uint16_t at;                    /* of the translated instruction, in the block */
	uint16_t guest;                 /* offset of the guest's, in its block */
	uint8_t reload;                 /* bit per register: the guest's value is in shared.r[] */
	uint8_t rip_rsp;                /* 3:0 enum bt_rip | 7:4 what is to be added to RSP, in stack slots, signed */
	uint8_t callout;                /* enum bt_callout: it is a callout, NONE: it is not */
	uint8_t how;                    /* BT_VIF_AL, ... */
};
#define BT_RIP(p)  ((enum bt_rip)((p)->rip_rsp & 15))
#define BT_RSP(p)  ((int8_t)(p)->rip_rsp >> 4)

/* All is as before the guest's instruction. */
static inline bool bt_point_clean(const struct bt_point *p) { return !p->rip_rsp && !p->reload && !(p->how & ~BT_SHADOW & ~BT_SPACE); }

enum bt_rdtsc { BT_RDTSC_INLINE, BT_RDTSC_CALLOUT, BT_RDTSC_TRAP };     /* trap: as it is, the hardware makes it #GP */

struct bt_env {
	const struct decoder *decoder;
	const struct profile *profile;
	bool wide;                      /* 64-bit code, else 32-bit */
	bool iopl;                      /* the virtual IOPL is not 0 */
	uint64_t shared;                /* linear: the shared page */
	uint64_t head;                  /* linear: bt_head()'s code */
	uint64_t table;                 /* linear: of indirect branches, BT_SLOTS of bt_slot_bytes() */
	unsigned limit;                 /* guest instructions of a block */
	enum bt_rdtsc rdtsc;
	bool (*simulated)(void *who, uint64_t pc);      /* it traps so often that it became a callout; NULL: none */
	void *who;
};

struct bt_exit {                /* a direct branch out of the block */
	uint64_t target;                /* guest's */
	uint16_t site;                  /* of its 4 bytes of displacement, in the block: they lead to `stub` until it is chained */
	uint16_t stub;
};
struct bt_block {
	uint64_t pc;                    /* the guest's */
	uint16_t guest_len, insns;      /* insns 0: the first instruction is not all there */
	uint16_t len, points, exits;
	uint16_t last;                  /* offset of its last instruction */
	bool full;                      /* it did not fit: cannot happen (a test tries) */
	struct bt_exit exit[BT_EXITS_MAX];
	struct bt_point point[BT_POINTS_MAX];
	uint8_t code[BT_CODE_MAX];
};

/* n bytes of guest code at pc, to be executed at linear address `at`. */
void bt_translate(const struct bt_env *env, uint64_t pc, const uint8_t *bytes, unsigned n, uint64_t at, struct bt_block *b);

void bt_block_init(struct bt_block *b, uint64_t pc);      /* empty */

/* What all blocks of a cache use: the lookup for indirect branches, and POPF's table. Its points have rip BT_IN_CX or BT_IN_PC. */
void bt_head(const struct bt_env *env, struct bt_block *b);
#define BT_HEAD_CODE    0               /* the lookup */
#define BT_HEAD_POPF    512             /* 512 bytes: by bits 15:8 of the flags: IF as vif's second byte; whether the VMM must see it: */
#define BT_HEAD_POPF_SEEN 768           /* what sets TF, IOPL or NT, and what takes an IOPL away (env->iopl) */
#define BT_HEAD_BYTES   1024

/* The table of indirect branches, by bits 12:0 of the guest's address: minus that address, and where its translation is. */
#define BT_SLOTS 8192
static inline unsigned bt_slot_bytes(bool wide) { return wide ? 16 : 8; }
static inline unsigned bt_slot(uint64_t pc) { return (unsigned)(pc & (BT_SLOTS - 1)); }

/* What the CPU holds at a point, and the guest's registers as they follow from it. */
struct bt_regs {
	uint64_t r[16], rip, flags;     /* flags: the status flags count */
	uint32_t vif;                   /* virtual IF, as it is in the shared page */
	uint64_t pc;                    /* of the block, the guest's, */
	uint64_t exit[BT_EXITS_MAX];    /* and the targets of its exits */
	uint64_t (*get)(void *who, size_t member, unsigned size);       /* from the shared page */
	void *who;
};
void bt_recover(const struct bt_point *p, const struct bt_regs *at, bool wide, struct bt_regs *guest);
const struct bt_point *bt_point_find(const struct bt_point *p, unsigned n, unsigned at);       /* NULL: none begins there */

struct bt_callout_row { const char *name, *sentence; };
extern const struct bt_callout_row bt_callout_rows[BT_CALLOUTS];
struct bt_row { const char *insn, *how, *sentence; };
extern const struct bt_row bt_rows[];   /* translate.def, for lists */
extern const size_t bt_rows_n;

#endif
