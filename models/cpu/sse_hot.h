/* sse_hot.h - the pieces of SSE hot handlers: availability, memory, tables of forms. See hot.h. */
#ifndef CPU_SSE_HOT_H
#define CPU_SSE_HOT_H

#include "models/cpu/hot.h"
#include "models/cpu/sse.h"

typedef uint8_t v16u8 __attribute__((vector_size(16)));
typedef int8_t v16s8 __attribute__((vector_size(16)));
typedef uint16_t v8u16 __attribute__((vector_size(16)));
typedef int16_t v8s16 __attribute__((vector_size(16)));
typedef uint32_t v4u32 __attribute__((vector_size(16)));
typedef int32_t v4s32 __attribute__((vector_size(16)));
typedef uint64_t v2u64 __attribute__((vector_size(16)));

/* Else the body raises #UD or #NM. */
#define SSE_ON(c, u) do { \
	if (unlikely(((c)->s.cr0 & (CR0_EM | CR0_TS)) | (~(c)->s.cr4 & CR4_OSFXSR))) \
		return uop_call((c), (u)); \
} while (0)

/* p: the memory operand; misaligned where that matters: the body raises #GP(0). */
#define VEC_MEM(p, k, size, write, aligned) \
	uint64_t p##_lin; \
	if (unlikely(!ea_##k(c, u, (size), (write), &p##_lin) || ((aligned) && (p##_lin & 15)))) \
		return uop_call(c, u); \
	HOT_AT(p, p##_lin, (size), (write), uop_call)

/* Forms: two registers, a load, a store; memory in its three kinds. */
enum vec_form { VEC_RR, VEC_RM, VEC_MR = VEC_RM + 3, VEC_FORMS = VEC_MR + 3 };
#define VEC_ROW(rr, rm, mr) { rr, rm##_b, rm##_x, rm##_g, mr##_b, mr##_x, mr##_g }
#define VEC_LOAD_ROW(rr, rm) { rr, rm##_b, rm##_x, rm##_g }

static inline uop_fn *vec_bind(const struct uop *u, uop_fn *const table[VEC_FORMS])
{
	if (u->kind[0] == OPK_XMM && u->kind[1] == OPK_XMM)
		return table[VEC_RR];
	if (u->kind[0] == OPK_XMM && u->kind[1] == OPK_MEM)
		return table[VEC_RM + hot_ea(u)];
	if (u->kind[0] == OPK_MEM && u->kind[1] == OPK_XMM)
		return table[VEC_MR + hot_ea(u)];
	return NULL;
}

#endif
