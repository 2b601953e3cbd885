/* lapic_part.h - inside the local APIC: what lapic.c, its timer (lapic_timer.c) and its registers (lapic_reg.c) share. */
#ifndef CPU_LAPIC_PART_H
#define CPU_LAPIC_PART_H

#include "models/cpu/cpu.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"

#define BASE_BSP    BIT(8)
#define BASE_EXTD   BIT(10)
#define BASE_EN     BIT(11)
#define SVR_ENABLE  BIT(8)
#define LVT_MASK    BIT(16)
#define LVT_LEVEL   BIT(15)
#define LVT_RIRR    BIT(14)
enum { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_DEADLINE };
enum { LVT_CMCI, LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR };
#define ESR_SEND_ILLEGAL 0x20u

static inline bool enabled(const struct lapic *l) { return l->s.base & BASE_EN; }
static inline bool x2apic(const struct lapic *l) { return (l->s.base & (BASE_EN | BASE_EXTD)) == (BASE_EN | BASE_EXTD); }
static inline bool software_enabled(const struct lapic *l) { return l->s.svr & SVR_ENABLE; }

static inline void bit_set(uint32_t *r, unsigned v) { r[v / 32] |= 1u << v % 32; }
static inline void bit_clear(uint32_t *r, unsigned v) { r[v / 32] &= ~(1u << v % 32); }
static inline bool bit_get(const uint32_t *r, unsigned v) { return r[v / 32] >> v % 32 & 1; }
static inline int bit_highest(const uint32_t *r)
{
	for (int i = 7; i >= 0; i--)
		if (r[i])
			return i * 32 + 31 - __builtin_clz(r[i]);
	return -1;
}

/* lapic.c */
void lapic_attention(struct lapic *l);                  /* there may be something to deliver */
void lapic_error(struct lapic *l, uint32_t bit);        /* ESR_* */
bool lapic_accept_vector(struct lapic *l, uint8_t vector, bool level);
void lapic_lvt_deliver(struct lapic *l, unsigned i);    /* LVT_*: its source wants an interrupt */
void lapic_eoi(struct lapic *l);
void lapic_send(struct lapic *l, uint64_t icr);
void lapic_power_up(struct lapic *l);

/* lapic_timer.c */
unsigned lapic_timer_mode(const struct lapic *l);       /* TIMER_* */
uint32_t lapic_timer_count(const struct lapic *l);      /* what the Current Count Register reads */
void lapic_timer_arm(struct lapic *l, cycle_t now);
void lapic_timer_event(void *who, cycle_t now, uint32_t code, uint64_t arg);
void lapic_timer_lvt(struct lapic *l, uint32_t v);      /* writes: its LVT entry; Initial Count; Divide Configuration; deadline */
void lapic_timer_init(struct lapic *l, uint32_t v);
void lapic_timer_divide(struct lapic *l, uint32_t v);
void lapic_timer_deadline(struct lapic *l, uint64_t tsc);

#endif
