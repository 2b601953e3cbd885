/* fp_host.c - see fp_host.h. */
#define _GNU_SOURCE                     /* the names of registers in a signal context */
#include "tests/unit/cpu/fp_host.h"

#include <stdlib.h>
#include <string.h>

#include "models/cpu/cpuid.h"
#include "models/cpu/decode.h"
#include "models/cpu/flags.h"
#include "models/cpu/x87.h"

/* ---- the simulated side ---- */
struct fp_sim {
	struct cpu c;
	struct profile p;
	bool hot;
	struct soft_tlb_entry soft[SOFT_TLB_N];
	_Alignas(4096) uint8_t page[2 * 4096];
};

struct fp_sim *fp_sim_new(void)
{
	struct fp_sim *f = aligned_alloc(4096, (sizeof *f + 4095) & ~(size_t)4095);
	memset(f, 0, sizeof *f);
	struct cpu *c = &f->c;
	profile_defaults(&f->p);
	c->profile = &f->p;
	memset(c->features, 0xff, sizeof c->features);
	c->decoder = decoder_new(c);
	c->lin_mask = ~(uint64_t)0;
	c->s.mode = MODE_LONG64;
	c->s.cr0 = CR0_PE | CR0_NE | CR0_MP | CR0_PG;
	c->s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PAE | CR4_OSXSAVE;
	c->s.xcr0 = 3;
	c->s.flags = 2;
	for (unsigned i = 0; i < SEG_N; i++)
		c->s.seg[i].lim_r = c->s.seg[i].lim_w = ~(uint64_t)0;
	c->mmu.soft = f->soft;
	for (unsigned i = 0; i < SOFT_TLB_N; i++)
		c->mmu.soft[i].tag_r = c->mmu.soft[i].tag_w = ~(uint64_t)0;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t lin = (uint64_t)(uintptr_t)f->page + 4096 * i;
		struct soft_tlb_entry *e = &c->mmu.soft[(lin >> PAGE_SHIFT) & (SOFT_TLB_N - 1)];
		e->tag_r = e->tag_w = lin;
		e->host = 0;
	}
	return f;
}

void fp_sim_free(struct fp_sim *f)
{
	decoder_free(f->c.decoder);
	free(f);
}

struct cpu *fp_sim_cpu(struct fp_sim *f) { return &f->c; }
void fp_sim_hot(struct fp_sim *f, bool hot) { f->hot = hot; }

int fp_sim_step(struct fp_sim *f, const uint8_t *code, unsigned len)
{
	struct cpu *c = &f->c;
	struct uop u;
	uint8_t bytes[16] = { 0 };
	memcpy(bytes, code, len);
	if (!decode(c->decoder, c->profile, c->s.mode, bytes, 15, &u) || u.len != len)
		return -2;
	c->cur = &u;
	if (setjmp(c->fault_exit))
		return c->fault.vector;
	if (f->hot && !(u.flags & UOP_END))
		u.fn(c, &u);            /* the deadline has passed: stops after one */
	else
		u.body(c, &u);
	return -1;
}

void fp_sim_load(struct fp_sim *f, const struct fp_state *s)
{
	struct cpu *c = &f->c;
	const struct fx *x = &s->fx;
	c->s.fcw = x->fcw;
	c->s.fsw = x->fsw;
	for (unsigned i = 0; i < 8; i++) {
		c->s.st[x87_phys(c, i)].mant = x->st[i].mant;
		c->s.st[x87_phys(c, i)].se = x->st[i].se;
	}
	x87_set_abridged(c, x->ftw);
	c->s.mxcsr = x->mxcsr;
	memcpy(c->s.xmm, x->xmm, sizeof x->xmm);
	memcpy(c->s.r, s->r, sizeof s->r);
	c->s.r[R_RDI] = (uint64_t)(uintptr_t)f->page + 2048;
	flags_set_status(c, s->flags);
	memcpy(f->page + 2048, s->mem, sizeof s->mem);
}

void fp_sim_store(const struct fp_sim *f, struct fp_state *s)
{
	const struct cpu *c = &f->c;
	struct fx *x = &s->fx;
	x->fcw = c->s.fcw;
	x->fsw = c->s.fsw;
	x->ftw = x87_abridged(c);
	for (unsigned i = 0; i < 8; i++) {
		x->st[i].mant = x87_raw(c, i).mant;
		x->st[i].se = x87_raw(c, i).se;
	}
	x->mxcsr = c->s.mxcsr;
	memcpy(x->xmm, c->s.xmm, sizeof x->xmm);
	uint64_t rdi = s->r[R_RDI];
	memcpy(s->r, c->s.r, sizeof s->r);
	s->r[R_RDI] = rdi;
	s->flags = flags_status(c);
	memcpy(s->mem, f->page + 2048, sizeof s->mem);
}

void fp_sim_run(struct fp_sim *f, const uint8_t *code, unsigned len, struct fp_state *s)
{
	fp_sim_load(f, s);
	s->vector = fp_sim_step(f, code, len);
	fp_sim_store(f, s);
}

/* ---- the host's side ---- */
#if defined(__x86_64__) && defined(__linux__)
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

static struct { sigjmp_buf back; struct fp_state *s; uint8_t *stub; bool ready; } host;

bool fp_host_present(void)
{
	return __builtin_cpu_supports("sse4.2");
}

static void on_sigfpe(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info;
	const ucontext_t *u = context;
	const greg_t *g = u->uc_mcontext.gregs;
	memcpy(&host.s->fx, u->uc_mcontext.fpregs, sizeof host.s->fx);
	host.s->r[0] = (uint64_t)g[REG_RAX];
	host.s->r[1] = (uint64_t)g[REG_RCX];
	host.s->r[2] = (uint64_t)g[REG_RDX];
	host.s->r[3] = (uint64_t)g[REG_RBX];
	host.s->r[6] = (uint64_t)g[REG_RSI];
	host.s->flags = (uint64_t)g[REG_EFL];
	host.s->vector = VEC_XM;
	siglongjmp(host.back, 1);
}

static void prepare(void)
{
	host.stub = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sigaction sa = { .sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO | SA_NODEFER };
	sigaction(SIGFPE, &sa, NULL);
	host.ready = true;
}

void fp_host_run(const uint8_t *code, unsigned len, struct fp_state *s)
{
	if (!host.ready)
		prepare();
	memcpy(host.stub, code, len);
	host.stub[len] = 0xc3;
	host.s = s;
	s->vector = -1;
	if (!sigsetjmp(host.back, 1)) {
		__asm__ volatile(
			"lea -256(%%rsp), %%rsp\n"
			"mov %[s], %%r12\n"
			"mov %[stub], %%r13\n"
			"fxrstor64 (%%r12)\n"
			"pushq 576(%%r12)\n"
			"popfq\n"
			"mov 512(%%r12), %%rax\n"
			"mov 520(%%r12), %%rcx\n"
			"mov 528(%%r12), %%rdx\n"
			"mov 536(%%r12), %%rbx\n"
			"mov 560(%%r12), %%rsi\n"
			"lea 640(%%r12), %%rdi\n"
			"call *%%r13\n"
			"fxsave64 (%%r12)\n"
			"mov %%rax, 512(%%r12)\n"
			"mov %%rcx, 520(%%r12)\n"
			"mov %%rdx, 528(%%r12)\n"
			"mov %%rbx, 536(%%r12)\n"
			"mov %%rsi, 560(%%r12)\n"
			"pushfq\n"
			"popq 576(%%r12)\n"
			"lea 256(%%rsp), %%rsp\n"
			: : [s] "r"(s), [stub] "r"(host.stub)
			: "rax", "rcx", "rdx", "rbx", "rsi", "rdi", "r12", "r13", "memory", "cc");
	}
	static const uint32_t quiet = 0x1f80;
	__asm__ volatile("fninit\nldmxcsr %0" : : "m"(quiet));
	s->flags &= RFLAGS_STATUS;
}
_Static_assert(offsetof(struct fp_state, r) == 512 && offsetof(struct fp_state, flags) == 576 && offsetof(struct fp_state, mem) == 640, "as the asm says");
#else
bool fp_host_present(void) { return false; }
void fp_host_run(const uint8_t *code, unsigned len, struct fp_state *s) { (void)code, (void)len, (void)s; }
#endif
