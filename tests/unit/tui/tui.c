/* The stepping screen without a terminal: what the canvas shows, what keys do, and that looking changes nothing. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/guest_run.h"
#include "ui/lua/scenario.h"
#include "ui/tui/screen.h"
#include "ui/tui/tui.h"

static struct session session;
static struct scenario *line;

static struct tui *open_under(const char *mmu, const char *kernel, const char *cmdline, int w, int h)
{
	struct run *r = guest_run(&session, kernel, cmdline, "mmu=%s", mmu);
	return tui_new(r, w, h, false);
}

static struct tui *open_on(const char *kernel, const char *cmdline, int w, int h)
{
	return open_under("native", kernel, cmdline, w, h);
}

static void close_it(struct tui *t)
{
	tui_free(t);
	scenario_line_close(line);
	session_fini(&session);
}

static void keys(struct tui *t, const char *text)
{
	for (; *text; text++)
		tui_key(t, *text);
	tui_draw(t);
}

static bool shows(struct tui *t, const char *text)
{
	char *all = canvas_dump(&t->canvas);
	bool yes = strstr(all, text) != NULL;
	free(all);
	return yes;
}

Test(tui, the_first_screen_says_where_we_are)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	tui_draw(t);
	cr_expect(shows(t, "_start:"));
	cr_expect(shows(t, "ring 0 32-bit"));
	cr_expect(shows(t, "00100020"));
	cr_expect(shows(t, "? lists the keys"));
	close_it(t);
}

Test(tui, a_step_and_a_step_back)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "20s");
	uint64_t hash = machine_hash(t->m);
	keys(t, "s");
	cr_expect(ne(u64, machine_hash(t->m), hash));
	keys(t, "rs");
	cr_expect(eq(u64, machine_hash(t->m), hash));
	cr_expect(shows(t, "PAST"));
	keys(t, "G");
	cr_expect(not(shows(t, "PAST")));
	close_it(t);
}

Test(tui, looking_changes_nothing)
{
	struct tui *t = open_on("build/guests/kernel32.elf", "pgfault n=3", 200, 60);
	keys(t, "50000s");
	uint64_t hash = machine_hash(t->m);
	for (unsigned i = 0; i < layout_rows_n; i++) {
		keys(t, "L");
		for (unsigned k = 0; k < PANE_N; k++)
			keys(t, "\tzz]j");
	}
	keys(t, "??");
	cr_expect(eq(u64, machine_hash(t->m), hash));
	close_it(t);
}

Test(tui, any_size_is_drawn)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	for (int w = 1; w < 260; w += 13)
		for (int h = 1; h < 90; h += 7) {
			canvas_resize(&t->canvas, w, h);
			t->layout = layout_for(w, h);
			tui_draw(t);
		}
	close_it(t);
}

Test(tui, events_forth_and_back)
{
	struct tui *t = open_on("build/guests/kernel32.elf", "pgfault n=3", 80, 24);
	keys(t, "e");
	struct moment first = timeline_now(t->timeline);
	struct snap *first_snap = snap_take(t->m->snaps, "first");
	uint64_t hash = machine_hash(t->m);
	keys(t, "ee");
	cr_expect(lt(u64, first.step, timeline_now(t->timeline).step));
	keys(t, "rere");
	cr_expect(eq(u64, timeline_now(t->timeline).step, first.step));
	char where[200] = "";
	snap_differs(t->m->snaps, first_snap, where, sizeof where);
	cr_expect(eq(u64, machine_hash(t->m), hash), "%s", where);
	close_it(t);
}

Test(tui, a_breakpoint_both_ways)
{
	struct tui *t = open_on("build/guests/kernel32.elf", "syscall n=5", 80, 24);
	keys(t, ":break kernel_main\n");
	cr_expect(not(t->bad), "%s", t->message);
	keys(t, "c");
	uint64_t hash = machine_hash(t->m);
	cr_expect(shows(t, "kernel_main"));
	keys(t, "5000src");
	cr_expect(eq(u64, machine_hash(t->m), hash));
	close_it(t);
}

Test(tui, a_wrong_command_suggests)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, ":brek x\n");
	cr_expect(shows(t, "did you mean 'break'"));
	keys(t, ":break nosuchsymbol\n");
	cr_expect(shows(t, "neither a number nor a symbol"));
	keys(t, "@");
	cr_expect(shows(t, "does nothing here"));
	close_it(t);
}

Test(tui, every_key_is_in_the_help_and_no_key_twice)
{
	for (size_t i = 0; i < action_rows_n; i++)
		for (const char *p = action_rows[i].keys; *p; p += strcspn(p, " "), p += *p == ' ') {
			size_t n = strcspn(p, " ");
			if (n == 1)
				cr_expect(action_by_key(0, *p) == &action_rows[i], "%c", *p);
			else if (n == 2 && *p == 'r')
				cr_expect(action_by_key('r', p[1]) == &action_rows[i], "%.2s", p);
		}
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	for (size_t i = 0; i < action_rows_n + tui_commands_n; i++) {
		const char *name = i < action_rows_n ? action_rows[i].name : tui_commands[i - action_rows_n].name;
		bool found = false;
		keys(t, "?");
		for (int page = 0; page < 9 && !found; page++, keys(t, " "))
			found = shows(t, name);
		keys(t, "q");
		cr_expect(found, "%s", name);
		cr_expect(not(t->quit));
	}
	close_it(t);
}

/* ---- the cursor, Enter, Lua ---- */

Test(tui, enter_explains_the_register_at_the_cursor)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "\tjjl\n");
	cr_expect(shows(t, "cpu0.rdx ="));
	cr_expect(shows(t, "field (64 bits)"));
	keys(t, "q");
	cr_expect(not(shows(t, "field (64 bits)")));
	keys(t, ":explain cr0\n");
	cr_expect(shows(t, "write protect"));
	close_it(t);
}

Test(tui, a_line_without_a_language_is_refused)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, ":lua 1+1\n");
	cr_expect(t->bad && shows(t, "Lua is not at hand"));
	close_it(t);
}

static struct tui *with_lua(int w, int h)
{
	static const struct scenario_options o = { 0 };
	struct err e = { "" };
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", w, h);
	line = scenario_line_open(&session, &o, &e);
	cr_assert(line != NULL, "%s", e.text);
	return t;
}

Test(tui, a_line_of_lua)
{
	struct tui *t = with_lua(80, 24);
	keys(t, "9s:cpu.rip, m.instructions\n");
	char want[80];
	snprintf(want, sizeof want, "%llu = %#llx, 9", (unsigned long long)t->m->cpu[0]->s.rip, (unsigned long long)t->m->cpu[0]->s.rip);
	cr_expect(shows(t, want), "%s", t->message);
	keys(t, ":x = 6 * 7\n:x\n");
	cr_expect(shows(t, "42 = 0x2a"));
	keys(t, ":for i = 1, 40 do print('line', i) end\n");
	cr_expect(shows(t, "line    1") && shows(t, "page 1 of"));
	keys(t, "q:nosuch()\n");
	cr_expect(t->bad && shows(t, "line:1: unknown name 'nosuch'"), "%s", t->message);
	keys(t, ":m:run()\n");
	cr_expect(t->bad && shows(t, "running is the screen's here"), "%s", t->message);
	keys(t, ":brek 12\n");
	cr_expect(shows(t, "did you mean 'break'"));
	keys(t, ":m:snaps\t\n");
	cr_expect(shows(t, "m:snapshot") || t->message[0], "%s", t->message);
	close_it(t);
}

Test(tui, lua_that_runs_for_ever_ends)
{
	struct tui *t = with_lua(80, 24);
	keys(t, ":while true do end\n");
	cr_expect(t->bad && shows(t, "too long"), "%s", t->message);
	keys(t, ":1+1\n");
	cr_expect(shows(t, "2"));
	close_it(t);
}

Test(tui, a_register_written_by_lua_in_the_past_branches)
{
	struct tui *t = with_lua(80, 24);
	keys(t, "100s50srs:cpu.rax = 77\n");
	cr_expect(eq(sz, timeline_branches(t->timeline), 2));
	cr_expect(shows(t, "changed: branch 1"));
	cr_expect(eq(u64, t->m->cpu[0]->s.r[R_RAX], 77));
	close_it(t);
}

Test(tui, tab_completes_what_belongs_there)
{
	struct tui *t = with_lua(80, 24);
	keys(t, ":arr\t");
	cr_expect(eq(str, t->prompt.text, "arrange"));
	keys(t, " dev\t");
	cr_expect(eq(str, t->prompt.text, "arrange devices"));
	keys(t, "\033:break kernel_ma\t");
	cr_expect(eq(str, t->prompt.text, "break kernel_main"));
	keys(t, "\033:lua m:symbol_\t");
	cr_expect(eq(str, t->prompt.text, "lua m:symbol_at"));
	keys(t, "\033:print cpu0.lapic.tp\t");
	cr_expect(eq(str, t->prompt.text, "print cpu0.lapic.tpr"));
	keys(t, "\033");
	close_it(t);
}

Test(tui, a_search_moves_the_cursor_and_wraps_nothing)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "\t/flags\n");
	cr_expect(ge(int, t->view[PANE_REGS].cursor, 4));
	int first = t->view[PANE_REGS].cursor;
	keys(t, "N");
	cr_expect(t->bad);
	keys(t, "/r8\n");
	cr_expect(t->bad);
	cr_expect(eq(int, t->view[PANE_REGS].cursor, first));
	close_it(t);
}

Test(tui, a_change_in_the_past_branches)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "1000s500srs");
	keys(t, ":set rax=0x1234\n");
	cr_expect(not(t->bad), "%s", t->message);
	cr_expect(eq(u64, t->m->cpu[0]->s.r[R_RAX], 0x1234));
	cr_expect(eq(sz, timeline_branches(t->timeline), 2));
	keys(t, ":branch main\n");
	cr_expect(eq(u64, timeline_now(t->timeline).step, 1500));
	close_it(t);
}

Test(tui, vm_exits_forth_and_back)
{
	struct tui *t = open_under("shadow.wp", "build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "4x");
	struct moment there = timeline_now(t->timeline);
	uint64_t hash = machine_hash(t->m);
	cr_expect(shows(t, "VMX root"));
	cr_expect(shows(t, "the modelled VMM runs next"));
	keys(t, "xx");
	cr_expect(lt(u64, there.cycle, timeline_now(t->timeline).cycle));
	keys(t, "rxrx");
	cr_expect(eq(u64, timeline_now(t->timeline).cycle, there.cycle));
	cr_expect(eq(u64, machine_hash(t->m), hash));
	close_it(t);
}

/* ---- what has happened ---- */

Test(tui, enter_on_an_exit_goes_to_its_moment)
{
	struct tui *t = open_under("shadow.wp", "build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "5x");
	struct moment there = timeline_now(t->timeline);
	uint64_t hash = machine_hash(t->m);
	keys(t, "5x");
	keys(t, ":pane exits\nj5k\n");
	cr_expect(eq(u64, timeline_now(t->timeline).cycle, there.cycle));
	cr_expect(eq(u64, timeline_now(t->timeline).step, there.step));
	cr_expect(eq(u64, machine_hash(t->m), hash));
	keys(t, "\033");
	cr_expect(shows(t, "cr_access"));
	close_it(t);
}

Test(tui, the_vmcs_pane_marks_what_an_exit_wrote)
{
	struct tui *t = open_under("ept", "build/guests/kernel64.elf", "forkwait n=1", 120, 50);
	keys(t, "3x:pane vmcs\n");
	cr_expect(shows(t, "new since the entry"));
	cr_expect(shows(t, "was "));
	cr_expect(shows(t, "exit_qualification"));
	keys(t, "jj\n");                /* the first area folds */
	cr_expect(not(shows(t, "exit_qualification")));
	cr_expect(shows(t, "guest_rip"));
	keys(t, ":history guest_rip\n");
	cr_expect(shows(t, "0x100020"));
	cr_expect(shows(t, "value (looked at"));
	keys(t, "q");
	close_it(t);
}

Test(tui, the_history_of_a_register)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "3000s");
	uint64_t hash = machine_hash(t->m);
	keys(t, ":history cr0\n");
	cr_expect(shows(t, "0x11 pe et"));
	cr_expect(shows(t, " pg"));
	cr_expect(eq(u64, machine_hash(t->m), hash));
	keys(t, "q:history nosuch\n");
	cr_expect(t->bad);
	close_it(t);
}

Test(tui, the_cross_hair_of_the_timeline)
{
	struct tui *t = open_under("ept", "build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "300000s:pane timeline\n");
	cr_expect(shows(t, "whole run") && shows(t, "vm1 kern") && shows(t, "exits"));
	cycle_t end = timeline_now(t->timeline).cycle;
	keys(t, "++10h");
	cr_expect(shows(t, "Enter goes there"));
	keys(t, "\n");
	cr_expect(lt(u64, timeline_now(t->timeline).cycle, end));
	cr_expect(lt(u64, end / 2, timeline_now(t->timeline).cycle));
	cr_expect(shows(t, "PAST"));
	close_it(t);
}

Test(tui, to_a_cycle_and_back)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "200000s");
	keys(t, ":goto 100000cycles\n");
	struct moment there = timeline_now(t->timeline);
	uint64_t hash = machine_hash(t->m);
	cr_expect(ge(u64, there.cycle, 100000));
	cr_expect(lt(u64, there.cycle, 102000));
	keys(t, "rsrs:goto 100000cycles\n");
	cr_expect(eq(u64, machine_hash(t->m), hash));
	keys(t, ":goto 5cycles\n:goto 100000cycles\n");
	cr_expect(eq(u64, timeline_now(t->timeline).step, there.step));
	close_it(t);
}

/* ---- arrangements ---- */

Test(tui, an_arrangement_is_saved_and_found_again)
{
	char dir[] = "/tmp/tui-test-XXXXXX", path[64];
	cr_assert(mkdtemp(dir) != NULL);
	setenv("XDG_CONFIG_HOME", dir, 1);
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, ":layout 50: ledger 100 / 50: stats 60, code 40\n");
	cr_expect(shows(t, " ledger ") && shows(t, " stats ") && !shows(t, " regs "), "%s", t->message);
	keys(t, ":layout save mine\n");
	cr_expect(not(t->bad), "%s", t->message);
	keys(t, ":put memory\n");
	cr_expect(shows(t, " memory ") && !shows(t, " code "), "%s", t->message);
	close_it(t);
	t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, ":layout minx\n");
	cr_expect(t->bad && shows(t, "did you mean 'mine'"), "%s", t->message);
	keys(t, ":layout mine\n");
	cr_expect(shows(t, " ledger ") && shows(t, " stats "));
	keys(t, ":layout save small\n");
	cr_expect(t->bad);
	keys(t, ":layout save ../x\n");
	cr_expect(t->bad);
	close_it(t);
	snprintf(path, sizeof path, "%s/vmscope/layouts", dir);
	cr_expect(eq(int, remove(path), 0));
	snprintf(path, sizeof path, "%s/vmscope", dir);
	remove(path);
	remove(dir);
}

Test(tui, no_home_is_no_error)
{
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, ":layout save mine\n");
	cr_expect(shows(t, "while the screen lasts") && !t->bad, "%s", t->message);
	keys(t, "L:layout mine\n");
	cr_expect(not(t->bad), "%s", t->message);
	close_it(t);
}

Test(tui, a_spec_that_means_nothing_is_refused)
{
	static const char *const bad[] = { ":layout 50\n", ":layout x: y\n", ":layout 50: nosuch 50\n", ":layout 50: code\n", ":layout 50:\n",
	                                   ":layout 99999999999: code 5\n:layout -5: code 5\n", ":layout 50: code 50 50: code\n" };
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		keys(t, bad[i]);
		cr_expect(t->bad, "%s", bad[i]);
	}
	close_it(t);
}

Test(tui, statistics_show_what_a_step_changed)
{
	struct tui *t = open_on("build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "100s:pane stats\n]");
	keys(t, "3000s");
	cr_expect(shows(t, "+"));
	keys(t, "j\n");
	cr_expect(t->popup.text != NULL || t->message[0]);
	keys(t, "q");
	close_it(t);
}

Test(tui, each_machine_has_its_console)
{
	struct tui *t = open_under("ept", "build/guests/kernel64.elf", "forkwait n=1", 80, 24);
	keys(t, "c:pane console\n");
	cr_expect(shows(t, "forkwait n=1"), "%s", t->message);
	keys(t, "]");
	cr_expect(shows(t, "nothing printed"));
	close_it(t);
}

Test(tui, looking_changes_nothing_under_a_vmm)
{
	struct tui *t = open_under("shadow.wp", "build/guests/kernel64.elf", "forkwait n=2", 200, 60);
	keys(t, "250000s1000s500srs");
	uint64_t hash = machine_hash(t->m);
	struct moment now = timeline_now(t->timeline);
	for (unsigned i = 0; i < layout_rows_n; i++) {
		keys(t, "L");
		for (unsigned k = 0; k < PANE_N; k++)
			keys(t, "\t]jjllk");
	}
	keys(t, "P:history rax\nq:history guest_cr3\nq++hhhh\033:explain cr0\nq:cpu.rip\n:vm.console\nq:m.stats:all()\nq");
	cr_expect(eq(u64, machine_hash(t->m), hash));
	cr_expect(eq(int, moment_compare(timeline_now(t->timeline), now), 0));
	cr_expect(eq(sz, timeline_branches(t->timeline), 1));
	close_it(t);
}

Test(tui, the_screen_is_a_function_of_the_moment)
{
	struct tui *t = open_under("ept", "build/guests/kernel64.elf", "forkwait n=2", 120, 40);
	keys(t, "200000s:arrange exits\n20s");
	char *there = canvas_dump(&t->canvas);
	keys(t, "30000s30000srs");
	tui_say(t, false, "%s", "");
	keys(t, "20srs");
	travel_goto(t, (struct moment){ 200000, 0 });
	keys(t, "20s");
	/* the banner says that it is the past: the panes are the same */
	char *again = canvas_dump(&t->canvas), *a = strstr(there, "┌"), *b = strstr(again, "┌");
	cr_assert(a && b);
	cr_expect(eq(str, a, b));
	free(there);
	free(again);
	close_it(t);
}
