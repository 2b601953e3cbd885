/* gdb.h - a run that a gdb steps through, by the remote serial protocol over TCP.
 *
 *   packet.c  bytes to packets and back           point.c   break- and watchpoints (Z0 to Z4)
 *   go.c      steps and continues, both ways; stop replies (what gdb looks at, host or VM: ui/session/view.h)
 *   regs.c    registers, target description       monitor.c what `monitor` can be told (monitor.def)
 *   answer.c  a packet, its answer                server.c  the socket
 *
 * One client at a time. Before the first instruction it is waited for; every stop is between two instructions. Looking
 * costs no simulated time; what is changed begins a new branch of the timeline. */
#ifndef UI_GDB_GDB_H
#define UI_GDB_GDB_H

#include "ui/session/session.h"

enum { GDB_ENDS = 0, GDB_GOES_ON = 1 };
/* where: PORT or ADDRESS:PORT, and perhaps ,i386, ,x86-64 or ,i8086; loopback unless an address is given. Serves one client until it kills the run or goes
 * (GDB_ENDS), or detaches (GDB_GOES_ON); -1: e says what was wrong with `where`. */
int gdb_serve(struct run *r, const char *where, struct err *e);

/* The parts of `where`: [ADDRESS:]PORT[,ARCHITECTURE]. */
struct gdb_where {
	char host[256];
	uint16_t port;                  /* 0: any that is free */
	int arch;                       /* enum gdb_arch, -1: as the kernel image is */
};
int gdb_where(const char *where, struct gdb_where *w, struct err *e);

#endif
