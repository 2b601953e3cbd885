/* host.h - run a few bytes of 64-bit code on the host's processor, from a given state, and see what it did.
 *
 * State, data and stack live at fixed low addresses, so that code can name them absolutely and the same addresses mean
 * the same to the simulated CPU. A signal (#DE, #UD, #GP, #PF) ends the run and is reported as a vector. */
#ifndef TESTS_CPU_HOST_H
#define TESTS_CPU_HOST_H

#include <stdbool.h>
#include <stdint.h>

#define HOST_LOW   0x100000u            /* of everything mapped */
#define HOST_DATA  0x200000u            /* data window */
#define HOST_STACK 0x1f0000u            /* stack window, around the initial RSP */
#define HOST_WINDOW 1024u               /* bytes of each that are compared, around the address */

struct host_regs { uint64_t r[16], flags; };

bool host_present(void);                /* an x86-64, and the addresses are free */
/* Run code; *regs in and out. Returns the vector of an exception, or -1. */
int host_run(const uint8_t *code, unsigned len, struct host_regs *regs);
/* The same in 32-bit compatibility mode, the eight old registers: for what 64-bit mode has dropped. */
int host_run32(const uint8_t *code, unsigned len, struct host_regs *regs);

#endif
