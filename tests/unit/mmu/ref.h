/* ref.h - a second page walker, as plain as can be: one paragraph per paging mode, straight from the SDM's tables.
 * It shares no code with models/mmu/walk.c and knows no cache. */
#ifndef TEST_MMU_REF_H
#define TEST_MMU_REF_H

#include "models/mmu/mmu.h"

struct ref_regs {
	int mode;               /* 2 legacy, 3 PAE, 4, 5 */
	bool wp, pse, smep, smap, pke, nxe, ac;
	uint32_t pkru;
	unsigned phys_bits;
	uint64_t cr3, pdpte[4];
};
struct ref_out {
	bool fault;
	uint32_t code;
	uint64_t pa;
	unsigned n;                             /* entries used */
	struct { uint64_t at, value; } after[5];        /* each entry used and what it must hold afterwards */
	bool global;
};

static inline uint64_t ref_entry(struct mem *mem, int mode, uint64_t at)
{
	return mode == 2 ? mem_read32(mem, HPA(at)) : mem_read64(mem, HPA(at));
}

static inline struct ref_out ref_translate(struct mem *mem, const struct ref_regs *r, uint64_t lin, unsigned access)
{
	struct ref_out o = { 0 };
	const bool fetch = access & ACC_EXEC, write = access & (ACC_WRITE | ACC_RMW), user = access & ACC_USER,
	           shadow = access & ACC_SS;
	const uint32_t base = (write ? 2 : 0) | (user ? 4 : 0) | (fetch && (r->smep || (r->nxe && r->mode != 2)) ? 16 : 0) |
	                      (shadow ? 64 : 0);
	bool above = true, w = true, u = true, x = true;
	unsigned pkey = 0;
	uint64_t table = r->cr3 & 0xffffffffff000, e = 0, at = 0;
	const uint64_t high = r->phys_bits >= 52 ? 0 : (~0ull << r->phys_bits) & 0xfffffffffffff;
	if (r->mode == 2) {
		table &= 0xfffff000;
		at = table + (lin >> 22) * 4;
		e = ref_entry(mem, 2, at);
		if (!(e & 1)) { o.fault = true; o.code = base; return o; }
		w = e >> 1 & 1; u = e >> 2 & 1;
		if (e & 0x80 && r->pse) {
			/* bit 21 is reserved, and those of 20:13 that no physical-address bit above 31 uses */
			uint64_t used = r->phys_bits >= 40 ? 0xff : (1u << (r->phys_bits - 32)) - 1;
			if (e & 1 << 21 || (e >> 13 & 0xff & ~used)) { o.fault = true; o.code = base | 9; return o; }
			o.pa = (e & 0xffc00000) | (e >> 13 & 0xff) << 32 | (lin & 0x3fffff);
		} else {
			o.after[o.n].at = at; o.after[o.n++].value = e | 0x20;
			at = (e & 0xfffff000) + (lin >> 12 & 0x3ff) * 4;
			e = ref_entry(mem, 2, at);
			if (!(e & 1)) { o.fault = true; o.code = base; return o; }
			above = w; w = w && e & 2; u = u && e & 4;
			o.pa = (e & 0xfffff000) | (lin & 0xfff);
		}
	} else {
		int level = r->mode;
		if (r->mode == 3) {
			if (!(r->pdpte[lin >> 30 & 3] & 1)) { o.fault = true; o.code = base; return o; }
			table = r->pdpte[lin >> 30 & 3] & 0xffffffffff000;
			level = 2;
		}
		for (;; level--) {
			at = table + (lin >> (12 + 9 * (level - 1)) & 0x1ff) * 8;
			e = ref_entry(mem, 8, at);
			if (!(e & 1)) { o.fault = true; o.code = base; return o; }
			uint64_t bad = high | (r->nxe ? 0 : 1ull << 63);
			if (r->mode == 3)
				bad |= 0x7ff0000000000000;
			bool ps = e & 0x80 && level > 1;
			if (ps && (level > 3 || (r->mode == 3 && level > 2)))
				bad |= 0x80;
			if (ps && level == 3)
				bad |= 0x3fffe000;
			if (ps && level == 2)
				bad |= 0x1fe000;
			if (e & bad) { o.fault = true; o.code = base | 9; return o; }
			above = w; w = w && e & 2; u = u && e & 4; x = x && !(e >> 63);
			if (level == 1 || ps)
				break;
			o.after[o.n].at = at; o.after[o.n++].value = e | 0x20;
			table = e & 0xffffffffff000;
		}
		uint64_t offset = level == 1 ? 0xfff : level == 2 ? 0x1fffff : 0x3fffffff;
		o.pa = (e & 0xffffffffff000 & ~offset) | (lin & offset);
		pkey = r->mode >= 4 ? e >> 59 & 15 : 0;
	}
	bool no = user && !u, pk = false;
	if (fetch) {
		if (r->mode != 2 && !x) no = true;
		if (!user && u && r->smep) no = true;
	} else {
		if (write && !w && (user || r->wp) && !shadow) no = true;
		if (shadow && (!above || e & 2 || !(e & 0x40) || user != u)) no = true;
		if (!user && u && r->smap && ((access & ACC_IMPLICIT) || !r->ac)) no = true;
		if (u && r->pke && r->mode >= 4) {
			if (r->pkru >> (2 * pkey) & 1) pk = true;
			if (r->pkru >> (2 * pkey + 1) & 1 && write && (user || r->wp)) pk = true;
		}
	}
	if (no || pk) { o.fault = true; o.code = base | 1 | (pk ? 32 : 0); return o; }
	o.after[o.n].at = at; o.after[o.n++].value = e | 0x20 | (write ? 0x40 : 0);
	o.global = e & 0x100;
	return o;
}

/* Make every accessed and dirty flag the access would make. */
static inline void ref_commit(struct mem *mem, const struct ref_regs *r, const struct ref_out *o)
{
	for (unsigned i = 0; i < o->n; i++) {
		if (r->mode == 2)
			mem_write32(mem, HPA(o->after[i].at), (uint32_t)o->after[i].value);
		else
			mem_write64(mem, HPA(o->after[i].at), o->after[i].value);
	}
}

#endif
