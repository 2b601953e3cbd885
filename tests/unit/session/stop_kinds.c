/* Each kind of stop stops where it says, forwards and backwards alike; what cannot be understood is said with a way out. */
#include "tests/unit/session/stops.h"

#include "models/symbols.h"
#include "models/vmm/vmm.h"
#include "ui/lua/scenario.h"

/* One stop in one machine: so many hits of the first `max`, each with this in its reason. */
static size_t both_ways(const char *mmu, const char *cpus, const char *kernel, const char *cmdline, const char *text, size_t max, const char *why)
{
	struct rig g;
	rig_open(&g, mmu, cpus, kernel, cmdline);
	uint32_t id = rig_add(&g, run_face(g.r), text);
	travel_continue(g.v);
	cr_assert(stops_hit(g.r) != NULL, "%s: no hit", text);
	cr_expect(eq(u32, stops_hit(g.r)->id, id));
	cr_expect(strstr(stops_hit(g.r)->why, why) != NULL, "%s\nexpected: %s", stops_hit(g.r)->why, why);
	timeline_goto(travel_timeline(g.v), timeline_begin(travel_timeline(g.v)));
	size_t n = rig_both_ways(&g, max);
	rig_close(&g);
	return n;
}

#define KERNEL "kernel64.elf", "forkwait n=2"

Test(stop_kinds, catch_an_exception_by_its_name) { cr_expect(eq(sz, both_ways("native", "1", KERNEL, "catch #PF", 30, "exception vector=14 error="), 18)); }
Test(stop_kinds, catch_exits_by_reason) { cr_expect(eq(sz, both_ways("ept", "1", KERNEL, "catch exit.ept_violation", 30, "vm_exit reason=48"), 30)); }
Test(stop_kinds, catch_exits_by_qualification)
{
	/* bit 1: a data write */
	cr_expect(lt(sz, 5, both_ways("ept", "1", KERNEL, "catch vm_exit if reason == ept_violation and qualification & 2", 30, "vm_exit reason=48")));
}
Test(stop_kinds, catch_a_vmwrite_by_its_field) { cr_expect(lt(sz, 5, both_ways("shadow.wp", "1", KERNEL, "catch vmwrite if field == guest_rip", 30, "vmwrite field=0x681e"))); }
Test(stop_kinds, catch_a_port) { cr_expect(lt(sz, 5, both_ways("native", "1", KERNEL, "catch port if port==0x3f8", 30, "port_out port=0x3f8 size=1"))); }
Test(stop_kinds, catch_an_msr) { cr_expect(ge(sz, both_ways("native", "1", KERNEL, "catch wrmsr if number == ia32_efer", 30, "msr number=0xc0000080"), 1)); }
Test(stop_kinds, catch_a_control_register) { cr_expect(lt(sz, 3, both_ways("native", "2", "kernel32.elf", "forkwait n=2", "catch cr if number = cr3", 30, "cr number=3"))); }
Test(stop_kinds, catch_a_device) { cr_expect(lt(sz, 1, both_ways("ept", "1", KERNEL, "catch uart_tx if byte == 0x0a", 9, "uart_tx byte=0xa"))); }
Test(stop_kinds, catch_several_events) { cr_expect(eq(sz, both_ways("native", "1", KERNEL, "catch exception,interrupt,iret", 30, "stop 1, "), 30)); }

Test(stop_kinds, insn_by_name) { cr_expect(lt(sz, 1, both_ways("native", "1", KERNEL, "insn cpuid,wrmsr", 30, "insn cpuid,wrmsr: "))); }
Test(stop_kinds, insn_by_class) { cr_expect(lt(sz, 3, both_ways("native", "2", "kernel32.elf", "forkwait n=2", "insn sensitive", 30, "insn sensitive: "))); }
Test(stop_kinds, insn_in_a_guest) { cr_expect(lt(sz, 5, both_ways("ept", "1", KERNEL, "insn iret*", 30, "iret"))); }

Test(stop_kinds, change_of_a_register) { cr_expect(lt(sz, 2, both_ways("native", "1", KERNEL, "change cr3", 20, "change cr3: "))); }
Test(stop_kinds, change_of_a_bit) { cr_expect(ge(sz, both_ways("native", "1", KERNEL, "change cpu0.cr0.pg", 20, "0 -> 0x1"), 1)); }
Test(stop_kinds, change_of_a_device) { cr_expect(lt(sz, 1, both_ways("native", "2", "kernel32.elf", "forkwait n=2", "change com1.lcr", 9, "change com1.lcr: "))); }
Test(stop_kinds, change_of_a_vmcs_field) { cr_expect(lt(sz, 2, both_ways("ept", "1", KERNEL, "change vmcs.GUEST_CR3", 20, "change vmcs.GUEST_CR3: "))); }
Test(stop_kinds, change_in_a_guest) { cr_expect(lt(sz, 5, both_ways("shadow.wp", "1", KERNEL, "change cpl", 20, "change cpl: "))); }

Test(stop_kinds, ledger_of_an_account) { cr_expect(eq(sz, both_ways("ept", "1", KERNEL, "ledger vmm 200000", 5, " cycles"), 1)); }
Test(stop_kinds, ledger_of_a_cause) { cr_expect(eq(sz, both_ways("native", "2", "kernel32.elf", "forkwait n=2", "ledger vm0.user/walk.guest 500", 5, " cycles"), 1)); }

Test(stop_kinds, ledger_stops_at_the_first_boundary)
{
	struct rig g;
	rig_open(&g, "native", "1", KERNEL);
	rig_add(&g, g.r, "ledger walk.guest 700");
	travel_continue(g.v);
	cr_expect(ge(u64, ledger_by_why(&g.r->m->cpu[0]->ledger, WHY_WALK_GUEST), 700));
	travel_back(g.v, 1);
	cr_expect(lt(u64, ledger_by_why(&g.r->m->cpu[0]->ledger, WHY_WALK_GUEST), 700));
	rig_close(&g);
}

/* The classic: a page walk sets the accessed and dirty flags of an entry that is watched. */
Test(stop_kinds, a_walk_that_sets_a_flag_is_seen)
{
	struct rig g;
	rig_open(&g, "native", "1", KERNEL);
	uint32_t id = rig_add(&g, g.r, "catch walk_ad");
	travel_continue(g.v);
	travel_continue(g.v);
	uint64_t at = g.r->m->cpu[0]->mmu.last_walk.ref[g.r->m->cpu[0]->mmu.last_walk.n - 1].entry_pa;
	char text[60];
	travel_back_continue(g.v);
	stops_remove(g.r, id);
	timeline_goto(travel_timeline(g.v), timeline_begin(travel_timeline(g.v)));
	snprintf(text, sizeof text, "watch gpa:%#llx 8", (unsigned long long)at);
	rig_add(&g, g.r, text);
	bool walked = false;
	for (int i = 0; i < 20 && travel_continue(g.v) == TRAVEL_STOPPED && stops_hit(g.r); i++) {
		const struct stop_hit *h = stops_hit(g.r);
		if (!strstr(h->why, "a page walk wrote"))
			continue;
		walked = true;
		cr_expect(eq(u64, (h->before ^ h->after) & ~0x60ull, 0), "%s", h->why);
		cr_expect(ne(u64, h->before, h->after), "%s", h->why);
	}
	cr_expect(walked);
	rig_close(&g);
}

/* Of the machine, gpa are those of whichever guest runs: its tables are walked through EPT. */
Test(stop_kinds, guest_physical_memory_under_ept_on_the_machine)
{
	struct rig g;
	rig_open(&g, "ept", "1", KERNEL);
	uint32_t id = rig_add(&g, g.r, "catch walk_ad");
	for (int i = 0; i < 8; i++)
		travel_continue(g.v);
	const struct walk_record *w = &g.r->m->cpu[0]->mmu.last_walk;
	uint64_t table = 0;
	for (unsigned i = 0; i < w->n; i++)
		if (w->ref[i].dim == WALK_GUEST && w->ref[i].served != LEVEL_PSC)
			table = w->ref[i].table;
	cr_assert(ne(u64, table, 0));
	stops_remove(g.r, id);
	timeline_goto(travel_timeline(g.v), timeline_begin(travel_timeline(g.v)));
	char text[60];
	snprintf(text, sizeof text, "awatch gpa:%#llx 0x1000", (unsigned long long)table);
	rig_add(&g, g.r, text);
	bool walked = false;
	for (int i = 0; i < 3000 && !walked && travel_continue(g.v) == TRAVEL_STOPPED && stops_hit(g.r); i++)
		walked = strstr(stops_hit(g.r)->why, "a page walk") != NULL;
	cr_expect(walked);
	struct moment at = timeline_now(travel_timeline(g.v));
	uint64_t hash = machine_hash(g.r->m);
	travel_continue(g.v);
	cr_expect(eq(int, travel_back_continue(g.v), TRAVEL_DONE));
	cr_expect(eq(int, moment_compare(at, timeline_now(travel_timeline(g.v))), 0));
	cr_expect(eq(u64, machine_hash(g.r->m), hash));
	rig_close(&g);
}

Test(stop_kinds, the_vmm_that_reads_a_guests_tables_is_seen)
{
	struct rig g;
	char text[60];
	rig_open(&g, "shadow.wp", "1", KERNEL);
	uint32_t id = rig_add(&g, g.r, "catch vm_exit if reason == cr_access");
	travel_continue(g.v);
	stops_remove(g.r, id);
	travel_step(g.v, 20000);
	snprintf(text, sizeof text, "rwatch gpa:%#llx 0x1000", (unsigned long long)(g.r->m->vmm->vcpu[0]->s.cr3 & PAGE_MASK));
	rig_add(&g, run_face(g.r), text);
	bool vmm = false;
	for (int i = 0; i < 100 && !vmm && travel_continue(g.v) == TRAVEL_STOPPED && stops_hit(g.r); i++)
		vmm = strstr(stops_hit(g.r)->why, "the VMM read") != NULL;
	cr_expect(vmm);
	rig_close(&g);
}

/* ---- Lua ---- */

Test(stop_kinds, when_lua_becomes_true)
{
	struct rig g;
	struct scenario_options o = { .memory = 0 };
	struct err e = { "" };
	rig_open(&g, "native", "1", KERNEL);
	struct scenario *s = scenario_line_open(&g.session, &o, &e);
	cr_assert(s != NULL, "%s", e.text);
	rig_add(&g, g.r, "when cpu.cpl == 3");
	cr_expect(lt(sz, 5, rig_both_ways(&g, 12)));
	cr_expect(eq(int, (int)g.r->m->cpu[0]->s.cpl, 0));
	cr_expect(strstr(rig_refused(&g, "when cpu."), "line:1") != NULL);
	scenario_line_close(s);
	cr_expect(eq(sz, stops_count(g.r), 0), "the language is gone, and what was written in it");
	rig_close(&g);
}

Test(stop_kinds, an_error_in_a_condition_ends_the_run)
{
	struct rig g;
	struct scenario_options o = { .memory = 0 };
	struct err e = { "" };
	rig_open(&g, "native", "1", KERNEL);
	struct scenario *s = scenario_line_open(&g.session, &o, &e);
	rig_add(&g, g.r, "when cpu.rxa == 3");
	cr_expect(eq(int, travel_step(g.v, 10), TRAVEL_STOPPED));
	cr_expect(g.session.line.failed(g.session.line.who, &e));
	cr_expect(strstr(e.text, "did you mean 'rax'?") != NULL, "%s", e.text);
	scenario_line_close(s);
	rig_close(&g);
}

/* ---- messages ---- */

#define REFUSED(name, text, message) \
Test(stop_kinds, name) \
{ \
	struct rig g; \
	rig_open(&g, "ept", "1", KERNEL); \
	cr_expect(strstr(rig_refused(&g, text), message) != NULL, "%s", rig_refused(&g, text)); \
	rig_close(&g); \
}
REFUSED(no_such_event, "catch vm_exti", "did you mean 'vm_exit'?")
REFUSED(no_such_reason, "catch exit.cpiud", "unknown exit reason 'cpiud'")
REFUSED(no_such_argument, "catch vm_exit if raeson == 10", "it has: reason# qualification rip length# cpu")
REFUSED(no_such_field_of_a_vmcs, "catch vmread if field == guest_cr33", "did you mean 'guest_cr3'?")
REFUSED(no_such_operator, "catch vm_exit if reason ~ 10", "operators: == != < <= > >= & !&")
REFUSED(no_such_value, "catch port if port == com", "'com': expected a number")
REFUSED(no_if, "catch vm_exit when reason == 10", "'when': expected 'if'")
REFUSED(no_such_instruction, "insn cupid", "did you mean 'cpuid'?")
REFUSED(no_such_field, "change cr33", "did you mean 'cr3'?")
REFUSED(no_such_vmcs_field, "change vmcs.guest_ripp", "did you mean 'guest_rip'?")
REFUSED(no_such_cpu, "change cpu7.cr0", "this machine has the CPUs 0 to 0")
REFUSED(no_such_account, "ledger vmn 5", "did you mean 'vmm'?")
REFUSED(no_cycles, "ledger vmm", "expected a number of cycles")
REFUSED(no_lua, "when true", "there is no Lua here")
