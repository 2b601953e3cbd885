/* exit_io.c - IN, OUT, INS and OUTS: the device model at the port.
 *
 * Exit qualification: 2:0 size - 1 | 3 IN | 4 string | 5 REP | 6 immediate | 31:16 port. The exit comes after the guest's own checks of
 * IOPL and bitmap. String forms: the guest-linear address of the first element is in the VMCS; the VMM walks the guest's tables
 * and goes on to the end of the page, or of the count. An element in a device's memory goes there byte by byte.
 * Source: SDM Vol. 3C, "Exit Qualification for I/O Instructions", "VM-Exit Instruction-Information Field". */
#include "models/vmm/exit.h"

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"

static uint64_t port_read(struct vcpu *v, uint16_t port, unsigned size)
{
	const struct io_wire *w = &v->model->port;
	vcpu_now(v);
	vmm_cost(v->cpu, VMM_COST_DEVICE);
	struct io_at at = { .cpu = v->number, .now = v->cpu->ledger.now };
	return (w->read ? w->read(w->who, port, size, &at) : ~0ull) & MASK(8 * size);
}

static void port_write(struct vcpu *v, uint16_t port, unsigned size, uint64_t x)
{
	const struct io_wire *w = &v->model->port;
	vcpu_now(v);
	vmm_cost(v->cpu, VMM_COST_DEVICE);
	struct io_at at = { .cpu = v->number, .now = v->cpu->ledger.now };
	if (w->write)
		w->write(w->who, port, size, x & MASK(8 * size), &at);
}

static void single(struct vcpu *v, uint16_t port, unsigned size, bool in)
{
	uint64_t *rax = &v->cpu->s.r[R_RAX];
	if (in) {
		uint64_t x = port_read(v, port, size);
		*rax = size == 4 ? x : (*rax & ~MASK(8 * size)) | x;
	} else {
		port_write(v, port, size, *rax);
	}
	vcpu_skip(v);
}

/* ---- string forms ---- */

struct run { uint16_t port; unsigned size; bool in; uint64_t mask; /* of addresses and counts */ };

static void add(uint64_t *r, uint64_t mask, int64_t by)
{
	uint64_t sum = (*r + (uint64_t)by) & mask;
	*r = mask == 0xffff ? (*r & ~mask) | sum : sum;
}

/* Guest memory, or a device's. */
static void from_memory(struct vcpu *v, gpa_t gpa, uint8_t *to, unsigned n)
{
	if (vcpu_read_gpa(v, gpa, to, n))
		return;
	for (unsigned i = 0; i < n; i++)
		to[i] = (uint8_t)vm_mmio_read(v, GPA(gpa.v + i), 1);
}

static void to_memory(struct vcpu *v, gpa_t gpa, const uint8_t *from, unsigned n)
{
	if (vcpu_write_gpa(v, gpa, from, n))
		return;
	for (unsigned i = 0; i < n; i++)
		vm_mmio_write(v, GPA(gpa.v + i), 1, from[i]);
}

/* One element through guest memory that may lie on two pages. False: a fault was injected. */
static bool element(struct vcpu *v, const struct run *r, uint64_t lin, bool user)
{
	gpa_t gpa[2];
	unsigned room = PAGE_SIZE - (lin & 0xfff), first = r->size < room ? r->size : room;
	unsigned access = (r->in ? ACC_WRITE : ACC_READ) | (user ? ACC_USER : 0);
	uint32_t error = 0;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t at = i ? lin + first : lin;
		if (i && first == r->size)
			break;
		if (vcpu_walk(v, at, access, &gpa[i], &error) == PAGED_FIXED)
			continue;
		v->cpu->s.cr2 = at;
		vcpu_inject(v, VEC_PF, true, error);
		return false;
	}
	uint64_t x = 0;
	if (!r->in) {
		from_memory(v, gpa[0], (uint8_t *)&x, first);
		if (first < r->size)
			from_memory(v, gpa[1], (uint8_t *)&x + first, r->size - first);
		port_write(v, r->port, r->size, x);
		return true;
	}
	x = port_read(v, r->port, r->size);
	to_memory(v, gpa[0], (uint8_t *)&x, first);
	if (first < r->size)
		to_memory(v, gpa[1], (uint8_t *)&x + first, r->size - first);
	return true;
}

/* To the end of the page, or of its turn; the guest comes back for the rest, and interrupts come between. */
static void string(struct vcpu *v, const struct run *r, bool rep)
{
	struct cpu *c = v->cpu;
	uint64_t lin = vcpu_get(v, VMCS_GUEST_LINEAR), page = lin & PAGE_MASK, *index = &c->s.r[r->in ? R_RDI : R_RSI];
	bool down = vcpu_get(v, VMCS_GUEST_RFLAGS) & RFLAGS_DF, user = SEG_DPL(vcpu_get(v, VMCS_GUEST_SS_ACCESS)) == 3;
	uint64_t count = rep ? c->s.r[R_RCX] & r->mask : 1;
	int64_t step = down ? -(int64_t)r->size : (int64_t)r->size;
	while (count) {
		if (!element(v, r, lin, user))
			return;
		add(index, r->mask, step);
		lin += (uint64_t)step;
		count--;
		if (rep)
			add(&c->s.r[R_RCX], r->mask, -1);
		if ((lin & PAGE_MASK) != page || vcpu_turn_over(v))
			break;
	}
	if (!count)
		vcpu_skip(v);
}

void serve_io(struct vcpu *v)
{
	uint64_t q = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	struct run r = { .port = (uint16_t)(q >> 16), .size = (unsigned)(q & 7) + 1, .in = q >> 3 & 1 };
	vmm_cost(v->cpu, VMM_COST_IO);
	if (vcpu_watched(v)) {
		vcpu_interpret_one(v);
		return;
	}
	if (!(q >> 4 & 1)) {
		single(v, r.port, r.size, r.in);
		return;
	}
	static const uint64_t masks[4] = { 0xffff, 0xffffffff, ~0ull, ~0ull };
	r.mask = masks[vcpu_get(v, VMCS_EXIT_INSN_INFO) >> 7 & 3];
	string(v, &r, q >> 5 & 1);
}
