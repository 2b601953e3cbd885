/* state.c - see state.h. Under VMX the physical CPU holds what the guest sees but for control registers with masks, and for what the
 * pager keeps; beside a VMM without VMX the record of the virtual CPU has everything that is not a general register. */
#include "ui/equiv/state.h"

#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/cpu/block.h"
#include "models/vmm/bt/translate.h"
#include "models/vmm/ring/ring.h"

/* RF is set for what a processor restarts and cleared behind it: nobody but a debugger looks at it. */
#define FLAGS_SEEN (RFLAGS_STATUS | RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_VM | RFLAGS_AC | RFLAGS_VIF | RFLAGS_VIP | RFLAGS_ID)
/* A guest beside its VMM has these in the hardware; the others are the VMM's. */
#define FLAGS_REAL (RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID)

const char *const seen_names[SEEN_N] = {
#define SEEN(ID, name, bare, virtual) name,
#include "ui/equiv/state.def"
};

static uint64_t mix(const void *p, size_t n, uint64_t h)
{
	const uint8_t *at = p;
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t x;
		memcpy(&x, at + i, 8);
		h = (h << 7 | h >> 57) ^ x;
	}
	return h;
}

static bool ring(const struct vcpu *v) { return v->vm->virt->ring; }

static uint64_t virtual_field(const struct vcpu *v, enum vmcs_field f, uint64_t here) { return ring(v) ? vcpu_peek(v, f) : here; }

bool seen_translated(const struct vcpu *v) { return ring(v) && ring_hooks(v->vm)->linear; }

/* The guest's address where the CPU is; false: in the middle of what one of its instructions was translated to. */
static bool guest_linear(const struct vcpu *v, uint64_t *lin)
{
	bool begins = true;
	*lin = block_linear(v->cpu);
	if (seen_translated(v))
		*lin = ring_hooks(v->vm)->linear(v, *lin, &begins);
	return begins;
}

bool seen_boundary(const struct vcpu *v)
{
	uint64_t lin;
	return vcpu_in_guest(v) && guest_linear(v, &lin);
}

static uint64_t virtual_rip(const struct vcpu *v)
{
	uint64_t lin;
	guest_linear(v, &lin);
	return seen_translated(v) ? (lin - v->cpu->s.seg[SEG_CS].base) & v->cpu->lin_mask : cpu_rip(v->cpu);
}

/* Translated code has IF in the page it shares with the VMM. */
static uint64_t virtual_flags(const struct vcpu *v)
{
	uint64_t real = cpu_rflags(v->cpu), own = ring(v) ? vcpu_peek(v, VMCS_GUEST_RFLAGS) : 0;
	uint32_t vif;
	if (seen_translated(v) && v->s.privilege == 2 &&
	    mem_peek(v->cpu->mmu.mem, HPA(ring_page_hpa(v->vm, RING_SHARED + v->number).v + offsetof(struct bt_shared, vif)), &vif, sizeof vif))
		own = (own & ~(uint64_t)RFLAGS_IF) | (vif & RFLAGS_IF);
	return ring(v) ? (real & FLAGS_REAL) | (own & ~(uint64_t)FLAGS_REAL) : real;
}

static uint64_t virtual_cpl(const struct vcpu *v)
{
	return ring(v) ? SEG_DPL(vcpu_peek(v, VMCS_GUEST_SS_ACCESS)) : v->cpu->s.cpl;
}

/* Beside the VMM the guest's own selector is in the register (with the ring that it runs in, in CS and SS), unless the VMM put one of its
 * own there (ring/ring.h). */
static uint64_t virtual_selector(const struct vcpu *v, enum seg_reg i)
{
	uint64_t real = v->cpu->s.seg[i].sel;
	if (!ring(v))
		return real;
	if (i >= SEG_LDTR || real >= RING_SEL_GUEST)
		return (uint16_t)vcpu_peek(v, (enum vmcs_field)(VMCS_GUEST_ES + i));
	return i == SEG_CS || i == SEG_SS ? (real & ~3ull) | virtual_cpl(v) : real;
}

/* In 64-bit mode the base is a register of its own; elsewhere it is a descriptor's, in the hidden part. */
static uint64_t base64(const struct cpu *c, enum seg_reg i) { return c->s.mode == MODE_LONG64 ? c->s.seg[i].base : 0; }

/* "MOV from CR0 returns the value of the corresponding bit in the read shadow for bits set in the guest/host mask" */
static uint64_t shadowed(const struct vcpu *v, uint64_t real, enum vmcs_field mask, enum vmcs_field shadow)
{
	uint64_t m = vcpu_peek(v, mask);
	return (real & ~m) | (vcpu_peek(v, shadow) & m);
}

static uint64_t virtual_cr0(const struct vcpu *v)
{
	return ring(v) ? v->s.cr0 : shadowed(v, v->cpu->s.cr0, VMCS_CR0_MASK, VMCS_CR0_SHADOW);
}

static uint64_t virtual_cr4(const struct vcpu *v)
{
	return ring(v) ? v->s.cr4 : shadowed(v, v->cpu->s.cr4, VMCS_CR4_MASK, VMCS_CR4_SHADOW);
}

static bool pager_keeps(const struct vcpu *v) { return v->vm->pager->page_fault != NULL; }

static uint64_t virtual_cr2(const struct vcpu *v) { return v->cpu->s.cr2; }
/* EPT without "unrestricted guest": paging that the guest believes off (models/vmm/identity.c). */
static bool identity(const struct vcpu *v) { return vm_restricted(v->vm, v->cpu) && !(virtual_cr0(v) & CR0_PG); }
static uint64_t virtual_cr3(const struct vcpu *v) { return pager_keeps(v) || identity(v) ? v->s.cr3 : v->cpu->s.cr3; }
static uint64_t virtual_efer(const struct vcpu *v) { return pager_keeps(v) || identity(v) ? v->s.efer : v->cpu->s.efer; }

void seen_bare(const struct cpu *c, struct seen *o)
{
	unsigned n = 0;
#define SEEN(ID, name, bare, virtual) o->at[n++] = bare;
#include "ui/equiv/state.def"
	for (unsigned i = SEEN_RAX; c->s.mode != MODE_LONG64 && i <= SEEN_R15; i++)
		o->at[i] = i < SEEN_R8 ? (uint32_t)o->at[i] : 0;
}

void seen_virtual(const struct vcpu *v, struct seen *o)
{
	const struct cpu *c = v->cpu;
	struct seen real;
	unsigned n = 0;
	seen_bare(c, &real);
#define HERE real.at[n]
#define SEEN(ID, name, bare, virtual) o->at[n] = virtual, n++;
#include "ui/equiv/state.def"
#undef HERE
}
