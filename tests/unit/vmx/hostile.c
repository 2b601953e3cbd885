/* hostile.c - VMCSs full of nonsense: VM entry refuses them or runs them; the simulator survives both. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "models/cpu/vmx/vmx.h"
#include "sim/rng.h"
#include "tests/unit/vmx/valid.h"

TestSuite(vmx_hostile);

/* One to four fields get a random value, or lose or gain a random bit; then the guest runs for a while. */
static unsigned entered;

static void bend(struct rng *g, struct vmcs *v)
{
	for (uint64_t n = 1 + rng_below(g, 4); n; n--) {
		enum vmcs_field k = (enum vmcs_field)rng_below(g, VMCS_N);
		uint64_t any = rng_below(g, 1ull << 32) | rng_below(g, 1ull << 32) << 32;
		v->f[k] = (rng_below(g, 3) ? v->f[k] ^ BIT(rng_below(g, 64)) : any) & vmcs_mask(k);
	}
}

static void try(struct rng *g, enum valid_base base)
{
	static const uint8_t code[] = { 0x90, 0xfb, 0x8a, 0x04, 0x24, 0x50, 0xcd, 0x30, 0x0f, 0x20, 0xc0, 0xeb, 0xf3 };
	struct fixture *f = valid_new(base);
	struct cpu *c = f->cpu;
	fixture_code(f, (uint8_t[]){ 0x0f, 0x01, 0xc2 }, 3);
	mem_write(&f->mem, HPA(VALID_HOST), (uint8_t[]){ 0xf4 }, 1);
	mem_write(&f->mem, HPA(VALID_GUEST), code, sizeof code);
	for (uint64_t n = rng_below(g, 6); n; n--) {    /* controls that may be 1 */
		const struct vmx_control_row *r = &vmx_control_rows[rng_below(g, VMX_CONTROLS)];
		static const enum vmcs_field word[] = { VMCS_PIN_CONTROLS, VMCS_PROC_CONTROLS, VMCS_PROC2_CONTROLS,
		                                        VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS };
		c->vmcs->f[word[r->word]] |= BIT(r->bit);
	}
	bend(g, c->vmcs);
	for (unsigned i = 0; i < 4; i++) {
		cpu_run(c, c->ledger.now + 20000, 200);
		entered += c->stat[CPU_STAT_VM_ENTRY] > 0;
		if (c->vmx.guest && rng_below(g, 2)) {
			c->s.nmi_pending = 1;
			cpu_attention(c);
		}
		if (c->s.activity != ACTIVITY_ACTIVE && cpu_can_wake(c))
			cpu_service(c);
	}
	cr_assert(ledger_audit(&c->ledger));
	fixture_free(f);
}

Test(vmx_hostile, bent_vmcss_are_survived, .timeout = 60)
{
	struct rng g;
	rng_init(&g, 1, "vmcs");
	for (unsigned i = 0; i < 400; i++)
		try(&g, (enum valid_base)(i % VALID_BASES));
	cr_expect(lt(uint, 50, entered));
}
