/* regs.h - registers by gdb's numbers, and the target description that says which they are. */
#ifndef UI_GDB_REGS_H
#define UI_GDB_REGS_H

#include "ui/gdb/packet.h"
#include "ui/session/view.h"

enum gdb_arch { GDB_I386, GDB_X86_64, GDB_I8086 /* i386, disassembled as 16-bit code */ };

/* The description gdb is given, by what is booted and not by the mode of the moment, for gdb asks for it once: i386 for a
 * 32-bit ELF and for what begins in real mode; everything else is x86-64 on a CPU with Intel 64. */
enum gdb_arch gdb_arch_of(const struct run *face);
const char *gdb_arch_name(enum gdb_arch a);             /* as in gdb's `set architecture` */

unsigned regs_n(enum gdb_arch a);
/* Bytes of register n, its value in `value` (little-endian, at most 16 bytes); 0: no such register. */
unsigned reg_get(enum gdb_arch a, unsigned n, const struct view_state *s, uint8_t value[16]);
unsigned reg_size(enum gdb_arch a, unsigned n);
bool reg_set(enum gdb_arch a, unsigned n, const struct view *v, unsigned thread, const uint8_t value[16]);
/* target.xml, the caller's to free. */
char *regs_xml(enum gdb_arch a);

#endif
