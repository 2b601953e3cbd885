/* base.h - the words every file shares.
 *
 * Addresses of different spaces are different types: passing a guest-physical
 * address where a host-physical one belongs does not compile. Linear (virtual)
 * addresses are plain uint64_t: an instruction computes with them.
 *
 * The host must be little-endian: guest registers and memory are read in place. */
#ifndef SIM_BASE_H
#define SIM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t cycle_t;               /* a point in, or a span of, simulated time */

typedef struct { uint64_t v; } gpa_t;   /* guest-physical: what a guest's page tables yield */
typedef struct { uint64_t v; } hpa_t;   /* host-physical: the address on the simulated memory bus */

#define GPA(x) ((gpa_t){ (x) })
#define HPA(x) ((hpa_t){ (x) })

#define ARRAY_LEN(a)  (sizeof(a) / sizeof((a)[0]))
#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define BIT(n)        (1ull << (n))
#define MASK(n)       ((n) >= 64 ? ~0ull : BIT(n) - 1)   /* the n low bits */
#define BITS(v, hi, lo) (((v) >> (lo)) & MASK((hi) - (lo) + 1))

#define NORETURN      __attribute__((noreturn))
#define PRINTF(f, a)  __attribute__((format(printf, f, a)))

#define PAGE_SHIFT    12
#define PAGE_SIZE     4096u
#define PAGE_MASK     (~(uint64_t)0xfff)

#define CPUS_MAX      16
#define NEVER         (~(cycle_t)0)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "vmscope needs a little-endian host");

#endif
