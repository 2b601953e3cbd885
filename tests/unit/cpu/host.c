/* host.c - see host.h. */
#define _GNU_SOURCE                     /* MAP_FIXED_NOREPLACE */
#include "tests/unit/cpu/host.h"

#if defined(__x86_64__)

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define HOST_SIZE 0x200000u
#define STATE     (HOST_LOW + 0x1000)
#define CODE      (HOST_LOW + 0x2000)

struct state { uint64_t in[16], out[16], flags_in, flags_out, after_out, host_rsp, far_to; };

static sigjmp_buf back;
static uint8_t *emit_at;

static void emit(const void *bytes, unsigned n)
{
	memcpy(emit_at, bytes, n);
	emit_at += n;
}

/* MOV between a 64-bit register and an absolute address below 2 GB: REX.W op /r, SIB without base. */
static void mov_abs(uint8_t opcode, unsigned reg, uint32_t addr)
{
	uint8_t b[8] = { (uint8_t)(0x48 | (reg >> 3) << 2), opcode, (uint8_t)(4 | (reg & 7) << 3), 0x25 };
	memcpy(b + 4, &addr, 4);
	emit(b, 8);
}
enum { LOAD = 0x8b, STORE = 0x89, RSP = 4 };
#define FIELD(f) (STATE + (uint32_t)offsetof(struct state, f))

static void mov_rsp(uint32_t v)         /* mov esp, imm32 */
{
	emit((uint8_t[]){ 0xbc, (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24) }, 5);
}

/* Linux's selectors of user code and data. */
enum { CODE64 = 0x33, CODE32 = 0x23, DATA32 = 0x2b };

/* JMP FAR to the next emitted byte but in segment `sel`: through a pointer in the state, or (from 32-bit code) direct. */
static void far_jump_next(uint16_t sel, bool from64)
{
	uint32_t to = (uint32_t)(uintptr_t)emit_at + 7;
	if (from64) {
		memcpy((void *)(uintptr_t)FIELD(far_to), &to, 4);
		memcpy((void *)(uintptr_t)(FIELD(far_to) + 4), &sel, 2);
		uint32_t at = FIELD(far_to);
		uint8_t b[7] = { 0xff, 0x2c, 0x25 };
		memcpy(b + 3, &at, 4);
		emit(b, 7);
	} else {
		uint8_t b[7] = { 0xea };
		memcpy(b + 1, &to, 4);
		memcpy(b + 5, &sel, 2);
		emit(b, 7);
	}
}

static void build(const uint8_t *code, unsigned len, bool is32)
{
	emit_at = (uint8_t *)(uintptr_t)CODE;
	emit((uint8_t[]){ 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x9c }, 11);      /* push callee-saved; pushfq */
	if (is32)                                                                                       /* mov eax, DATA32; mov ds, ax; mov es, ax */
		emit((uint8_t[]){ 0xb8, DATA32, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xc0 }, 9);
	mov_abs(STORE, RSP, FIELD(host_rsp));
	mov_rsp(FIELD(flags_in));
	emit((uint8_t[]){ 0x9d }, 1);                                                                   /* popfq */
	for (unsigned i = 0; i < 16; i++)
		mov_abs(LOAD, i, FIELD(in) + 8 * i);
	if (is32)
		far_jump_next(CODE32, true);
	emit(code, len);
	if (is32)
		far_jump_next(CODE64, false);
	for (unsigned i = 0; i < 16; i++)
		mov_abs(STORE, i, FIELD(out) + 8 * i);
	mov_rsp(FIELD(after_out));
	emit((uint8_t[]){ 0x9c }, 1);                                                                   /* pushfq */
	mov_abs(LOAD, RSP, FIELD(host_rsp));
	emit((uint8_t[]){ 0x9d, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3 }, 12);
}

static void handler(int sig)
{
	siglongjmp(back, sig);
}

static bool map(void)
{
	static int mapped;
	if (!mapped) {
		void *at = mmap((void *)(uintptr_t)HOST_LOW, HOST_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		mapped = at == (void *)(uintptr_t)HOST_LOW ? 1 : -1;
	}
	return mapped > 0;
}

bool host_present(void)
{
	return map();
}

static int run(const uint8_t *code, unsigned len, struct host_regs *regs, bool is32)
{
	static uint8_t stack[65536];
	static const int signals[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGTRAP };
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_ONSTACK }, old[5];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack }, old_ss;
	struct state *s = (struct state *)(uintptr_t)STATE;
	volatile int vector = -1;
	build(code, len, is32);
	memcpy(s->in, regs->r, sizeof s->in);
	s->flags_in = regs->flags | 0x202;
	sigaltstack(&ss, &old_ss);
	for (unsigned i = 0; i < 5; i++)
		sigaction(signals[i], &sa, &old[i]);
	int sig = sigsetjmp(back, 1);
	if (!sig)
		((void (*)(void))(uintptr_t)CODE)();
	else
		vector = sig == SIGFPE ? 0 : sig == SIGILL ? 6 : sig == SIGTRAP ? 3 : 13;     /* #BR comes as SIGSEGV, too */
	for (unsigned i = 0; i < 5; i++)
		sigaction(signals[i], &old[i], NULL);
	sigaltstack(&old_ss, NULL);
	__asm__ volatile("cld");
	if (vector < 0) {
		memcpy(regs->r, s->out, sizeof s->out);
		regs->flags = s->flags_out;
	}
	return vector;
}

int host_run(const uint8_t *code, unsigned len, struct host_regs *regs)
{
	return run(code, len, regs, false);
}

int host_run32(const uint8_t *code, unsigned len, struct host_regs *regs)
{
	return run(code, len, regs, true);
}

#else

bool host_present(void) { return false; }
int host_run(const uint8_t *code, unsigned len, struct host_regs *regs)
{
	(void)code, (void)len, (void)regs;
	return -1;
}
int host_run32(const uint8_t *code, unsigned len, struct host_regs *regs)
{
	(void)code, (void)len, (void)regs;
	return -1;
}

#endif
