/* What the VMM carries out for a guest's kernel by itself (insn.c, reflect.c) against the interpreter, which is a whole CPU: the same
 * guest, with every such routine made to give up, ends with the same registers, console and memory. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/machine.h"
#include "models/vmm/exit.h"
#include "models/vmm/ring/ring.h"

struct text { char s[16384]; size_t n; };
static void console(void *who, const uint8_t *bytes, size_t n)
{
	struct text *t = who;
	for (size_t i = 0; i < n && t->n < sizeof t->s - 1; i++)
		t->s[t->n++] = (char)bytes[i];
}

/* Software that looks at an exit first may serve it: here, by the interpreter. */
static bool interpret(void *who, struct vcpu *v, const struct exit_seen *x)
{
	unsigned *n = who;
	if (x->reason != EXIT_FLAGS && x->reason != EXIT_RETURN && x->reason != EXIT_INT && x->reason != EXIT_SEGMENT)
		return false;
	(*n)++;
	vcpu_interpret_one(v);
	vcpu_set(v, VMCS_EXIT_INSN_LENGTH, 0);  /* "handled" skips the instruction */
	return true;
}

static void run(const char *kernel, unsigned *interpreted, struct text *out, uint64_t *stat)
{
	struct machine_config k;
	struct err e = { "" };
	machine_config_defaults(&k);
	k.ram = 128 << 20;
	k.profile.trap_critical = 1;
	struct machine *m = machine_new(&k, &e);
	struct vm_config v = { .cpu = "trap", .mmu = "shadow.wp", .vcpus = 1, .page_shift = 12, .ram = 32 << 20 };
	k.ram = 32 << 20;
	struct machine *vm = machine_vm(m, &k, &v, &e);
	cr_assert(vm != NULL, "%s", e.text);
	const struct boot_image image = { .kernel = kernel, .cmdline = "syscall n=20;int80 n=20;forkwait n=2;divzero n=3;pgfault n=5;cli n=5;faults" };
	cr_assert(eq(int, machine_boot(vm, &image, &e), 0), "%s", e.text);
	machine_on_console(vm, console, out);
	if (interpreted) {
		m->vmm->exit_seen = interpret;
		m->vmm->exit_who = interpreted;
	}
	cr_assert(eq(int, machine_run(m, 3000000000ull, 0), MACHINE_STOP_GUEST_EXIT), "%s", out->s);
	*stat = m->vmm->vm[0]->stat[VMM_STAT_INTERPRETED];
	machine_free(m);
}

static void both(const char *kernel)
{
	static struct text a, b;
	unsigned n = 0;
	uint64_t direct, all;
	run(kernel, NULL, &a, &direct);
	run(kernel, &n, &b, &all);
	cr_expect(lt(uint, 200, n), "there were such instructions");
	cr_expect(lt(u64, direct * 2, all), "%llu and %llu interpreted", (unsigned long long)direct, (unsigned long long)all);
	cr_expect(eq(str, a.s, b.s));
}
Test(ring_insn, does_what_the_interpreter_does_64, .timeout = 60) { both("build/guests/kernel64.elf"); }
Test(ring_insn, does_what_the_interpreter_does_32, .timeout = 60) { both("build/guests/kernel32.elf"); }
