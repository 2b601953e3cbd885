/* changed.c - what was translated is not there any more: the guest's translations have changed, or its code was written.
 * Timing: GUEST_WALK a level, references to the guest's tables and to the cache's lists. */
#include "models/vmm/bt/inside.h"

#include "models/mmu/pte.h"
#include "models/vmm/virt.h"

static void drop_page(struct vcpu *v, uint32_t page)
{
	for (uint32_t k; (k = (uint32_t)PAGE_GET(v, page, first));)
		bt_drop(v, k - 1);
}

/* Where the guest's tables lead now, without a mark in them: as a TLB's entry would go on being used. */
static bool look(struct vcpu *v, const struct guest_regs *r, uint64_t lin, uint64_t *gpa, unsigned *page_shift)
{
	const struct paging *g = &r->g;
	uint64_t table = r->cr3 & (g->levels == 2 ? 0xfffff000 : MASK(52) & PAGE_MASK);
	unsigned level = g->levels;
	*gpa = lin;
	*page_shift = 32;
	if (!level)
		return true;
	if (level == 3) {
		if (!(r->pdpte[BITS(lin, 31, 30)] & PTE_P))
			return false;
		table = r->pdpte[BITS(lin, 31, 30)] & MASK(52) & PAGE_MASK;
		level = 2;
	}
	for (;; level--) {
		unsigned shift = 12 + (level - 1) * g->index_bits;
		hpa_t hpa;
		if (!vm_gpa_to_hpa(v->vm, GPA(table + BITS(lin, shift + g->index_bits - 1, shift) * g->entry_bytes), &hpa))
			return false;
		uint64_t entry = bt_get(v, hpa.v, g->entry_bytes);
		vmm_cost(v->cpu, VMM_COST_GUEST_WALK);
		if (!(entry & PTE_P))
			return false;
		bool large = entry & PTE_PS && g->large >> level & 1;
		table = entry & g->address[level][large];
		if (level > 1 && !large)
			continue;
		if (large && g->levels == 2)
			table |= BITS(entry, 20, 13) << 32;
		*page_shift = shift;
		*gpa = table | (lin & MASK(shift));
		return true;
	}
}

void bt_verify(struct vcpu *v, const struct guest_regs *r)
{
	struct bt_state *s = bt_state(v);
	uint64_t from = 1, to = 0, gpa = 0;
	for (uint32_t n = 0; n < s->pages_n; n++) {
		if (!PAGE_GET(v, n, first))
			continue;
		uint64_t lin = PAGE_GET(v, n, lin) << PAGE_SHIFT, now;
		bool there = true;
		if (lin >= from && lin < to) {
			now = gpa + (lin - from);
		} else {
			unsigned shift;
			there = look(v, r, lin, &now, &shift);
			from = lin & ~MASK(shift), to = there ? from + MASK(shift) : from;
			gpa = now - (lin - from);
		}
		if (!there || now >> PAGE_SHIFT != PAGE_GET(v, n, frame)) {
			drop_page(v, n);
			bt_page_moved(v, n, there ? now >> PAGE_SHIFT : NOWHERE);
		}
	}
}

/* The pager does not trace the page any more, and the guest will write it by itself. True: the instruction that does lies on it. */
static bool given_up(struct vcpu *v, uint64_t frame)
{
	struct bt_state *s = bt_state(v);
	const uint64_t rip = vcpu_get(v, VMCS_GUEST_RIP) >> PAGE_SHIFT;
	bool own = false;
	for (uint32_t n = 0; n < s->pages_n; n++)
		if (PAGE_GET(v, n, frame) == frame) {
			drop_page(v, n);
			PAGE_SET(v, n, frame, NOWHERE); /* traced again when it is translated again */
			own |= PAGE_GET(v, n, lin) == rip;
			v->vm->stat[VMM_STAT_BT_REWRITTEN]++;
		}
	return own;
}

bool bt_written(struct vcpu *v, uint64_t gpa, unsigned len)
{
	struct bt_state *s = bt_state(v);
	if (len >= PAGE_SIZE)
		return given_up(v, gpa >> PAGE_SHIFT);
	for (uint32_t n = 0; n < s->pages_n; n++) {
		if (PAGE_GET(v, n, frame) != gpa >> PAGE_SHIFT)
			continue;
		uint64_t from = (PAGE_GET(v, n, lin) << PAGE_SHIFT) + (gpa & 0xfff);
		bool hit = false;
		for (uint32_t k = (uint32_t)PAGE_GET(v, n, first), next; k; k = next) {
			unsigned i = BT_GETI(v, k - 1, page, 0) == n + 1 ? 0 : 1;
			next = (uint32_t)BT_GETI(v, k - 1, page_next, i);
			uint64_t pc = BT_GET(v, k - 1, pc);
			if (pc < from + len && from < pc + BT_GET(v, k - 1, guest_len)) {
				bt_drop(v, k - 1);
				hit = true;
			}
		}
		if (!hit)
			continue;
		v->vm->stat[VMM_STAT_BT_REWRITTEN]++;
		PAGE_SET(v, n, writes, PAGE_GET(v, n, writes) + 1);
		struct cpu *c = v->cpu;
		trace(c->trace, c->ledger.now, c->number, VMM_TRACE_BT_REWRITTEN, v->vm->number, from, len, 0);
	}
	return false;
}

void bt_drop_at(struct vcpu *v, uint64_t at)
{
	struct bt_state *s = bt_state(v);
	for (uint32_t n = 0; n < s->pages_n; n++) {
		if (PAGE_GET(v, n, lin) != at >> PAGE_SHIFT)
			continue;
		for (uint32_t k = (uint32_t)PAGE_GET(v, n, first), next; k; k = next) {
			unsigned i = BT_GETI(v, k - 1, page, 0) == n + 1 ? 0 : 1;
			next = (uint32_t)BT_GETI(v, k - 1, page_next, i);
			uint64_t pc = BT_GET(v, k - 1, pc);
			if (pc <= at && at < pc + BT_GET(v, k - 1, guest_len))
				bt_drop(v, k - 1);
		}
	}
}
