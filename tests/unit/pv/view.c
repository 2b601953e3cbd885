/* What a debugger sees of a paravirtual kernel: linear addresses by tables that hold machine addresses. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "models/vmm/vmm.h"
#include "tests/unit/guest_run.h"
#include "ui/session/view.h"

static void looked_at(const char *image, const char *mmu)
{
	static struct session s;
	struct run *r = guest_run(&s, image, "forkwait n=50 hz=0", "cpu=pv mmu=%s", mmu);
	run_face(r)->echo = false;
	const struct view v = { r, 1 };
	unsigned looks = 0;
	for (unsigned i = 0; i < 40; i++) {
		uint8_t seen[4], real[4];
		struct view_state o;
		machine_run(r->m, NEVER, 50000);
		const struct cpu *c = r->m->cpu[0];
		if (machine_vm_on(r->m, c) != 1 || !mmu_peek_bytes(&c->mmu, c->s.rip, real, 4))
			continue;
		view_state(&v, 1, &o);
		cr_assert(eq(u64, o.pc, c->s.rip));
		cr_assert(eq(sz, view_peek(&v, 1, VIEW_LINEAR, o.pc, seen, 4), 4), "at %#lx", (unsigned long)o.pc);
		cr_expect(eq(int, memcmp(seen, real, 4), 0), "at %#lx", (unsigned long)o.pc);
		looks++;
	}
	cr_expect(lt(uint, 10, looks));
	session_fini(&s);
}

Test(pv_view, code_under_direct_paging_64) { looked_at("build/guests/kernel64-pv.elf", "direct"); }
Test(pv_view, code_under_direct_paging_32) { looked_at("build/guests/kernel32-pv.elf", "direct"); }
Test(pv_view, code_under_shadow_paging) { looked_at("build/guests/kernel64-pv.elf", "shadow.wp"); }
