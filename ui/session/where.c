/* where.c - see where.h. */
#include "ui/session/where.h"

#include <inttypes.h>
#include <string.h>

#include "models/cpu/block.h"
#include "ui/session/disasm.h"
#include "ui/session/stops.h"

static const struct { const char *name; unsigned r; } names[] = {
	{ "rax", R_RAX }, { "rbx", R_RBX }, { "rcx", R_RCX }, { "rdx", R_RDX }, { "rsi", R_RSI }, { "rdi", R_RDI }, { "rbp", R_RBP }, { "rsp", R_RSP },
	{ "r8", R_R8 }, { "r9", R_R9 }, { "r10", R_R10 }, { "r11", R_R11 }, { "r12", R_R12 }, { "r13", R_R13 }, { "r14", R_R14 }, { "r15", R_R15 },
};

static const struct field_row *row(const char *name)
{
	for (size_t i = 0; i < cpu_fields_n; i++)
		if (strcmp(cpu_fields[i].name, name) == 0)
			return &cpu_fields[i];
	return NULL;
}

static void print_field(FILE *f, const struct cpu *c, const char *name, const char *end)
{
	char text[160];
	const struct field_row *r = row(name);
	const struct field_group g = { .obj = (void *)(uintptr_t)c };
	if (!r)
		return;
	field_format(r, field_read(&g, r), text, sizeof text);
	fprintf(f, "%s %s%s", name, text, end);
}

void where_print(FILE *f, struct run *r)
{
	const struct machine *m = r->m;
	const struct stop_hit *h = stops_hit(r);
	const struct cpu *c = m->cpu[h ? h->cpu : m->s.running];
	const uint64_t lin = block_linear(c);
	const struct symtab *symbols = run_face(r)->m->symbols;
	char text[160], name[120];
	fprintf(f, "instruction %" PRIu64 ", cycle %" PRIu64 ", cpu%u", machine_icount(m), machine_now(m), c->number);
	if (machine_vm_on(m, c))
		fprintf(f, ", in vm%u", machine_vm_on(m, c));
	else if (m->vmm)
		fprintf(f, ", in the VMM");
	symbol_of(symbols, lin, name, sizeof name);
	fprintf(f, "\n  %0*" PRIx64 " %s%s", c->s.mode == MODE_LONG64 ? 16 : 8, lin, name, *name ? ": " : "");
	fprintf(f, "%s\n", cpu_root_modelled(c) ? "(a VM exit: the VMM is about to serve it)" : disassemble_at(r, c, symbols, lin, text, sizeof text) ? text : "(unreadable)");
	for (size_t i = 0; i < (c->s.mode == MODE_LONG64 ? 16u : 8u); i++)
		fprintf(f, "%s%-3s %0*" PRIx64 "%s", i % 4 ? " " : "  ", names[i].name, c->s.mode == MODE_LONG64 ? 16 : 8,
		        c->s.mode == MODE_LONG64 ? c->s.r[names[i].r] : c->s.r[names[i].r] & 0xffffffff, i % 4 == 3 ? "\n" : "");
	fprintf(f, "  ");
	print_field(f, c, "rflags", "\n  ");
	print_field(f, c, "cr0", "\n  ");
	print_field(f, c, "cr3", "  ");
	print_field(f, c, "cpl", "\n");
}
