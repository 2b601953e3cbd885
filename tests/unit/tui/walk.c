/* The panes about translation and transitions, without a terminal: what they show for known situations, cell by cell. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "tests/unit/guest_run.h"
#include "ui/tui/tui.h"

#define KERNEL64 "build/guests/kernel64.elf"
static struct session session;
static struct tui *t;
static enum pane_id pane = PANE_WALK;

/* caches false: nothing shortens a walk, so that every reference is made. */
static void open_under(const char *mmu, const char *cmdline, bool caches)
{
	struct run *r = guest_run(&session, KERNEL64, cmdline, "mmu=%s %s", mmu, caches ? "" : NO_WALK_CACHES);
	t = tui_new(r, 80, 24, true);
	for (const char *k = ":arrange walk\n\t"; *k; k++)
		tui_key(t, *k);
	t->focus = PANE_WALK;
}

static void close_it(void)
{
	tui_free(t);
	session_fini(&session);
}

static void keys(const char *text)
{
	for (; *text; text++)
		tui_key(t, *text);
	tui_draw(t);
}

/* Where a kernel's and a VMM's tables lie is theirs to change: addresses of five digits and more stand as '#'. */
static void hide_addresses(char *text)
{
	char *to = text;
	for (char *from = text; *from;) {
		const size_t n = strspn(from, "0123456789abcdef");
		if (n >= 5) {
			*to++ = '#';
			from += n;
		} else {
			do
				*to++ = *from++;
			while (*from && from[-1] != ' ' && from[-1] != 'x' && from[-1] != '[' && from[-1] != '-');
		}
	}
	*to = '\0';
}

/* Line `n` of the pane, without its frame and trailing blanks. */
static const char *line(int n)
{
	static char text[8][300];
	static unsigned at;
	char *out = text[at++ % 8];
	int y = -1, end = 0;
	for (unsigned i = 0; i < t->places; i++)
		if (t->place[i].pane == pane)
			y = t->place[i].y + 1 + n;
	cr_assert(y >= 0);
	for (int x = 1; x < t->canvas.w - 1; x++) {
		out[x - 1] = (char)t->canvas.cell[y * t->canvas.w + x].ch;
		if (out[x - 1] != ' ')
			end = x;
	}
	out[end] = '\0';
	hide_addresses(out);
	return out;
}
#define LINE(n, text) cr_expect(eq(str, (char *)line(n), (char *)text))

/* Instruction by instruction to one with such a walk; the cursor is at the record's end. */
static void to_walk(bool (*want)(const struct micro_walk *w))
{
	static struct micro_walk w;
	for (unsigned i = 0; i < 20000; i++) {
		cr_assert(eq(int, micro_run(t->micro), TRAVEL_DONE));
		for (size_t k = 0; k < micro_walks(t->micro); k++) {
			micro_walk(t->micro, k, &w);
			if (!w.hit && want(&w)) {
				micro_goto(t->micro, w.last + 1);
				tui_draw(t);
				return;
			}
		}
	}
	cr_fatal("no such walk");
}
static void to_user(void)
{
	struct err e = { "" };
	while (t->m->cpu[0]->s.cpl != 3)
		cr_assert(eq(int, travel_to_event(t->travel, "cpl", &e), TRAVEL_STOPPED));
}
static bool has_4(const struct micro_walk *w) { return w->refs == 4 && !w->rec.fault.kind && w->levels == 4; }
static bool has_24(const struct micro_walk *w) { return w->refs == 24 && !w->rec.fault.kind; }
static bool faults(const struct micro_walk *w) { return w->rec.fault.kind == MMU_PF; }

Test(walk_pane, four_references_native, .timeout = 120)
{
	open_under("native", "pgfault n=3", false);
	to_user();
	to_walk(has_4);
	LINE(0, "last user fetch of 0x#, 1 of 2; ] the next");
	LINE(1, "  L4 PML4            L3 PDPT            L2 PD              L1 PT");
	LINE(2, "  1 L1    4          2 L1    4          3 L1    4          4 L1    4+");
	LINE(3, "   [000] #       [000] #       [002] #       [000] #");
	LINE(4, "   WUA- #        WUA- #        WUA- #        -UA- #");
	LINE(5, "4 PT, from the L1 cache, 4 cycles; accessed or dirty set");
	LINE(6, "  [000] at # = # P US A");
	LINE(7, "physical 0x# 4 KB U read-only fetch");
	LINE(8, "4 references, 621 cycles");
	close_it();
}

Test(walk_pane, twenty_four_under_ept, .timeout = 120)
{
	open_under("ept", "pgfault n=3", false);
	to_user();
	to_walk(has_24);
	LINE(0, "last user fetch of 0x#, 1 of 2; ] the next");
	LINE(1, "      nL4 PML4      nL3 PDPT      nL2 PD        nL1 PT        guest entry");
	LINE(2, "gL4   1 L1    4     2 L1    4     3 L1    4     4 L1    4     5 L2   12");
	LINE(3, "gL3   6 L1    4     7 L1    4     8 L1    4     9 L1    4    10 L2   12");
	LINE(4, "gL2  11 L1    4    12 L1    4    13 L1    4    14 L1    4    15 L1    4");
	LINE(5, "gL1  16 L1    4    17 L1    4    18 L1    4    19 L1    4    20 L1    4+");
	LINE(6, "gPA  21 L1    4    22 L1    4    23 L1    4    24 L1    4");
	LINE(7, "24 EPT PT for the final guest-physical 0x#, from the L1 cache, 4 cycles");
	LINE(8, "  [107] at # = # R W X WB");
	LINE(9, "guest-physical 0x# physical 0x# 4 KB U read-only fetch");
	LINE(10, "24 references, 717 cycles");
	keys("15rm");
	LINE(0, "last user fetch of 0x#, 1 of 2; ] the next");
	LINE(1, "      nL4 PML4      nL3 PDPT      nL2 PD        nL1 PT        guest entry");
	LINE(2, "gL4   1 L1    4     2 L1    4     3 L1    4     4 L1    4     5 L2   12");
	LINE(3, "gL3   6 L1    4     7 L1    4     8 L1    4     9 L1    4    10 L2   12");
	LINE(4, "gL2  11 L1    4    12 L1    4    13 L1    4   >14 L1    4    15 ..");
	LINE(5, "gL1  16 ..         17 ..         18 ..         19 ..         20 ..");
	LINE(6, "gPA  21 ..         22 ..         23 ..         24 ..");
	LINE(7, "14 EPT PT for the guest's PD at guest-physical 0x#, from the L1 cache, 4");
	LINE(8, "  [14f] at # = # R W X WB");
	LINE(9, "not ended yet: m goes on");
	close_it();
}

Test(walk_pane, the_guests_own_page_fault_native, .timeout = 120)
{
	open_under("native", "pgfault n=3", true);
	to_user();
	to_walk(faults);
	LINE(0, "last user fetch of 0x#, 1 of 12; ] the next");
	LINE(1, "  L4 PML4            L3 PDPT            L2 PD              L1 PT");
	LINE(2, "  1 L1    4        ! 2 L1    4");
	LINE(3, "   [000] #       [000] #");
	LINE(4, "   WUA- #        absent 0");
	LINE(5, "2 PDPT, from the L1 cache, 4 cycles");
	LINE(6, "  [000] at # = # not present");
	LINE(7, "#PF, error code 0x4: P=0 not present, W/R=0 read, U/S=1 user");
	LINE(8, "the PDPT entry 0 at 0x# has P = 0: nothing is mapped there");
	LINE(9, "whose: the system's own page fault; its #PF handler gets it, CR2 = 0x#");
	LINE(10, "2 references, 13 cycles");
	close_it();
}

Test(walk_pane, the_guests_own_page_fault_under_ept, .timeout = 120)
{
	open_under("ept", "pgfault n=3", true);
	to_user();
	to_walk(faults);
	LINE(0, "last user fetch of 0x#, 1 of 12; ] the next");
	LINE(1, "      nL4 PML4      nL3 PDPT      nL2 PD        nL1 PT        guest entry");
	LINE(2, "gL4  = nestedTLB   = nestedTLB   = nestedTLB   = nestedTLB    1 L2   12");
	LINE(3, "gL3  = EPT cache   = EPT cache   = EPT cache    2 L1    4   ! 3 L2   12");
	LINE(4, "gL2");
	LINE(5, "gL1");
	LINE(6, "gPA");
	LINE(7, "3 PDPT at guest-physical 0x#, from the L2 cache, 12 cycles");
	LINE(8, "  [000] at # = # not present");
	LINE(9, "#PF, error code 0x4: P=0 not present, W/R=0 read, U/S=1 user");
	LINE(10, "the PDPT entry 0 at 0x# has P = 0: nothing is mapped there");
	LINE(11, "whose: the guest's own page fault; its #PF handler gets it without its VMM");
	LINE(12, "3 references, 33 cycles");
	close_it();
}

Test(walk_pane, a_hidden_fault_of_the_shadow, .timeout = 120)
{
	open_under("shadow.wp", "pgfault n=3", true);
	keys("3000s");
	keys("x");
	LINE(0, "last kernel fetch of 0x#, 1 of 1; ] the next");
	LINE(1, "  L4 PML4            L3 PDPT            L2 PD              L1 PT");
	LINE(2, " = walkcache        = walkcache        = walkcache       ! 1 L3   45");
	LINE(3, "                                                            [103] #");
	LINE(4, "                                                            absent 0");
	LINE(5, "1 shadow PT, from the L3 cache, 45 cycles");
	LINE(6, "  [103] at # = # not present");
	LINE(7, "#PF, error code 0x10: P=0 not present, W/R=0 read, U/S=0 supervisor, I/D=1");
	LINE(8, "fetch");
	LINE(9, "the shadow PT entry 0x103 at 0x# has P = 0: nothing is mapped there");
	LINE(10, "whose: hidden: the guest's own tables allow it (guest-physical 0x#); its");
	LINE(11, "VMM fixes the shadow, the guest never hears of it");
	LINE(12, "1 reference, 50 cycles");
	close_it();
}

static bool user_fault(const struct micro_walk *w) { return w->rec.fault.kind == MMU_PF && w->rec.access & ACC_USER; }
static bool denied(const struct micro_walk *w) { return w->rec.fault.kind == MMU_PF && w->rec.fault.error_code & PFEC_P; }

Test(walk_pane, the_guests_own_fault_in_the_shadow, .timeout = 120)
{
	open_under("shadow.wp", "pgfault n=3", true);
	to_user();
	to_walk(user_fault);
	LINE(0, "last user fetch of 0x#, 1 of 12; ] the next");
	LINE(1, "  L4 PML4            L3 PDPT            L2 PD              L1 PT");
	LINE(2, "! 1 L1    4");
	LINE(3, "   [000] #");
	LINE(4, "   absent 0");
	LINE(5, "1 shadow PML4, from the L1 cache, 4 cycles");
	LINE(6, "  [000] at # = # not present");
	LINE(7, "#PF, error code 0x14: P=0 not present, W/R=0 read, U/S=1 user, I/D=1 fetch");
	LINE(8, "the shadow PML4 entry 0 at 0x# has P = 0: nothing is mapped there");
	LINE(9, "whose: the guest's own: its tables deny it too, #PF 0x4 (P=0 not present,");
	LINE(10, "W/R=0 read, U/S=1 user); the VMM injects it");
	LINE(11, "1 reference, 9 cycles");
	close_it();
}

/* A child's first write to a page it shares with its parent: copy-on-write. */
Test(walk_pane, a_write_that_the_rights_deny, .timeout = 120)
{
	open_under("native", "forkwait n=1", true);
	to_user();
	to_walk(denied);
	LINE(0, "last user write of 0x#, 1 of 12; ] the next");
	LINE(1, "  L4 PML4            L3 PDPT            L2 PD              L1 PT");
	LINE(2, "  1 L1    4          2 L1    4          3 L1    4        ! 4 L1    4");
	LINE(3, "   [000] #       [001] #       [1ff] #       [1ef] #");
	LINE(4, "   WUA- #        WUA- #        WUA- #        -UAD #");
	LINE(5, "4 PT, from the L1 cache, 4 cycles");
	LINE(6, "  [1ef] at # = # P US A D");
	LINE(7, "#PF, error code 0x7: P=1 rights, W/R=1 write, U/S=1 user");
	LINE(8, "the PT entry 0x1ef at 0x# has R/W = 0: what is below it may only be read");
	LINE(9, "whose: the system's own page fault; its #PF handler gets it, CR2 = 0x#");
	LINE(10, "4 references, 25 cycles, begun anew from the root: what was cached denied it");
	close_it();
}

Test(walk_pane, an_ept_violation, .timeout = 120)
{
	open_under("ept", "pgfault n=3", true);
	keys("3000s");
	keys("x");
	LINE(0, "last kernel fetch of 0x#, 1 of 1; ] the next");
	LINE(1, "      nL4 PML4      nL3 PDPT      nL2 PD        nL1 PT        guest entry");
	LINE(2, "gL4  = walkcache   = walkcache   = walkcache   = walkcache   = walkcache");
	LINE(3, "gL3  = walkcache   = walkcache   = walkcache   = walkcache   = walkcache");
	LINE(4, "gL2  = nestedTLB   = nestedTLB   = nestedTLB   = nestedTLB    1 L1    4");
	LINE(5, "gL1  none: the PD entry maps 2 MB");
	LINE(6, "gPA   2 L2   12     3 L2   12     4 L2   12   ! 5 L1    4");
	LINE(7, "5 EPT PT for the final guest-physical 0x#, from the L1 cache, 4 cycles");
	LINE(8, "  [103] at # = # not present");
	LINE(9, "EPT violation at guest-physical 0x#, qualification 0x584: wanted --x,");
	LINE(10, "allowed ---, for the final address");
	LINE(11, "the EPT PT entry 0x103 at 0x# has R = W = X = 0: nothing is mapped there");
	LINE(12, "whose: the VMM's: it maps the page; the guest never hears of it");
	LINE(13, "5 references, 61 cycles, begun anew from the root: what was cached denied it");
	close_it();
}

Test(walk_pane, an_ept_misconfiguration_ahead, .timeout = 120)
{
	struct walk_record rec;
	open_under("ept", "pgfault n=3", true);
	keys("3000s");
	cr_assert(mmu_peek(&t->m->cpu[0]->mmu, t->m->cpu[0]->s.rip, &rec));
	const uint64_t at = rec.ref[rec.n - 1].entry_pa, entry = mem_read64(&t->m->mem, HPA(at)) & ~1ull;
	mem_write(&t->m->mem, HPA(at), &entry, 8);
	keys("]");
	LINE(0, "next kernel fetch of 0x# (would be: the L1 TLB has it)");
	LINE(1, "      nL4 PML4      nL3 PDPT      nL2 PD        nL1 PT        guest entry");
	LINE(2, "gL4   1 rwx         2 rwx         3 rwx         4 rwx         5 WUA-");
	LINE(3, "gL3   6 rwx         7 rwx         8 rwx         9 rwx        10 WUA-");
	LINE(4, "gL2  11 rwx        12 rwx        13 rwx        14 rwx        15 W-ADL");
	LINE(5, "gL1  none: the PD entry maps 2 MB");
	LINE(6, "gPA  16 rwx        17 rwx        18 rwx       !19 -wx");
	LINE(7, "19 EPT PT for the final guest-physical 0x#");
	LINE(8, "  [101] at # = # W X WB");
	LINE(9, "EPT misconfiguration at guest-physical 0x#");
	LINE(10, "the EPT PT entry 0x101 at 0x# = 0x#: W without R");
	LINE(11, "whose: the VMM's own mistake, or its mark for device memory");
	LINE(12, "19 references");
	close_it();
}

/* Looking at what would be is no access. */
Test(walk_pane, looking_ahead_changes_nothing, .timeout = 120)
{
	open_under("ept", "pgfault n=3", true);
	keys("3000s");
	const uint64_t hash = machine_hash(t->m);
	keys("]]]]]]");
	cr_expect(eq(u64, machine_hash(t->m), hash));
	close_it();
}

/* ---- the other panes, zoomed ---- */

static void look_at(enum pane_id id)
{
	pane = t->focus = id;
	t->zoomed = true;
	tui_draw(t);
}
Test(transition_pane, a_vm_exit, .timeout = 120)
{
	open_under("ept", "pgfault n=3", true);
	keys("3000sx");
	look_at(PANE_TRANSITION);
	LINE(0, "411 cycles in 21 steps, 350 in phases; micro-cursor 21; ] unfolds");
	LINE(1, "     61 17 steps, 6 to memory");
	LINE(2, "     52 VM exit: recognise         ###############");
	LINE(3, "    140 VM exit: save guest state  #######################################");
	LINE(4, "      0 VM exit: MSR areas");
	LINE(5, ">   158 VM exit: load host state   ###########################################");
	close_it();
}

Test(transition_pane, an_exception_under_the_micro_cursor, .timeout = 120)
{
	open_under("native", "pgfault n=3", true);
	keys("e");
	look_at(PANE_TRANSITION);
	keys("6rm");
	LINE(0, "      0   first-level TLB hit for a read: 0x# leads to 0x#");
	LINE(1, "      0   read of 8 bytes at 0x#, physical 0x#");
	LINE(2, "     60 exception: switch stack    ##############################");
	LINE(3, "      0   first-level TLB hit for a read: 0x# leads to 0x#");
	LINE(4, "      0   read of 8 bytes at 0x#, physical 0x#");
	LINE(5, "     58 exception: push frame      #############################");
	LINE(6, "      0   first-level TLB hit for a write: 0x# leads to 0x#");
	LINE(7, "      0   write of 8 bytes at 0x#, physical 0x#");
	LINE(8, "      0   first-level TLB hit for a write: 0x# leads to 0x#");
	LINE(9, "      0   write of 8 bytes at 0x#, physical 0x#");
	LINE(10, "      0   first-level TLB hit for a write: 0x# leads to 0x#");
	LINE(11, "      0   write of 8 bytes at 0x#, physical 0x#");
	LINE(12, "      0   first-level TLB hit for a write: 0x# leads to 0x#");
	LINE(13, ">     0   write of 8 bytes at 0x#, physical 0x#");
	close_it();
}

Test(transition_pane, enter_says_where_a_number_comes_from, .timeout = 120)
{
	open_under("ept", "pgfault n=3", true);
	keys("3000sx");
	look_at(PANE_TRANSITION);
	keys("Gjj\n");
	cr_expect(t->popup.text != NULL);
	if (t->popup.text)
		cr_expect(strstr(t->popup.text, "vmexit.flow") != NULL, "%s", t->popup.text);
	close_it();
}

Test(tlb_pane, what_a_step_added_and_an_exit_dropped, .timeout = 120)
{
	open_under("ept", "pgfault n=3", true);
	keys("3000sx");
	keys("s");
	look_at(PANE_TLB);
	LINE(0, "last instruction: + #, - dropped; ] shows the entries");
	LINE(1, "+ dtlb.4k       # -> # 4K SWXD global vpid 1 ep4ta #");
	LINE(2, "+ itlb.4k       # -> # 4K SWXD global vpid 1 ep4ta #");
	LINE(3, "+ stlb.4k       # -> # 4K SWXD global vpid 1 ep4ta #");
	LINE(4, "+ stlb.4k       # -> # 4K SWXD global vpid 1 ep4ta #");
	LINE(5, "+ psc.pdpte     # -> table # pcid 0 vpid 1 ep4ta #");
	LINE(6, "+ psc.pml4e     # -> table # pcid 0 vpid 1 ep4ta #");
	LINE(7, "+ ept.psc pde   gpa 0 -> table # ep4ta #");
	LINE(8, "+ ept.psc pdpte gpa 0 -> table # ep4ta #");
	LINE(9, "+ ept.psc pml4e gpa 0 -> table # ep4ta #");
	LINE(10, "dtlb.4k          2 of 64   first level, data +1 -0");
	LINE(11, "dtlb.2m          0 of 32   first level, data");
	LINE(12, "dtlb.1g          0 of 4    first level, data");
	LINE(13, "itlb.4k          2 of 128  first level, fetch +1 -0");
	close_it();
}

Test(tables_pane, paths_side_by_side, .timeout = 120)
{
	open_under("ept", "pgfault n=3", true);
	keys("e");
	look_at(PANE_TABLES);
	LINE(0, "where 0x# (the next instruction) leads now; ] unfolds the table");
	LINE(1, "the guest's tables                     EPT for 0x#");
	LINE(2, "PML4 [1ff] # WUA-                 PML4 [000] # rwx");
	LINE(3, "PDPT [1fe] # WUA-                 PDPT [000] # rwx");
	LINE(4, "PD   [000] 0 W-ADL                     PD   [000] # rwx");
	LINE(5, "                                       PT   [101] # rwx");
	LINE(6, "guest-physical 0x#                physical 0x#");
	close_it();
}

Test(tables_pane, a_tree_unfolds, .timeout = 120)
{
	open_under("native", "pgfault n=3", true);
	keys("e");
	look_at(PANE_TABLES);
	keys("]jjj\n");
	keys("jj\n");
	LINE(0, "the system's tables: PML4 at #; Enter unfolds");
	LINE(1, "> [000] 0 PDPT at # P RW US A");
	LINE(2, "v [1ff] # PDPT at # P RW US A");
	LINE(3, "  > [000] # PD at # P RW US A");
	LINE(4, "  v [1fe] # PD at # P RW US A");
	LINE(5, "      [000-01f] # 32 entries alike, 2 MB -> 0 P RW A D PS G");
	LINE(6, "  > [1ff] # PD at # P RW US A");
	close_it();
}

Test(tables_pane, shadow_beside_the_guests_own, .timeout = 120)
{
	open_under("shadow.wp", "pgfault n=3", true);
	keys("e");
	look_at(PANE_TABLES);
	LINE(0, "where 0x# (the next instruction) leads now; ] unfolds the table");
	LINE(1, "the guest's tables                     the VMM's shadow");
	LINE(2, "PML4 [1ff] # WUA-                 PML4 [1ff] # WUA-");
	LINE(3, "PDPT [1fe] # WUA-                 PDPT [1fe] # WUA-");
	LINE(4, "PD   [000] 0 W-ADL                     PD   [000] # WUA-");
	LINE(5, "                                       PT   [101] # W-AD");
	LINE(6, "guest-physical 0x#                physical 0x#");
	close_it();
}

/* What the walk caches save shows when the walk comes to it. */
Test(walk_pane, skipped_cells_light_up_too, .timeout = 120)
{
	open_under("ept", "pgfault n=3", true);
	to_user();
	to_walk(user_fault);
	static struct micro_walk w;
	micro_walk(t->micro, (size_t)micro_walk_now(t->micro), &w);
	micro_goto(t->micro, w.first + 1);
	tui_draw(t);
	cr_expect(not(strstr(line(2), "nestedTLB") != NULL));
	for (int i = 0; i < 20 && !strstr(line(2), "nestedTLB"); i++)
		keys("m");
	cr_expect(strstr(line(2), "gL4  = nestedTLB   = nestedTLB   = nestedTLB   = nestedTLB") != NULL, "%s", line(2));
	cr_expect(strstr(line(3), "EPT cache") == NULL, "%s", line(3));
	close_it();
}
