/* kinds_tui.c - the stepping screen's tables as lists: panes, arrangements, keys, commands. */
#include "ui/cli/item.h"
#include "ui/tui/tui.h"

void each_pane(item_fn *fn, void *arg)
{
	for (unsigned i = 0; i < PANE_N; i++)
		fn(arg, &(struct item){ pane_rows[i].name, NULL, "", pane_rows[i].sentence, NULL });
}

void each_layout(item_fn *fn, void *arg)
{
	for (unsigned i = 0; i < layout_rows_n; i++)
		fn(arg, &(struct item){ layout_rows[i].name, NULL, "", layout_rows[i].sentence, layout_rows[i].spec });
}

void each_key(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < action_rows_n; i++)
		fn(arg, &(struct item){ action_rows[i].name, NULL, action_rows[i].keys, action_rows[i].sentence, NULL });
}

void each_screen_command(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < tui_commands_n; i++)
		fn(arg, &(struct item){ tui_commands[i].name, NULL, tui_commands[i].operands, tui_commands[i].sentence, NULL });
}
