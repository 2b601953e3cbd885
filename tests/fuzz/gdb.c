/* Fuzz target: a debugger's packets. Whatever they say, the answer is bounded and the machine is left whole: the ledger
 * balances. Continues are cut short.
 *
 * Input: bytes as they come from the socket; or, behind a '!', the data of one packet a line: no checksum to be guessed. */
#include <stdlib.h>
#include <string.h>

#include "models/vmm/vmm.h"
#include "tests/fuzz/fuzz.h"
#include "ui/gdb/stub.h"

#define PACKETS_MAX 40

static struct session session;
static struct run *booted;
static struct snap *fresh;

static void send_nowhere(void *who, const char *data, size_t n)
{
	size_t *total = who;
	if (n > GDB_PACKET_MAX)
		abort();
	*total += n ? (uint8_t)data[0] : 0;
}

static bool at_once(void *who)
{
	(void)who;
	return true;
}

/* A guest under EPT, a little way into its kernel. */
static void build(void)
{
	static const struct options o = { .max_cycles = 40000000, .max_instructions = 300000, .quiet = true };
	struct err e = { "" };
	struct setup setup;
	session_init(&session, &o);
	setup_init(&setup);
	if (setup_set(&setup, "ram", "8M", "fuzz", &e) || setup_set(&setup, "mmu", "ept", "fuzz", &e) ||
	    setup_set(&setup, "l3.size", "256K", "fuzz", &e) || setup_finish(&setup, &e))
		abort();
	booted = session_machine(&session, &setup, &e);
	struct boot_image image = { .kernel = "build/guests/kernel64.elf", .cmdline = "forkwait n=1" };
	if (!booted || run_boot(booted, &image, &e))
		abort();
	run_face(booted)->echo = false;
	run_until(booted, NEVER, 210000);
	fresh = snap_take(booted->m->snaps, "fresh");
}

static char frame[GDB_FRAME_MAX];

static void packet(struct gdb *g, const char *data, size_t n)
{
	static struct gdb_reply reply;
	if (gdb_answer(g, data, n, &reply) && gdb_frame(reply.data, reply.n, frame) > sizeof frame)
		abort();
}

static void by_bytes(struct gdb *g, const uint8_t *data, size_t n)
{
	static struct gdb_parser parser;
	unsigned packets = 0;
	memset(&parser, 0, sizeof parser);
	for (size_t i = 0; i < n && packets < PACKETS_MAX && g->over == OVER_NOT; i++)
		if (gdb_parse(&parser, data[i]) == GDB_PACKET) {
			packets++;
			packet(g, parser.data, parser.n);
		}
}

static void by_lines(struct gdb *g, const uint8_t *data, size_t n)
{
	static char line[GDB_PACKET_MAX + 1];
	unsigned packets = 0;
	size_t k = 0;
	for (size_t i = 0; i < n && packets < PACKETS_MAX && g->over == OVER_NOT; i++)
		if (data[i] == '\n') {
			line[k] = '\0';
			packets++;
			packet(g, line, k);
			k = 0;
		} else if (k < GDB_PACKET_MAX) {
			line[k++] = (char)data[i];
		}
}

int fuzz_gdb(const uint8_t *data, size_t n)
{
	size_t total = 0;
	if (!booted)
		build();
	snap_restore(booted->m->snaps, fresh);
	struct gdb *g = gdb_new(booted, GDB_X86_64);
	g->send = send_nowhere;
	g->interrupted = at_once;
	g->who = &total;
	if (n && data[0] == '!')
		by_lines(g, data + 1, n - 1);
	else
		by_bytes(g, data, n);
	gdb_free(g);
	for (unsigned i = 0; i < booted->m->config.cpus; i++)
		if (!ledger_audit(&booted->m->cpu[i]->ledger))
			abort();
	return 0;
}
