#include "ui/session/stops_impl.h"
#define LATER(f) int f(struct stops *k, struct run *r, struct stopper *p, const char *o, struct err *e) \
{ (void)k; (void)r; (void)p; return err_set(e, NULL, "break, watch, rwatch, awatch", "'%s' is not built", o); }
LATER(stop_catch) LATER(stop_insn) LATER(stop_change) LATER(stop_ledger) LATER(stop_when)
