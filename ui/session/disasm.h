/* disasm.h - one instruction as text, with the names of what it branches to. Looks only. */
#ifndef UI_SESSION_DISASM_H
#define UI_SESSION_DISASM_H

#include "ui/session/session.h"

/* At a linear address, in the CPU's mode: text, and its length in bytes; 0: unreadable. */
unsigned disassemble_at(struct run *top, const struct cpu *c, const struct symtab *symbols, uint64_t lin, char *buf, size_t n);
/* The same of bytes, in a mode: enum cpu_mode. */
unsigned disassemble_bytes(unsigned mode, const uint8_t *bytes, size_t have, const struct symtab *symbols, uint64_t lin, char *buf, size_t n);
const char *symbol_of(const struct symtab *symbols, uint64_t addr, char *buf, size_t n);        /* "name+0x12" or "" */

#endif
