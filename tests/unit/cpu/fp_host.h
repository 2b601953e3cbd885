/* fp_host.h - one floating-point instruction on the simulated CPU and on the host's, from the same
 * state.
 *
 * The simulated side is a bare struct cpu whose soft TLB maps the test's own buffer; the
 * instruction is decoded and its body called. The host side loads the state with FXRSTOR, runs the
 * bytes and saves it again; #XM arrives as SIGFPE. FIP, FDP and FOP are not compared: processors
 * differ in when they keep them. */
#ifndef TESTS_FP_HOST_H
#define TESTS_FP_HOST_H

#include "models/cpu/cpu.h"

struct fx {                             /* an FXSAVE image */
	uint16_t fcw, fsw;
	uint8_t ftw, r0;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	struct { uint64_t mant; uint16_t se; uint16_t r[3]; } st[8];
	uint64_t xmm[16][2];
	uint8_t rest[96];
};
_Static_assert(sizeof(struct fx) == 512, "an FXSAVE image");

struct fp_state {
	_Alignas(64) struct fx fx;
	uint64_t r[8];                  /* RAX.. RDI; RSP and RBP are not used */
	uint64_t flags;
	_Alignas(64) uint8_t mem[64];   /* RDI points here */
	int vector;                     /* raised, or -1 */
};

bool fp_host_present(void);             /* x86-64 with SSE4.2: else the differential tests skip */
void fp_host_run(const uint8_t *code, unsigned len, struct fp_state *s);

struct fp_sim;
struct fp_sim *fp_sim_new(void);
void fp_sim_free(struct fp_sim *f);
void fp_sim_run(struct fp_sim *f, const uint8_t *code, unsigned len, struct fp_state *s);
struct cpu *fp_sim_cpu(struct fp_sim *f);
void fp_sim_hot(struct fp_sim *f, bool hot);    /* through the handler decoding chose; else always the body */
/* The state of the last fp_sim_run as it stands in the CPU, without loading it again: for
 * sequences. */
void fp_sim_load(struct fp_sim *f, const struct fp_state *s);
void fp_sim_store(const struct fp_sim *f, struct fp_state *s);
int fp_sim_step(struct fp_sim *f, const uint8_t *code, unsigned len);   /* vector, or -1 */

#endif
