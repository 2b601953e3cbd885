-- The simulated machine of Bhargava et al. 2008 (Opteron-like), for studies of two-dimensional walks.
-- Its second-level TLB for 2 MB pages (128 entries, direct-mapped) has no counterpart here: 2 MB pages use the first level alone.
-- Each row: what (vmscope list profile-rows), how much, where the number comes from. Other rows keep their defaults.
return {
	-- clock and addresses
	{ "hz",             2400000000, "assumed: the paper counts cycles only; a clock of its generation" },
	{ "phys_bits",      48, "AMD64 family 10H" },
	{ "lin_bits",       48, "AMD64 family 10H" },
	-- caches
	{ "l1i.size",       65536, "Bhargava et al. 2008, section 5" },
	{ "l1i.ways",       2, "AMD64 family 10H" },
	{ "l1d.size",       65536, "Bhargava et al. 2008, section 5" },
	{ "l1d.ways",       2, "AMD64 family 10H" },
	{ "l1.latency",     3, "AMD64 family 10H" },
	{ "l2.size",        524288, "Bhargava et al. 2008, section 5" },
	{ "l2.ways",        16, "AMD64 family 10H" },
	{ "l2.latency",     11, "Bhargava et al. 2008, section 5: a page-walk cache miss that hits L2 takes 11" },
	{ "l3.size",        2097152, "Bhargava et al. 2008, section 5" },
	{ "l3.ways",        32, "AMD64 family 10H" },
	{ "l3.latency",     45, "assumed: so that with memory the average beyond L2 is about 100" },
	{ "mem.latency",    160, "Bhargava et al. 2008, section 5: average L2-miss latency 100" },
	-- TLBs
	{ "itlb.4k",        32, "AMD64 family 10H" },
	{ "itlb.4k.ways",   32, "AMD64 family 10H: fully associative" },
	{ "itlb.2m",        16, "AMD64 family 10H" },
	{ "itlb.2m.ways",   16, "AMD64 family 10H: fully associative" },
	{ "dtlb.4k",        64, "Bhargava et al. 2008, section 5" },
	{ "dtlb.4k.ways",   64, "Bhargava et al. 2008, section 5: fully associative" },
	{ "dtlb.2m",        64, "Bhargava et al. 2008, section 5: the same array" },
	{ "dtlb.2m.ways",   64, "Bhargava et al. 2008, section 5: fully associative" },
	{ "dtlb.1g",        0, "assumed: not used in the study" },
	{ "stlb.4k",        512, "Bhargava et al. 2008, section 5" },
	{ "stlb.4k.ways",   4, "Bhargava et al. 2008, section 5" },
	{ "stlb.2m.shared", 0, "Bhargava et al. 2008, section 5" },
	{ "stlb.1g",        0, "assumed: not used in the study" },
	{ "stlb.latency",   5, "assumed: between the first level and a walk's first reference" },
	{ "walk.base",      2, "assumed: the page-walk cache answers in 2" },
	{ "psc.pml5e",      0, "no 5-level paging" },
	{ "psc.pml4e",      2, "Bhargava et al. 2008, section 5: 24 entries in all; the division among levels is assumed" },
	{ "psc.pdpte",      6, "Bhargava et al. 2008, section 5: 24 entries in all; the division among levels is assumed" },
	{ "psc.pde",        16, "Bhargava et al. 2008, section 5: 24 entries in all; the division among levels is assumed" },
	{ "nested.tlb",     16, "Bhargava et al. 2008, section 5" },
	{ "ept.psc",        16, "assumed: the page-walk cache holds nested entries too" },
	{ "walk.ad_assist", 100, "assumed: AMD cores set the bits without a microcode assist" },
	-- transitions
	{ "exception.flow", 200, "assumed: near the Intel cores of its time" },
	{ "vmexit.flow",    600, "assumed: near Core 2" },
	{ "vmentry.flow",   500, "assumed: near Core 2" },
	-- instructions
	{ "cost.syscall",   40, "assumed: near Nehalem" },
	{ "cost.sysret",    40, "assumed: near Nehalem" },
	{ "cost.cpuid",     60, "assumed: not virtualized, not microcoded at length" },
	{ "cost.rdtsc",     70, "assumed: serialises partly" },
}
