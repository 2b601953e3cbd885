/* report.c - the checker's verdict in words, and as JSON. */
#include <inttypes.h>

#include "ui/equiv/equiv.h"
#include "ui/export/json.h"

static const struct { uint16_t insn; uint8_t form; const char *text; } reasons[] = {
#define REASON(INSN, form, text) { INSN_##INSN, FORM_##form, text },
#include "ui/equiv/reason.def"
};

const char *equiv_reason(enum insn i, enum insn_form form)
{
	for (size_t k = 0; k < ARRAY_LEN(reasons); k++)
		if (reasons[k].insn == i && reasons[k].form == form)
			return reasons[k].text;
	return NULL;
}

void equiv_print(FILE *f, const struct equiv_result *r)
{
	if (r->verdict != EQUIV_DIFFERS) {
		fprintf(f, "equivalent: %" PRIu64 " instructions of the guest and %" PRIu64 " interrupts did what they\n  do on a bare machine%s%s\n", r->instructions,
		        r->interrupts, r->verdict == EQUIV_LIMIT ? "; the guest has not ended, the limit was: " : ", to the guest's end: ", stop_name(r->stop));
		if (r->stop == MACHINE_STOP_GUEST_EXIT && r->status != 1)
			fprintf(f, "  the guest says that it failed, here as there: exit status %d\n", r->status);
		fprintf(f, "  %" PRIu64 " accesses to devices compared, %" PRIu64 " time-dependent results taken over\n", r->accesses, r->answers);
		return;
	}
	fprintf(f, "not equivalent: the guest's instruction %" PRIu64 "%s did something\n  else than on a bare machine\n", r->instructions,
	        r->interrupt ? ", or the interrupt after it," : "");
	if (r->text[0]) {
		char code[48] = "";
		for (unsigned i = 0; i < r->length; i++)
			snprintf(code + 3 * i, sizeof code - 3 * i, "%02x ", r->code[i]);
		fprintf(f, "  %#" PRIx64 "%s%s%s, ring %u of the guest: %s  (%.*s)\n", r->linear, r->symbol[0] ? " <" : "", r->symbol, r->symbol[0] ? ">" : "",
		        r->ring, r->text, r->length ? (int)(3 * r->length - 1) : 0, code);
	}
	fprintf(f, "  %-28s %18s %18s\n", "", "bare machine", "under test");
	for (unsigned i = 0; i < r->fields; i++)
		fprintf(f, "  %-28s %#18" PRIx64 " %#18" PRIx64 "\n", r->field[i].name, r->field[i].reference, r->field[i].test);
	fprintf(f, "  %s\n", r->reason);
}

void equiv_json(FILE *f, const struct equiv_result *r)
{
	static const char *const verdicts[] = { "equivalent", "differs", "limit" };
	struct json j;
	json_init(&j, f, false);
	json_object(&j, NULL);
	json_text(&j, "verdict", verdicts[r->verdict]);
	json_u64(&j, "instructions", r->instructions);
	json_u64(&j, "interrupts", r->interrupts);
	json_u64(&j, "accesses", r->accesses);
	json_u64(&j, "answers", r->answers);
	if (r->verdict == EQUIV_DIFFERS) {
		json_u64(&j, "address", r->linear);
		json_text(&j, "symbol", r->symbol);
		json_text(&j, "instruction", r->text);
		json_u64(&j, "ring", r->ring);
		json_bool(&j, "critical", r->critical);
		json_bool(&j, "interrupt", r->interrupt);
		json_text(&j, "reason", r->reason);
		json_array(&j, "fields");
		for (unsigned i = 0; i < r->fields; i++) {
			json_object(&j, NULL);
			json_text(&j, "name", r->field[i].name);
			json_u64(&j, "bare", r->field[i].reference);
			json_u64(&j, "test", r->field[i].test);
			json_end_object(&j);
		}
		json_end_array(&j);
	}
	json_end_object(&j);
	fputc('\n', f);
}
