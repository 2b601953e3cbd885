/* paths.h - where vmscope's own files are: scenarios/ and the guests that were built beside
 * the program. */
#ifndef UI_SESSION_PATHS_H
#define UI_SESSION_PATHS_H

#include <stdbool.h>
#include <stddef.h>

struct err;

/* The folder that holds scenarios/cpus: the program's own or the nearest above it; else the
 * current one. */
const char *paths_root(void);
int paths_home(const char *dir, struct err *e);                 /* --home: that one instead */
int paths_there(struct err *e);         /* -1: it holds none, the program was taken elsewhere; asked before a name of ours is called unknown */
bool paths_profile(const char *name, char *buf, size_t n);     /* scenarios/cpus/NAME.lua */
bool paths_guest(const char *name, char *buf, size_t n);       /* build/guests/NAME.elf or .bin */
bool paths_scenario(const char *name, char *buf, size_t n);    /* scenarios/NAME.lua */
/* Is `path` (which must exist) inside `folder`, symbolic links followed? */
bool paths_inside(const char *folder, const char *path);
/* Call fn with each NAME of DIR/NAME.suffix, sorted; returns how many. */
size_t paths_each(const char *dir, const char *suffix, void (*fn)(void *arg, const char *name),
                  void *arg);

#endif
