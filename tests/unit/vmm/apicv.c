/* How much of a virtual local APIC the hardware does: the same outcome whatever it is, and the exits that are left. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "models/machine.h"
#include "models/vmm/exit.h"

#define CONSOLE_MAX 4096
struct text { char s[CONSOLE_MAX]; size_t n; };

static void console(void *who, const uint8_t *bytes, size_t n)
{
	struct text *t = who;
	for (size_t i = 0; i < n && t->n < CONSOLE_MAX - 1; i++)
		t->s[t->n++] = (char)bytes[i];
}

struct exits { uint64_t cr, violation, access, write, all; };

/* Runs a kernel to its end; what exits it took. */
static struct exits run(const char *mmu, const char *profile, enum apicv apicv, unsigned bits, unsigned cpus, const char *cmdline)
{
	static struct text t;
	struct machine_config k;
	struct err e = { "" };
	char kernel[40];
	struct exits x = { 0 };
	memset(&t, 0, sizeof t);
	machine_config_defaults(&k);
	snprintf(k.profile.name, sizeof k.profile.name, "%s", profile);
	k.ram = 128 << 20;
	k.cpus = cpus;
	struct machine *m = machine_new(&k, &e);
	cr_assert(m != NULL, "%s", e.text);
	struct vm_config v = { .cpu = "vmx", .mmu = mmu, .ram = 32 << 20, .vcpus = cpus, .page_shift = 12, .tags = true,
	                       .shadow_limit = 8 << 20, .apicv = apicv };
	k.ram = v.ram;
	struct machine *g = machine_vm(m, &k, &v, &e);
	cr_assert(g != NULL, "%s", e.text);
	snprintf(kernel, sizeof kernel, "build/guests/kernel%u.elf", bits);
	struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	cr_assert(eq(int, machine_boot(g, &image, &e), 0), "%s", e.text);
	machine_on_console(g, console, &t);
	enum machine_stop why = machine_run(m, 2000000000, 0);
	cr_expect(eq(int, why, MACHINE_STOP_GUEST_EXIT), "%s", t.s);
	cr_expect(strstr(t.s, ": ok") != NULL, "%s", t.s);
	stats_get(&m->stats, "cpu0.exit.cr_access", &x.cr);
	stats_get(&m->stats, "cpu0.exit.ept_violation", &x.violation);
	stats_get(&m->stats, "cpu0.exit.apic_access", &x.access);
	stats_get(&m->stats, "cpu0.exit.apic_write", &x.write);
	x.all = m->vmm->vm[0]->stat[VMM_STAT_EXITS];
	machine_free(m);
	return x;
}

/* 64-bit kernels move to CR8. */
Test(apicv, cr8_does_not_exit_with_a_tpr_shadow, .timeout = 60)
{
	static const char *const mmu[] = { "ept", "shadow.wp", "shadow.flush", "agile" };
	for (size_t i = 0; i < ARRAY_LEN(mmu); i++) {
		uint64_t with = run(mmu[i], "skylake", APICV_TPR, 64, 1, "cr8 n=500").cr;
		uint64_t without = run(mmu[i], "skylake", APICV_OFF, 64, 1, "cr8 n=500").cr;
		cr_expect(ge(u64, without, with + 500), "%s: %llu", mmu[i], (unsigned long long)without);
		cr_expect(lt(u64, with, 50), "%s: %llu", mmu[i], (unsigned long long)with);
	}
}

/* 32-bit ones write the register. */
Test(apicv, the_tpr_does_not_exit_on_the_apic_access_page, .timeout = 60)
{
	struct exits tpr = run("ept", "sandybridge", APICV_TPR, 32, 1, "cr8 n=500");
	struct exits page = run("ept", "sandybridge", APICV_FULL, 32, 1, "cr8 n=500");
	cr_expect(ge(u64, tpr.violation, page.violation + 400));
	cr_expect(eq(u64, tpr.access, 0));
	cr_expect(lt(u64, page.access, 50));
}

Test(apicv, what_the_profile_has_is_used, .timeout = 60)
{
	struct exits page = run("ept", "sandybridge", APICV_FULL, 64, 2, "smp n=1");
	struct exits full = run("ept", "skylake", APICV_FULL, 64, 2, "smp n=1");
	cr_expect(lt(u64, 3, page.access), "reads and writes of the interrupt command register");
	cr_expect(eq(u64, page.write, 0));
	cr_expect(eq(u64, full.access, 0));
	cr_expect(lt(u64, 2, full.write), "what is left are the writes");
	cr_expect(lt(u64, full.write, page.access));
}

Test(apicv, every_level_has_the_same_outcome, .timeout = 120)
{
	static const enum apicv level[] = { APICV_FULL, APICV_ACCESS, APICV_TPR, APICV_OFF };
	uint64_t before = 0;
	for (size_t i = 0; i < ARRAY_LEN(level); i++) {
		uint64_t all = run("ept", "skylake", level[i], 64, 2, "cr8 n=50;smp n=1;timer n=3;forkwait n=2").all;
		cr_expect(lt(u64, before, all), "level %zu", i);
		before = level[i] == APICV_ACCESS ? before : all;
	}
}
