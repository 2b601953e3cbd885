/* translations.c - see translations.h. */
#include "ui/session/translations.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "models/symbols.h"
#include "models/vmm/ring/ring.h"
#include "models/vmm/virt.h"
#include "ui/export/outfile.h"
#include "ui/session/disasm.h"

static const struct { const char *name; size_t at; } members[] = {
#define MEMBER(name) { "shared." #name, offsetof(struct bt_shared, name) }
	MEMBER(pc), MEMBER(target), MEMBER(flags_delta), MEMBER(cr0), MEMBER(cr3), MEMBER(cr4), MEMBER(vif), MEMBER(pending),
	MEMBER(cs), MEMBER(ss), MEMBER(gs), MEMBER(ldtr), MEMBER(tr),
};
static const char *const regs[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi" };

static void replace(char *text, size_t n, uint64_t address, const char *name)
{
	char hex[24], copy[96];
	snprintf(hex, sizeof hex, "0x%" PRIx64, address);
	char *at = strstr(text, hex);
	if (!at || strchr("0123456789abcdef", at[strlen(hex)] ? at[strlen(hex)] : 'x'))
		return;
	snprintf(copy, sizeof copy, "%.*s%s%s", (int)(at - text), text, name, at + strlen(hex));
	snprintf(text, n, "%s", copy);
}

/* Addresses in the shared page by their names. */
static void name_shared(const struct vcpu *v, bool wide, char *text, size_t n)
{
	const uint64_t page = (wide ? RING_CORNER_64 : RING_CORNER_32) + (uint64_t)(RING_SHARED + v->number) * PAGE_SIZE;
	char name[24];
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		replace(text, n, page + members[i].at, members[i].name);
	for (unsigned i = 0; i < ARRAY_LEN(regs); i++) {
		snprintf(name, sizeof name, "shared.%s", regs[i] + !wide);
		if (!wide)
			snprintf(name, sizeof name, "shared.e%s", regs[i] + 1);
		replace(text, n, page + offsetof(struct bt_shared, r) + 8 * i, name);
	}
	replace(text, n, page + offsetof(struct bt_shared, vif) + 1, "shared.vif+1");
	replace(text, n, bt_lin(v, 0), "lookup");
}

static const char *note_of(const struct bt_point *p)
{
	if (p->callout && p->callout < BT_CALLOUTS)
		return bt_callout_rows[p->callout].name;
	return BT_RIP(p) == BT_EXIT0 || BT_RIP(p) == BT_EXIT1 ? "exit" : "";
}

void translation_lines(const struct bt_seen *b, const struct vcpu *v, const struct symtab *symbols,
                       bool (*fn)(void *who, const struct translation_line *l), void *who)
{
	const unsigned mode = b->wide ? MODE_LONG64 : MODE_PROT32;
	for (unsigned i = 0; i < b->d.points; i++) {
		const struct bt_point *p = &b->point[i];
		struct translation_line l = { .at = b->at + p->at, .note = note_of(p) };
		if (p->at >= b->d.len)
			return;
		disassemble_bytes(mode, b->code + p->at, b->d.len - p->at, symbols, l.at, l.code, sizeof l.code);
		name_shared(v, b->wide, l.code, sizeof l.code);
		l.begins = bt_point_clean(p) && p->guest < b->d.guest_len &&
		           !(i && bt_point_clean(&b->point[i - 1]) && b->point[i - 1].guest == p->guest);
		if (l.begins) {
			l.rip = b->d.pc + p->guest;
			if (b->guest_there)
				disassemble_bytes(mode, b->guest + p->guest, b->d.guest_len - p->guest, symbols, l.rip, l.guest, sizeof l.guest);
			else
				snprintf(l.guest, sizeof l.guest, "(gone)");
		}
		if (!fn(who, &l))
			return;
	}
}

const struct vcpu *translations_of(const struct run *r, unsigned vcpu)
{
	if (!r->host || !r->host->m->vmm)
		return NULL;
	for (unsigned i = 0; i < r->host->vms; i++) {
		const struct vm *vm = r->host->vm[i] == r && i < r->host->m->vmm->vms ? r->host->m->vmm->vm[i] : NULL;
		if (vm && vm->virt == &virt_bt && vcpu < vm->config.vcpus)
			return vm->vcpu[vcpu];
	}
	return NULL;
}

/* ---- a listing ---- */

static bool print_line(void *who, const struct translation_line *l)
{
	FILE *f = who;
	if (l->begins)
		fprintf(f, "  %16" PRIx64 "  %-44s | ", l->rip, l->guest);
	else
		fprintf(f, "  %16s  %-44s | ", "", "");
	fprintf(f, "%" PRIx64 "  %s%s%s\n", l->at, l->code, l->note[0] ? "    ; " : "", l->note);
	return true;
}

static void print_block(FILE *f, const struct vcpu *v, const struct bt_seen *b, const struct symtab *symbols)
{
	char name[80];
	symbol_of(symbols, b->d.pc, name, sizeof name);
	fprintf(f, "\n%#" PRIx64 "%s%s%s: %u instructions, %u bytes, became %u%s", b->d.pc, name[0] ? " <" : "", name, name[0] ? ">" : "", b->d.insns,
	        b->d.guest_len, b->d.len, b->d.live ? "" : "; dropped");
	for (unsigned i = 0; i < b->d.exits && i < BT_EXITS_MAX; i++)
		fprintf(f, "%s %#" PRIx64 "%s", i ? "," : "; to", b->d.exit[i], b->d.to[i] ? " (chained)" : "");
	fprintf(f, "\n");
	translation_lines(b, v, symbols, print_line, f);
}

int translations_write(struct session *s, const char *path, struct err *e)
{
	struct bt_seen *b = xcalloc(1, sizeof *b);
	bool any = false;
	FILE *f = outfile_open(path, e);
	for (size_t i = 0; f && i < s->n; i++) {
		const struct run *host = s->runs[i];
		for (unsigned k = 0; k < host->vms; k++) {
			const struct vcpu *v;
			for (unsigned c = 0; (v = translations_of(host->vm[k], c)) != NULL; c++) {
				any = true;
				fprintf(f, "vm%u, virtual CPU %u: %u blocks in %u of %u bytes\n", v->vm->number, c, bt_state(v)->blocks_n, bt_state(v)->code,
				        bt_state(v)->code_max);
				for (unsigned n = 0; bt_see(v, n, b); n++)
					print_block(f, v, b, host->vm[k]->m->symbols);
			}
		}
	}
	free(b);
	if (!f)
		return -1;
	if (!any)
		fprintf(f, "no virtual machine under bt\n");
	return outfile_close(f, path, e);
}
