/* smp.c - the workload smp: other processors are started, count together, and halt.
 * The processors are addressed by local APIC ID 1 to n, as firmware numbers them on small machines.
 * Simplified: they stay in real mode and run no kernel code.
 * Source: SDM Vol. 3A, "Multiple-Processor (MP) Initialization", "Interrupt Command Register". */
#include "kernel.h"

enum {
	AP_PAGE = 0x8000,		/* SIPI vector 8 */
	AP_TURNS = 10000,
	ICR_LOW = 0x300, ICR_HIGH = 0x310,	/* local APIC registers */
	ICR_INIT = 0x4500, ICR_SIPI = 0x4600,	/* edge, assert */
	ICR_PENDING = 0x1000,
	PATIENCE = 1000000,		/* microseconds, roughly */
};

extern uint8_t ap_code[], ap_code_end[], ap_turns[], ap_counter[], ap_finished[];
void bench_smp(const struct params *p);

static volatile uint32_t *apic(unsigned offset)
{
	return (volatile uint32_t *)(DEVICE_BASE + offset);
}

/* Where a label of ap.S is, in the copy. */
static volatile uint32_t *copied(const uint8_t *label)
{
	return direct(AP_PAGE + (uintptr_t)(label - ap_code));
}

static void send(uint32_t apic_id, uint32_t command)
{
	*apic(ICR_HIGH) = apic_id << 24;
	*apic(ICR_LOW) = command;
	while (*apic(ICR_LOW) & ICR_PENDING)
		;
}

/* A read of port 0x80 takes about a microsecond on a PC. */
static void wait_microseconds(unsigned n)
{
	while (n--)
		inb(0x80);
}

static void start(uint32_t apic_id)
{
	send(apic_id, ICR_INIT);
	wait_microseconds(10000);
	for (unsigned again = 0; again < 2; again++) {
		send(apic_id, ICR_SIPI | AP_PAGE >> PAGE_SHIFT);
		wait_microseconds(200);
	}
}

void bench_smp(const struct params *p)
{
	uint32_t patience = PATIENCE, counter;

	memcpy(direct(AP_PAGE), ap_code, (size_t)(ap_code_end - ap_code));
	*copied(ap_turns) = AP_TURNS;
	workload_roi(true);
	for (uint32_t id = 1; id <= p->n; id++)
		start(id);
	while (*copied(ap_finished) != p->n && --patience)
		wait_microseconds(1);
	workload_roi(false);
	if (!patience)
		panic("%u of %u processors came", (unsigned)*copied(ap_finished), p->n);
	counter = *copied(ap_counter);
	if (counter != p->n * AP_TURNS)
		panic("the processors counted to %u", counter);
	memset(direct(AP_PAGE), 0, (size_t)(ap_code_end - ap_code));
}
