/* fields.c - a CPU's registers as named fields: what Lua, panes, dumps and `explain` read.
 * Writing through a field is for people at the controls: none of the checks a guest would meet. Registers others follow
 * from cannot be written this way. */
#include "models/cpu/block.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"

static uint64_t get_rip(const void *o) { return cpu_rip(o); }
static void set_rip(void *o, uint64_t v)
{
	struct cpu *c = o;
	c->s.rip = v & c->lin_mask;
	block_forget(c);
}
static uint64_t get_block(const void *o) { return ((const struct cpu *)o)->s.fetch_pa; }
static uint64_t get_rflags(const void *o) { return cpu_rflags(o); }
static void set_rflags(void *o, uint64_t v)
{
	cpu_set_rflags(o, v, 0x3f7fd7);
	flags_changed(o);
}
static uint64_t get_tsc(const void *o) { return cpu_tsc(o); }
static uint64_t get_cr8(const void *o)
{
	const struct cpu *c = o;
	return c->lapic ? lapic_cr8(c->lapic) : 0;
}

static const struct field_bits cr0_bits[] = {
	{ 0, 0, "pe", "protection enable" }, { 1, 1, "mp", "monitor coprocessor" }, { 2, 2, "em", "emulation: x87 instructions are #NM" },
	{ 3, 3, "ts", "task switched: x87 and SSE instructions are #NM" }, { 4, 4, "et", "extension type" },
	{ 5, 5, "ne", "numeric error: #MF instead of an interrupt" }, { 16, 16, "wp", "write protect: supervisor obeys read-only pages" },
	{ 18, 18, "am", "alignment mask: EFLAGS.AC checks alignment" }, { 29, 29, "nw", "not write-through" },
	{ 30, 30, "cd", "cache disable" }, { 31, 31, "pg", "paging" }, { 0, 0, NULL, NULL },
};
static const struct field_bits cr3_bits[] = {
	{ 11, 0, "pcid", "process-context identifier, when CR4.PCIDE" }, { 0, 0, NULL, NULL },
};
static const struct field_bits cr4_bits[] = {
	{ 0, 0, "vme", "virtual-8086 mode extensions" }, { 1, 1, "pvi", "protected-mode virtual interrupts" },
	{ 2, 2, "tsd", "RDTSC is privileged" }, { 3, 3, "de", "debugging extensions" }, { 4, 4, "pse", "4 MB pages" },
	{ 5, 5, "pae", "physical-address extension" }, { 6, 6, "mce", "machine-check enable" }, { 7, 7, "pge", "global pages" },
	{ 8, 8, "pce", "RDPMC at any level" }, { 9, 9, "osfxsr", "the system saves SSE state" },
	{ 10, 10, "osxmmexcpt", "the system handles #XM" }, { 11, 11, "umip", "user-mode instruction prevention" },
	{ 12, 12, "la57", "57-bit linear addresses" }, { 13, 13, "vmxe", "VMX enable" }, { 16, 16, "fsgsbase", "RDFSBASE and the like" },
	{ 17, 17, "pcide", "process-context identifiers" }, { 18, 18, "osxsave", "XSAVE and extended states" },
	{ 20, 20, "smep", "supervisor-mode execution prevention" }, { 21, 21, "smap", "supervisor-mode access prevention" },
	{ 22, 22, "pke", "protection keys for user pages" },
	{ 23, 23, "cet", "control-flow enforcement" }, { 0, 0, NULL, NULL },
};
static const struct field_bits rflags_bits[] = {
	{ 0, 0, "cf", "carry" }, { 2, 2, "pf", "parity" }, { 4, 4, "af", "auxiliary carry" }, { 6, 6, "zf", "zero" }, { 7, 7, "sf", "sign" },
	{ 8, 8, "tf", "trap: single step" }, { 9, 9, "if", "interrupt enable" }, { 10, 10, "df", "direction" }, { 11, 11, "of", "overflow" },
	{ 13, 12, "iopl", "I/O privilege level" }, { 14, 14, "nt", "nested task" }, { 16, 16, "rf", "resume: no instruction breakpoint once" },
	{ 17, 17, "vm", "virtual-8086 mode" }, { 18, 18, "ac", "alignment check; SMAP override" }, { 19, 19, "vif", "virtual interrupt flag" },
	{ 20, 20, "vip", "virtual interrupt pending" }, { 21, 21, "id", "CPUID exists" }, { 0, 0, NULL, NULL },
};
static const struct field_bits efer_bits[] = {
	{ 0, 0, "sce", "SYSCALL enable" }, { 8, 8, "lme", "IA-32e mode enable" }, { 10, 10, "lma", "IA-32e mode active" },
	{ 11, 11, "nxe", "execute-disable enable" }, { 0, 0, NULL, NULL },
};
static const struct field_bits attr_bits[] = {
	{ 3, 0, "type", "segment type" }, { 4, 4, "s", "code or data, not system" }, { 6, 5, "dpl", "descriptor privilege level" },
	{ 7, 7, "p", "present" }, { 12, 12, "avl", "for software" }, { 13, 13, "l", "64-bit code" }, { 14, 14, "db", "32-bit default" },
	{ 15, 15, "g", "limit in pages" }, { 16, 16, "unusable", "null or not loaded" }, { 0, 0, NULL, NULL },
};
static const struct field_bits dr6_bits[] = {
	{ 0, 0, "b0", "breakpoint 0 met" }, { 1, 1, "b1", "breakpoint 1 met" }, { 2, 2, "b2", "breakpoint 2 met" }, { 3, 3, "b3", "breakpoint 3 met" },
	{ 13, 13, "bd", "debug-register access" }, { 14, 14, "bs", "single step" }, { 15, 15, "bt", "task switch" }, { 0, 0, NULL, NULL },
};
static const struct field_bits dr7_bits[] = {
	{ 0, 0, "l0", "local 0" }, { 1, 1, "g0", "global 0" }, { 2, 2, "l1", "local 1" }, { 3, 3, "g1", "global 1" },
	{ 4, 4, "l2", "local 2" }, { 5, 5, "g2", "global 2" }, { 6, 6, "l3", "local 3" }, { 7, 7, "g3", "global 3" },
	{ 13, 13, "gd", "general detect" }, { 17, 16, "rw0", "0 execute, 1 write, 2 I/O, 3 data" }, { 19, 18, "len0", "length" },
	{ 21, 20, "rw1", "see rw0" }, { 23, 22, "len1", "length" }, { 25, 24, "rw2", "see rw0" }, { 27, 26, "len2", "length" },
	{ 29, 28, "rw3", "see rw0" }, { 31, 30, "len3", "length" }, { 0, 0, NULL, NULL },
};
static const struct field_bits cet_bits[] = {
	{ 0, 0, "sh_stk_en", "shadow stacks" }, { 1, 1, "wr_shstk_en", "WRSS may write them" },
	{ 2, 2, "endbr_en", "indirect-branch tracking" }, { 3, 3, "leg_iw_en", "legacy code pages are let through" },
	{ 4, 4, "no_track_en", "prefix 3EH leaves a branch untracked" }, { 5, 5, "suppress_dis", "legacy code does not suppress tracking" },
	{ 10, 10, "suppress", "tracking is suppressed until ENDBRANCH" }, { 11, 11, "tracker", "ENDBRANCH must come next" },
	{ 63, 12, "bitmap", "page of the legacy code page bitmap" }, { 0, 0, NULL, NULL },
};
static const struct field_bits shadow_bits[] = {
	{ 0, 0, "sti", "blocking by STI" }, { 1, 1, "mov_ss", "blocking by MOV SS" }, { 0, 0, NULL, NULL },
};

#define F(field, n, text) { .name = n, .off = offsetof(struct cpu, s.field), .size = sizeof(((struct cpu *)0)->s.field), .what = text }
/* Read-only: something follows from the value (a mode, a translation, a hidden part). */
#define B(field, n, b, text) \
	{ .name = n, .off = offsetof(struct cpu, s.field), .size = sizeof(((struct cpu *)0)->s.field), .bits = b, .what = text, .readonly = 1 }
#define R(field, n, text) B(field, n, NULL, text)
#define D(field, n, text) \
	{ .name = n, .off = offsetof(struct cpu, s.field), .size = sizeof(((struct cpu *)0)->s.field), .decimal = 1, .what = text, .readonly = 1 }
#define SEGMENT(i, n, what) \
	R(seg[i].sel, n ".sel", what ": selector"), R(seg[i].base, n ".base", what ": base"), \
	R(seg[i].limit, n ".limit", what ": limit in bytes"), B(seg[i].attr, n ".attr", attr_bits, what ": access rights")

const struct field_row cpu_fields[] = {
	F(r[R_RAX], "rax", "accumulator"), F(r[R_RBX], "rbx", "base"), F(r[R_RCX], "rcx", "counter"), F(r[R_RDX], "rdx", "data"),
	F(r[R_RSI], "rsi", "source index"), F(r[R_RDI], "rdi", "destination index"), F(r[R_RBP], "rbp", "frame pointer"),
	F(r[R_RSP], "rsp", "stack pointer"), F(r[R_R8], "r8", "general register"), F(r[R_R9], "r9", "general register"),
	F(r[R_R10], "r10", "general register"), F(r[R_R11], "r11", "general register"), F(r[R_R12], "r12", "general register"),
	F(r[R_R13], "r13", "general register"), F(r[R_R14], "r14", "general register"), F(r[R_R15], "r15", "general register"),
	{ .name = "rip", .size = 8, .decimal = 0, .bits = NULL, .what = "instruction pointer", .get = get_rip, .set = set_rip },
	{ .name = "rflags", .size = 8, .decimal = 0, .bits = rflags_bits, .what = "flags", .get = get_rflags, .set = set_rflags },
	SEGMENT(SEG_CS, "cs", "code segment"), SEGMENT(SEG_SS, "ss", "stack segment"), SEGMENT(SEG_DS, "ds", "data segment"),
	SEGMENT(SEG_ES, "es", "extra segment"), SEGMENT(SEG_FS, "fs", "FS"), SEGMENT(SEG_GS, "gs", "GS"),
	SEGMENT(SEG_LDTR, "ldtr", "local descriptor table"), SEGMENT(SEG_TR, "tr", "task register"),
	R(gdtr.base, "gdtr.base", "global descriptor table: base"), R(gdtr.limit, "gdtr.limit", "global descriptor table: limit"),
	R(idtr.base, "idtr.base", "interrupt descriptor table: base"), R(idtr.limit, "idtr.limit", "interrupt descriptor table: limit"),
	B(cr0, "cr0", cr0_bits, "control register 0"), R(cr2, "cr2", "page-fault linear address"),
	B(cr3, "cr3", cr3_bits, "page-table base"), B(cr4, "cr4", cr4_bits, "control register 4"),
	{ .name = "cr8", .size = 8, .decimal = 0, .bits = NULL, .what = "task priority (the local APIC's TPR)", .get = get_cr8, .set = NULL },
	R(xcr0, "xcr0", "extended states enabled"), B(efer, "efer", efer_bits, "IA32_EFER"),
	R(dr[0], "dr0", "breakpoint address 0"), R(dr[1], "dr1", "breakpoint address 1"), R(dr[2], "dr2", "breakpoint address 2"),
	R(dr[3], "dr3", "breakpoint address 3"), B(dr[6], "dr6", dr6_bits, "debug status"), B(dr[7], "dr7", dr7_bits, "debug control"),
	R(star, "star", "IA32_STAR"), R(lstar, "lstar", "IA32_LSTAR"), R(cstar, "cstar", "IA32_CSTAR"), R(fmask, "fmask", "IA32_FMASK"),
	R(kernel_gs_base, "kernel_gs_base", "IA32_KERNEL_GS_BASE"), R(sysenter_cs, "sysenter_cs", "IA32_SYSENTER_CS"),
	R(sysenter_esp, "sysenter_esp", "IA32_SYSENTER_ESP"), R(sysenter_eip, "sysenter_eip", "IA32_SYSENTER_EIP"),
	R(pat, "pat", "IA32_PAT"), R(misc_enable, "misc_enable", "IA32_MISC_ENABLE"), R(pkru, "pkru", "protection-key rights"),
	R(ssp, "ssp", "shadow-stack pointer"), B(u_cet, "u_cet", cet_bits, "IA32_U_CET"), B(s_cet, "s_cet", cet_bits, "IA32_S_CET"),
	R(pl_ssp[0], "pl0_ssp", "IA32_PL0_SSP"), R(pl_ssp[1], "pl1_ssp", "IA32_PL1_SSP"), R(pl_ssp[2], "pl2_ssp", "IA32_PL2_SSP"),
	R(pl_ssp[3], "pl3_ssp", "IA32_PL3_SSP"), R(ssp_table, "interrupt_ssp_table_addr", "IA32_INTERRUPT_SSP_TABLE_ADDR"),
	R(tsc_aux, "tsc_aux", "IA32_TSC_AUX"), R(tsc_adjust, "tsc_adjust", "IA32_TSC_ADJUST"),
	{ .name = "tsc", .size = 8, .decimal = 1, .bits = NULL, .what = "time-stamp counter", .get = get_tsc, .set = NULL },
	F(mxcsr, "mxcsr", "SSE control and status"), F(fcw, "fcw", "x87 control word"), F(fsw, "fsw", "x87 status word"), F(ftw, "ftw", "x87 tag word"),
	D(cpl, "cpl", "current privilege level"), D(mode, "mode", "operating mode, enum cpu_mode"),
	D(activity, "activity", "0 active, 1 halted, 2 shutdown, 3 waiting for a start-up IPI"),
	D(mwait, "mwait", "halted by MWAIT: 1, or 2 when interrupts end it although masked"),
	R(monitor_pa, "monitor", "physical address of the line MONITOR watches, or all ones"),
	B(shadow, "shadow", shadow_bits, "interrupts held back for one instruction"),
	D(nmi_blocked, "nmi_blocked", "NMIs are blocked until IRET"), B(pending_dbg, "pending_dbg", dr6_bits, "debug traps to deliver at the next boundary"),
	D(icount, "icount", "instructions completed"),
	{ .name = "block", .size = 8, .what = "physical address of the block of instructions the CPU stopped in, or all ones", .get = get_block },
};
const size_t cpu_fields_n = ARRAY_LEN(cpu_fields);
