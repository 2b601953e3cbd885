/* Virtual machines under binary translation: as on the bare machine, whatever the switches, however the run is cut up; and what people
 * are shown of the code cache. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/vmm/ring/ring.h"
#include "models/vmm/virt.h"
#include "sim/err.h"
#include "tests/unit/guest_run.h"
#include "ui/session/translations.h"

#define KERNEL32 "build/guests/kernel32.elf"
#define KERNEL64 "build/guests/kernel64.elf"
#define WORK "branchy n=40; pgfault n=5; cli n=20; forkwait n=1; timer n=2"
#define LIMIT 4000000000u

static void through(struct session *s, struct run *r)
{
	s->o.max_cycles = LIMIT;
	r->host ? run_until(r->host, LIMIT, 0) : run_until(r, LIMIT, 0);
	cr_assert_eq(run_face(r)->last == MACHINE_STOP_GUEST_EXIT || r->last == MACHINE_STOP_GUEST_EXIT || (r->host && r->host->last == MACHINE_STOP_GUEST_EXIT), 1);
}

static const struct run *guest_of(const struct run *r) { return run_face((struct run *)r); }

static uint64_t stat_of(const struct run *r, unsigned i) { return r->m->vmm->vm[0]->stat[i]; }

static void same_outcome(const char *kernel, const char *keys)
{
	struct session a, b;
	struct run *bare = guest_run(&a, kernel, WORK, "quantum=100000");
	through(&a, bare);
	struct run *r = guest_run(&b, kernel, WORK, "cpu=bt mmu=shadow %s", keys);
	through(&b, r);
	cr_assert(eq(sz, guest_of(r)->console_n, bare->console_n));
	cr_expect_eq(memcmp(guest_of(r)->console, bare->console, bare->console_n), 0, "consoles differ under %s", keys);
	cr_expect_eq(memcmp(guest_of(r)->m->mem.ram + (1 << 20), bare->m->mem.ram + (1 << 20), bare->m->mem.ram_size - (1 << 20)), 0,
	             "memory differs under %s", keys);
	cr_expect(stat_of(r, VMM_STAT_BT_BLOCKS) > 100);
	cr_expect(stat_of(r, VMM_STAT_INTERPRETED) < 100, "%lu instructions interpreted", stat_of(r, VMM_STAT_INTERPRETED));
	session_fini(&a);
	session_fini(&b);
}

#define OUTCOME(name, kernel, keys) Test(bt_vm, name, .timeout = 120) { same_outcome(kernel, keys); }
OUTCOME(a_64_bit_kernel_ends_as_on_the_bare_machine, KERNEL64, "bt_chain=true")
OUTCOME(a_32_bit_kernel_ends_as_on_the_bare_machine, KERNEL32, "bt_chain=true")
OUTCOME(without_chaining_it_does_too, KERNEL64, "bt_chain=false")
OUTCOME(without_adaptation_it_does_too, KERNEL64, "bt_adaptive=false")
OUTCOME(in_blocks_of_one_instruction_it_does_too, KERNEL32, "bt_block=1")
OUTCOME(in_a_cache_that_overflows_it_does_too, KERNEL64, "bt_cache=16K")
OUTCOME(with_rdtsc_called_out_it_does_too, KERNEL32, "bt_rdtsc=callout")

/* A guest that sets its counter reads the CPU's and an offset from then on: its kernel in the cache, its user by a trap. */
static void tells_time(const char *keys, bool by_trap)
{
	struct session s;
	struct run *r = guest_run(&s, "build/guests/time32.elf", "", "cpu=bt mmu=shadow %s", keys);
	through(&s, r);
	const struct run *guest = guest_of(r);
	cr_expect(guest->console_n == 9 && !memcmp(guest->console, "time: ok\n", 9), "%.*s", (int)guest->console_n, guest->console);
	const uint64_t user = 2 * 50, trapped = stat_of(r, VMM_STAT_EXITS);
	cr_expect(by_trap ? trapped > 2000 : trapped < 2000 && trapped > user);
	session_fini(&s);
}
Test(bt_vm, a_counter_of_its_own_is_read_in_the_cache) { tells_time("bt_rdtsc=inline", false); }
Test(bt_vm, a_counter_of_its_own_is_read_by_callout) { tells_time("bt_rdtsc=callout", true); }
Test(bt_vm, a_counter_of_its_own_is_read_by_trap) { tells_time("bt_rdtsc=trap", true); }
Test(bt_vm, a_counter_of_its_own_is_read_where_the_cpu_makes_rdtsc_trap) { tells_time("trap.critical=1", true); }

Test(bt_vm, a_64_bit_kernel_with_a_counter_of_its_own_ends_as_on_the_bare_machine)
{
	const char *work = "rdtsc n=50; getpid n=20; forkwait n=1; rdtsc n=50";
	struct session a, b;
	struct run *bare = guest_run(&a, KERNEL64, work, "quantum=100000"), *r = guest_run(&b, KERNEL64, work, "cpu=bt mmu=shadow");
	struct vcpu *v = r->m->vmm->vm[0]->vcpu[0];
	const uint64_t offset = 0x7654321fedcba987;
	through(&a, bare);
	v->model->s.tsc_offset += offset;
	vcpu_set(v, VMCS_TSC_OFFSET, offset);
	through(&b, r);
	cr_assert(eq(sz, guest_of(r)->console_n, bare->console_n));
	cr_expect_eq(memcmp(guest_of(r)->console, bare->console, bare->console_n), 0);
	cr_expect_eq(memcmp(guest_of(r)->m->mem.ram + (1 << 20), bare->m->mem.ram + (1 << 20), bare->m->mem.ram_size - (1 << 20)), 0);
	cr_expect(eq(u64, ring_peek(v, VMCS_TSC_OFFSET), offset));
	session_fini(&a);
	session_fini(&b);
}

/* Code that is rewritten before each call, behind the store itself, and read. */
Test(bt_vm, a_kernel_that_rewrites_its_code_runs_what_it_wrote)
{
	struct session s;
	struct run *r = guest_run(&s, "build/guests/rewrite32.elf", "", "cpu=bt mmu=shadow");
	through(&s, r);
	const struct run *guest = guest_of(r);
	cr_expect_eq(strncmp(guest->console, "rewritten code: ok\n", guest->console_n), 0, "%.*s", (int)guest->console_n, guest->console);
	cr_expect(stat_of(r, VMM_STAT_BT_REWRITTEN) > 10);
	session_fini(&s);
}

/* While code is rewritten all the time its page is interpreted; not for ever: 4000 calls of five instructions come behind that. */
Test(bt_vm, a_page_that_is_not_rewritten_any_more_is_translated_again)
{
	struct session s;
	struct run *r = guest_run(&s, "build/guests/rewrite32.elf", "", "cpu=bt mmu=shadow");
	through(&s, r);
	cr_expect(stat_of(r, VMM_STAT_INTERPRETED) > 300, "it was interpreted: %lu", stat_of(r, VMM_STAT_INTERPRETED));
	cr_expect(stat_of(r, VMM_STAT_INTERPRETED) < 2000, "and is no longer: %lu", stat_of(r, VMM_STAT_INTERPRETED));
	session_fini(&s);
}

/* A block is 36 bytes with what is behind it: there are descriptors for as many as the cache has room for. */
Test(bt_vm, a_cache_is_dropped_when_its_code_is_full)
{
	struct session s;
	struct run *r = guest_run(&s, KERNEL64, WORK, "cpu=bt mmu=shadow bt_cache=16K");
	struct run *world = r->host ? r->host : r;
	s.o.max_cycles = LIMIT;
	uint64_t most = 0;
	do {
		run_until(world, LIMIT, 1000);
		most = stat_of(r, VMM_STAT_BT_USED) > most ? stat_of(r, VMM_STAT_BT_USED) : most;
	} while (world->last == MACHINE_STOP_ICOUNT);
	cr_expect(stat_of(r, VMM_STAT_BT_FLUSHES) > 1);
	cr_expect(most > 12 << 10, "%lu bytes", most);
	session_fini(&s);
}

/* The corner's half for code is 2 MB, and a cache has 140 KB at least. */
Test(bt_vm, fourteen_virtual_cpus_have_a_cache_each)
{
	struct session s;
	struct run *r = guest_run(&s, KERNEL64, "cli n=2", "cpu=bt mmu=shadow cpus=14");
	through(&s, r);
	cr_expect_not_null(strstr(guest_of(r)->console, "cli n=2: ok"));
	session_fini(&s);
}

Test(bt_vm, fifteen_are_refused)
{
	static const struct options o = { .quiet = true };
	struct session s;
	struct setup setup;
	struct err e = { "" };
	session_init(&s, &o);
	setup_init(&setup);
	cr_assert_eq(setup_set_pair(&setup, "cpu=bt", "test", &e) || setup_set_pair(&setup, "mmu=shadow", "test", &e) ||
	             setup_set_pair(&setup, "cpus=15", "test", &e) || setup_finish(&setup, &e), 0, "%s", e.text);
	cr_expect_null(session_machine(&s, &setup, &e));
	cr_expect_not_null(strstr(e.text, "15 virtual CPUs: the VMM's corner has room for the code caches of 14"), "%s", e.text);
	session_fini(&s);
}

Test(bt_vm, a_small_cache_is_dropped_now_and_then)
{
	struct session s;
	struct run *r = guest_run(&s, KERNEL64, WORK, "cpu=bt mmu=shadow bt_cache=16K");
	through(&s, r);
	cr_expect(stat_of(r, VMM_STAT_BT_FLUSHES) > 0);
	cr_expect(stat_of(r, VMM_STAT_BT_USED) <= 16384);
	session_fini(&s);
}

/* "chaining pays": a loop of branches goes round without the VMM. */
Test(bt_vm, chaining_pays_at_least_twofold_on_branches)
{
	struct session a, b;
	struct run *with = guest_run(&a, KERNEL64, "branchy n=200", "cpu=bt mmu=shadow");
	struct run *without = guest_run(&b, KERNEL64, "branchy n=200", "cpu=bt mmu=shadow bt_chain=false");
	through(&a, with);
	through(&b, without);
	cr_expect(machine_now(without->m) > 2 * machine_now(with->m));
	cr_expect(eq(u64, stat_of(without, VMM_STAT_BT_CHAINED), 0));
	session_fini(&a);
	session_fini(&b);
}

/* What always traps stays a callout. */
Test(bt_vm, a_callout_is_kept_while_it_is_needed)
{
	struct session s;
	struct run *r = guest_run(&s, KERNEL64, "ptemod n=5000", "cpu=bt mmu=shadow shadow_flood=0");
	through(&s, r);
	cr_expect(stat_of(r, VMM_STAT_BT_CALLOUTS_SIMULATE) > 4900);
	cr_expect(stat_of(r, VMM_STAT_BT_ADAPTED) <= 3);
	session_fini(&s);
}

/* What the pager has given up is ordinary memory again: a few callouts in vain, and the instruction writes it by itself. */
Test(bt_vm, a_callout_in_vain_is_given_up)
{
	struct session s;
	struct run *r = guest_run(&s, KERNEL64, "ptemod n=5000", "cpu=bt mmu=shadow");
	through(&s, r);
	cr_expect(lt(u64, 0, stat_of(r, VMM_STAT_BT_ADAPTED)));
	cr_expect(le(u64, stat_of(r, VMM_STAT_BT_CALLOUTS_SIMULATE), 32 * stat_of(r, VMM_STAT_BT_ADAPTED)));
	session_fini(&s);
}

/* A page table written again and again loses its shadow, unless that is forbidden: then each write is emulated. */
Test(bt_vm, traces_of_page_tables_are_given_up_or_kept)
{
	struct session a, b;
	struct run *given_up = guest_run(&a, KERNEL64, "ptemod n=500", "cpu=bt mmu=shadow");
	struct run *kept = guest_run(&b, KERNEL64, "ptemod n=500", "cpu=bt mmu=shadow shadow_flood=0");
	through(&a, given_up);
	through(&b, kept);
	cr_expect(stat_of(given_up, VMM_STAT_SHADOW_FLOODS) > 0);
	cr_expect(stat_of(given_up, VMM_STAT_EMULATED) < 500);
	cr_expect(eq(u64, stat_of(kept, VMM_STAT_SHADOW_FLOODS), 0));
	cr_expect(stat_of(kept, VMM_STAT_EMULATED) >= 500);
	session_fini(&a);
	session_fini(&b);
}

/* Run in pieces and through: the same hash. */
Test(bt_vm, a_run_in_pieces_is_the_same_run)
{
	struct session a, b;
	struct run *one = guest_run(&a, KERNEL32, "forkwait n=1", "cpu=bt mmu=shadow");
	struct run *pieces = guest_run(&b, KERNEL32, "forkwait n=1", "cpu=bt mmu=shadow");
	for (cycle_t at = 12000000; at < 12400000; at += 1237)
		machine_run(pieces->m, at, 0);
	machine_run(pieces->m, 12400000, 0);
	machine_run(one->m, 12400000, 0);
	cr_expect(eq(u64, machine_hash(one->m), machine_hash(pieces->m)));
	session_fini(&a);
	session_fini(&b);
}

struct looked { unsigned lines, begins; bool bad; };
static bool look(void *who, const struct translation_line *l)
{
	struct looked *k = who;
	k->lines++;
	k->begins += l->begins;
	k->bad |= !l->code[0] || strstr(l->code, "(bad)") || (l->begins && !l->guest[0]);
	return true;
}

/* Each guest instruction has one line where it begins, and looking changes nothing. */
Test(bt_vm, people_see_guest_and_translated_code_side_by_side)
{
	struct session s;
	struct run *r = guest_run(&s, KERNEL64, "cli n=5", "cpu=bt mmu=shadow");
	struct bt_seen *b = xcalloc(1, sizeof *b);
	unsigned blocks = 0;
	through(&s, r);
	const struct run *guest = guest_of(r);
	const struct vcpu *v = translations_of(guest, 0);
	cr_assert(v != NULL);
	uint64_t hash = machine_hash(r->m);
	for (; bt_see(v, blocks, b); blocks++) {
		struct looked k = { 0 };
		translation_lines(b, v, guest->m->symbols, look, &k);
		cr_expect(eq(uint, k.begins, b->d.insns), "block %u at %#lx", blocks, b->d.pc);
		cr_expect(not(k.bad), "block %u at %#lx", blocks, b->d.pc);
	}
	cr_expect(blocks > 100);
	cr_expect(eq(u64, machine_hash(r->m), hash));
	free(b);
	session_fini(&s);
}
