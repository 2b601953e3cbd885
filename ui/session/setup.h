/* setup.h - from keys and values to a machine's configuration: the command line and Lua use
 * the same keys.
 *
 * Keys may come in any order: the profile is loaded first, then single rows override it. */
#ifndef UI_SESSION_SETUP_H
#define UI_SESSION_SETUP_H

#include "models/machine.h"
#include "models/vmm/vmm.h"

struct setup {
	struct machine_config config;
	struct boot_image image;
	char profile[32];
	char profile_where[128];
	bool reset_on_shutdown;
	const char *cpu, *mmu;          /* technique: NULL is native */
	struct vm_config vm;            /* when it is not native: `config` is what the guest finds */
	unsigned host_cpus;             /* 0: as many as virtual ones */
	/* overrides of profile rows */
	struct setup_row { char key[48], where[128]; uint64_t value; } *rows;
	size_t n_rows;
	/* keys that not every technique can use */
	struct setup_given { char key[48], where[128]; } *given;
	size_t n_given;
	char **texts;                   /* owned strings the configuration points at */
	size_t n_texts;
};

struct config_row { const char *key, *value, *who, *sentence; };
extern const struct config_row config_rows[];
extern const size_t config_rows_n;

void setup_init(struct setup *s);
void setup_fini(struct setup *s);
/* Set one key from text. where: as in err_set. */
int setup_set(struct setup *s, const char *key, const char *value, const char *where,
              struct err *e);
/* "key=value" */
int setup_set_pair(struct setup *s, const char *pair, const char *where, struct err *e);
/* Load the profile and apply the rows: config is complete afterwards. */
bool setup_virtual(const struct setup *s);       /* a technique other than native was asked for */
int setup_finish(struct setup *s, struct err *e);
/* Of one finished machine: its technique can use every key that was given; else it is refused, not ignored. A comparison gives
 * one set of keys to several techniques and asks for each key whether one of them can use it. */
int setup_keys_used(const struct setup *s, struct err *e);
const char *setup_users(const char *key, char *buf, size_t n);  /* "shadow or agile"; "": whatever machine it is */
bool setup_key_used(const char *key, const char *cpu, const char *mmu);
/* The refusal. under: "under vmx/ept"; flag: how techniques are chosen ("--technique"), NULL: by the keys cpu and mmu. */
int setup_unused(const char *key, const char *under, const char *flag, const char *where, struct err *e);
/* Unknown keys, refused with the most similar one. more: NULL or names ending with NULL that are known beside the configuration. */
bool setup_known(const char *key);
int setup_unknown(const char *key, const char *const *more, const char *where, struct err *e);
const char *setup_keep(struct setup *s, const char *text);      /* a copy that lives as long as the setup */
bool setup_is_path(const char *key);                            /* the key's value names a file */

/* Numbers as people write them: 12, 0x10, 512M, 2e9; false when it is none or does not fit. */
bool parse_number(const char *text, uint64_t *v);

#endif
