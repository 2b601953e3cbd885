/* cpu.c - a CPU's life (made, restored, freed; reset.c has RESET and INIT) and its rows of
 * statistics and trace events. */
#include "models/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/decode.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "sim/err.h"

/* ---- life ---- */

static void apic_access(void *who, uint64_t lin, gpa_t gpa, unsigned off, void *buf, unsigned size,
                        unsigned access)
{
	vmx_apic_page(who, lin, gpa, off, buf, size, access);
}

struct cpu *cpu_new(unsigned number, struct mem *mem, const struct profile *p,
                    struct cache_hier *caches, struct trace *t,
                    struct evq *q, struct err *e)
{
	if ((p->cet_shstk || p->cet_ibt) && cpu_generation(p) < GEN_SKYLAKE) {
		err_set(e, NULL, "leave cet.shstk and cet.ibt 0, or choose skylake",
		        "profile %s is too old for control-flow enforcement", p->name);
		return NULL;
	}
	size_t size = (sizeof(struct cpu) + 63) & ~(size_t)63;
	struct cpu *c = aligned_alloc(64, size);
	if (!c)
		BUG("out of memory: %zu bytes", size);
	memset(c, 0, size);
	c->number = (uint8_t)number;
	c->profile = p;
	c->trace = t;
	c->evq = q;
	c->ledger.acct = ACCT_GUEST;
	c->look_at = NEVER;
	if (mmu_init(&c->mmu, number, mem, &c->ledger, p, caches, t, e)) {
		free(c);
		return NULL;
	}
	cpuid_init(c);
	c->mmu.ept_cap = vmx_ept_vpid_cap(c);
	c->mmu.apic_access = apic_access;
	c->mmu.apic_who = c;
	c->decoder = decoder_new(c);
	c->blocks = blocks_new(mem->ram_size);
	c->trap_key = p->trap_critical ? KEY_TRAP : 0;
	cpu_reset(c, false);
	return c;
}

void cpu_free(struct cpu *c)
{
	if (!c)
		return;
	blocks_free(c->blocks);
	decoder_free(c->decoder);
	mmu_fini(&c->mmu);
	free(c);
}

/* The MMU's registers come back with its own section of a snapshot; a loader writes the
 * CPU's alone. */
static void restore_mmu(struct cpu *c)
{
	const struct cpu_state *s = &c->s;
	struct mmu *m = &c->mmu;
	if (m->cr0 == s->cr0 && m->cr4 == s->cr4 && m->efer == s->efer && m->cr3 == s->cr3) {
		mmu_restored(m);
		return;
	}
	(void)mmu_set_cr3(m, s->cr3);
	(void)mmu_set_paging(m, s->cr0, s->cr4, s->efer);
	mmu_flush_all(m);
}

void cpu_restored(struct cpu *c)
{
	c->block = NULL;
	c->rmw.size = 0;
	c->seen_cpl = c->s.cpl;
	c->seen_mode = c->s.mode;
	blocks_flush(c);
	restore_mmu(c);
	/* bytes of code to watch, decoded or not */
	const uint64_t fetched[] = { c->s.fetch_pa, c->s.fetch_pa2 };
	for (size_t i = 0; i < ARRAY_LEN(fetched); i++)
		if (fetched[i] != ~0ull && mem_ptr(c->mmu.mem, HPA(fetched[i])))
			mem_flag_set(c->mmu.mem, HPA(fetched[i] & PAGE_MASK), PAGE_CODE);
	if (c->s.monitor_pa != MONITOR_NONE)
		mem_flag_set(c->mmu.mem, HPA(c->s.monitor_pa), PAGE_MONITOR);
	vmx_derive(c);
	pmu_restored(c);
	cpu_mode_changed(c);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		seg_derive(c, i);
	debug_changed(c);
	cpu_attention(c);
}

/* ---- tables ---- */

const struct stat_row cpu_stat_rows[] = {
#define STAT(NAME, name, unit, sentence) { name, STAT_##unit, sentence },
#include "models/cpu/cpu_stat.def"
};

const struct trace_row cpu_trace_rows[] = {
#define EVENT(NAME, name, args, sentence) { name, args, sentence },
#include "models/cpu/cpu_trace.def"
};
const size_t cpu_trace_rows_n = ARRAY_LEN(cpu_trace_rows);
