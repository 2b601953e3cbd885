/* item.h - one thing that has a name: what list prints a line of and explain explains. */
#ifndef UI_CLI_ITEM_H
#define UI_CLI_ITEM_H

#include "sim/base.h"

struct item {
	const char *name;
	const char *also;               /* another name explain finds it by, or NULL */
	const char *detail;             /* a few words: unit, number, default; may be "" */
	const char *sentence;
	const char *more;               /* further lines for explain, or NULL */
};
typedef void item_fn(void *arg, const struct item *it);
typedef void each_fn(item_fn *fn, void *arg);

struct kind { const char *name; each_fn *each; const char *one, *sentence; };
extern const struct kind kinds[];
extern const size_t kinds_n;

each_fn each_vmcs, each_control, each_exit, each_vmm_cost, each_hypercall, each_translation, each_callout;      /* kinds_vmx.c */
each_fn each_pane, each_layout, each_key, each_screen_command;   /* kinds_tui.c */
each_fn each_mmu, each_pair, each_switch_step, each_notion;      /* kinds_vm.c */
each_fn each_export;                    /* kinds_export.c */

/* lua's own table, which only ui/lua may name Lua types for */
void api_each(item_fn *fn, void *arg);
void api_meta(void);                    /* the ---@meta file on stdout */

#endif
