/* view.c - see view.h. */
#include "ui/session/view.h"

#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/mmu/pte.h"
#include "models/mmu/walk.h"
#include "models/vmm/ring/ring.h"

/* ---- who ---- */

struct run *view_run(const struct view *v)
{
	return v->vm ? v->top->vm[v->vm - 1] : v->top;
}

static struct vm *vm_of(const struct view *v)
{
	return v->top->m->vmm->vm[v->vm - 1];
}

unsigned view_threads(const struct view *v)
{
	return view_run(v)->m->config.cpus;
}

static struct vcpu *vcpu_of(const struct view *v, unsigned thread)
{
	return vm_of(v)->vcpu[thread - 1];
}

static struct cpu *physical(const struct view *v, unsigned thread)
{
	return v->vm ? vcpu_of(v, thread)->cpu : v->top->m->cpu[thread - 1];
}

const struct cpu *view_cpu(const struct view *v, unsigned thread)
{
	return physical(v, thread);
}

/* The physical CPU holds the virtual one's registers, though the VMM may have the CPU itself. */
static bool held(const struct vcpu *k)
{
	const struct vmm *m = k->vm->vmm;
	uint32_t n = m->s.current[k->cpu->number];
	return n && m->vcpu[n - 1] == k;
}

bool view_loaded(const struct view *v, unsigned thread)
{
	if (!v->vm)
		return true;
	const struct vcpu *k = vcpu_of(v, thread);
	return held(k) && k->vm->virt->in_guest(k);
}

unsigned view_running(const struct view *v)
{
	const struct cpu *c = v->top->m->cpu[v->top->m->s.running];
	for (unsigned t = 1; t <= view_threads(v); t++)
		if (physical(v, t) == c && view_loaded(v, t))
			return t;
	return 0;
}

/* ---- registers ---- */

static uint32_t mode_of(const struct view_state *o)
{
	bool db = o->s.seg[SEG_CS].attr & SEG_DB;
	if (!(o->s.cr0 & CR0_PE))
		return db ? MODE_REAL32 : MODE_REAL16;
	if (o->rflags & RFLAGS_VM)
		return MODE_V86;
	if (!(o->s.efer & EFER_LMA))
		return db ? MODE_PROT32 : MODE_PROT16;
	if (o->s.seg[SEG_CS].attr & SEG_L)
		return MODE_LONG64;
	return db ? MODE_COMPAT32 : MODE_COMPAT16;
}

static uint64_t linear_pc(const struct view_state *o)
{
	return o->mode == MODE_LONG64 ? o->s.rip : (o->s.seg[SEG_CS].base + o->s.rip) & 0xffffffff;
}

/* "MOV from CR0 returns the value of the corresponding bit in the read shadow for bits set in the guest/host mask" */
static uint64_t shadowed(const struct vmcs *k, uint64_t real, enum vmcs_field mask, enum vmcs_field shadow)
{
	return (real & ~k->f[mask]) | (k->f[shadow] & k->f[mask]);
}

static void from_vmcs(struct view_state *o, const struct vmcs *k)
{
	struct cpu_state *s = &o->s;
	for (unsigned i = 0; i < SEG_N; i++)
		s->seg[i] = (struct seg){ .sel = (uint16_t)k->f[VMCS_GUEST_ES + i], .base = k->f[VMCS_GUEST_ES_BASE + i],
		                          .limit = (uint32_t)k->f[VMCS_GUEST_ES_LIMIT + i],
		                          .attr = (uint32_t)k->f[VMCS_GUEST_ES_ACCESS + i] };
	s->gdtr = (struct dtr){ k->f[VMCS_GUEST_GDTR_BASE], (uint32_t)k->f[VMCS_GUEST_GDTR_LIMIT], 0 };
	s->idtr = (struct dtr){ k->f[VMCS_GUEST_IDTR_BASE], (uint32_t)k->f[VMCS_GUEST_IDTR_LIMIT], 0 };
	s->rip = k->f[VMCS_GUEST_RIP];
	s->r[R_RSP] = k->f[VMCS_GUEST_RSP];
	s->dr[7] = k->f[VMCS_GUEST_DR7];
	s->cr0 = k->f[VMCS_GUEST_CR0];
	s->cr3 = k->f[VMCS_GUEST_CR3];
	s->cr4 = k->f[VMCS_GUEST_CR4];
	s->efer = k->f[VMCS_GUEST_EFER];
	o->rflags = k->f[VMCS_GUEST_RFLAGS];
	s->cpl = (uint8_t)SEG_DPL(k->f[VMCS_GUEST_SS_ACCESS]);
}

/* Beside a VMM without VMX the guest runs in other rings than it believes; what it believes is in the record, which is laid out as a
 * VMCS, and the flags that the hardware keeps for it in the hardware. */
static void virtual_rings(const struct machine *m, const struct vcpu *k, const struct vmcs *r, struct view_state *o)
{
	struct cpu_state *s = &o->s;
	bool begins;
	s->cpl = (uint8_t)SEG_DPL(r->f[VMCS_GUEST_SS_ACCESS]);
	for (unsigned i = SEG_CS; i <= SEG_SS; i++)
		s->seg[i].sel = (uint16_t)((s->seg[i].sel & ~3u) | s->cpl);
	s->gdtr = (struct dtr){ r->f[VMCS_GUEST_GDTR_BASE], (uint32_t)r->f[VMCS_GUEST_GDTR_LIMIT], 0 };
	s->idtr = (struct dtr){ r->f[VMCS_GUEST_IDTR_BASE], (uint32_t)r->f[VMCS_GUEST_IDTR_LIMIT], 0 };
	s->cr0 = k->s.cr0;
	s->cr4 = k->s.cr4;
	s->rip = (machine_linear(m, k->cpu, block_linear(k->cpu), &begins) - s->seg[SEG_CS].base) & k->cpu->lin_mask;
	o->rflags = vcpu_rflags_peek(k);
}

static void guest_state(const struct view *v, unsigned thread, struct view_state *o)
{
	const struct vcpu *k = vcpu_of(v, thread);
	bool started = v->top->m->vmm->s.started && !k->s.reload;
	struct vmcs vmcs;
	o->vm = v->vm;
	o->vmx = VIEW_VMX_NON_ROOT;
	o->loaded = view_loaded(v, thread);
	const struct ring_hooks *hooks = k->vm->virt->ring ? ring_hooks(k->vm) : NULL;
	o->cr8 = hooks && hooks->cr8 ? hooks->cr8(k) : k->model->lapic ? lapic_cr8(k->model->lapic) : 0;
	if (!started || !vmcs_peek(k->cpu, k->s.vmcs, &vmcs)) {
		o->s = k->model->s;
		o->rflags = cpu_rflags(k->model);
	} else {
		o->s = held(k) ? k->cpu->s : k->model->s;
		o->s.rip = cpu_rip(k->cpu);
		o->rflags = cpu_rflags(k->cpu);
		if (!o->loaded)
			from_vmcs(o, &vmcs);
		if (k->vm->virt->ring && o->loaded) {
			virtual_rings(v->top->m, k, &vmcs, o);
		} else {
			o->s.cr0 = shadowed(&vmcs, o->s.cr0, VMCS_CR0_MASK, VMCS_CR0_SHADOW);
			o->s.cr4 = shadowed(&vmcs, o->s.cr4, VMCS_CR4_MASK, VMCS_CR4_SHADOW);
		}
		if (k->vm->pager->page_fault) {         /* the pager keeps these from the hardware */
			o->s.cr3 = k->s.cr3;
			o->s.efer = k->s.efer;
		}
	}
	o->cpl = o->s.cpl;
	o->mode = mode_of(o);
	o->pc = linear_pc(o);
}

void view_state(const struct view *v, unsigned thread, struct view_state *o)
{
	const struct cpu *c = physical(v, thread);
	memset(o, 0, sizeof *o);
	o->cycle = c->ledger.now;
	o->insns = c->s.icount;
	if (v->vm) {
		guest_state(v, thread, o);
		return;
	}
	o->s = c->s;
	o->s.rip = cpu_rip(c);
	o->rflags = cpu_rflags(c);
	o->cr8 = lapic_cr8(c->lapic);
	o->cpl = c->s.cpl;
	o->mode = c->s.mode;
	o->vmx = c->vmx.vmxon == VMCS_NONE ? VIEW_VMX_OFF : c->vmx.guest ? VIEW_VMX_NON_ROOT : VIEW_VMX_ROOT;
	o->vm = c->vmx.guest ? c->vmx.vm : 0;
	o->loaded = true;
	o->pc = linear_pc(o);
}

/* ---- memory ---- */

static uint64_t entry_at(const struct mem *m, uint64_t at, unsigned bytes)
{
	uint64_t e = 0;
	return mem_peek(m, HPA(at), &e, bytes) ? e : 0;
}

/* A guest's own page tables, read from its memory. */
static bool guest_translate(const struct view *v, unsigned thread, uint64_t lin, uint64_t *gpa)
{
	const struct mem *m = &view_run(v)->m->mem;
	const uint64_t base = v->top->m->vmm->vm[v->vm - 1]->entry_base;       /* pv/direct: entries hold machine addresses */
	struct view_state o;
	struct paging g;
	view_state(v, thread, &o);
	paging_of(&g, o.s.cr0, o.s.cr3, o.s.cr4, o.s.efer, (unsigned)physical(v, thread)->profile->phys_bits);
	if (o.mode != MODE_LONG64)
		lin &= 0xffffffff;
	*gpa = lin;
	if (!g.levels)
		return true;
	if (g.canonical && (uint64_t)((int64_t)(lin << g.canonical) >> g.canonical) != lin)
		return false;
	uint64_t table = o.s.cr3 & (g.levels == 2 ? 0xfffff000 : MASK(52) & PAGE_MASK);
	unsigned top = g.levels;
	if (g.levels == 3) {
		uint64_t pdpte = entry_at(m, (o.s.cr3 & 0xffffffe0) + 8 * BITS(lin, 31, 30), 8);
		if (!(pdpte & PTE_P))
			return false;
		table = (pdpte & MASK(52) & PAGE_MASK) - base;
		top = 2;
	}
	for (unsigned level = top;; level--) {
		unsigned shift = 12 + (level - 1) * g.index_bits;
		uint64_t e = entry_at(m, table + BITS(lin, shift + g.index_bits - 1, shift) * g.entry_bytes, g.entry_bytes);
		if (!(e & PTE_P))
			return false;
		bool large = e & PTE_PS && g.large >> level & 1;
		table = (e & g.address[level][large]) - base;
		if (level > 1 && !large)
			continue;
		if (large && g.levels == 2)
			table |= BITS(e, 20, 13) << 32;
		*gpa = table | (lin & MASK(large ? shift : 12));
		return true;
	}
}

bool view_translate(const struct view *v, unsigned thread, uint64_t lin, uint64_t *pa)
{
	struct walk_record w;
	if (v->vm)
		return guest_translate(v, thread, lin, pa);
	if (!mmu_peek(&physical(v, thread)->mmu, lin, &w))
		return false;
	*pa = w.hpa.v;
	return true;
}

/* One piece within a page: the memory it is in, and where. */
static struct mem *piece(const struct view *v, unsigned thread, enum view_memory how, uint64_t at, hpa_t *pa)
{
	struct machine *host = v->top->m, *seen = view_run(v)->m;
	*pa = HPA(at);
	switch (how) {
	case VIEW_HOST_PHYSICAL:
		return &host->mem;
	case VIEW_GUEST_PHYSICAL:
		if (v->vm)
			return &seen->mem;
		/* a guest of the host's own hypervisor: by the EPT in force */
		return mmu_peek_gpa(&physical(v, thread)->mmu, GPA(at), pa, NULL) ? &host->mem : NULL;
	default:
		return view_translate(v, thread, at, &pa->v) ? &seen->mem : NULL;
	}
}

size_t view_peek(const struct view *v, unsigned thread, enum view_memory how, uint64_t at, void *buf, size_t n)
{
	size_t done = 0;
	while (done < n) {
		size_t k = PAGE_SIZE - ((at + done) & 0xfff);
		hpa_t pa;
		const struct mem *m = piece(v, thread, how, at + done, &pa);
		k = k < n - done ? k : n - done;
		if (!m || !mem_peek(m, pa, (char *)buf + done, k))
			break;
		done += k;
	}
	return done;
}

size_t view_bytes(struct run *top, const struct cpu *c, uint64_t lin, void *buf, size_t n)
{
	size_t done = n;
	while (done && !mmu_peek_bytes(&c->mmu, lin, buf, done))
		done--;
	for (unsigned vm = 1; done < n && vm <= top->vms; vm++) {
		const struct view v = { top, vm };
		for (unsigned thread = 1; thread <= view_threads(&v); thread++)
			if (view_cpu(&v, thread) == c && view_loaded(&v, thread))
				return view_peek(&v, thread, VIEW_LINEAR, lin, buf, n);
	}
	return done;
}

bool view_poke(const struct view *v, unsigned thread, enum view_memory how, uint64_t at, const void *buf, size_t n)
{
	uint8_t probe[PAGE_SIZE];
	for (size_t done = 0, k; done < n; done += k) {
		k = n - done < sizeof probe ? n - done : sizeof probe;
		if (view_peek(v, thread, how, at + done, probe, k) != k)
			return false;
	}
	for (size_t done = 0, k; done < n; done += k) {
		hpa_t pa;
		struct mem *m = piece(v, thread, how, at + done, &pa);
		k = PAGE_SIZE - ((at + done) & 0xfff);
		k = k < n - done ? k : n - done;
		if (!m || !mem_write(m, pa, (const char *)buf + done, k))
			return false;
	}
	return true;
}

/* ---- writing registers ---- */

static void into(struct cpu_state *s, enum view_set what, unsigned i, const uint8_t value[16])
{
	uint64_t x;
	memcpy(&x, value, 8);
	switch (what) {
	case VIEW_SET_GPR: s->r[i] = x; break;
	case VIEW_SET_XMM: memcpy(s->xmm[i], value, 16); break;
	case VIEW_SET_MXCSR: s->mxcsr = (uint32_t)x & 0xffff; break;
	case VIEW_SET_ST: {
		struct x87_reg *st = &s->st[((s->fsw >> 11 & 7) + i) & 7];
		st->mant = x;
		memcpy(&st->se, value + 8, 2);
		break;
	}
	case VIEW_SET_FPU: {
		uint16_t *const at[] = { &s->fcw, &s->fsw, &s->ftw };
		*at[i] = (uint16_t)x;
		break;
	}
	default:
		break;
	}
}

static void into_cpu(struct cpu *c, enum view_set what, unsigned i, const uint8_t value[16])
{
	uint64_t x;
	memcpy(&x, value, 8);
	if (what == VIEW_SET_IP) {
		c->s.rip = x & c->lin_mask;
		block_forget(c);
	} else if (what == VIEW_SET_RFLAGS) {
		cpu_set_rflags(c, x, 0x3f7fd7 & ~(uint64_t)RFLAGS_VM);  /* virtual-8086 mode takes more than the flag */
		flags_changed(c);
	} else {
		into(&c->s, what, i, value);
	}
	cpu_restored(c);
}

bool view_register(const struct view *v, unsigned thread, enum view_set what, unsigned i, const uint8_t value[16])
{
	struct cpu *c = physical(v, thread);
	uint8_t offset[16] = { 0 };
	uint64_t x;
	memcpy(&x, value, 8);
	if (what == VIEW_SET_RIP) {
		struct view_state o;
		view_state(v, thread, &o);
		if (o.mode != MODE_LONG64)
			x = (x - o.s.seg[SEG_CS].base) & 0xffffffff;
		memcpy(offset, &x, 8);
		value = offset;
		what = VIEW_SET_IP;
	}
	if (view_loaded(v, thread)) {
		into_cpu(c, what, i, value);
		return true;
	}
	struct vcpu *k = vcpu_of(v, thread);
	bool started = v->top->m->vmm->s.started && !k->s.reload;
	struct vmcs *on_chip = started ? vmcs_active(c, k->s.vmcs) : NULL;
	bool in_vmcs = what == VIEW_SET_IP || what == VIEW_SET_RFLAGS || (what == VIEW_SET_GPR && i == R_RSP);
	if (!in_vmcs) {
		into(held(k) ? &c->s : &k->model->s, what, i, value);
	} else if (on_chip) {
		enum vmcs_field f = what == VIEW_SET_IP ? VMCS_GUEST_RIP : what == VIEW_SET_GPR ? VMCS_GUEST_RSP : VMCS_GUEST_RFLAGS;
		on_chip->f[f] = what == VIEW_SET_RFLAGS ? (on_chip->f[f] & ~0x3d7fd5ull) | (x & 0x3d7fd5) : x;
	} else if (started) {
		return false;           /* its VMCS is not on chip */
	} else if (what == VIEW_SET_IP) {
		k->model->s.rip = x;
	} else if (what == VIEW_SET_RFLAGS) {
		cpu_set_rflags(k->model, x, 0x3d7fd7);
	} else {
		k->model->s.r[R_RSP] = x;
	}
	return true;
}

/* ---- in words ---- */

void view_describe(const struct view *v, unsigned thread, char *buf, size_t n)
{
	static const char *const activity[] = { "", ", halted", ", shutdown", ", waits for SIPI" };
	struct view_state o;
	view_state(v, thread, &o);
	const char *busy = activity[o.s.activity & 3];
	char where[24] = "";
	if (v->vm && v->top->m->vmm->s.started && !o.loaded)
		busy = vcpu_of(v, thread)->s.halted ? ", halted" : vcpu_of(v, thread)->s.runnable ? ", not running" : ", waits for SIPI";
	if (o.vm)
		snprintf(where, sizeof where, ", vm%u", o.vm);
	else if (o.vmx != VIEW_VMX_OFF)
		snprintf(where, sizeof where, o.vmx == VIEW_VMX_ROOT ? ", VMX root" : ", VMX non-root");
	snprintf(buf, n, "CPU %u, ring %u%s%s", thread - 1, o.cpl, where, busy);
}
