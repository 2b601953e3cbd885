/* out.h - a block of translated code in the making: what the emitters of translate.def write with.
 *
 * Bytes go behind one another. Before each instruction of the CPU's a point is set: which state of the guest the CPU holds there. Sequences are
 * written so that it is always one: that before the guest's instruction (what was spilled is reloaded, RSP put back), or that after
 * it. So they avoid arithmetic: MOV, LEA, MOVZX and JRCXZ leave the flags alone, which then need no saving.
 * Private to the translator. */
#ifndef VMM_BT_OUT_H
#define VMM_BT_OUT_H

#include "models/cpu/exec.h"
#include "models/cpu/sensitivity.h"
#include "models/vmm/bt/translate.h"

/* Where the parts of an instruction are. */
struct parts {
	unsigned rex;                   /* offset of REX, or of the last byte of VEX that holds B and X; */
	unsigned opcode, modrm;         /* of the opcode's last byte, of ModRM */
	bool has_rex, vex, vex3, address32;
	uint8_t segment;                /* the prefix, or 0 */
};

struct out {
	struct bt_block *b;
	const struct bt_env *env;
	uint64_t at;                    /* linear, of the block */
	uint16_t guest;                 /* offset of the guest's instruction */
	uint8_t how;                    /* BT_SHADOW, ..., of the next point */
	bool ended;
	/* the guest's instruction */
	const uint8_t *bytes;
	struct uop u;
	struct parts p;
	uint64_t next;                  /* the guest's next address */
	struct bt_point nowhere;        /* instead of one too many */
};

enum { AX = 1 << R_RAX, CX = 1 << R_RCX, DX = 1 << R_RDX };

/* ---- bytes ---- */
void out_byte(struct out *o, uint8_t x);
void out_bytes(struct out *o, const void *p, unsigned n);
void out_imm32(struct out *o, uint64_t x);
#define OUT(o, ...) out_bytes(o, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static inline bool out_wide(const struct out *o) { return o->env->wide; }
static inline bool out_narrow(const struct out *o) { return o->u.osz == 2; }
static inline unsigned out_size(const struct out *o) { return out_wide(o) ? 8 : 4; }
static inline uint64_t out_mask(const struct out *o) { return out_wide(o) ? ~0ull : MASK(32); }
static inline bool out_fits32(uint64_t x) { return (uint64_t)(int64_t)(int32_t)x == x; }
static inline void out_rex_w(struct out *o) { if (out_wide(o)) out_byte(o, 0x48); }

/* ---- points: `held` is a mask of the registers that are spilled, rsp what is to be added to RSP, in slots ---- */
struct bt_point *out_point(struct out *o, enum bt_rip rip, unsigned held, int rsp);
static inline void out_before(struct out *o, unsigned held, int rsp) { out_point(o, BT_AT, held, rsp); }
void out_after(struct out *o, unsigned held, int rsp);          /* the guest's instruction is done */
/* An instruction of these bytes, before the guest's is done. */
#define STEP(o, held, ...) (out_before(o, held, 0), OUT(o, __VA_ARGS__))

/* ---- the shared page and the head ---- */
#define SHARED(member) offsetof(struct bt_shared, member)
/* ModRM and displacement of a linear address near the cache; `tail` bytes of immediate follow. */
void out_near(struct out *o, unsigned reg, uint64_t lin, unsigned tail);
/* An opcode with a register (size bytes of it) and a member of the shared page. */
void out_shared(struct out *o, unsigned size, unsigned opcode, unsigned reg, size_t member, unsigned tail);
static inline void out_store(struct out *o, unsigned reg, size_t member) { out_shared(o, out_size(o), 0x89, reg, member, 0); }
static inline void out_load(struct out *o, unsigned reg, size_t member) { out_shared(o, out_size(o), 0x8b, reg, member, 0); }
static inline void out_spill(struct out *o, unsigned reg) { out_store(o, reg, SHARED(r) + 8 * reg); }
static inline void out_reload(struct out *o, unsigned reg) { out_load(o, reg, SHARED(r) + 8 * reg); }

/* ---- within a block ---- */
unsigned out_jrcxz(struct out *o);              /* forwards, to where out_land() is told what this returned */
void out_land(struct out *o, unsigned jump);

/* ---- leaving it ---- */
void out_callout(struct out *o, enum bt_callout what, enum bt_rip rip, bool done);
void out_last_callout(struct out *o, enum bt_callout what);     /* and the block ends */
static inline void out_interpret(struct out *o) { out_last_callout(o, BT_CALLOUT_INTERPRET); }
void out_jump(struct out *o, uint64_t target);  /* chained later; */
void out_leave(struct out *o, uint64_t target); /* the same, behind the guest's instruction */
void out_stubs(struct out *o);
void out_lookup(struct out *o);                 /* the target is in RCX, the guest's RCX spilled */

/* ---- the guest's instruction, emit_copy.c ---- */
void out_find_parts(struct out *o);
static inline bool out_relative(const struct out *o) { return o->u.base == R_RIP; }
/* Its memory operand is in a segment that 32-bit translated code does not have. */
static inline bool out_lost_segment(const struct out *o) { return !out_wide(o) && (o->p.segment == 0x65 || o->p.segment == 0x2e); }

/* ---- emit_*.c: a body for each `how` of translate.def, and two more ---- */
typedef void emit_fn(struct out *o);
#define BT(MNEMONIC, how, sentence) emit_fn emit_##how;
#include "models/vmm/bt/translate.def"
emit_fn emit_copy, emit_jcc;

#endif
