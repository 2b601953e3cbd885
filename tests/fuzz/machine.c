/* The machine that fuzz targets share between inputs: building one costs a thousand times what an input does. */
#include <stdlib.h>

#include "models/machine.h"
#include "tests/fuzz/fuzz.h"

struct machine *fuzz_machine(struct fuzz_machine *f, uint64_t ram)
{
	struct machine_config k;
	struct err e = { "" };
	if (f->m) {
		machine_set_fast(f->m, false);
		snap_restore(f->m->snaps, f->fresh);
		return f->m;
	}
	machine_config_defaults(&k);
	k.ram = ram;
	k.trace_ring = 64;
	k.profile.l2_size = 65536;      /* small caches: state that is quick to put back */
	k.profile.l3_size = 262144;
	k.profile.cet_shstk = k.profile.cet_ibt = 1;
	f->m = machine_new(&k, &e);
	if (!f->m)
		abort();
	f->fresh = snap_take(f->m->snaps, "fresh");
	return f->m;
}
