/* profile_file.h - a CPU profile's file: scenarios/cpus/NAME.lua returns a table of rows. */
#ifndef UI_LUA_PROFILE_FILE_H
#define UI_LUA_PROFILE_FILE_H

#include "models/profile.h"

/* Defaults overwritten by the file's rows. where: whose wish it was, for an unknown name. */
int profile_load(const char *name, struct profile *p, const char *where, struct err *e);

#endif
