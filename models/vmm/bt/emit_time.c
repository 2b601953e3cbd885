/* emit_time.c - RDTSC: the CPU's counter and the VM's offset, whatever the offset is; the guest's flags stay.
 *
 * 64-bit code adds without flags. In 32-bit code a carry goes from one register to the other, so the flags are kept by LAHF and SETO: a tenth
 * of what PUSHF and POPF cost.
 * Source: SDM Vol. 2, "RDTSC"; Vol. 3A, "Time-Stamp Counter". Docs: docs/bt.md, "Time". */
#include "models/vmm/bt/out.h"

/* The guest's counter is the CPU's and an offset, which the VMM changes as it likes. What RDTSC overwrites is spilled first: until both
 * halves of the sum are there the guest is before its RDTSC, which is then begun anew, with the offset of that time. */
static void read_time(struct out *o)
{
	o->how = BT_TIME;
	STEP(o, AX | DX, 0x0f, 0x31);
}

/* A sum of 64 bits in one register is LEA's, and BSWAP, of 32 bits and of 64, shifts by 32: no flag changes. */
static void time_wide(struct out *o)
{
	out_before(o, 0, 0);
	out_spill(o, R_RAX);
	out_before(o, AX, 0);
	out_spill(o, R_RDX);
	read_time(o);
	STEP(o, AX | DX, 0x0f, 0xca);           /* bswap edx */
	STEP(o, AX | DX, 0x48, 0x0f, 0xca);     /* bswap rdx: rdx << 32 */
	STEP(o, AX | DX, 0x48, 0x8d, 0x04, 0x10); /* lea rax, [rax + rdx] */
	out_before(o, AX | DX, 0);
	out_load(o, R_RDX, SHARED(tsc_offset));
	STEP(o, AX | DX, 0x48, 0x8d, 0x04, 0x10);
	STEP(o, AX | DX, 0x48, 0x89, 0xc2);     /* mov rdx, rax */
	STEP(o, AX | DX, 0x48, 0x0f, 0xca);
	STEP(o, AX | DX, 0x0f, 0xca);           /* rdx >> 32 */
	STEP(o, AX | DX, 0x89, 0xc0);           /* mov eax, eax */
}

/* A carry goes from one register to the other: the flags, saved as LAHF and SETO have them. */
static void time_narrow(struct out *o)
{
	out_before(o, 0, 0);
	out_spill(o, R_RAX);
	out_before(o, AX, 0);
	out_spill(o, R_RDX);
	out_before(o, AX | DX, 0);
	out_byte(o, 0x9f);                      /* lahf */
	STEP(o, AX | DX, 0x0f, 0x90, 0xc0);     /* seto al */
	out_before(o, AX | DX, 0);
	out_store(o, R_RAX, SHARED(ah_flags));
	read_time(o);
	out_before(o, AX | DX, 0);
	out_shared(o, 4, 0x03, R_RAX, SHARED(tsc_offset), 0);
	o->how = BT_FLAGS, out_before(o, AX | DX, 0);
	out_shared(o, 4, 0x13, R_RDX, SHARED(tsc_offset) + 4, 0);
	o->how = BT_FLAGS, out_before(o, AX | DX, 0);
	out_store(o, R_RAX, SHARED(tsc_low));
	o->how = BT_FLAGS, out_before(o, AX | DX, 0);
	out_load(o, R_RAX, SHARED(ah_flags));
	o->how = BT_FLAGS, STEP(o, AX | DX, 0x04, 0x7f); /* add al, 127: OF when it was 1 */
	o->how = BT_FLAGS, out_before(o, AX | DX, 0);
	out_byte(o, 0x9e);                      /* sahf */
	out_before(o, AX | DX, 0);
	out_load(o, R_RAX, SHARED(tsc_low));
}

void emit_rdtsc(struct out *o)
{
	if (o->env->rdtsc == BT_RDTSC_CALLOUT)
		emit_callout(o);
	else if (o->env->rdtsc == BT_RDTSC_TRAP)
		emit_copy(o);
	else if (out_wide(o))
		time_wide(o);
	else
		time_narrow(o);
}
