/* watchdog.h - the one thing neither limit of the sandbox sees: a single library call that takes
 * for ever, as a pattern against a long string can. Half a minute of host time without a Lua
 * instruction or a running machine ends the program. */
#ifndef UI_LUA_WATCHDOG_H
#define UI_LUA_WATCHDOG_H

#include <stdbool.h>

void watchdog_start(void);
void watchdog_alive(void);              /* a Lua instruction was executed */
void watchdog_machine(bool running);    /* time spent in a machine counts against the machine's limits */
void watchdog_stop(void);

#endif
