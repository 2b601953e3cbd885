/* inside.h - how the files of the code cache reach what cache.h lays out: each a timed reference. Private to them. */
#ifndef VMM_BT_INSIDE_H
#define VMM_BT_INSIDE_H

#include "models/vmm/bt/cache.h"

#define NOWHERE    (~0ull)              /* instead of a frame */

#define SIZE(member)           sizeof ((struct bt_desc *)0)->member
#define SET(v, n, member, x)   bt_put(v, BT_DESC(bt_state(v), n, member), SIZE(member), x)
#define AT(v, n, member, i)    (BT_DESC(bt_state(v), n, member) + (i) * SIZE(member[0]))
#define SETI(v, n, member, i, x) bt_put(v, AT(v, n, member, i), SIZE(member[0]), x)
#define PAGE_AT(v, n, member)  (bt_state(v)->pages + (uint64_t)(n) * sizeof(struct bt_page) + offsetof(struct bt_page, member))
#define PAGE_GET(v, n, member) bt_get(v, PAGE_AT(v, n, member), sizeof ((struct bt_page *)0)->member)
#define PAGE_SET(v, n, member, x) bt_put(v, PAGE_AT(v, n, member), sizeof ((struct bt_page *)0)->member, x)

/* cache.c */
void bt_put_bytes(struct vcpu *v, uint64_t at, const void *from, unsigned n);   /* from a multiple of 8 on */
static inline unsigned bt_hash_of(uint64_t pc) { return (unsigned)(pc ^ pc >> 12) & (BT_HASH - 1); }
uint64_t bt_table_at(const struct vcpu *v, uint64_t pc);        /* host-physical: of its slot in the table of indirect branches */
void bt_environment(const struct vcpu *v, struct bt_env *e);
void bt_trace_page(struct vcpu *v, uint64_t frame, bool on);

/* link.c */
void bt_drop(struct vcpu *v, uint32_t block);

/* make.c */
void bt_page_moved(struct vcpu *v, uint32_t page, uint64_t frame);      /* it lies there now; NOWHERE: nowhere */

#endif
