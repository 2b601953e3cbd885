/* stops.c - what stops a run (ui/session/stops.h) on the screen: its kinds as commands, the pane, the key.
 *
 * A stop made here is of the virtual machine that runs on the CPU looked at, or of the first one; of the machine when there
 * is none. Its text is its command. */
#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "ui/session/stops.h"
#include "ui/tui/tui.h"

static struct run *owner(struct tui *t)
{
	unsigned vm = machine_vm_on(t->m, looked_at(t));
	return vm && vm <= t->run->vms ? t->run->vm[vm - 1] : run_face(t->run);
}

static int add(struct tui *t, const char *kind, const char *operands, struct err *e)
{
	char text[440];
	snprintf(text, sizeof text, "%s %s", kind, operands);
	uint32_t id = stops_add(owner(t), text, e);
	if (!id)
		return -1;
	tui_say(t, false, "stop %u: %s%s%s", id, stops_at(t->run, stops_count(t->run) - 1)->text, t->run->vms ? ", in " : "", t->run->vms ? owner(t)->name : "");
	return 0;
}

#define STOP(ID, name, operands, parse, sentence, more) \
int cmd_stop_##ID(struct tui *t, char *args, struct err *e); \
int cmd_stop_##ID(struct tui *t, char *args, struct err *e) { return add(t, name, args, e); }
#include "ui/session/stop.def"

static int number(const char *args, uint64_t *id, struct err *e)
{
	return parse_number(args, id) ? 0 : err_set(e, NULL, NULL, "'%s': expected a stop's number, as :stops shows them", args);
}

int cmd_delete(struct tui *t, char *args, struct err *e);
int cmd_delete(struct tui *t, char *args, struct err *e)
{
	uint64_t id;
	if (*args) {
		if (number(args, &id, e) != 0)
			return -1;
		if (!stops_remove(t->run, (uint32_t)id))
			return err_set(e, NULL, NULL, "there is no stop %s", args);
		tui_say(t, false, "stop %s deleted", args);
		return 0;
	}
	size_t n = stops_count(t->run);
	while (stops_count(t->run))
		stops_remove(t->run, stops_at(t->run, 0)->id);
	tui_say(t, false, "%zu stop%s deleted", n, n == 1 ? "" : "s");
	return 0;
}

static int turn(struct tui *t, const char *args, bool off, struct err *e)
{
	uint64_t id;
	if (number(args, &id, e) != 0)
		return -1;
	if (!stops_switch(t->run, (uint32_t)id, off))
		return err_set(e, NULL, NULL, "there is no stop %s", args);
	tui_say(t, false, "stop %s is %s", args, off ? "off" : "on");
	return 0;
}
int cmd_enable(struct tui *t, char *args, struct err *e);
int cmd_enable(struct tui *t, char *args, struct err *e) { return turn(t, args, false, e); }
int cmd_disable(struct tui *t, char *args, struct err *e);
int cmd_disable(struct tui *t, char *args, struct err *e) { return turn(t, args, true, e); }

int cmd_stops(struct tui *t, char *args, struct err *e);
int cmd_stops(struct tui *t, char *args, struct err *e)
{
	char text[] = "stops";
	(void)args;
	for (size_t i = 0; i < tui_commands_n; i++)
		if (strcmp(tui_commands[i].name, "pane") == 0)
			return tui_commands[i].run(t, text, e);
	return 0;
}

void stops_toggle_here(struct tui *t)
{
	const uint64_t lin = block_linear(looked_at(t));
	uint32_t id = stops_break_at(t->run, lin);
	struct err e = { "" };
	if (id)
		stops_remove(t->run, id);
	else if (!stops_add_break(owner(t), lin, -1, &e))
		tui_say(t, true, "%s", e.text);
}

void draw_stops(struct tui *t, struct pane_out *o);
void draw_stops(struct tui *t, struct pane_out *o)
{
	const struct stop_hit *h = stops_hit(t->run);
	if (!stops_count(t->run)) {
		put(o, STYLE_DIM, "none; :break main, :watch gpa:0x1000 8, :catch exit.cpuid, :change cr3 ...");
		nl(o);
		put(o, STYLE_DIM, "vmscope list stop-kinds has them all");
		nl(o);
		return;
	}
	for (size_t i = 0; i < stops_count(t->run); i++) {
		const struct stop *s = stops_at(t->run, i);
		const bool now = stops_was_hit(t->run, s->id);
		if (now)
			here(o);
		put(o, now ? STYLE_CHANGED : s->off ? STYLE_DIM : STYLE_NORMAL, "%c%3u %s%6llu  %s", now ? '>' : ' ', s->id, s->off ? "off " : "", (unsigned long long)s->hits, s->text);
		nl(o);
	}
	if (h) {
		put(o, STYLE_NORMAL, "%s", h->why);
		nl(o);
	}
}
