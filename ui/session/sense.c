/* sense.c - see sense.h. The order is the CPU's own (intercept.c): faults by privilege before VM exits, VM exits before other faults.
 *
 * Exits that depend on memory (EPT violations, accesses to the APIC-access page) and on events are not foretold: the walk
 * pane shows where an address leads.
 * Source: SDM Vol. 3C, "Instructions That Cause VM Exits"; Popek and Goldberg 1974. */
#include "ui/session/sense.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "models/cpu/block.h"
#include "models/cpu/flags.h"
#include "models/cpu/sensitivity.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

struct row { const char *name; uint16_t reason; uint16_t control; };
static const struct row rows[] = {
#define INTERCEPT(NAME, reason, control, info) { #NAME, reason, control },
#include "models/cpu/vmx/intercept.def"
};

struct look { const struct machine *m; const struct cpu *c; const struct uop *u; struct sense *s; };

static bool on(const struct cpu *c, unsigned n)
{
	return n == VMX_ALWAYS || c->ctl[vmx_control_rows[n].word] >> vmx_control_rows[n].bit & 1;
}

static void says(struct look *l, enum sense_verdict v, unsigned reason, unsigned control, const char *why)
{
	l->s->verdict = v;
	l->s->reason = v == SENSE_EXIT ? exit_reason_rows[reason].name : NULL;
	l->s->control = control < VMX_CONTROLS ? vmx_control_rows[control].name : NULL;
	if (why)
		snprintf(l->s->why, sizeof l->s->why, "%s", why);
	else if (v == SENSE_EXIT && control == VMX_ALWAYS)
		snprintf(l->s->why, sizeof l->s->why, "unconditionally");
	else
		snprintf(l->s->why, sizeof l->s->why, "%s is %d", vmx_control_rows[control].name, on(l->c, control));
}

static void by_control(struct look *l, unsigned reason, unsigned control)
{
	says(l, on(l->c, control) ? SENSE_EXIT : SENSE_NO_EXIT, reason, control, NULL);
}

static bool bit_in_memory(const struct machine *m, uint64_t map, uint32_t bit)
{
	uint8_t byte = 0xff;
	(void)mem_peek(&m->mem, HPA(map + (bit >> 3)), &byte, 1);
	return byte >> (bit & 7) & 1;
}

static void port(struct look *l)
{
	const struct cpu *c = l->c;
	const struct uop *u = l->u;
	bool in = u->row == INSN_IN || u->row == INSN_INSB || u->row == INSN_INSW || u->row == INSN_INSD;
	bool immediate = (u->row == INSN_IN || u->row == INSN_OUT) && u->kind[in ? 1 : 0] == OPK_IMM;
	uint32_t p = immediate ? (uint32_t)(u->imm & 0xff) : (uint32_t)(c->s.r[R_RDX] & 0xffff);
	char why[100];
	if (!vmx_on(c, IO_BITMAPS)) {
		by_control(l, EXIT_IO, VMX_IO_EXITING);
		return;
	}
	bool out = bit_in_memory(l->m, p & 0x8000 ? vmx_get(c, IO_BITMAP_B) : vmx_get(c, IO_BITMAP_A), p & 0x7fff);
	snprintf(why, sizeof why, "use_io_bitmaps: the bit of port %#x is %d", p, out);
	says(l, out ? SENSE_EXIT : SENSE_NO_EXIT, EXIT_IO, VMX_IO_BITMAPS, why);
}

static void msr(struct look *l, bool write)
{
	const struct cpu *c = l->c;
	uint32_t nr = (uint32_t)c->s.r[R_RCX], low = nr & 0x1fff;
	bool high = nr - 0xc0000000 <= 0x1fff;
	unsigned reason = write ? EXIT_WRMSR : EXIT_RDMSR;
	char why[100];
	if (!vmx_on(c, MSR_BITMAPS)) {
		says(l, SENSE_EXIT, reason, VMX_MSR_BITMAPS, "use_msr_bitmaps is 0: every access exits");
		return;
	}
	if (nr > 0x1fff && !high) {
		snprintf(why, sizeof why, "MSR %#x is outside the bitmaps", nr);
		says(l, SENSE_EXIT, reason, VMX_MSR_BITMAPS, why);
		return;
	}
	bool out = bit_in_memory(l->m, vmx_get(c, MSR_BITMAPS) + (write ? 2048 : 0) + (high ? 1024 : 0), low);
	snprintf(why, sizeof why, "use_msr_bitmaps: the bit of MSR %#x is %d", nr, out);
	says(l, out ? SENSE_EXIT : SENSE_NO_EXIT, reason, VMX_MSR_BITMAPS, why);
}

/* Bits the host owns (mask) that the guest would set otherwise than it sees them (shadow). */
static void owned_bits(struct look *l, unsigned cr, uint64_t v, uint64_t mask, uint64_t shadow)
{
	char why[100];
	uint64_t differ = (v ^ shadow) & mask;
	if (differ)
		snprintf(why, sizeof why, "cr%u_mask: bits %#llx of the new value differ from the read shadow", cr, (unsigned long long)differ);
	else
		snprintf(why, sizeof why, "cr%u_mask: no bit the host owns would change", cr);
	says(l, differ ? SENSE_EXIT : SENSE_NO_EXIT, EXIT_CR_ACCESS, VMX_ALWAYS, why);
}

static void mov_cr(struct look *l)
{
	const struct cpu *c = l->c;
	const struct uop *u = l->u;
	bool to = u->kind[0] == OPK_CR;
	unsigned cr = u->reg[to ? 0 : 1];
	uint64_t v = to ? c->s.r[u->reg[1] & 15] : 0;
	if (cr == 3 && to) {
		for (unsigned i = 0; i < vmx_get(c, CR3_TARGET_COUNT) && i < 4; i++)
			if (c->vmcs->f[VMCS_CR3_TARGET0 + i] == v && vmx_on(c, CR3_LOAD_EXITING)) {
				says(l, SENSE_NO_EXIT, 0, VMX_CR3_LOAD_EXITING, "the value is one of the CR3-target values");
				return;
			}
		by_control(l, EXIT_CR_ACCESS, VMX_CR3_LOAD_EXITING);
	} else if (cr == 3)
		by_control(l, EXIT_CR_ACCESS, VMX_CR3_STORE_EXITING);
	else if (cr == 8)
		by_control(l, EXIT_CR_ACCESS, to ? VMX_CR8_LOAD_EXITING : VMX_CR8_STORE_EXITING);
	else if (to && cr == 0)
		owned_bits(l, 0, v, vmx_get(c, CR0_MASK), vmx_get(c, CR0_SHADOW));
	else if (to && cr == 4)
		owned_bits(l, 4, v, vmx_get(c, CR4_MASK), vmx_get(c, CR4_SHADOW));
	else if (cr == 0 || cr == 4)
		says(l, SENSE_NO_EXIT, 0, VMX_ALWAYS, cr ? "cr4_shadow: bits the host owns are read from there" : "cr0_shadow: bits the host owns are read from there");
	else
		says(l, SENSE_NO_EXIT, 0, VMX_ALWAYS, "reads and writes of CR2 never exit");
}

static void exception(struct look *l, unsigned vector, const char *name)
{
	char why[100];
	bool out = vmx_get(l->c, EXCEPTION_BITMAP) >> vector & 1;
	snprintf(why, sizeof why, "exception_bitmap: bit %u (%s) is %d", vector, name, out);
	says(l, out ? SENSE_EXIT : SENSE_NO_EXIT, EXIT_EXCEPTION, VMX_ALWAYS, why);
}

/* Would privilege stop it first? Ring 3, and what IOPL or a control bit opens to it. */
static bool faults_first(struct look *l)
{
	const struct cpu *c = l->c;
	enum insn row = (enum insn)l->u->row;
	if (!l->s->privileged || c->s.mode < MODE_V86 || c->s.cpl == 0)
		return false;
	switch (row) {
	case INSN_VMCALL:
		return false;
	case INSN_CLI: case INSN_STI: case INSN_IN: case INSN_OUT: case INSN_INSB: case INSN_INSW: case INSN_INSD: case INSN_OUTSB: case INSN_OUTSW: case INSN_OUTSD:
		return c->s.cpl > cpu_iopl(c);
	default:
		return true;
	}
}

static void in_guest(struct look *l)
{
	const struct cpu *c = l->c;
	const struct uop *u = l->u;
	const char *name = l->s->insn;
	if (faults_first(l)) {
		bool out = vmx_get(c, EXCEPTION_BITMAP) >> VEC_GP & 1;
		l->s->verdict = SENSE_FAULT;
		snprintf(l->s->why, sizeof l->s->why, "#GP in ring %u comes first, %s", c->s.cpl, out ? "and exits: exception_bitmap bit 13 is 1" : "and goes to the guest: exception_bitmap bit 13 is 0");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcasecmp(rows[i].name, name) == 0) {
			by_control(l, rows[i].reason, rows[i].control);
			return;
		}
	if (u->kind[0] == OPK_CR || u->kind[1] == OPK_CR) {
		mov_cr(l);
		return;
	}
	if (u->kind[0] == OPK_DR || u->kind[1] == OPK_DR) {
		by_control(l, EXIT_MOV_DR, VMX_MOV_DR_EXITING);
		return;
	}
	switch ((enum insn)u->row) {
	case INSN_SGDT: case INSN_SIDT: case INSN_LGDT: case INSN_LIDT: by_control(l, EXIT_GDTR_IDTR, VMX_DESC_TABLE_EXITING); return;
	case INSN_SLDT: case INSN_STR: case INSN_LLDT: case INSN_LTR:   by_control(l, EXIT_LDTR_TR, VMX_DESC_TABLE_EXITING); return;
	case INSN_INVLPG: by_control(l, EXIT_INVLPG, VMX_INVLPG_EXITING); return;
	case INSN_PAUSE:  by_control(l, EXIT_PAUSE, VMX_PAUSE_EXITING); return;
	case INSN_RDMSR:  msr(l, false); return;
	case INSN_WRMSR:  msr(l, true); return;
	case INSN_IN: case INSN_OUT: case INSN_INSB: case INSN_INSW: case INSN_INSD: case INSN_OUTSB: case INSN_OUTSW: case INSN_OUTSD:
		port(l);
		return;
	case INSN_CLTS:
		if (vmx_get(c, CR0_MASK) & vmx_get(c, CR0_SHADOW) & CR0_TS)
			says(l, SENSE_EXIT, EXIT_CR_ACCESS, VMX_ALWAYS, "cr0_mask and cr0_shadow have TS");
		else
			says(l, SENSE_NO_EXIT, 0, VMX_ALWAYS, "cr0_mask and cr0_shadow do not both have TS");
		return;
	case INSN_LMSW: says(l, SENSE_NO_EXIT, 0, VMX_ALWAYS, "exits when it would change one of CR0's low bits that cr0_mask has"); return;
	case INSN_INT3: exception(l, VEC_BP, "#BP"); return;
	case INSN_INTO: exception(l, VEC_OF, "#OF"); return;
	case INSN_INVALID: exception(l, VEC_UD, "#UD"); return;
	default:
		break;
	}
	says(l, SENSE_NO_EXIT, 0, VMX_ALWAYS, l->s->privileged || l->s->critical ? "no control is about it: it acts on the guest's own state" : "no control is about it");
}

bool sense_next(const struct machine *m, const struct cpu *c, struct sense *s)
{
	uint8_t bytes[INSN_BYTES_MAX];
	struct uop u;
	unsigned n = 0;
	uint64_t lin = block_linear(c);
	memset(s, 0, sizeof *s);
	if (cpu_root_modelled(c))
		return false;
	while (n < sizeof bytes && mmu_peek_bytes(&c->mmu, (lin + n) & c->lin_mask, bytes + n, 1))
		n++;
	if (!n || !decode(c->decoder, c->profile, block_key(c), bytes, n, &u))
		return false;
	s->insn = insn_name((enum insn)u.row);
	enum sensitivity kind = insn_sensitivity((enum insn)u.row, uop_form(&u));
	s->privileged = kind == INSN_PRIVILEGED;
	s->critical = kind == INSN_SENSITIVE;
	if (c->vmx.guest && c->vmcs)
		in_guest(&(struct look){ m, c, &u, s });
	return true;
}
