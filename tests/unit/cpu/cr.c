/* cr.c - control registers, descriptor-table registers, MSRs, XCR0: what may be written. */
#include "tests/unit/cpu/prot.h"
#include "models/mmu/cache.h"

/* Call a writer as an instruction would: the vector it raises, or NONE. */
#define TRY(f, call) (setjmp((f)->cpu->fault_exit) == 0 ? ((call), NONE) : (int)(f)->cpu->fault.vector)

#define ROW(name, mode, call, vec) \
Test(cr, name) \
{ \
	struct fixture *f = prot_new(mode, 0); \
	struct cpu *c = f->cpu; \
	struct cpu_state before = c->s; \
	int v = TRY(f, call); \
	cr_expect(eq(int, v, vec)); \
	if (v != NONE) \
		cr_expect(c->s.cr0 == before.cr0 && c->s.cr3 == before.cr3 && c->s.cr4 == before.cr4, "nothing changed"); \
	fixture_free(f); \
}
#define P32 FIXTURE_PROT32
#define L64 FIXTURE_LONG64
/* SDM Vol. 3A, "Control Registers": combinations of CR0 */
ROW(pg_without_pe_is_gp,               P32, cr0_write(c, CR0_PG), VEC_GP)
ROW(nw_without_cd_is_gp,               P32, cr0_write(c, CR0_PE | CR0_NW), VEC_GP)
ROW(nw_with_cd_is_not,                 P32, cr0_write(c, CR0_PE | CR0_NW | CR0_CD), NONE)
ROW(cr0_bit_32_is_gp,                  L64, cr0_write(c, c->s.cr0 | BIT(32)), VEC_GP)
ROW(cr0_reserved_low_bits_are_ignored, P32, cr0_write(c, CR0_PE | BIT(6)), NONE)
ROW(pg_cleared_in_64_bit_mode_is_gp,   L64, cr0_write(c, c->s.cr0 & ~CR0_PG), VEC_GP)
ROW(pg_with_lme_needs_pae,             P32, (c->s.efer |= EFER_LME, cr0_write(c, c->s.cr0 | CR0_PG)), VEC_GP)
ROW(pae_cleared_in_ia32e_mode_is_gp,   L64, cr4_write(c, c->s.cr4 & ~CR4_PAE), VEC_GP)
ROW(la57_changed_in_ia32e_mode_is_gp,  L64, cr4_write(c, c->s.cr4 | CR4_LA57), VEC_GP)
ROW(pcide_outside_ia32e_mode_is_gp,    P32, cr4_write(c, c->s.cr4 | CR4_PCIDE), VEC_GP)
ROW(pcide_in_ia32e_mode,               L64, cr4_write(c, c->s.cr4 | CR4_PCIDE), NONE)
ROW(an_unadvertised_bit_of_cr4_is_gp,  L64, cr4_write(c, c->s.cr4 | BIT(14)), VEC_GP)
ROW(cr4_bit_63_is_gp,                  L64, cr4_write(c, c->s.cr4 | BIT(63)), VEC_GP)
ROW(cr3_beyond_maxphyaddr_is_gp,       L64, cr3_write(c, BIT(46)), VEC_GP)
ROW(cr3_up_to_maxphyaddr_is_not,       L64, cr3_write(c, 0x1000 | BIT(45)), NONE)
ROW(cr3_bit_63_without_pcide_is_gp,    L64, cr3_write(c, 0x1000 | BIT(63)), VEC_GP)
#undef ROW

Test(cr, pcide_with_a_pcid_in_cr3_is_gp)
{
	struct fixture *f = prot_new(L64, 0);
	cr3_write(f->cpu, 0x1001);
	cr_expect(eq(int, TRY(f, cr4_write(f->cpu, f->cpu->s.cr4 | CR4_PCIDE)), VEC_GP));
	fixture_free(f);
}

Test(cr, pg_with_lme_and_pae_activates_ia32e_mode)
{
	struct fixture *f = prot_new(P32, 0);
	f->cpu->s.efer |= EFER_LME;
	f->cpu->s.cr4 |= CR4_PAE;
	cr3_write(f->cpu, 0x1000);
	cr0_write(f->cpu, f->cpu->s.cr0 | CR0_PG);
	cr_expect(eq(u64, f->cpu->s.efer, EFER_LME | EFER_LMA));
	cr_expect(eq(int, f->cpu->s.mode, MODE_COMPAT32));
	cr0_write(f->cpu, f->cpu->s.cr0 & ~CR0_PG);
	cr_expect(eq(u64, f->cpu->s.efer, EFER_LME));
	fixture_free(f);
}

Test(cr, lmsw_sets_pe_but_cannot_clear_it)
{
	struct fixture *f = prot_new(P32, 0);
	REG(f, R_RAX) = CR0_TS;
	cr_expect(eq(int, STEP(f, 0x0f, 0x01, 0xf0), NONE));
	cr_expect(eq(u64, f->cpu->s.cr0, CR0_PE | CR0_ET | CR0_NE | CR0_TS));
	fixture_free(f);
}

/* privileged: #GP(0) at CPL 3 */
#define ROW(name, ...) \
Test(privileged, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_LONG64, 3); \
	EXPECT_FAULT(f, STEP(f, __VA_ARGS__), VEC_GP, 0); \
	fixture_free(f); \
}
ROW(mov_from_cr0,  0x0f, 0x20, 0xc0)
ROW(mov_to_cr3,    0x0f, 0x22, 0xd8)
ROW(mov_from_dr7,  0x0f, 0x21, 0xf8)
ROW(clts,          0x0f, 0x06)
ROW(lmsw,          0x0f, 0x01, 0xf0)
ROW(hlt,           0xf4)
ROW(wbinvd,        0x0f, 0x09)
ROW(invlpg,        0x0f, 0x01, 0x3b)
ROW(rdmsr,         0x0f, 0x32)
ROW(wrmsr,         0x0f, 0x30)
ROW(lgdt,          0x0f, 0x01, 0x13)
ROW(lldt,          0x0f, 0x00, 0xd0)
ROW(ltr,           0x0f, 0x00, 0xd8)
ROW(cli,           0xfa)
ROW(in,            0xec)
ROW(sysret,        0x48, 0x0f, 0x07)
#undef ROW

/* CR4.UMIP: "#GP(0) if UMIP is set and CPL > 0" */
#define ROW(name, ...) \
Test(umip, name) \
{ \
	for (unsigned on = 0; on < 2; on++) { \
		struct fixture *f = prot_new(FIXTURE_LONG64, 3); \
		REG(f, R_RBX) = FIXTURE_DATA; \
		f->cpu->s.cr4 |= on ? CR4_UMIP : 0; \
		EXPECT_FAULT(f, STEP(f, __VA_ARGS__), on ? VEC_GP : NONE, 0); \
		fixture_free(f); \
	} \
}
ROW(sgdt, 0x0f, 0x01, 0x03)
ROW(sidt, 0x0f, 0x01, 0x0b)
ROW(sldt, 0x0f, 0x00, 0x03)
ROW(str,  0x0f, 0x00, 0x0b)
ROW(smsw, 0x0f, 0x01, 0x23)
#undef ROW

/* CR4.TSD */
Test(cr, tsd_makes_rdtsc_privileged)
{
	struct fixture *f = prot_new(L64, 3);
	cr_expect(eq(int, STEP(f, 0x0f, 0x31), NONE));
	f->cpu->s.cr4 |= CR4_TSD;
	EXPECT_FAULT(f, STEP(f, 0x0f, 0x31), VEC_GP, 0);
	fixture_free(f);
}

/* ---- LTR, LLDT: descriptor 48H ---- */
#define ROW(name, mode, modrm, selector, attr, base_hi, vec, ec) \
Test(dtr, name) \
{ \
	struct fixture *f = prot_new(mode, 0); \
	put_desc(f, 0x48, descriptor(0x1000, 0x67, attr)); \
	put_desc(f, 0x50, base_hi); \
	REG(f, R_RAX) = selector; \
	int v = STEP(f, 0x0f, 0x00, modrm); \
	EXPECT_FAULT(f, v, vec, ec); \
	if (v == NONE && modrm == 0xd8) \
		cr_expect(eq(u64, get_desc(f, 0x48) >> 41 & 1, 1), "busy"); \
	fixture_free(f); \
}
ROW(ltr_marks_it_busy,              P32, 0xd8, 0x48, SYS(DESC_TSS32, 0), 0, NONE, 0)
ROW(ltr_takes_a_16_bit_tss,         P32, 0xd8, 0x48, SYS(DESC_TSS16, 0), 0, NONE, 0)
ROW(but_not_in_ia32e_mode,          L64, 0xd8, 0x48, SYS(DESC_TSS16, 0), 0, VEC_GP, 0x48)
ROW(ltr_of_a_busy_one_is_gp,        P32, 0xd8, 0x48, SYS(DESC_TSS32_BUSY, 0), 0, VEC_GP, 0x48)
ROW(ltr_of_null_is_gp0,             P32, 0xd8, 0x00, SYS(DESC_TSS32, 0), 0, VEC_GP, 0)
ROW(ltr_from_the_ldt_is_gp,         P32, 0xd8, 0x4c, SYS(DESC_TSS32, 0), 0, VEC_GP, 0x4c)
ROW(ltr_absent_is_np,               P32, 0xd8, 0x48, ABSENT(SYS(DESC_TSS32, 0)), 0, VEC_NP, 0x48)
ROW(ltr_with_a_64_bit_base,         L64, 0xd8, 0x48, SYS(DESC_TSS32, 0), 0x00ffffff, NONE, 0)
ROW(ltr_with_a_non_canonical_base,  L64, 0xd8, 0x48, SYS(DESC_TSS32, 0), 0x40000000, VEC_GP, 0)
ROW(ltr_with_a_type_in_the_upper_half, L64, 0xd8, 0x48, SYS(DESC_TSS32, 0), BIT(40), VEC_GP, 0x48)
ROW(lldt_takes_an_ldt,              P32, 0xd0, 0x48, SYS(DESC_LDT, 0), 0, NONE, 0)
ROW(lldt_of_null_is_legal,          P32, 0xd0, 0x00, SYS(DESC_LDT, 0), 0, NONE, 0)
ROW(lldt_of_a_tss_is_gp,            P32, 0xd0, 0x48, SYS(DESC_TSS32, 0), 0, VEC_GP, 0x48)
#undef ROW

Test(dtr, lgdt_with_16_bit_operand_takes_24_bits_of_base)
{
	struct fixture *f = prot_new(P32, 0);
	put(f, FIXTURE_DATA, 0x12345678fffful, 6);
	REG(f, R_RBX) = FIXTURE_DATA;
	cr_expect(eq(int, STEP(f, 0x66, 0x0f, 0x01, 0x13), NONE));
	cr_expect(eq(u64, f->cpu->s.gdtr.base, 0x345678));
	fixture_free(f);
}

/* ---- MSRs ---- */
#define ROW(name, nr, value, ok) \
Test(msr, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_LONG64, 0); \
	uint64_t back = 0; \
	cr_expect(eq(int, msr_write(f->cpu, nr, value), ok)); \
	if (ok) { \
		cr_expect(msr_read(f->cpu, nr, &back)); \
		cr_expect(eq(u64, back, value)); \
	} \
	fixture_free(f); \
}
ROW(an_unknown_number_is_gp,           0x12345, 0, 0)
ROW(lstar_takes_a_canonical_address,   0xC0000082, 0xffff800000000000, 1)
ROW(lstar_takes_57_bits_with_la57,     0xC0000082, 0x00ffffffffffffff, 1)
ROW(lstar_refuses_the_rest,            0xC0000082, 0x0100000000000000, 0)
ROW(sysenter_eip_is_checked_too,       0x176, 0x0100000000000000, 0)
ROW(fmask_has_32_bits,                 0xC0000084, 0x100000000, 0)
ROW(tsc_aux_has_32_bits,               0xC0000103, 0x100000000, 0)
ROW(pat_takes_its_types,               0x277, 0x0001040506070000, 1)
ROW(pat_refuses_type_2,                0x277, 2, 0)
ROW(mtrr_default_type_refuses_type_7,  0x2ff, 7, 0)
ROW(mtrr_default_type_enables,         0x2ff, 0xc06, 1)
ROW(mtrr_base_beyond_maxphyaddr,       0x200, BIT(46) | 6, 0)
ROW(mtrr_mask_up_to_maxphyaddr,        0x201, (MASK(46) & PAGE_MASK) | 0x800, 1)
ROW(mtrr_there_are_eight,              0x210, 0, 0)
ROW(mtrrcap_is_read_only,              0xfe, 0x508, 0)
ROW(efer_reserved_bit,                 0xC0000080, EFER_LME | BIT(1), 0)
ROW(efer_lme_does_not_change_under_paging, 0xC0000080, 0, 0)
ROW(efer_lma_is_not_written,           0xC0000080, EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE, 1)
ROW(feature_control_is_locked,         0x3a, 1, 0)
ROW(no_machine_check_banks,            0x400, 0, 0)
ROW(no_spec_ctrl,                      0x48, 0, 0)
#undef ROW

/* "If an execution of WRMSR to IA32_TIME_STAMP_COUNTER adds (or subtracts) value X from the TSC,
 * the logical processor also adds (or subtracts) value X from the IA32_TSC_ADJUST MSR." */
Test(msr, writing_the_tsc_moves_tsc_adjust)
{
	struct fixture *f = prot_new(L64, 0);
	uint64_t t = cpu_tsc(f->cpu);
	cr_expect(msr_write(f->cpu, 0x10, t + 1000));
	cr_expect(eq(u64, f->cpu->s.tsc_adjust, 1000));
	cr_expect(msr_write(f->cpu, 0x3b, 400));
	cr_expect(eq(u64, cpu_tsc(f->cpu), t + 400));
	fixture_free(f);
}

/* ---- XCR0 ---- */
#define ROW(name, value, vec) \
Test(xcr0, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_LONG64, 0); \
	f->cpu->s.cr4 |= CR4_OSXSAVE; \
	REG(f, R_RAX) = value; \
	REG(f, R_RCX) = REG(f, R_RDX) = 0; \
	EXPECT_FAULT(f, STEP(f, 0x0f, 0x01, 0xd1), vec, 0); \
	fixture_free(f); \
}
ROW(x87_and_sse,          3, NONE)
ROW(x87_must_stay,        2, VEC_GP)
ROW(an_unknown_component, 1 | BIT(8), VEC_GP)
#undef ROW

/* ---- CPUID ---- */

Test(cpuid, says_what_is_modelled_and_nothing_else)
{
	struct fixture *f = prot_new(L64, 0);
	for (unsigned i = 0; i < FEATURE_N; i++) {
		const struct feature_row *r = &feature_rows[i];
		uint32_t o[4];
		cpuid_leaf(f->cpu, r->leaf, r->sub, o);
		cr_expect(eq(uint, o[r->reg] >> r->bit & 1, cpu_has(f->cpu, (enum feature)i)), "%s",
		          r->name);
		if (!r->modelled)
			cr_expect(not(cpu_has(f->cpu, (enum feature)i)), "%s", r->name);
	}
	fixture_free(f);
}

Test(cpuid, follows_the_control_registers)
{
	struct fixture *f = prot_new(L64, 0);
	uint32_t o[4];
	f->cpu->s.cr4 |= CR4_OSXSAVE;
	cpuid_leaf(f->cpu, 1, 0, o);
	cr_expect(eq(uint, o[CPUID_ECX] >> 27 & 1, 1));
	f->cpu->lapic->s.base &= ~BIT(11);
	cpuid_leaf(f->cpu, 1, 0, o);
	cr_expect(eq(uint, o[CPUID_EDX] >> 9 & 1, 0), "a disabled APIC is not there");
	fixture_free(f);
}

Test(cpuid, caches_and_clock_are_the_profiles)
{
	struct fixture *f = prot_new(L64, 0);
	uint32_t o[4];
	cpuid_leaf(f->cpu, 4, 2, o);
	uint64_t size = (uint64_t)((o[CPUID_EBX] >> 22) + 1) * ((o[CPUID_EBX] & 0xfff) + 1) *
	                (o[CPUID_ECX] + 1);
	cr_expect(eq(u64, size, f->profile.l2_size));
	cpuid_leaf(f->cpu, 0x15, 0, o);
	cr_expect(eq(u64, (uint64_t)o[CPUID_ECX] * o[CPUID_EBX] / o[CPUID_EAX], f->profile.hz));
	cpuid_leaf(f->cpu, 0x80000008, 0, o);
	cr_expect(eq(uint, o[CPUID_EAX], f->profile.phys_bits | 57 << 8));
	fixture_free(f);
}

/* Software finds as many CPUs as there are; APIC IDs are counted in powers of two. */
static void topology(unsigned cpus, unsigned ids, unsigned bits)
{
	struct fixture *f = prot_new(L64, 0);
	uint32_t o[4];
	f->caches->cpus = cpus;
	cpuid_leaf(f->cpu, 1, 0, o);
	cr_expect(eq(uint, o[CPUID_EBX] >> 16 & 0xff, ids));
	cr_expect(eq(uint, o[CPUID_EDX] >> 28 & 1, cpus > 1));
	cpuid_leaf(f->cpu, 4, 0, o);
	cr_expect(eq(uint, o[CPUID_EAX] >> 26, ids - 1));
	cpuid_leaf(f->cpu, 4, 3, o);
	cr_expect(eq(uint, o[CPUID_EAX] >> 14 & 0xfff, ids - 1), "L3 is everybody's");
	cpuid_leaf(f->cpu, 0xb, 1, o);
	cr_expect(eq(uint, o[CPUID_EAX], bits));
	cr_expect(eq(uint, o[CPUID_EBX], cpus));
	f->caches->cpus = 1;
	fixture_free(f);
}
Test(cpuid, one_cpu) { topology(1, 1, 0); }
Test(cpuid, three_cpus) { topology(3, 4, 2); }
Test(cpuid, sixteen_cpus) { topology(16, 16, 4); }

/* "If a value entered for CPUID.EAX is higher than the maximum input value ... then the data for
 * the highest basic information leaf is returned." */
Test(cpuid, beyond_the_highest_leaf_is_the_highest)
{
	struct fixture *f = prot_new(L64, 0);
	uint32_t a[4], b[4];
	cpuid_leaf(f->cpu, 0, 0, a);
	cpuid_leaf(f->cpu, a[CPUID_EAX], 1, a);
	cpuid_leaf(f->cpu, 0x40000000, 1, b);
	cr_expect(eq(int, memcmp(a, b, sizeof a), 0));
	fixture_free(f);
}
