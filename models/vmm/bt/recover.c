/* recover.c - the guest's state of what the CPU holds in translated code: faults and interrupts are precise by it. */
#include "models/vmm/bt/out.h"

const struct bt_point *bt_point_find(const struct bt_point *p, unsigned n, unsigned at)
{
	unsigned lo = 0, hi = n;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (p[mid].at < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && p[lo].at == at ? &p[lo] : NULL;
}

void bt_recover(const struct bt_point *p, const struct bt_regs *at, bool is_wide, struct bt_regs *g)
{
	const unsigned slot = is_wide ? 8 : 4;
	*g = *at;
	switch (BT_RIP(p)) {
	case BT_AT:    g->rip = at->pc + p->guest; break;
	case BT_IN_CX: g->rip = at->r[R_RCX]; break;
	case BT_IN_PC: g->rip = at->get(at->who, SHARED(pc), slot); break;
	case BT_EXIT0: g->rip = at->exit[0]; break;
	case BT_EXIT1: g->rip = at->exit[1]; break;
	}
	if (p->how & BT_FLAGS) {
		const uint64_t saved = at->get(at->who, SHARED(ah_flags), 2), ah = RFLAGS_STATUS & 0xff;
		g->flags = (at->flags & ~(uint64_t)RFLAGS_STATUS) | (saved >> 8 & ah) | (saved & 1 ? RFLAGS_OF : 0);
	}
	if (p->how & BT_VIF_AL)
		g->vif = (uint32_t)(at->r[R_RAX] & 0xff) << 8;
	for (unsigned r = 0; r < 8; r++)
		if (p->reload >> r & 1)
			g->r[r] = at->get(at->who, SHARED(r) + 8 * r, slot);
	g->r[R_RSP] += (uint64_t)((int64_t)BT_RSP(p) * (int64_t)slot);
	if (!is_wide) {
		g->rip &= MASK(32);
		g->r[R_RSP] &= MASK(32);
	}
}
