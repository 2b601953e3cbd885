/* vmcs.c - the fields of a VMCS as rows, and the VMCSs a CPU keeps on chip.
 *
 * A VMCS is brought on chip when it is first needed (VMPTRLD, or as the shadow VMCS of VMREAD and VMWRITE in a guest) and
 * goes back to memory on VMCLEAR or to make room. Its region:
 *   0  revision identifier 30:0, shadow-VMCS indicator 31        (software writes it)
 *   4  VMX-abort indicator
 *   8  launch state: 1 launched, anything else clear
 *   12 0
 *   16 the fields in the order of vmcs.def, 8 bytes each, little-endian
 * Source: SDM Vol. 3C, "Format of the VMCS Region", "Software Use of the VMCS and Related Structures".
 * Timing: a reference for each 8 bytes; so coming on chip and leaving cost what the region's lines cost. */
#include "models/cpu/vmx/vmcs.h"

#include "models/cpu/cpu.h"
#include "models/cpu/vmx/vmx.h"
#include "sim/err.h"

enum { REGION_HEAD = 0, REGION_LAUNCH = 8, REGION_FIELDS = 16, REGION_BYTES = REGION_FIELDS + VMCS_N * 8 };
_Static_assert(REGION_BYTES <= PAGE_SIZE, "a VMCS region is at most 4 KB");

const struct vmcs_row vmcs_rows[VMCS_N] = {
#define FIELD(NAME, encoding, name, needs, sentence) [VMCS_##NAME] = { name, sentence, encoding, VMX_##needs },
#include "models/cpu/vmx/vmcs.def"
};

uint64_t vmcs_mask(enum vmcs_field f)
{
	switch (vmcs_width(f)) {
	case VMCS_16: return 0xffff;
	case VMCS_32: return 0xffffffff;
	default:      return ~0ull;
	}
}

const char *vmcs_section(enum vmcs_field f)
{
	switch (vmcs_type(f)) {
	case VMCS_READ_ONLY: return "VM-Exit Information Fields";
	case VMCS_GUEST:     return "Guest-State Area";
	case VMCS_HOST:      return "Host-State Area";
	default:             break;
	}
	switch (f) {
	case VMCS_EXIT_MSR_STORE_ADDR: case VMCS_EXIT_MSR_STORE_COUNT: case VMCS_EXIT_MSR_LOAD_ADDR:
	case VMCS_EXIT_MSR_LOAD_COUNT:
		return "VM-Exit Controls for MSRs";
	case VMCS_EXIT_CONTROLS:
		return "VM-Exit Controls";
	case VMCS_ENTRY_MSR_LOAD_ADDR: case VMCS_ENTRY_MSR_LOAD_COUNT:
		return "VM-Entry Controls for MSRs";
	case VMCS_ENTRY_INTR_INFO: case VMCS_ENTRY_INTR_ERROR: case VMCS_ENTRY_INSN_LENGTH:
		return "VM-Entry Controls for Event Injection";
	case VMCS_ENTRY_CONTROLS:
		return "VM-Entry Controls";
	default:
		return "VM-Execution Control Fields";
	}
}

/* The rows stand in the order of their encodings. Bits 63:15 and 12 are reserved: with one set there is no such field. */
int vmcs_find(uint32_t encoding)
{
	unsigned lo = 0, hi = VMCS_N;
	uint32_t even = encoding & ~1u;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (vmcs_rows[mid].encoding < even)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == VMCS_N || vmcs_rows[lo].encoding != even)
		return -1;
	if (encoding & 1 && vmcs_width((enum vmcs_field)lo) != VMCS_64)
		return -1;
	return (int)lo;
}

bool vmcs_exists(const struct cpu *c, enum vmcs_field f)
{
	unsigned needs = vmcs_rows[f].needs;
	return needs == VMX_ALWAYS || vmx_may_be(c, (enum vmx_control)needs);
}

/* ---- on chip ---- */

struct vmcs *vmcs_active(struct cpu *c, uint64_t pa)
{
	for (unsigned i = 0; i < VMCS_SLOTS; i++)
		if (c->vmx.slot[i].pa == pa && pa != VMCS_NONE)
			return &c->vmx.slot[i];
	return NULL;
}

static void write_back(struct cpu *c, const struct vmcs *v)
{
	mmu_phys_write(&c->mmu, HPA(v->pa + REGION_LAUNCH), 8, v->launched, WHY_VMCS);
	for (unsigned i = 0; i < VMCS_N; i++)
		mmu_phys_write(&c->mmu, HPA(v->pa + REGION_FIELDS + 8 * i), 8, v->f[i], WHY_VMCS);
}

static void read_in(struct cpu *c, struct vmcs *v, uint64_t pa)
{
	v->pa = pa;
	v->shadow = mmu_phys_read(&c->mmu, HPA(pa + REGION_HEAD), 4, WHY_VMCS) >> 31 & 1;
	v->launched = (uint32_t)mmu_phys_read(&c->mmu, HPA(pa + REGION_LAUNCH), 4, WHY_VMCS) == 1;
	for (unsigned i = 0; i < VMCS_N; i++)
		v->f[i] = mmu_phys_read(&c->mmu, HPA(pa + REGION_FIELDS + 8 * i), 8, WHY_VMCS) & vmcs_mask((enum vmcs_field)i);
}

/* A free slot, or that of the least recently used VMCS but for the current one. */
static struct vmcs *room(struct cpu *c)
{
	struct vmcs *oldest = NULL;
	for (unsigned i = 0; i < VMCS_SLOTS; i++) {
		struct vmcs *v = &c->vmx.slot[i];
		if (v->pa == VMCS_NONE)
			return v;
		if ((int)i != c->vmx.current && (!oldest || v->used < oldest->used))
			oldest = v;
	}
	write_back(c, oldest);
	return oldest;
}

struct vmcs *vmcs_activate(struct cpu *c, uint64_t pa)
{
	if (!mem_ptr(c->mmu.mem, HPA(pa)) || pa & (PAGE_SIZE - 1))
		BUG("no VMCS region at %#llx", (unsigned long long)pa);
	struct vmcs *v = vmcs_active(c, pa);
	if (!v) {
		v = room(c);
		read_in(c, v, pa);
	}
	v->used = ++c->vmx.clock;
	return v;
}

bool vmcs_peek(const struct cpu *c, uint64_t pa, struct vmcs *out)
{
	for (unsigned i = 0; i < VMCS_SLOTS && pa != VMCS_NONE; i++)
		if (c->vmx.slot[i].pa == pa) {
			*out = c->vmx.slot[i];
			return true;
		}
	*out = (struct vmcs){ .pa = pa };
	if (!mem_peek(c->mmu.mem, HPA(pa + REGION_FIELDS), out->f, sizeof out->f))
		return false;
	for (unsigned i = 0; i < VMCS_N; i++)
		out->f[i] &= vmcs_mask((enum vmcs_field)i);
	return true;
}

void vmcs_clear(struct cpu *c, uint64_t pa)
{
	struct vmcs *v = vmcs_active(c, pa);
	if (!v) {
		mmu_phys_write(&c->mmu, HPA(pa + REGION_LAUNCH), 8, 0, WHY_VMCS);
		return;
	}
	v->launched = 0;
	write_back(c, v);
	if (v - c->vmx.slot == c->vmx.current)
		c->vmx.current = -1;
	memset(v, 0, sizeof *v);
	v->pa = VMCS_NONE;
	vmx_derive(c);
}

/* ---- by encoding ---- */

uint64_t vmcs_get(const struct vmcs *v, uint32_t encoding)
{
	int f = vmcs_find(encoding);
	if (f < 0)
		BUG("no VMCS field %#x", encoding);
	return encoding & 1 ? v->f[f] >> 32 : v->f[f];
}

void vmcs_set(struct vmcs *v, uint32_t encoding, uint64_t value)
{
	int f = vmcs_find(encoding);
	if (f < 0)
		BUG("no VMCS field %#x", encoding);
	if (encoding & 1)
		v->f[f] = (v->f[f] & 0xffffffff) | value << 32;
	else
		v->f[f] = value & vmcs_mask((enum vmcs_field)f);
}
