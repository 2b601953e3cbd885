/* The lock step: no false alarm on techniques that work, and a byte or a register that is made wrong is found where it was. */
#include "models/mmu/mem.h"
#include "models/vmm/vmm.h"
#include "tests/unit/guest_run.h"
#include "ui/equiv/equiv.h"

#include <criterion/new/assert.h>

static struct equiv_result checked(const char *kernel, const char *cmdline, const char *technique, const struct equiv_options *o)
{
	const struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	struct equiv_result r;
	struct err e = { "" };
	struct session s;
	struct run *run = guest_run(&s, kernel, cmdline, "cpu=%s speed=fast", technique);
	run_face(run)->echo = false;
	cr_assert(eq(int, equiv(run, &image, o, &r, &e), 0), "%s", e.text);
	session_fini(&s);
	return r;
}

/* ---- no false alarm ---- */

static void same(const char *kernel, const char *cmdline, const char *mmu, bool interrupts)
{
	struct equiv_result r = checked(kernel, cmdline, mmu, &(struct equiv_options){ 0 });
	if (r.verdict == EQUIV_DIFFERS)
		equiv_print(stderr, &r);
	cr_expect(eq(int, r.verdict, EQUIV_SAME));
	cr_expect(lt(u64, 500000, r.instructions));
	cr_expect(lt(u64, 50, r.accesses));
	if (interrupts)
		cr_expect(lt(u64, 0, r.interrupts));
}

#define ROW(name, mmu, cmdline, interrupts) \
Test(equiv, name##_32) { same("build/guests/kernel32.elf", cmdline, mmu, interrupts); } \
Test(equiv, name##_64) { same("build/guests/kernel64.elf", cmdline, mmu, interrupts); }
ROW(ept_switches,        "vmx mmu=ept",           "timer n=3 hz=1000", true)
ROW(ept_faults,          "vmx mmu=ept",           "faults", false)
ROW(ept_time,            "vmx mmu=ept",           "rdtsc n=20", false)
ROW(ept_processor,       "vmx mmu=ept",           "cpuid n=5", false)
ROW(ept_restricted,      "vmx profile=nehalem mmu=ept", "forkwait n=1 hz=10000", false)
ROW(flush_switches,      "vmx mmu=shadow.flush",  "ctxsw n=100 hz=10000", true)
ROW(vtlb_switches,       "vmx mmu=shadow.vtlb",   "ctxsw n=100 hz=10000", true)
ROW(wp_switches,         "vmx mmu=shadow.wp",     "ctxsw n=100 hz=10000", true)
ROW(unsync_switches,     "vmx mmu=shadow.unsync", "ctxsw n=100 hz=10000", true)
ROW(agile_switches,      "vmx mmu=agile",         "ctxsw n=100 hz=10000", true)
ROW(wp_forks,            "vmx mmu=shadow.wp",     "forkwait n=2 hz=10000", true)
ROW(unsync_forks,        "vmx mmu=shadow.unsync", "forkwait n=2 hz=10000", true)
ROW(vtlb_faults,         "vmx mmu=shadow.vtlb",   "faults", false)
ROW(wp_page_table_entries, "vmx mmu=shadow.wp",   "ptemod n=50", false)
ROW(unsync_maps,         "vmx mmu=shadow.unsync", "mmapchurn n=3", false)
/* Trap-and-emulate, where every critical instruction traps */
#define WHAT_IF "trap.critical=1"
ROW(trap_switches,       "trap mmu=shadow.wp " WHAT_IF,     "ctxsw n=30 hz=10000", true)
ROW(trap_forks,          "trap mmu=shadow.wp " WHAT_IF,     "forkwait n=2 hz=5000", true)
ROW(trap_faults,         "trap mmu=shadow.wp " WHAT_IF,     "faults", false)
ROW(trap_interrupts,     "trap mmu=shadow.flush " WHAT_IF,  "timer n=2 hz=1000", true)
ROW(trap_system_calls,   "trap mmu=shadow.vtlb " WHAT_IF,   "int80 n=20", false)
ROW(trap_processor,      "trap mmu=shadow.unsync " WHAT_IF, "cpuid n=3", false)
/* Binary translation, on plain x86 */
ROW(bt_switches,         "bt mmu=shadow.wp",     "ctxsw n=30 hz=10000", true)
ROW(bt_forks,            "bt mmu=shadow.unsync", "forkwait n=2 hz=5000", true)
ROW(bt_faults,           "bt mmu=shadow.vtlb",   "faults", false)
ROW(bt_time,             "bt mmu=shadow.wp",     "rdtsc n=20", false)
ROW(bt_branches,         "bt mmu=shadow.flush",  "branchy n=20", false)
#undef ROW

/* Everything a kernel can do with segments, and ring-3 code with critical instructions in it */
static void segments(const char *technique)
{
	struct equiv_result r = checked("build/guests/segments32.elf", "", technique, &(struct equiv_options){ 0 });
	if (r.verdict == EQUIV_DIFFERS)
		equiv_print(stderr, &r);
	cr_expect(eq(int, r.verdict, EQUIV_SAME));
	cr_expect(lt(u64, 50000, r.instructions));
}
Test(equiv, segments_trap) { segments("trap mmu=shadow.wp " WHAT_IF); }
Test(equiv, segments_vmx)  { segments("vmx mmu=shadow.wp"); }
Test(equiv, segments_bt)   { segments("bt mmu=shadow.wp"); }

/* Random code with interrupts anywhere in it */
static void anycode(const char *kernel, const char *technique)
{
	struct equiv_result r = checked(kernel, "n=8 seed=2 kernel=1 hz=20000", technique, &(struct equiv_options){ 0 });
	if (r.verdict == EQUIV_DIFFERS)
		equiv_print(stderr, &r);
	cr_expect(eq(int, r.verdict, EQUIV_SAME));
	cr_expect(lt(u64, 10, r.interrupts));
}
#define ANYCODE(name, technique) \
	Test(equiv, anycode_##name##_32) { anycode("build/guests/anycode32.elf", technique); } \
	Test(equiv, anycode_##name##_64) { anycode("build/guests/anycode64.elf", technique); }
ANYCODE(trap, "trap mmu=shadow.wp " WHAT_IF)
ANYCODE(bt, "bt mmu=shadow.wp")
ANYCODE(ept, "vmx mmu=ept")
ANYCODE(unsync, "vmx mmu=shadow.unsync")
#undef ANYCODE

/* ---- what is wrong is found ---- */

struct wrong { uint64_t n; unsigned reg; uint64_t gpa; bool memory, debug, done; };

static void make_wrong(void *who, struct machine *m, uint64_t n)
{
	struct wrong *w = who;
	if (w->done || n < w->n)
		return;
	w->done = true;
	w->n = n;
	if (w->memory) {
		hpa_t at = HPA(m->guest[0]->base.v + w->gpa);
		uint8_t byte = 0;
		mem_peek(&m->mem, at, &byte, 1);
		byte ^= 1u << (n & 7);
		mem_write(&m->mem, at, &byte, 1);
	} else if (w->debug) {
		m->cpu[0]->s.dr[w->reg] ^= 1u << (n & 7);
	} else {
		m->cpu[0]->s.r[w->reg] ^= 1ull << (n % 32); /* outside 64-bit mode there is no more */
	}
}

static void found(struct wrong w, const char *mmu, const char *name)
{
	struct equiv_result r = checked("build/guests/kernel64.elf", "ctxsw n=20 hz=5000", mmu, &(struct equiv_options){ .tamper = make_wrong, .who = &w });
	cr_expect(eq(int, r.verdict, EQUIV_DIFFERS));
	cr_expect(eq(u64, r.instructions, w.n), "%s", mmu);
	cr_assert(eq(u32, r.fields, 1));
	cr_expect(strcmp(r.field[0].name, name) == 0, "%s, not %s", r.field[0].name, name);
	cr_expect(ne(u64, r.field[0].reference, r.field[0].test));
	cr_expect(lt(u64, 0, r.length));
}

Test(equiv, a_wrong_register_is_found_at_its_instruction)
{
	static const struct { unsigned r; const char *name; } regs[] = { { R_RBX, "rbx" }, { R_R11, "r11" }, { R_RSP, "rsp" } };
	for (unsigned i = 0; i < ARRAY_LEN(regs); i++)
		found((struct wrong){ .n = 1000 + 77777 * i, .reg = regs[i].r }, i & 1 ? "vmx mmu=ept" : "vmx mmu=shadow.wp", regs[i].name);
}

Test(equiv, a_wrong_debug_register_is_found_at_its_instruction)
{
	found((struct wrong){ .n = 1000, .debug = true, .reg = 0 }, "vmx mmu=ept", "dr0");
	found((struct wrong){ .n = 78777, .debug = true, .reg = 3 }, "trap mmu=shadow.wp trap.critical=1", "dr3");
	found((struct wrong){ .n = 156554, .debug = true, .reg = 6 }, "vmx mmu=shadow.wp", "dr6");
}

Test(equiv, a_wrong_byte_is_found_at_its_instruction)
{
	for (unsigned i = 0; i < 3; i++) {
		char name[40];
		uint64_t gpa = 0x2345671 + 0x10001 * i;
		snprintf(name, sizeof name, "memory at %#lx", (unsigned long)gpa);
		found((struct wrong){ .n = 333 + 99991 * i, .memory = true, .gpa = gpa }, i & 1 ? "vmx mmu=ept" : "vmx mmu=shadow.unsync", name);
	}
}

/* ---- what it says ---- */

Test(equiv, every_critical_instruction_has_a_reason)
{
	static const struct { enum insn i; enum insn_form f; } forms[] = {
		{ INSN_MOV, FORM_SEG }, { INSN_PUSH, FORM_SEG }, { INSN_POP, FORM_SEG }, { INSN_CALL, FORM_FAR }, { INSN_JMP, FORM_FAR }, { INSN_RET, FORM_FAR },
	};
	for (enum insn i = 0; i < INSN_N; i++)
		if (insn_sensitivity(i, FORM_PLAIN) == INSN_SENSITIVE)
			cr_expect(equiv_reason(i, FORM_PLAIN) != NULL, "%s", insn_name(i));
		else
			cr_expect(equiv_reason(i, FORM_PLAIN) == NULL, "%s", insn_name(i));
	for (size_t k = 0; k < ARRAY_LEN(forms); k++)
		cr_expect(equiv_reason(forms[k].i, forms[k].f) != NULL, "%s", insn_name(forms[k].i));
}

Test(equiv, a_bare_machine_is_refused)
{
	const struct boot_image image = { .kernel = "build/guests/kernel64.elf", .cmdline = "nop" };
	struct equiv_result r;
	struct err e = { "" };
	struct session s;
	struct run *run = guest_run(&s, image.kernel, image.cmdline, "cpu=native");
	cr_expect(eq(int, equiv(run, &image, &(struct equiv_options){ 0 }, &r, &e), -1));
	cr_expect(strstr(e.text, "there is no virtual machine to compare with a bare one") != NULL, "%s", e.text);
	session_fini(&s);
}

Test(equiv, an_instruction_limit_ends_it)
{
	struct equiv_result r = checked("build/guests/kernel32.elf", "nop", "vmx mmu=ept", &(struct equiv_options){ .instructions = 12345 });
	cr_expect(eq(int, r.verdict, EQUIV_LIMIT));
	cr_expect(eq(u64, r.instructions, 12345));
}
