/* disasm.c - one instruction as text, in the looked-at CPU's mode. */
#include "ui/session/disasm.h"
#include "ui/tui/tui.h"

const char *symbol_text(const struct tui *t, uint64_t addr, char *buf, size_t n)
{
	return symbol_of(run_face(t->run)->m->symbols, addr, buf, n);
}

unsigned disassemble(const struct tui *t, uint64_t lin, char *buf, size_t n)
{
	return disassemble_at(t->run, looked_at(t), run_face(t->run)->m->symbols, lin, buf, n);
}
