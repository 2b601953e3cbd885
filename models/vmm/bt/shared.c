/* shared.c - the page that translated code and the VMM share (struct bt_shared): what the VMM writes there on the way in, and reads
 * on the way back.
 * Timing: stores of what has changed, and of the two words that change on the other side; loads. */
#include "models/vmm/bt/shared.h"

#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/vmm/ring/ring.h"

static hpa_t shared_page(const struct vcpu *v) { return ring_page_hpa(v->vm, RING_SHARED + v->number); }

uint64_t bt_shared_get(void *who, size_t member, unsigned size)
{
	struct vcpu *v = who;
	return bt_get(v, shared_page(v).v + member, size);
}

/* ---- CR8 ---- */

/* While translated code runs with no interrupt waiting, CR8 is the guest's to change in the shared page; the local APIC's own is 0
 * meanwhile, so that whatever arrives is looked at. */
void bt_take_cr8(struct vcpu *v)
{
	struct bt_state *s = bt_state(v);
	if (!s->cr8_lent)
		return;
	s->cr8_lent = 0;
	lapic_set_cr8(v->model->lapic, (unsigned)bt_shared_get(v, offsetof(struct bt_shared, cr8), 8));
}

static bool lend_cr8(struct vcpu *v)
{
	struct bt_state *s = bt_state(v);
	const struct lapic_state *l = &v->model->lapic->s;
	bt_put(v, shared_page(v).v + offsetof(struct bt_shared, cr8), 8, lapic_cr8(v->model->lapic));
	for (unsigned i = 0; i < ARRAY_LEN(l->irr); i++)
		if (l->irr[i])
			return false;
	s->cr8_lent = 1;
	lapic_set_cr8(v->model->lapic, 0);
	return true;
}

unsigned bt_peek_cr8(const struct vcpu *v)
{
	if (!bt_state(v)->cr8_lent)
		return lapic_cr8(v->model->lapic);
	return mem_read64(v->cpu->mmu.mem, HPA(shared_page(v).v + offsetof(struct bt_shared, cr8))) & 15;
}

/* ---- on the way in ---- */

void bt_share(struct vcpu *v)
{
	struct bt_state *s = bt_state(v);
	v->s.translated = !s->wide;
	const bool lent = s->wide && v->model->lapic && lend_cr8(v);
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS), page = shared_page(v).v;
	struct bt_shared now = { .flags_delta = (flags & RFLAGS_IOPL) - RFLAGS_IF,
		.cr0 = v->s.cr0, .cr3 = v->s.cr3, .cr4 = v->s.cr4,
		.cs = (uint32_t)vcpu_get(v, VMCS_GUEST_CS), .ss = (uint32_t)vcpu_get(v, VMCS_GUEST_SS), .gs = (uint32_t)vcpu_get(v, VMCS_GUEST_GS),
		.ldtr = (uint32_t)vcpu_get(v, VMCS_GUEST_LDTR), .tr = (uint32_t)vcpu_get(v, VMCS_GUEST_TR),
		.tpr_wait = !lent, .tsc_offset = vcpu_get(v, VMCS_TSC_OFFSET) };
	for (size_t at = 0; at < sizeof now; at += 8)
		if (memcmp((uint8_t *)&now + at, (uint8_t *)&s->shared + at, 8)) {
			uint64_t x;
			memcpy(&x, (uint8_t *)&now + at, 8);
			bt_put(v, page + at, 8, x);
		}
	const bool iopl = bt_iopl(&s->shared);
	s->shared = now;
	if (bt_iopl(&now) != iopl)
		bt_head_again(v);
	/* these change on the other side too */
	bt_put(v, page + offsetof(struct bt_shared, vif), 4, flags & RFLAGS_IF);
	bt_put(v, page + offsetof(struct bt_shared, pending), 4, (v->s.window & VMM_WINDOW_INTERRUPT) != 0);
}

bool bt_vif(const struct vcpu *v, bool *on)
{
	uint32_t x = 0;
	if (v->s.privilege != 2 || !bt_inside(v, block_linear(v->cpu)))
		return false;
	(void)mem_peek(v->cpu->mmu.mem, HPA(shared_page(v).v + offsetof(struct bt_shared, vif)), &x, 4);
	*on = x & RFLAGS_IF;
	return true;
}
