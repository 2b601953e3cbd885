/* Each critical instruction, in a guest's kernel out of ring 0 (scenarios/guests/micro/critical32.S, critical64.S): on plain x86
 * trap-and-emulate is not equivalent, and the checker names that instruction; where critical instructions trap it is.
 * Binary translation and VT-x are equivalent on plain x86.
 * SELF: those through which the VMM loses nothing on plain x86 either: it owns the IDT, CR4.TSD and CR4.PCE make time-stamps and
 * counters trap, and on Intel 64 it leaves descriptors not present that ring 3 must not load. */
#include "tests/unit/guest_run.h"
#include "ui/equiv/equiv.h"

#include <criterion/new/assert.h>

static struct equiv_result under(const char *cpu, unsigned bits, const char *what, const char *machine)
{
	char kernel[64];
	struct equiv_result r;
	struct err e = { "" };
	struct session s;
	snprintf(kernel, sizeof kernel, "build/guests/critical%u.elf", bits);
	const struct boot_image image = { .kernel = kernel, .cmdline = what };
	struct run *run = guest_run(&s, kernel, what, "cpu=%s mmu=shadow.wp speed=fast ram=16M %s", cpu, machine);
	run_face(run)->echo = false;
	cr_assert(eq(int, equiv(run, &image, &(struct equiv_options){ 0 }, &r, &e), 0), "%s", e.text);
	session_fini(&s);
	return r;
}

static void equivalent(const char *cpu, unsigned bits, const char *what, const char *machine)
{
	struct equiv_result r = under(cpu, bits, what, machine);
	if (r.verdict == EQUIV_DIFFERS)
		equiv_print(stderr, &r);
	cr_expect(eq(int, r.verdict, EQUIV_SAME));
	cr_expect(eq(int, r.status, 1), "the guest knows no case '%s'", what);
}

static void breaks(unsigned bits, unsigned ring, const char *what, const char *text, const char *field, const char *reason)
{
	struct equiv_result r = under("trap", bits, what, "");
	char symbol[64];
	bool shown = false;
	cr_assert(eq(int, r.verdict, EQUIV_DIFFERS));
	cr_expect(strncmp(r.text, text, strlen(text)) == 0, "%s, not %s", r.text, text);
	snprintf(symbol, sizeof symbol, "case_%s", what);
	cr_expect(strncmp(r.symbol, symbol, strlen(symbol)) == 0, "%s, not %s", r.symbol, symbol);
	cr_expect(r.critical);
	cr_expect(not(r.interrupt));
	cr_expect(eq(u32, r.ring, ring));
	cr_expect(strstr(r.reason, reason) != NULL, "%s", r.reason);
	for (unsigned i = 0; i < r.fields; i++)
		shown |= strncmp(r.field[i].name, field, strlen(field)) == 0;
	cr_expect(shown, "no difference in %s", field);
	equivalent("trap", bits, what, "trap.critical=1");
	equivalent("bt", bits, what, "");
	equivalent("vmx", bits, what, "");
}

/* the case's name; what is disassembled; what differs; words of the reason */
#define BREAKS(bits, name, text, field, reason) Test(critical, name##_##bits) { breaks(bits, 0, #name, text, field, reason); }
#define IN_RING_3(bits, name, text, field, reason) Test(critical, name##_##bits) { breaks(bits, 3, #name, text, field, reason); }
#define SELF(bits, name) Test(critical, name##_##bits##_does_not_escape) { equivalent("trap", bits, #name, ""); equivalent("trap", bits, #name, "trap.critical=1"); }

BREAKS(32, sgdt,   "sgdt",  "memory", "SGDT stores the real GDTR")
BREAKS(32, sidt,   "sidt",  "memory", "SIDT stores the real IDTR")
BREAKS(32, sldt,   "sldt",  "rax",    "SLDT stores the real LDTR")
BREAKS(32, str,    "str",   "rax",    "STR stores the real TR")
BREAKS(32, smsw,   "smsw",  "rax",    "SMSW stores the low half of the real CR0")
BREAKS(32, cpuid,  "cpuid", "rcx",    "CPUID describes the real processor")
BREAKS(32, pushf,  "pushfd", "memory", "PUSHFD pushes the real IF")
BREAKS(32, pushfw, "pushf", "memory", "PUSHF pushes the real IF")
BREAKS(32, popf,   "popfd", "rflags", "POPFD does not change IF and IOPL outside ring 0 and does not trap")
BREAKS(32, popfw,  "popf",  "rflags", "POPF does not change IF")
BREAKS(32, iret,   "iretd", "rflags", "IRETD does not change IF")
BREAKS(32, iretw,  "iret",  "rip",    "IRET does not change IF")
BREAKS(32, lar,    "lar",   "rax",    "LAR sees the VMM's descriptor")
BREAKS(32, lsl,    "lsl",   "rax",    "LSL sees the VMM's descriptor")
BREAKS(32, verr,   "verr",  "rflags", "VERR sees the VMM's descriptor")
BREAKS(32, verw,   "verw",  "rflags", "VERW sees the VMM's descriptor")
BREAKS(32, mov_from_cs, "mov eax, cs", "rax", "MOV shows the real ring")
BREAKS(32, mov_to_ds, "mov ds, ax", "rip", "checks the one it loads against it")
BREAKS(32, mov_to_ss, "mov ss, ax", "rip", "checks the one it loads against it")
BREAKS(32, push_cs, "push cs", "memory", "PUSH pushes a selector that shows the real ring")
BREAKS(32, pop_es, "pop es", "rip",    "POP checks the selector against the real ring")
BREAKS(32, lds,    "lds",   "rip",    "LDS checks the selector against the real ring")
BREAKS(32, les,    "les",   "rip",    "LES checks the selector against the real ring")
BREAKS(32, lfs,    "lfs",   "rip",    "LFS checks the selector against the real ring")
BREAKS(32, lgs,    "lgs",   "rip",    "LGS checks the selector against the real ring")
BREAKS(32, lss,    "lss",   "rip",    "LSS checks the selector against the real ring")
BREAKS(32, call_far, "call far", "memory", "CALL pushes the real CS")
BREAKS(32, jmp_far, "jmp far", "rsp",  "JMP checks the selector against the real ring")
BREAKS(32, ret_far, "ret far", "rsp",  "RET returns by the real ring")
BREAKS(32, sgdt_16, "sgdt", "memory", "SGDT stores the real GDTR")
BREAKS(32, sldt_mem, "sldt", "memory", "SLDT stores the real LDTR")
BREAKS(32, str_mem, "str", "memory", "STR stores the real TR")
BREAKS(32, smsw_mem, "smsw", "memory", "SMSW stores the low half of the real CR0")
BREAKS(32, lar_mem, "lar ax", "rax",   "LAR sees the VMM's descriptor")
BREAKS(32, verr_mem, "verr [", "rflags", "VERR sees the VMM's descriptor")
BREAKS(32, mov_mem_cs, "mov [", "memory", "MOV shows the real ring")
BREAKS(32, mov_mem_ss, "mov [", "memory", "MOV shows the real ring")
BREAKS(32, push_cs_16, "push cs", "memory", "PUSH pushes a selector that shows the real ring")
BREAKS(32, push_ss, "push ss", "memory", "PUSH pushes a selector that shows the real ring")
BREAKS(32, call_far_mem, "call far [", "memory", "CALL pushes the real CS")
BREAKS(32, ret_far_imm, "ret far 0x8", "rsp", "RET returns by the real ring")
BREAKS(32, popf_iopl, "popfd", "rflags", "POPFD does not change IF and IOPL")
BREAKS(32, popf_off, "popfd", "rflags", "POPFD does not change IF and IOPL")
IN_RING_3(32, user_sgdt, "sgdt", "memory", "SGDT stores the real GDTR")
IN_RING_3(32, user_str, "str", "rax", "STR stores the real TR")
IN_RING_3(32, user_smsw, "smsw", "rax", "SMSW stores the low half of the real CR0")
IN_RING_3(32, user_pushf, "pushfd", "memory", "PUSHFD pushes the real IF")
SELF(32, popf_same)
SELF(32, user_popf)
SELF(32, user_mov_from_cs)
SELF(32, user_lar)
SELF(32, int)
SELF(32, int3)
SELF(32, int1)
SELF(32, into)
SELF(32, rdtsc)
SELF(32, rdpmc)

BREAKS(64, sgdt,   "sgdt",  "memory", "SGDT stores the real GDTR")
BREAKS(64, sidt,   "sidt",  "memory", "SIDT stores the real IDTR")
BREAKS(64, sldt,   "sldt",  "rax",    "SLDT stores the real LDTR")
BREAKS(64, str,    "str",   "rax",    "STR stores the real TR")
BREAKS(64, smsw,   "smsw",  "rax",    "SMSW stores the low half of the real CR0")
BREAKS(64, cpuid,  "cpuid", "rcx",    "CPUID describes the real processor")
BREAKS(64, pushf,  "pushfq", "memory", "PUSHFQ pushes the real IF")
BREAKS(64, pushfw, "pushf", "memory", "PUSHF pushes the real IF")
BREAKS(64, popf,   "popfq", "rflags", "POPFQ does not change IF and IOPL outside ring 0 and does not trap")
BREAKS(64, popfw,  "popf",  "rflags", "POPF does not change IF")
BREAKS(64, iret,   "iretq", "cs",     "IRETQ does not change IF")
BREAKS(64, iretd,  "iretd", "cs",     "IRETD does not change IF")
BREAKS(64, lar,    "lar",   "rax",    "LAR sees the VMM's descriptor")
BREAKS(64, lsl,    "lsl",   "rax",    "LSL sees the VMM's descriptor")
BREAKS(64, verr,   "verr",  "rflags", "VERR sees the VMM's descriptor")
BREAKS(64, verw,   "verw",  "rflags", "VERW sees the VMM's descriptor")
BREAKS(64, mov_from_cs, "mov eax, cs", "rax", "MOV shows the real ring")
BREAKS(64, mov_to_ss, "mov ss, ax", "rip", "checks the one it loads against it")
BREAKS(64, lss,    "lss",   "rip",    "LSS checks the selector against the real ring")
BREAKS(64, call_far, "call far", "rsp", "CALL pushes the real CS")
BREAKS(64, jmp_far, "jmp far", "rsp",  "JMP checks the selector against the real ring")
BREAKS(64, ret_far, "ret far", "rsp",  "RET returns by the real ring")
BREAKS(64, sldt_mem, "sldt", "memory", "SLDT stores the real LDTR")
BREAKS(64, str_mem, "str", "memory", "STR stores the real TR")
BREAKS(64, smsw_mem, "smsw", "memory", "SMSW stores the low half of the real CR0")
BREAKS(64, lar_mem, "lar ax", "rax",   "LAR sees the VMM's descriptor")
BREAKS(64, verw_mem, "verw [", "rflags", "VERW sees the VMM's descriptor")
BREAKS(64, mov_mem_cs, "mov [", "memory", "MOV shows the real ring")
BREAKS(64, ret_far_32, "ret far", "rsp", "RET returns by the real ring")
BREAKS(64, popf_iopl, "popfq", "rflags", "POPFQ does not change IF and IOPL")
IN_RING_3(64, user_sgdt, "sgdt", "memory", "SGDT stores the real GDTR")
IN_RING_3(64, user_str, "str", "rax", "STR stores the real TR")
IN_RING_3(64, user_smsw, "smsw", "rax", "SMSW stores the low half of the real CR0")
IN_RING_3(64, user_pushf, "pushfq", "memory", "PUSHFQ pushes the real IF")
IN_RING_3(64, user_popf, "popfq", "rflags", "POPFQ does not change IF")
SELF(64, popf_same)
SELF(64, user_lar)
SELF(64, mov_to_ds)
SELF(64, pop_fs)
SELF(64, lfs)
SELF(64, lgs)
SELF(64, int)
SELF(64, int3)
SELF(64, int1)
SELF(64, rdtsc)
SELF(64, rdtscp)
SELF(64, rdpmc)
SELF(64, rdpid)
