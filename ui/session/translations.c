/* translations.c - see translations.h. */
#include "ui/session/translations.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/machine.h"
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

/* "main+0x12", or the address. */
static const char *guest_place(const struct symtab *symbols, uint64_t pc, char *buf, size_t n)
{
	if (!symbol_of(symbols, pc, buf, n)[0])
		snprintf(buf, n, "%#" PRIx64, pc);
	return buf;
}

/* Where the jump at the end of the block leads; what a callout is. */
static void note(const struct bt_seen *b, const struct bt_point *p, const struct symtab *symbols, struct translation_line *l)
{
	const unsigned exit = BT_RIP(p) == BT_EXIT1;
	char name[90];
	if (p->callout && p->callout < BT_CALLOUTS) {
		snprintf(l->note, sizeof l->note, "callout %s", bt_callout_rows[p->callout].name);
	} else if (BT_RIP(p) == BT_EXIT0 || exit) {
		l->leaves = true;
		snprintf(l->note, sizeof l->note, "%s %s", b->d.to[exit] ? "chained to" : "not chained:",
		         guest_place(symbols, b->d.exit[exit], name, sizeof name));
	}
}

/* A place in the block by its distance from the beginning, one in another block as what the note says. */
static void name_inside(const struct bt_seen *b, struct translation_line *l)
{
	char *at = strstr(l->code, " 0x"), name[16];
	uint64_t to = at ? strtoull(at + 1, NULL, 16) : 0;
	if (!at || l->code[0] != 'j')
		return;
	if (to - b->at < b->d.len) {
		snprintf(name, sizeof name, "+%" PRIx64, to - b->at);
		replace(l->code, sizeof l->code, to, name);
	} else if (l->leaves) {
		replace(l->code, sizeof l->code, to, "its block");
	}
}

void translation_lines(const struct bt_seen *b, const struct vcpu *v, const struct symtab *symbols,
                       bool (*fn)(void *who, const struct translation_line *l), void *who)
{
	const unsigned mode = b->wide ? MODE_LONG64 : MODE_PROT32;
	unsigned begun = ~0u;
	for (unsigned i = 0; i < b->d.points; i++) {
		const struct bt_point *p = &b->point[i];
		struct translation_line l = { .at = b->at + p->at };
		if (p->at >= b->d.len)
			return;
		note(b, p, symbols, &l);
		disassemble_bytes(mode, b->code + p->at, b->d.len - p->at, symbols, l.at, l.code, sizeof l.code);
		name_shared(v, b->wide, l.code, sizeof l.code);
		name_inside(b, &l);
		l.rip = b->d.pc + p->guest;
		l.begins = bt_point_clean(p) && p->guest < b->d.guest_len && p->guest != begun;
		if (l.begins) {
			begun = p->guest;
			if (b->guest_there)
				disassemble_bytes(mode, b->guest + p->guest, b->d.guest_len - p->guest, symbols, l.rip, l.guest, sizeof l.guest);
			else
				snprintf(l.guest, sizeof l.guest, "(its page is not there now)");
		}
		if (!fn(who, &l))
			return;
	}
}

bool translation_at(const struct vcpu *v, uint64_t lin, struct bt_seen *b)
{
	uint32_t lo = 0, hi = bt_state(v)->blocks_n;
	if (!bt_inside(v, lin) || !hi)
		return false;
	while (hi - lo > 1) {           /* they lie in the order of their numbers */
		uint32_t mid = (lo + hi) / 2;
		if (bt_see(v, mid, b) && b->at <= lin)
			lo = mid;
		else
			hi = mid;
	}
	return bt_see(v, lo, b) && lin - b->at < b->d.len;
}

const struct bt_point *translation_point(const struct bt_seen *b, uint64_t lin)
{
	for (unsigned i = 0; i < b->d.points; i++)
		if (b->at + b->point[i].at == lin)
			return &b->point[i];
	return NULL;
}

const struct vcpu *translation_runs(const struct machine *m, const struct cpu *c)
{
	const struct vmm *vmm = m->vmm;
	const struct vcpu *v = vmm && vmm->s.current[c->number] ? vmm->vcpu[vmm->s.current[c->number] - 1] : NULL;
	return v && v->vm->virt == &virt_bt && !cpu_root_modelled(c) && bt_inside(v, block_linear(c)) ? v : NULL;
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
