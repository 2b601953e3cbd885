/* ring.c - the world of a physical CPU that a VMM without VMX owns: its tables and stubs in the corner of every address space
 * (corner.c), the way back from the guest, and the way in, by IRET.
 *
 * The physical CPU is in the mode of its guest: a VMM of this kind has a 32-bit and a 64-bit half and switches between them with
 * the guest. GDT: the guest's descriptors, copied (segment.c), and the VMM's own in the last page.
 * Real control registers: CR0 as the pager has it, TS and EM the guest's; CR4.VME, PVI, FSGSBASE and the like off, TSD set; EFER.SCE always set. Every gate has DPL 0: INT n is #GP.
 * Source: Robin and Irvine (USENIX Security 2000); Adams and Agesen 2006 and 2010 (VMware's monitor);
 * SDM Vol. 3A, "Interrupt and Exception Handling", "Task Management"; Vol. 2A, "IRET".
 * Timing: every reference to the stack, the record and the tables; COST rows RING_*; IRET, MOV to CR3 and the like as the CPU has them.
 * Simplified: the boot of the VMM is not simulated. The change between its halves is a cost, not instructions. */
#include "models/vmm/ring/corner.h"

#include <stdio.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

#define STACK_TOP PAGE_SIZE
const struct virt virt_trap = RING_VIRT("trap", NULL);

const struct ring_hooks *ring_hooks(const struct vm *vm)
{
	static const struct ring_hooks none;
	return vm->virt->hooks ? vm->virt->hooks : &none;
}

/* ---- life of a VM ---- */

int ring_vm_init(struct vm *vm, struct err *e)
{
	const struct ring_hooks *h = ring_hooks(vm);
	return ring_corner_make(vm, e) || (h->vm_init && h->vm_init(vm, e)) ? -1 : 0;
}

void ring_vm_fini(struct vm *vm)
{
	if (ring_hooks(vm)->vm_fini)
		ring_hooks(vm)->vm_fini(vm);
}

int ring_able(const struct cpu *c, const struct pager *p, struct err *e)
{
	(void)c;
	if (!p->page_fault || p == &pager_agile)
		return err_set(e, NULL, "use shadow paging", "%s needs VMX: without it the page tables in force are the VMM's", p->name);
	return 0;
}

/* ---- tables of a physical CPU ---- */

static uint64_t corner(bool wide) { return wide ? RING_CORNER_64 : RING_CORNER_32; }
static bool wide_now(const struct vcpu *v) { return v->s.efer & EFER_LMA; }
static hpa_t own(const struct cpu *c, unsigned page) { return ring_page_hpa(vmm_of(c)->vm[0], page); }
static unsigned cpu_page(const struct cpu *c, unsigned i) { return RING_CPU + 4 * c->number + i; }
static uint64_t lin(bool wide, unsigned page) { return corner(wide) + (uint64_t)page * PAGE_SIZE; }
static uint64_t stub(bool wide, unsigned n) { return lin(wide, RING_STUBS) + 16 * n; }
static uint64_t stack_lin(const struct cpu *c, bool wide) { return lin(wide, cpu_page(c, 1)); }

static void write_idt(struct cpu *c, bool wide)
{
	const hpa_t at = HPA(wide ? own(c, RING_IDT).v : own(c, cpu_page(c, 0)).v + RING_IDT32_AT);
	for (unsigned i = 0; i < 256; i++) {
		const uint64_t to = stub(wide, i), attr = SEG_P | DESC_INT32;
		const uint64_t low = (to & 0xffff) | (uint64_t)RING_SEL_CS << 16 | attr << 40 | (to >> 16 & 0xffff) << 48;
		mem_write64(c->mmu.mem, HPA(at.v + i * (wide ? 16 : 8)), low);
		if (wide)
			mem_write64(c->mmu.mem, HPA(at.v + i * 16 + 8), to >> 32);
	}
}

static void write_tss(struct cpu *c, bool wide)
{
	const uint64_t at = own(c, cpu_page(c, 0)).v + (wide ? 0 : RING_TSS32_AT), sp = stack_lin(c, wide) + STACK_TOP;
	if (wide) {
		mem_write64(c->mmu.mem, HPA(at + 4), sp);
	} else {
		mem_write32(c->mmu.mem, HPA(at + 4), (uint32_t)sp);
		mem_write32(c->mmu.mem, HPA(at + 8), RING_SEL_SS);
	}
	mem_write32(c->mmu.mem, HPA(at + 100), 104 << 16);      /* no I/O bitmap: it begins behind the limit */
}

static void put_descriptor(struct cpu *c, unsigned sel, uint64_t raw)
{
	mem_write64(c->mmu.mem, HPA(own(c, RING_GDT + 16 * c->number + (sel >> 12)).v + (sel & 0xff8)), raw);
}

static void hidden(struct cpu *c, enum seg_reg i, uint16_t sel, uint64_t base, uint32_t limit, uint32_t attr)
{
	c->s.seg[i] = (struct seg){ .sel = sel, .base = base, .limit = limit, .attr = attr };
}

/* The VMM's half for this mode: what LGDT, LIDT, LTR, WRMSR and a far jump leave. */
static void face(struct cpu *c, bool wide)
{
	const uint64_t gdt = lin(wide, RING_GDT + 16 * c->number), tss = lin(wide, cpu_page(c, 0)) + (wide ? 0 : RING_TSS32_AT);
	const uint32_t flat = SEG_G | SEG_P | SEG_S | TYPE_ACCESSED, code = flat | TYPE_CODE | TYPE_READ | (wide ? SEG_L : SEG_DB);
	uint64_t raw;
	(void)ring_descriptor_of(0, 0xffffffff, code, &raw);
	put_descriptor(c, RING_SEL_CS, raw);
	(void)ring_descriptor_of(0, 0xffffffff, flat | TYPE_WRITE | SEG_DB, &raw);
	put_descriptor(c, RING_SEL_SS, raw);
	(void)ring_descriptor_of(tss, 103, SEG_P | DESC_TSS32_BUSY, &raw);
	put_descriptor(c, RING_SEL_TSS, raw);
	put_descriptor(c, RING_SEL_TSS + 8, tss >> 32);
	hidden(c, SEG_CS, RING_SEL_CS, 0, 0xffffffff, code);
	hidden(c, SEG_SS, RING_SEL_SS, 0, 0xffffffff, flat | TYPE_WRITE | SEG_DB);
	hidden(c, SEG_TR, RING_SEL_TSS, tss, 103, SEG_P | DESC_TSS32_BUSY);
	c->s.gdtr = (struct dtr){ .base = gdt, .limit = 0xffff };
	c->s.idtr = (struct dtr){ .base = wide ? lin(wide, RING_IDT) : lin(wide, cpu_page(c, 0)) + RING_IDT32_AT, .limit = 256 * (wide ? 16 : 8) - 1 };
	c->s.star = (uint64_t)RING_SEL_CS << 32;
	c->s.lstar = stub(wide, RING_STUB_SYSCALL);
	c->s.fmask = ~(uint64_t)RFLAGS_STATUS & 0x3f7fd7;
	c->s.sysenter_esp = stack_lin(c, wide) + STACK_TOP;
	c->s.sysenter_eip = stub(wide, RING_STUB_SYSENTER);
	c->s.cpl = 0;
	cpu_set_rflags(c, 2, ~0ull);
	cpu_mode_loaded(c);
}

void ring_boot(struct cpu *c)
{
	if (c->number == 0)
		write_idt(c, true);
	write_idt(c, false);
	write_tss(c, true);
	write_tss(c, false);
	c->s.cr4 &= ~(uint64_t)CR4_VMXE;
	(void)mmu_load_paging(&c->mmu, c->s.cr0, c->s.cr3, c->s.cr4, c->s.efer, c->mmu.pdpte);
	hidden(c, SEG_LDTR, 0, 0, 0, SEG_UNUSABLE);
	c->vmx.deprivileged = 1;
	face(c, true);
}

/* ---- a virtual CPU ---- */

void ring_create(struct vcpu *v)
{
	const struct ring_hooks *h = ring_hooks(v->vm);
	v->s.vmcs = vmm_page(v->vm->vmm).v;
	v->s.apicv = APICV_OFF;         /* no hardware for a local APIC */
	ring_segments_init(v);
	if (h->vcpu_init)
		h->vcpu_init(v);
}

unsigned ring_virtual_cpl(struct vcpu *v) { return SEG_DPL(vcpu_get(v, VMCS_GUEST_SS_ACCESS)); }

unsigned ring_real_cpl(const struct vcpu *v, unsigned virtual_cpl) { return virtual_cpl ? virtual_cpl : wide_now(v) ? 3 : 1; }

bool ring_in_guest(const struct vcpu *v) { return !cpu_root_modelled(v->cpu); }

bool ring_fits(const struct vcpu *v, const struct cpu_state *s)
{
	const struct ring_hooks *h = ring_hooks(v->vm);
	return ring_segments_fit(v, s) && (!h->fits || h->fits(s));
}

bool ring_arm(struct vcpu *v, cycle_t left)
{
	(void)v, (void)left;
	return false;
}

void ring_flush(struct vcpu *v, enum invvpid_type type, uint64_t at)
{
	struct cpu *c = v->cpu;
	if (vmm_holder(v->vm->vmm, c) == v && type == INVVPID_ADDRESS && !(v->s.real_changed & RING_REAL_CR3)) {
		ledger_charge(&c->ledger, WHY_EXIT_SERVICE, c->profile->cost[COST_INVLPG]);
		mmu_invlpg(&c->mmu, at);
		return;
	}
	v->s.real_changed |= type == INVVPID_ADDRESS || type == INVVPID_SINGLE_NOT_GLOBAL ? RING_REAL_FLUSH : RING_REAL_FLUSH_ALL;
}

void ring_take_up(struct vcpu *v)
{
	v->s.real_changed |= RING_REAL_CONTROL | RING_REAL_CR3 | RING_REAL_FLUSH_ALL;
	v->cpu->mmu.shadow = v->vm->pager->shadow;
	ring_gdt_load(v);
}

/* ---- the way in ---- */

/* Debug registers of the guest's that would watch the VMM are not loaded. */
static uint64_t real_dr7(const struct vcpu *v, uint64_t dr7)
{
	const struct cpu *c = v->cpu;
	const uint64_t from = corner(wide_now(v)), to = from + RING_PAGES * (uint64_t)PAGE_SIZE;
	for (unsigned i = 0; i < 4; i++)
		if (c->s.dr[i] + 8 > from && c->s.dr[i] < to)
			dr7 &= ~(3ull << 2 * i);
	return dr7 & ~BIT(13);
}

static void charge(struct vcpu *v, unsigned cost) { ledger_charge(&v->cpu->ledger, WHY_EXIT_SERVICE, v->cpu->profile->cost[cost]); }

/* CR4.TSD: time is the VMM's to tell, unless the technique lets the guest read it. */
static uint64_t real_tsd(const struct vcpu *v, bool user)
{
	const struct ring_hooks *h = ring_hooks(v->vm);
	return h->reads_time && h->reads_time(v, user) ? 0 : CR4_TSD;
}

#define CR0_OF_PAGING (CR0_PE | CR0_PG | CR0_WP)
/* Returns false when the root is none: a defect of the pager's. */
static bool load_control(struct vcpu *v, bool user)
{
	struct cpu *c = v->cpu;
	const bool was = c->s.efer & EFER_LMA, wide = wide_now(v);
	uint64_t cr0 = vcpu_get(v, VMCS_GUEST_CR0) | CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET, cr4 = vcpu_get(v, VMCS_GUEST_CR4);
	const uint64_t efer = (c->s.efer & ~(uint64_t)(EFER_LMA | EFER_LME)) | (wide ? EFER_LMA | EFER_LME : 0);
	const uint64_t dr7 = vcpu_get(v, VMCS_GUEST_DR7);
	cr0 &= ~(uint64_t)(CR0_CD | CR0_NW | (user ? 0 : CR0_AM));
	cr4 &= CR4_DE | CR4_PSE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_LA57 | CR4_PGE;
	cr4 |= CR4_PAE | real_tsd(v, user);
	if (real_dr7(v, dr7) != c->s.dr[7]) {
		charge(v, COST_CR_WRITE);
		c->s.dr[7] = real_dr7(v, dr7);
		debug_changed(c);
	}
	if ((cr4 ^ c->s.cr4) == CR4_TSD) {      /* nothing but itself depends on it */
		charge(v, COST_CR_WRITE);
		c->s.cr4 = cr4;
	}
	bool paging = (cr0 ^ c->s.cr0) & CR0_OF_PAGING || cr4 != c->s.cr4 || efer != c->s.efer;
	if (cr0 == c->s.cr0 && !paging)
		return true;
	charge(v, COST_CR_WRITE);
	c->s.cr0 = cr0;
	if (!paging) {
		(void)mmu_set_paging(&c->mmu, cr0, c->s.cr4, c->s.efer);
		return true;
	}
	charge(v, COST_CR_WRITE);
	c->s.cr4 = cr4;
	c->s.efer = efer;
	c->s.cr3 = vcpu_get(v, VMCS_GUEST_CR3);
	if (mmu_load_paging(&c->mmu, cr0, c->s.cr3, cr4, efer, NULL))
		return false;
	mmu_flush_all(&c->mmu);
	v->s.real_changed &= ~(uint32_t)(RING_REAL_CR3 | RING_REAL_FLUSH | RING_REAL_FLUSH_ALL);
	if (was != wide) {
		vmm_cost(c, VMM_COST_RING_MODE);
		face(c, wide);
		ring_gdt_load(v);
	}
	return true;
}

static bool load_cr3(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	uint64_t cr3 = vcpu_get(v, VMCS_GUEST_CR3);
	if (v->s.real_changed & RING_REAL_FLUSH_ALL) {          /* CR4.PGE cleared and set */
		charge(v, COST_CR_WRITE);
		charge(v, COST_CR_WRITE);
		mmu_flush_all(&c->mmu);
	} else if (cr3 == c->s.cr3 && !(v->s.real_changed & RING_REAL_FLUSH)) {
		return true;
	}
	charge(v, COST_CR3_WRITE);
	if (mmu_set_cr3(&c->mmu, cr3))
		return false;
	c->s.cr3 = cr3;
	return true;
}

bool ring_load_real(struct vcpu *v)
{
	bool ok = true;
	if (v->s.real_changed & RING_REAL_CONTROL)
		ok = load_control(v, v->s.privilege == 1);
	if (v->s.real_changed & (RING_REAL_CR3 | RING_REAL_FLUSH | RING_REAL_FLUSH_ALL))
		ok = ok && load_cr3(v);
	if (!ok)
		vcpu_refuse(v, "the shadow root is not valid");
	v->s.real_changed = 0;
	return ok;
}

void ring_privilege(struct vcpu *v, unsigned cpl)
{
	const uint32_t now = cpl ? 1 : 2;
	if (v->s.privilege == now)
		return;
	v->s.privilege = now;
	if (v->s.cr0 & CR0_AM || (v->cpu->s.cr4 & CR4_TSD) != real_tsd(v, cpl))         /* alignment checks are the user's; time may be the kernel's */
		v->s.real_changed |= RING_REAL_CONTROL;
	if (v->vm->pager->privilege)
		v->vm->pager->privilege(v, !cpl);
}

static uint64_t slot(const struct cpu *c, unsigned off) { return own(c, cpu_page(c, 1)).v + off; }

static void push_frame(struct vcpu *v, const struct ring_frame *f, bool wide)
{
	struct cpu *c = v->cpu;
	const uint64_t word[] = { f->rip, f->cs, f->flags, f->rsp, f->ss };
	const unsigned size = wide ? 8 : 4, off = STACK_TOP - 5 * size;
	for (unsigned i = 0; i < 5; i++)
		mmu_phys_write(&c->mmu, HPA(slot(c, off + i * size)), size, word[i], WHY_EXIT_SERVICE);
	c->s.r[R_RSP] = stack_lin(c, wide) + off;
	/* IRET to a 16-bit stack segment loads SP alone, and the guest would have the VMM's upper half of ESP: the VMM's stack segment gets a
	 * base that goes with the guest's. It is flat again after the next event. */
	if (!wide && !ring_stack_big(v)) {
		const uint64_t esp = (f->rsp & 0xffff0000) | off;
		const uint32_t attr = SEG_G | SEG_P | SEG_S | SEG_DB | TYPE_WRITE | TYPE_ACCESSED;
		uint64_t raw;
		(void)ring_descriptor_of((c->s.r[R_RSP] - esp) & 0xffffffff, 0xffffffff, attr, &raw);
		mmu_phys_write(&c->mmu, HPA(own(c, RING_GDT + 16 * c->number + 15).v + RING_SEL_SS16 % PAGE_SIZE), 8, raw, WHY_EXIT_SERVICE);
		hidden(c, SEG_SS, RING_SEL_SS16, (c->s.r[R_RSP] - esp) & 0xffffffff, 0xffffffff, attr);
		c->s.r[R_RSP] = esp;
	}
}

static bool refuse_iret(struct vcpu *v)
{
	char what[96];
	const struct cpu_event *ev = &v->cpu->fault;
	snprintf(what, sizeof what, "the VMM's IRET faulted: vector %u, error code 0x%x", ev->vector, ev->error);
	vcpu_refuse(v, what);
	return false;
}

/* The CPU's registers that a guest's RSP and flags are not yet in. */
bool ring_enter(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	const struct ring_hooks *h = ring_hooks(v->vm);
	if (v->s.pending_event && !ring_reflect(v)) {
		v->s.interpreting = INTERPRET_WANTED;   /* its delivery, by the model */
		return false;
	}
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	if (flags & RFLAGS_TF && vcpu_get(v, VMCS_GUEST_PENDING_DEBUG)) {
		v->s.interpreting = INTERPRET_WANTED;   /* the single-step trap of an instruction that was carried out */
		return false;
	}
	/* blocking by STI or MOV SS ends with this instruction, and no exit tells: what waits for that is not to wait for the next one */
	if (v->s.blocking && v->s.window && (flags & RFLAGS_IF || v->s.window & VMM_WINDOW_NMI)) {
		vcpu_interpret_light(v);
		return false;
	}
	const bool wide = wide_now(v);
	const unsigned cpl = ring_virtual_cpl(v);
	ring_privilege(v, cpl);
	if (v->s.real_changed && !ring_load_real(v))
		return false;
	if (v->s.switching)
		vcpu_switch_step(v, STEP_SPACE);
	struct ring_frame f = { .rip = vcpu_get(v, VMCS_GUEST_RIP), .rsp = vcpu_get(v, VMCS_GUEST_RSP),
	                        .flags = (flags & ~(uint64_t)(RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP)) | RFLAGS_IF };
	if (v->s.blocking & 2)          /* blocking by MOV SS covers instruction breakpoints: RF does for one instruction */
		f.flags |= RFLAGS_RF;
	c->s.sysenter_cs = vcpu_get(v, VMCS_GUEST_SYSENTER_CS) & 0xfffc ? RING_SEL_CS : 0;
	c->s.tsc_aux = v->model->s.tsc_aux;
	v->s.entered_rip = f.rip;
	v->s.entered_rf = (flags & RFLAGS_RF) != 0;
	if (h->going && !h->going(v, &f.rip))
		return false;
	if (v->s.real_changed && !ring_load_real(v))    /* a page that has just been traced is not writable from now on */
		return false;
	if (!ring_segments_going(v, &f)) {
		v->s.interpreting = INTERPRET_WANTED;
		return false;
	}
	if (wide && h->kernel_syscalls) {
		vcpu_set(v, VMCS_HOST_CS, f.cs);
		vcpu_set(v, VMCS_HOST_SS, f.ss);
	}
	push_frame(v, &f, wide);
	vmm_cost(c, VMM_COST_RESTORE_REGS);
	vcpu_touch_regs(v, ring_record_regs(v), false);
	v->s.launched = 1;
	c->vmx.vm = (uint8_t)v->vm->number;
	c->vmx.virtual_user = cpl != 0;
	v->s.cr2 = c->s.cr2;
	if (!cpu_root_iret(c, wide ? 8 : 4))
		return refuse_iret(v);
	if (v->s.switching)
		vcpu_switch_step(v, STEP_JUMP);
	v->s.switching = 0;
	vmx_tell_entry(c);
	return true;
}

/* ---- the way back ---- */

static const uint32_t with_error = BIT(VEC_DF) | BIT(VEC_TS) | BIT(VEC_NP) | BIT(VEC_SS) | BIT(VEC_GP) | BIT(VEC_PF) | BIT(VEC_AC) | BIT(VEC_CP);

static uint64_t pop(struct vcpu *v, uint64_t *off, unsigned size)
{
	uint64_t x = mmu_phys_read(&v->cpu->mmu, HPA(slot(v->cpu, (unsigned)*off & (PAGE_SIZE - size))), size, WHY_EXIT_SERVICE);
	*off += size;
	return x;
}

/* The frame of the event whose stub is at rip, from off on. */
static void pop_frame(struct vcpu *v, struct ring_frame *f, uint64_t rip, uint64_t off, bool wide)
{
	const unsigned size = wide ? 8 : 4;
	*f = (struct ring_frame){ .vector = (uint16_t)((rip - stub(wide, 0)) / 16) };
	if (f->vector >= RING_STUB_SYSCALL) {
		if (ring_hooks(v->vm)->kernel_syscalls) {
			f->cs = vcpu_get(v, VMCS_HOST_CS);
			f->ss = vcpu_get(v, VMCS_HOST_SS);
		}
		return;
	}
	if (f->vector < 32 && with_error >> f->vector & 1)
		f->error = (uint32_t)pop(v, &off, size);
	f->rip = pop(v, &off, size);
	f->cs = pop(v, &off, size);
	f->flags = pop(v, &off, size);
	if (!wide && !(f->cs & 3)) {
		f->rsp = stack_lin(v->cpu, wide) + off;
		return;
	}
	f->rsp = pop(v, &off, size);
	f->ss = pop(v, &off, size);
}

static void read_frame(struct vcpu *v, struct ring_frame *f)
{
	struct cpu *c = v->cpu;
	const bool wide = c->s.efer & EFER_LMA;
	const uint64_t base = stack_lin(c, wide);
	uint64_t flags = cpu_rflags(c);
	pop_frame(v, f, c->s.rip, c->s.r[R_RSP] - base, wide);
	/* a debug trap of the guest's last instruction strikes at the stub that the instruction itself led to */
	if (f->vector == VEC_DB && !(f->cs & 3)) {
		vcpu_set(v, VMCS_GUEST_PENDING_DEBUG, c->s.dr[6] & 0x400f);
		flags = f->flags;
		pop_frame(v, f, f->rip, f->rsp - base, wide);
	}
	if (f->vector == RING_STUB_SYSCALL) {
		f->rip = c->s.r[R_RCX];
		f->flags = c->s.r[R_R11];
		f->rsp = c->s.r[R_RSP];
	}
	if (f->vector == RING_STUB_SYSENTER) {
		f->flags = flags;
		/* or the VMM's IRET would return to a task */
		cpu_set_rflags(c, 0, RFLAGS_NT);
	}
}

/* What the guest has of the flags: IF, IOPL, VIF and VIP are the record's. RF is pushed set by a fault, whatever it was; the guest's is set if it was
 * at the entry and no instruction has been completed since, or so it seems. */
#define VIRTUAL_FLAGS ((uint64_t)(RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP))

static void keep_frame(struct vcpu *v, const struct ring_frame *f)
{
	bool fault = f->vector < 32 && f->vector != VEC_DB && f->vector != VEC_NMI && !(v->s.entered_rf && f->rip == v->s.entered_rip);
	uint64_t flags = (f->flags & ~VIRTUAL_FLAGS & ~(fault ? (uint64_t)RFLAGS_RF : 0)) | (vcpu_get(v, VMCS_GUEST_RFLAGS) & VIRTUAL_FLAGS);
	vcpu_set(v, VMCS_GUEST_RIP, f->rip);
	/* IRET to a stack of 32 bits leaves the upper half of RSP as the VMM had it; it is nobody's in compatibility mode, and 0 by custom.
	 * SYSCALL comes from 64-bit mode alone. */
	const bool narrow = f->rsp >> 32 && v->s.efer & EFER_LMA && f->vector != RING_STUB_SYSCALL &&
	                    !(vcpu_get(v, VMCS_GUEST_CS_ACCESS) & SEG_L);
	vcpu_set(v, VMCS_GUEST_RSP, narrow ? (uint32_t)f->rsp : f->rsp);
	vcpu_set(v, VMCS_GUEST_RFLAGS, flags);
}

/* Blocking by STI or MOV SS: the instruction it covered has been executed; or, in translated code, it has not, after all. */
static void blocking(struct vcpu *v, uint64_t covered, bool on)
{
	const uint64_t was = vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY);
	vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, on ? was | covered : was & ~covered);
}

void ring_serve(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	const struct ring_hooks *h = ring_hooks(v->vm);
	struct ring_frame f;
	const bool over = vcpu_turn_over(v);
	v->vm->stat[VMM_STAT_EXITS]++;
	if (over)
		vcpu_switch_step(v, STEP_VMM);
	vmm_cost(c, VMM_COST_SAVE_REGS);
	vcpu_touch_regs(v, ring_record_regs(v), true);
	if (over)
		vcpu_switch_step(v, STEP_SAVE);
	read_frame(v, &f);
	if (f.vector == VEC_PF) {       /* the VMM's own affair, until the pager says that it is the guest's */
		const uint64_t at = c->s.cr2;
		c->s.cr2 = v->s.cr2;
		v->s.cr2 = at;
	}
	if (f.vector >= RING_STUBS_N || (f.vector < RING_STUB_SYSCALL && !(f.cs & 3))) {
		vcpu_refuse(v, "an exception in the VMM itself");
		return;
	}
	ring_segments_came(v, &f);
	struct ring_frame kept = f;
	const uint64_t covered = v->s.blocking;
	if (f.vector != RING_STUB_SYSENTER)
		keep_frame(v, &f);
	else
		vcpu_set(v, VMCS_GUEST_RFLAGS, (f.flags & ~VIRTUAL_FLAGS) | (vcpu_get(v, VMCS_GUEST_RFLAGS) & VIRTUAL_FLAGS));
	const bool executed = covered && f.rip != v->s.entered_rip;
	if (executed)
		blocking(v, covered, false);
	if (h->came) {
		const bool served = h->came(v, &f);
		if (!served && memcmp(&kept, &f, sizeof f))
			keep_frame(v, &f);
		if (executed && ring_peek(v, VMCS_GUEST_RIP) == v->s.entered_rip)
			blocking(v, covered, true);
		if (served)
			return;
	}
	ring_trap(v, &f);
}
