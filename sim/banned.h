/* banned.h - what would make two runs differ, or overrun a buffer, does not compile in sim/
 * and models/.
 *
 * The Makefile includes this file first in every file of both folders. The system headers that
 * declare the banned functions come first, so that their declarations are not caught. */
#ifndef SIM_BANNED_H
#define SIM_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BANNED(name, instead) banned_##name##__use_##instead

/* The host's clock, its random numbers and its environment: same inputs would not give the
 * same bytes. */
#undef time
#define time(...)          BANNED(time, ledger_now)
#undef clock
#define clock(...)         BANNED(clock, ledger_now)
#undef clock_gettime
#define clock_gettime(...) BANNED(clock_gettime, ledger_now)
#undef gettimeofday
#define gettimeofday(...)  BANNED(gettimeofday, ledger_now)
#undef localtime
#define localtime(...)     BANNED(localtime, own_calendar)
#undef localtime_r
#define localtime_r(...)   BANNED(localtime_r, own_calendar)
#undef gmtime
#define gmtime(...)        BANNED(gmtime, own_calendar)
#undef gmtime_r
#define gmtime_r(...)      BANNED(gmtime_r, own_calendar)
#undef mktime
#define mktime(...)        BANNED(mktime, own_calendar)
#undef rand
#define rand(...)          BANNED(rand, rng_u64)
#undef srand
#define srand(...)         BANNED(srand, rng_init)
#undef random
#define random(...)        BANNED(random, rng_u64)
#undef srandom
#define srandom(...)       BANNED(srandom, rng_init)
#undef getenv
#define getenv(...)        BANNED(getenv, machine_config)

/* Unbounded copies. */
#undef strcpy
#define strcpy(...)        BANNED(strcpy, snprintf)
#undef strcat
#define strcat(...)        BANNED(strcat, snprintf)
#undef strncpy
#define strncpy(...)       BANNED(strncpy, snprintf)
#undef sprintf
#define sprintf(...)       BANNED(sprintf, snprintf)
#undef vsprintf
#define vsprintf(...)      BANNED(vsprintf, vsnprintf)
#undef strtok
#define strtok(...)        BANNED(strtok, strtok_r)

#endif
