/* main.c - minivisor, a hypervisor to read: machine code that runs one guest in VMX non-root operation.
 *
 *	vmscope boot build/guests/minivisor64.elf --module "build/guests/kernel64.elf forkwait n=10"
 *
 * It takes a multiboot kernel as its first module, gives it most of the machine as it is (ports, interrupt controllers,
 * timer, time stamp counter) and keeps for itself what it must: the second translation (EPT), CPUID, HLT, the way
 * interrupts come in. Nothing of vmscope helps it: what runs here runs on a processor.
 *
 *	one turn:   vm_enter() ... guest runs ... VM exit -> handle_exit() -> inject_pending()
 *
 * command line: ram=32m offset=0 pages=4k|2m io=console|all|none tsc=1 poke=FIELD:VALUE (minivisor.h, struct options) */
#include "minivisor.h"

struct options options = { .ram = HOME, .page = LARGE_PAGE, .io = "console" };
static struct guest guest;

/* ---- the command line ---- */

static uint64_t number(const char *s, unsigned base)
{
	uint64_t n = 0;

	for (;; s++) {
		unsigned digit = *s >= '0' && *s <= '9' ? (unsigned)(*s - '0') : *s >= 'a' && *s <= 'f' ? (unsigned)(*s - 'a' + 10) :
				 *s >= 'A' && *s <= 'F' ? (unsigned)(*s - 'A' + 10) : 16;

		if (digit >= base)
			break;
		n = n * base + digit;
	}
	return *s == 'k' ? n << 10 : *s == 'm' ? n << 20 : n;
}

static void option(const char *key, const char *value)
{
	if (same_text(key, "ram"))
		options.ram = number(value, 10);
	else if (same_text(key, "offset"))
		options.offset = number(value, 10);
	else if (same_text(key, "pages") && (same_text(value, "4k") || same_text(value, "2m")))
		options.page = number(value, 10);
	else if (same_text(key, "io") && (same_text(value, "console") || same_text(value, "all") || same_text(value, "none")))
		options.io = value;
	else if (same_text(key, "tsc"))
		options.tsc = number(value, 10);
	else if (same_text(key, "poke")) {
		options.poke = true;
		options.poke_field = (uint32_t)number(value, 16);
		while (*value && *value++ != ':')
			;
		options.poke_value = number(value, 16);
	} else {
		die("what is %s=%s? There are ram= offset= pages=4k|2m io=console|all|none tsc=1 poke=field:value", key, value);
	}
}

/* Words "key=value"; one without "=" is the image's own name. */
static void command_line(const char *text)
{
	static char line[1024];
	char *at = line;

	for (unsigned i = 0; i + 1 < sizeof(line) && text[i]; i++)
		line[i] = text[i];
	while (*at) {
		char *word = at, *value = NULL;

		for (; *at && *at != ' '; at++)
			if (*at == '=' && !value) {
				*at = '\0';
				value = at + 1;
			}
		while (*at == ' ')
			*at++ = '\0';
		if (value)
			option(word, value);
	}
	if (options.ram > HOME || options.ram < 4 << 20 || options.ram % LARGE_PAGE || options.offset % LARGE_PAGE)
		die("ram= is 4m to 64m; ram= and offset= are multiples of 2m");
	if (options.offset && options.offset < HOME + LARGE_PAGE)
		die("offset= is 0 or at least 66m: below is minivisor");
	if (options.offset + options.ram > 1u << 30)
		die("offset= is too far: minivisor itself sees 1 GiB");
}

/* ---- the end ---- */

void finish(struct guest *g, const char *why, uint32_t value)
{
	uint64_t all = 0;

	print("minivisor: %s\n", why);
	for (unsigned i = 0; i < REASONS; i++) {
		if (!g->exits[i])
			continue;
		all += g->exits[i];
		print("minivisor: %8u  %s", (unsigned)g->exits[i], reason_name(i));
		if (options.tsc)
			print(", %u cycles each", (unsigned)(g->cycles[i] / g->exits[i]));
		print("\n");
	}
	print("minivisor: %8u  exits\n", (unsigned)all);
	power_off(value);
}

/* ---- the middle ---- */

static void run(struct guest *g)
{
	for (;;) {
		uint64_t began;

		if (!vm_enter(&g->r, !g->launched))
			die("%s failed: VM-instruction error %u", g->launched ? "VMRESUME" : "VMLAUNCH", (unsigned)vmread(INSN_ERROR));
		began = rdtsc();
		g->launched = true;
		handle_exit(g);
		inject_pending(g);
		g->cycles[vmread(EXIT_REASON) & 0xFFFF] += rdtsc() - began;
	}
}

void minivisor_main(const uint32_t *multiboot);
void minivisor_main(const uint32_t *multiboot)
{
	uint32_t entry;

	if (multiboot[0] & 4)
		command_line((const char *)(uintptr_t)multiboot[4]);
	vmx_start();
	entry = guest_load(multiboot);
	print("minivisor: %u MiB at %u MiB, EPT with pages of %u KiB\n", (unsigned)(options.ram >> 20),
	      (unsigned)(options.offset >> 20), (unsigned)(options.page >> 10));
	vmcs_fill(entry, ept_start());
	if (options.poke)
		vmwrite(options.poke_field, options.poke_value);
	guest.r.rax = 0x2BADB002;	/* a multiboot loader was here */
	guest.r.rbx = GUEST_INFO;
	run(&guest);
}
