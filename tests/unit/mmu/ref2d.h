/* ref2d.h - both dimensions once more, as plain as can be: straight from the SDM's tables and rules, on a memory of its own,
 * knowing no cache and sharing no code with models/mmu. */
#ifndef TEST_MMU_REF2D_H
#define TEST_MMU_REF2D_H

#include "models/mmu/mmu.h"

struct ref2d {
	uint8_t *ram;                   /* its memory; flags it sets stay set */
	unsigned phys_bits;
	/* the guest's registers */
	int mode;                       /* 0 paging is off, 2 legacy, 3 PAE, 4, 5 */
	bool wp, smep, smap, nxe, pge, ac;
	uint64_t cr3, pdpte[4];
	/* the second dimension */
	bool ept, flags, modes, log, x_only, advanced;
	unsigned levels;
	uint64_t root, pml;
	unsigned pml_index;
};
struct ref2d_out {
	int kind;                       /* enum mmu_fault_kind */
	uint32_t code;
	uint64_t gpa, qual, hpa;
	bool sve;
};
/* Of the guest's page, for the final access. */
struct ref2d_page { bool final, linear, w, u, x; };

static inline uint64_t ref2d_get(const struct ref2d *r, uint64_t at, unsigned n)
{
	uint64_t v = 0;
	memcpy(&v, r->ram + at, n);
	return v;
}
static inline void ref2d_or(struct ref2d *r, uint64_t at, uint64_t bits)
{
	uint64_t v = ref2d_get(r, at, 8) | bits;
	memcpy(r->ram + at, &v, 8);
}

/* "Guest-physical to host-physical". rd, wr, ex: what is wanted; *got: the AND of bits R W X (and bit 10 as 8). */
static inline bool ref2d_ept(struct ref2d *r, uint64_t gpa, bool rd, bool wr, bool ex, const struct ref2d_page *p,
                             unsigned *got, struct ref2d_out *o)
{
	uint64_t at[5], e[5], table = r->root;
	unsigned n = 0, level = r->levels, all = 15, size = 12;
	if (!r->ept) {
		o->hpa = gpa;
		*got = 15;
		return true;
	}
	for (;; level--) {
		size = level == 5 ? 48 : level == 4 ? 39 : level == 3 ? 30 : level == 2 ? 21 : 12;
		at[n] = table + (gpa >> size) % 512 * 8;
		uint64_t v = e[n] = ref2d_get(r, at[n], 8);
		n++;
		unsigned here = (v & 7) | (r->modes && v >> 10 & 1 ? 8 : 0);
		all &= here;
		bool leaf = level == 1 || (level <= 3 && v & 0x80);
		if (here) {
			bool bad = (v & 3) == 2;                                                /* writable, not readable */
			bad |= !r->x_only && !(v & 1) && here & 12;                             /* execute-only */
			bad |= (v >> r->phys_bits & ((1ull << (52 - r->phys_bits)) - 1)) != 0;   /* address too wide */
			if (!leaf)
				bad |= (v & 0x78) != 0 || (level >= 4 && v & 0x80);
			if (leaf && level == 3)
				bad |= (v & 0x3ffff000) != 0;
			if (leaf && level == 2)
				bad |= (v & 0x1ff000) != 0;
			unsigned type = v >> 3 & 7;
			if (leaf)
				bad |= type == 2 || type == 3 || type == 7;
			if (bad) {
				o->kind = MMU_EPT_MISCONFIG;
				o->gpa = gpa;
				return false;
			}
		}
		unsigned x = r->modes && p->u ? 8 : 4;
		bool denied = !here || (leaf && ((rd && !(all & 1)) || (wr && !(all & 2)) || (ex && !(all & x))));
		if (denied) {
			o->kind = MMU_EPT_VIOLATION;
			o->gpa = gpa;
			o->sve = v >> 63;
			o->qual = (rd ? 1 : 0) | (wr ? 2 : 0) | (ex ? 4 : 0) | (all & 7) << 3 | (all & 8 ? 0x40 : 0);
			if (p->linear)
				o->qual |= 0x80 | (p->final ? 0x100 : 0);
			if (p->linear && p->final && r->advanced)
				o->qual |= (p->u ? 0x200 : 0) | (p->w ? 0x400 : 0) | (p->x ? 0 : 0x800);
			return false;
		}
		if (leaf)
			break;
		table = v & 0xffffffffff000;
	}
	if (r->flags) {
		bool accessed = true, dirties = wr && !(e[n - 1] & 0x200);
		for (unsigned i = 0; i < n; i++)
			accessed &= e[i] >> 8 & 1;
		if (r->log && (!accessed || dirties) && r->pml_index > 511) {
			o->kind = MMU_PML_FULL;
			o->gpa = gpa;
			return false;
		}
		for (unsigned i = 0; i < n; i++)
			ref2d_or(r, at[i], 0x100);
		if (dirties)
			ref2d_or(r, at[n - 1], 0x200);
		if (dirties && r->log) {
			uint64_t page = gpa & ~0xfffull;
			memcpy(r->ram + r->pml + 8 * r->pml_index, &page, 8);
			r->pml_index = (r->pml_index - 1) & 0xffff;
		}
	}
	*got = all;
	o->hpa = (e[n - 1] & 0xffffffffff000 & ~((1ull << size) - 1)) | (gpa & ((1ull << size) - 1));
	return true;
}

static inline struct ref2d_out ref2d_translate(struct ref2d *r, uint64_t lin, unsigned access)
{
	struct ref2d_out o = { .kind = MMU_OK };
	const bool fetch = access & ACC_EXEC, rmw = access & ACC_RMW, write = access & (ACC_WRITE | ACC_RMW), user = access & ACC_USER;
	const bool implicit = access & ACC_IMPLICIT;
	const uint32_t base = (write ? 2 : 0) | (user ? 4 : 0) | (fetch && (r->smep || (r->nxe && r->mode != 2)) ? 16 : 0);
	struct ref2d_page page = { .linear = true, .w = true, .u = true, .x = true };
	uint64_t gpa = lin;
	unsigned got;
	if (r->mode) {
		const unsigned bytes = r->mode == 2 ? 4 : 8, width = r->mode == 2 ? 10 : 9;
		unsigned level = (unsigned)r->mode;
		uint64_t table = r->cr3 & 0xffffffffff000;
		if (r->mode == 3) {
			uint64_t top = r->pdpte[lin >> 30 & 3];
			if (!(top & 1)) { o.kind = MMU_PF; o.code = base; return o; }
			table = top & 0xffffffffff000;
			level = 2;
		}
		for (;; level--) {
			const unsigned shift = 12 + width * (level - 1);
			const uint64_t at = table + (lin >> shift & ((1u << width) - 1)) * bytes;
			struct ref2d_page none = { .linear = true };
			if (!ref2d_ept(r, at, true, r->flags, false, &none, &got, &o))
				return o;
			const uint64_t where = o.hpa, e = ref2d_get(r, where, bytes);
			if (!(e & 1)) { o.kind = MMU_PF; o.code = base; return o; }
			const bool large = e & 0x80 && (level == 2 || (level == 3 && r->mode >= 4));
			uint64_t bad = 0;
			if (bytes == 8) {
				bad = (~0ull << r->phys_bits & 0xfffffffffffff) | (r->nxe ? 0 : 1ull << 63);
				if (r->mode == 3)
					bad |= 0x7ff0000000000000;
				if (level >= 4)
					bad |= 0x80;
				if (large)
					bad |= ((1ull << shift) - 1) & ~0x1fffull;
			} else if (large) {
				bad = 1 << 21;
			}
			if (e & bad) { o.kind = MMU_PF; o.code = base | 9; return o; }
			page.w &= e >> 1 & 1;
			page.u &= e >> 2 & 1;
			page.x &= !(bytes == 8 && r->nxe && e >> 63);
			const bool leaf = level == 1 || large;
			if (leaf) {
				bool denied = user && !page.u;
				if (fetch)
					denied |= !page.x || (!user && page.u && r->smep);
				else
					denied |= (write && !page.w && (user || r->wp)) || (!user && page.u && r->smap && (implicit || !r->ac));
				if (denied) { o.kind = MMU_PF; o.code = base | 1; return o; }
			}
			const uint64_t set = leaf && write ? 0x60 : 0x20;
			if ((e & set) != set) {
				/* the update is a read and a write of the entry */
				if (!(got & 2) && !ref2d_ept(r, at, true, true, false, &none, &got, &o))
					return o;
				uint64_t now = e | set;
				memcpy(r->ram + where, &now, bytes);
			}
			table = e & (bytes == 4 ? 0xfffff000 : 0xffffffffff000);
			if (!leaf)
				continue;
			const uint64_t mask = (1ull << shift) - 1;
			gpa = (table & ~mask) | (lin & mask);
			break;
		}
	}
	page.final = true;
	(void)ref2d_ept(r, gpa, rmw || !(write || fetch), write, fetch, &page, &got, &o);
	return o;
}

#endif
