/* Packets to answers, without gdb and without a socket. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/symbols.h"
#include "models/vmm/vmm.h"
#include "tests/unit/guest_run.h"
#include "ui/gdb/stub.h"

static struct session session;
static struct gdb *g;
static struct gdb_reply answer;
static char sent[GDB_PACKET_MAX + 1];

static void keep(void *who, const char *data, size_t n)
{
	(void)who;
	memcpy(sent, data, n);
	sent[n] = '\0';
}

static void open_on(const char *kernel, const char *cmdline, const char *mmu, const char *cpus)
{
	struct run *r = guest_run(&session, kernel, cmdline, "mmu=%s cpus=%s", mmu, cpus);
	run_face(r)->echo = false;
	g = gdb_new(r, gdb_arch_of(run_face(r)));
	g->send = keep;
}

static void native64(void) { open_on("build/guests/kernel64.elf", "forkwait n=1", "native", "1"); }
static void done(void)
{
	gdb_free(g);
	session_fini(&session);
}
TestSuite(gdb_answer, .init = native64, .fini = done);

static const char *ask(const char *packet)
{
	gdb_answer(g, packet, strlen(packet), &answer);
	return answer.data;
}

static const char *monitor(const char *line)
{
	gdb_monitor(g, line);
	return g->text.data;
}

#define EXPECT(packet, want) cr_expect(eq(str, (char *)ask(packet), want), "%s", packet)
#define BEGINS(packet, want) cr_expect(eq(int, strncmp(ask(packet), want, strlen(want)), 0), "%s: %s", packet, answer.data)

/* One number of the packet p, in the target's byte order. */
static uint64_t number(const char *name)
{
	char packet[16], tag[40], *at;
	uint8_t b[16] = { 0 };
	uint64_t v;
	snprintf(tag, sizeof tag, "<reg name=\"%s\"", name);
	at = strstr(g->xml, tag);
	cr_assert(at != NULL, "%s", name);
	unsigned n = (unsigned)strtoul(strstr(at, "regnum=\"") + 8, NULL, 10);
	snprintf(packet, sizeof packet, "p%x", n);
	const char *p = ask(packet);
	cr_assert(take_bytes(&p, b, reg_size(g->arch, n)), "%s", answer.data);
	memcpy(&v, b, 8);
	return v;
}

/* ---- manners ---- */

#define ROW(name, packet, want) Test(gdb_answer, name) { EXPECT(packet, want); }
ROW(the_first_stop, "?", "T05thread:1;")
ROW(what_is_unknown_is_answered_by_nothing, "vMustReplyEmpty", "")
ROW(so_is_a_packet_of_tomorrow, "qNobodyKnowsThis:1", "")
ROW(threads, "qfThreadInfo", "m1")
ROW(no_more_threads, "qsThreadInfo", "l")
ROW(the_current_thread, "qC", "QC1")
ROW(a_thread_lives, "T1", "OK")
ROW(a_thread_does_not, "T2", "E22")
ROW(select_all, "Hg-1", "OK")
ROW(select_nobody, "Hg7", "E22")
ROW(select_badly, "Hgx", "E22")
ROW(select_what, "Hx1", "E01")
ROW(thread_words, "qThreadExtraInfo,1", "43505520302c2072696e672030")
ROW(no_thread_words, "qThreadExtraInfo,9", "E22")
ROW(attached, "qAttached", "1")
ROW(offsets, "qOffsets", "Text=0;Data=0;Bss=0")
ROW(what_cont_takes, "vCont?", "vCont;c;C;s;S;r")
ROW(no_such_annex, "qXfer:features:read:other.xml:0,10", "E00")
ROW(a_bad_range_of_features, "qXfer:features:read:target.xml:0", "E01")
ROW(features_beyond_the_end, "qXfer:features:read:target.xml:fffffff,10", "l")
ROW(no_such_register, "pfff", "E22")
ROW(a_register_of_no_number, "pz", "E01")
ROW(a_register_that_cannot_be_written, "P2b=0000000000000000", "E16")
ROW(half_a_register, "P0=00", "E01")
ROW(no_memory_there, "mffff800000000000,8", "E14")
ROW(memory_of_no_length, "m100000", "E01")
ROW(nothing_of_memory, "m100000,0", "")
ROW(writing_less_than_said, "M100000,4:0102", "E01")
ROW(writing_more_than_said, "M100000,1:0102", "E01")
ROW(writing_too_much_binary, "X100000,fff:x", "E01")
ROW(writing_nowhere, "Mffff800000000000,1:00", "E14")
ROW(a_break_of_no_kind_known, "Z9,100000,1", "")
ROW(a_break_without_an_address, "Z0", "E01")
ROW(a_watch_of_nothing, "Z2,100000,0", "E22")
ROW(removing_what_is_not_there, "z0,100000,1", "OK")
ROW(going_on_nowhere, "czz", "E01")
ROW(a_signal_that_is_none, "Cxx", "E01")
ROW(cont_without_an_action, "vCont", "E01")
ROW(cont_with_no_action_known, "vCont;z", "E01")
ROW(cont_with_no_thread_known, "vCont;s:99", "E22")
ROW(monitor_of_no_hex, "qRcmd,zz", "E01")
#undef ROW

Test(gdb_answer, what_is_supported)
{
	BEGINS("qSupported:swbreak+;hwbreak+", "PacketSize=4000;");
	cr_expect(strstr(answer.data, "ReverseStep+;ReverseContinue+") != NULL);
	cr_expect(strstr(answer.data, "QStartNoAckMode+") != NULL);
	cr_expect(g->says_swbreak);
	EXPECT("QStartNoAckMode", "OK");
	cr_expect(g->no_ack);
}

Test(gdb_answer, the_description_in_pieces_is_the_whole)
{
	char all[40000] = "", packet[80];
	for (unsigned at = 0; at < sizeof all - 4096; at += 1000) {
		snprintf(packet, sizeof packet, "qXfer:features:read:target.xml:%x,3e8", at);
		strcat(all, ask(packet) + 1);
		if (answer.data[0] == 'l')
			break;
	}
	cr_expect(eq(str, all, g->xml));
	cr_expect(strstr(all, "<architecture>i386:x86-64</architecture>") != NULL);
	cr_expect(strstr(all, "org.gnu.gdb.i386.core") != NULL);
	cr_expect(strstr(all, "</target>") != NULL);
}

Test(gdb_answer, all_registers_at_once_are_each_of_them)
{
	static char all[GDB_PACKET_MAX + 1];
	char packet[16];
	size_t at = 0;
	strcpy(all, ask("g"));
	for (unsigned n = 0; n < regs_n(g->arch); n++) {
		snprintf(packet, sizeof packet, "p%x", n);
		size_t k = strlen(ask(packet));
		cr_assert(eq(sz, k, 2 * reg_size(g->arch, n)));
		cr_assert(eq(int, strncmp(all + at, answer.data, k), 0), "register %u", n);
		at += k;
	}
	cr_expect(eq(sz, at, strlen(all)));
}

Test(gdb_answer, a_register_is_written_and_the_machine_has_it)
{
	EXPECT("P0=8877665544332211", "OK");
	cr_expect(eq(u64, g->r->m->cpu[0]->s.r[R_RAX], 0x1122334455667788));
	EXPECT("p0", "8877665544332211");
}

Test(gdb_answer, writing_all_registers_back_changes_nothing)
{
	static char all[GDB_PACKET_MAX + 1] = "G";
	ask("vCont;s:1");
	uint64_t hash = machine_hash(g->r->m);
	strcat(all, ask("g"));
	EXPECT(all, "OK");
	cr_expect(eq(u64, machine_hash(g->r->m), hash));
	cr_expect(not(g->touched));
	all[strlen(all) - 1] = '\0';
	EXPECT(all, "E01");
}

Test(gdb_answer, memory_written_is_memory_read)
{
	EXPECT("M90000,4:01020304", "OK");
	EXPECT("m90000,4", "01020304");
	cr_expect(gdb_answer(g, "X90001,3:#}$", 12, &answer));
	EXPECT("m90000,4", "01237d24");
	gdb_answer(g, "x90000,4", 8, &answer);
	cr_expect(eq(sz, answer.n, 5));
	cr_expect(eq(int, memcmp(answer.data, "b\x01#}$", 5), 0));
}

Test(gdb_answer, memory_up_to_its_end)
{
	BEGINS("m3fffffe,8", "0000");
	EXPECT("m9ffff,4", "00");
}

/* ---- going ---- */

Test(gdb_answer, looking_changes_nothing)
{
	ask("vCont;r100020,100021:1");
	uint64_t hash = machine_hash(g->r->m), steps = machine_icount(g->r->m);
	ask("g");
	ask("m100000,100");
	ask("qThreadExtraInfo,1");
	monitor("exits");
	monitor("stats cpu0");
	monitor("print cr0");
	cr_expect(eq(u64, machine_hash(g->r->m), hash));
	cr_expect(eq(u64, machine_icount(g->r->m), steps));
}

Test(gdb_answer, steps_and_back_again)
{
	uint64_t hash = machine_hash(g->r->m);
	for (int i = 0; i < 5; i++)
		EXPECT("vCont;s:1", "T05thread:1;");
	cr_expect(eq(u64, number("insns"), 5));
	for (int i = 0; i < 5; i++)
		EXPECT("bs", "T05thread:1;");
	cr_expect(eq(u64, machine_hash(g->r->m), hash));
	EXPECT("bs", "T05replaylog:begin;thread:1;");
	EXPECT("bc", "T05replaylog:begin;thread:1;");
}

static uint64_t symbol(const char *name)
{
	uint64_t v;
	cr_assert(symtab_find(run_face(g->r)->m->symbols, name, &v), "%s", name);
	return v;
}

static const char *at(const char *format, const char *name)
{
	static char packet[80];
	snprintf(packet, sizeof packet, format, (unsigned long long)symbol(name));
	return packet;
}

Test(gdb_answer, a_breakpoint_both_ways)
{
	ask("qSupported:swbreak+;hwbreak+");
	EXPECT(at("Z0,%llx,1", "kernel_main"), "OK");
	EXPECT(at("Z1,%llx,1", "proc_fork"), "OK");
	EXPECT("c", "T05swbreak:;thread:1;");
	cr_expect(eq(u64, number("rip"), symbol("kernel_main")));
	EXPECT("c", "T05hwbreak:;thread:1;");
	cr_expect(eq(u64, number("rip"), symbol("proc_fork")));
	EXPECT("bc", "T05swbreak:;thread:1;");
	cr_expect(eq(u64, number("rip"), symbol("kernel_main")));
	EXPECT(at("z1,%llx,1", "proc_fork"), "OK");
	EXPECT("c", "T05replaylog:end;thread:1;");
	cr_expect(sent[0] == 'O');
	EXPECT("c", "W01");
}

Test(gdb_answer, a_watchpoint_both_ways)
{
	char want[80];
	EXPECT(at("Z2,%llx,4", "last_pid"), "OK");
	snprintf(want, sizeof want, "T05watch:%llx;thread:1;", (unsigned long long)symbol("last_pid"));
	EXPECT("c", want);
	EXPECT(at("m%llx,4", "last_pid"), "01000000");
	uint64_t behind = number("insns");
	EXPECT("bc", want);
	cr_expect(eq(u64, number("insns"), behind - 1));
	EXPECT(at("m%llx,4", "last_pid"), "00000000");
	EXPECT("s", want);
	EXPECT("bs", want);
}

Test(gdb_answer, writing_in_the_past_begins_a_branch)
{
	for (int i = 0; i < 4; i++)
		ask("s");
	ask("bs");
	EXPECT("P0=0000000000000000", "OK");
	ask("s");
	cr_expect(strstr(monitor("branch"), "* 1 ") != NULL, "%s", g->text.data);
}

Test(gdb_answer, detach_and_kill)
{
	EXPECT("D", "OK");
	cr_expect(eq(int, g->over, OVER_DETACHED));
	g->over = OVER_NOT;
	cr_expect(not(gdb_answer(g, "k", 1, &answer)));
	cr_expect(eq(int, g->over, OVER_KILLED));
}

/* ---- guests ---- */

TestSuite(gdb_guest, .fini = done);

static void sees_a_guest(const char *kernel, const char *mmu, const char *pc)
{
	open_on(kernel, "forkwait n=1", mmu, "1");
	EXPECT("qThreadExtraInfo,1", "43505520302c2072696e6720302c20766d31");
	EXPECT(at("Z0,%llx,1", "proc_fork"), "OK");
	EXPECT("c", "T05thread:1;");
	cr_expect(eq(u64, number(pc), symbol("proc_fork")));
	cr_expect(eq(u64, number("cr0") & CR0_PG, CR0_PG));
	cr_expect(eq(u64, number("vmx"), VIEW_VMX_NON_ROOT));
	EXPECT("m100000,4", "E14");
	cr_expect(strstr(monitor("xp 0x100000 4"), "02 b0 ad 1b") != NULL);
	uint64_t hash = machine_hash(g->r->m);
	EXPECT("s", "T05thread:1;");
	EXPECT("bs", "T05thread:1;");
	cr_expect(eq(u64, machine_hash(g->r->m), hash));
	monitor("host");
	cr_expect(eq(u64, number("vm"), 1));
	cr_expect(strstr(monitor("vm 2"), "expected 1..1") != NULL);
	monitor("vm 1");
	cr_expect(eq(u64, number(pc), symbol("proc_fork")));
}
Test(gdb_guest, ept_64) { sees_a_guest("build/guests/kernel64.elf", "ept", "rip"); }
Test(gdb_guest, ept_32) { sees_a_guest("build/guests/kernel32.elf", "ept", "eip"); }
Test(gdb_guest, shadow_64) { sees_a_guest("build/guests/kernel64.elf", "shadow.wp", "rip"); }
Test(gdb_guest, shadow_32) { sees_a_guest("build/guests/kernel32.elf", "shadow.vtlb", "eip"); }

/* What exits to the VMM is a step of its own, both ways. */
Test(gdb_guest, an_instruction_that_exits)
{
	open_on("build/guests/kernel64.elf", "cpuid n=2", "ept", "1");
	uint64_t exits = 0, now = 0, pc;
	ask(at("Z0,%llx,1", "roi_begin"));
	ask("c");
	for (unsigned i = 0; i < 20; i++) {
		pc = number("rip");
		uint64_t hash = machine_hash(g->r->m);
		stats_get(&g->r->m->stats, "cpu0.exit.cpuid", &exits);
		EXPECT("s", "T05thread:1;");
		stats_get(&g->r->m->stats, "cpu0.exit.cpuid", &now);
		if (now == exits)
			continue;
		cr_expect(eq(u64, number("rip"), pc + 2), "CPUID has two bytes");
		EXPECT("bs", "T05thread:1;");
		cr_expect(eq(u64, number("rip"), pc));
		cr_expect(eq(u64, machine_hash(g->r->m), hash));
		return;
	}
	cr_fatal("no CPUID was met");
}

/* Registers of a virtual CPU the physical one does not run: from the VMCS. */
Test(gdb_guest, registers_out_of_the_vmcs)
{
	open_on("build/guests/kernel64.elf", "forkwait n=1", "ept", "1");
	EXPECT("c", "T05replaylog:end;thread:1;");
	cr_expect(not(view_loaded(&g->view, 1)));
	cr_expect(eq(u64, number("cr0") & (CR0_PE | CR0_PG), CR0_PE | CR0_PG));
	cr_expect(eq(u64, number("mode"), MODE_LONG64));
	cr_expect(ge(u64, number("rip"), symbol("power_off")));
	BEGINS(at("m%llx,4", "kernel_main"), "");
	cr_expect(eq(sz, answer.n, 8));
	uint64_t rip = number("rip");
	EXPECT("P10=0000000000000080", "OK");
	cr_expect(eq(u64, number("rip"), 0x8000000000000000));
	cr_expect(ne(u64, rip, 0));
}

Test(gdb_guest, processors_are_threads)
{
	open_on("build/guests/kernel64.elf", "smp n=2", "native", "3");
	EXPECT("qfThreadInfo", "m1,2,3");
	EXPECT("Z0,8000,1", "OK");
	EXPECT("c", "T05thread:2;");
	cr_expect(eq(u64, number("rip"), 0x8000));
	cr_expect(eq(u64, number("ip"), 0));
	EXPECT("qC", "QC2");
	EXPECT("vCont;s:2;c", "T05thread:2;");
	EXPECT("vCont;s:1;c", "T05thread:1;");
	EXPECT("bs", "T05thread:1;");
	EXPECT("Hg2", "OK");
	EXPECT("Hc2", "OK");
	uint64_t insns = number("insns");
	EXPECT("bs", "T05thread:2;");
	cr_expect(eq(u64, number("insns"), insns - 1));
}

static unsigned calls;
static bool soon(void *who)
{
	(void)who;
	return ++calls > 2;
}

Test(gdb_guest, an_interrupt_ends_a_continue)
{
	open_on("build/guests/kernel64.elf", "forkwait n=5000", "native", "1");
	g->interrupted = soon;
	EXPECT("c", "T02thread:1;");
	cr_expect(eq(u64, number("insns"), 3000000));
}

/* Whatever lies between two steps of a CPU (exits, other CPUs' turns, interrupts), each is found again backwards. */
static void there_and_back(unsigned thread, unsigned n)
{
	struct { uint64_t rip, insns, cycle; } way[200];
	char step[40];
	snprintf(step, sizeof step, "vCont;s:%x;c", thread);
	snprintf(sent, sizeof sent, "Hg%x", thread);
	EXPECT(sent, "OK");
	uint64_t hash = machine_hash(g->r->m);
	for (unsigned i = 0; i < n; i++) {
		way[i].rip = number("rip");
		way[i].insns = number("insns");
		way[i].cycle = number("cycle");
		ask(step);
	}
	for (unsigned i = n; i-- > 0;) {
		ask("bs");
		cr_assert(eq(u64, number("rip"), way[i].rip), "step %u", i);
		cr_assert(eq(u64, number("insns"), way[i].insns), "step %u", i);
		cr_assert(eq(u64, number("cycle"), way[i].cycle), "step %u", i);
	}
	if (g->r->m->config.cpus == 1)
		cr_expect(eq(u64, machine_hash(g->r->m), hash));
}

static void there_and_back_under(const char *mmu, const char *cmdline, const char *from)
{
	open_on("build/guests/kernel64.elf", cmdline, mmu, "1");
	EXPECT(at("Z0,%llx,1", from), "OK");
	ask("c");
	EXPECT(at("z0,%llx,1", from), "OK");
	there_and_back(1, 100);
}
Test(gdb_guest, back_over_exits) { there_and_back_under("ept", "cpuid n=40", "roi_begin"); }
Test(gdb_guest, back_over_exits_of_a_shadowed_guest) { there_and_back_under("shadow.wp", "ptemod n=40", "roi_begin"); }
Test(gdb_guest, back_over_input_and_output) { there_and_back_under("ept", "uart n=20", "roi_begin"); }
Test(gdb_guest, back_over_page_faults) { there_and_back_under("native", "pgfault n=20", "roi_begin"); }

/* The first processor waits for the second one, which counts. */
static void there_and_back_among(const char *mmu, unsigned n)
{
	open_on("build/guests/kernel64.elf", "smp n=1", mmu, "2");
	EXPECT("Z0,8000,1", "OK");
	EXPECT("c", "T05thread:2;");
	EXPECT("z0,8000,1", "OK");
	there_and_back(2, n);
	there_and_back(1, n / 2);
	there_and_back(2, n);
}
Test(gdb_guest, back_with_another_processor_at_work) { there_and_back_among("native", 60); }
Test(gdb_guest, back_with_another_virtual_processor_at_work) { there_and_back_among("ept", 12); }
