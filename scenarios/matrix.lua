-- matrix.lua - every pair of CPU and memory virtualization on a few small workloads, and who wins where.
--
--   vmscope run scenarios/matrix.lua [--set profile=prescott] [--set "workload=cli n=2000"]
--
-- The same as `vmscope compare --all`, which takes all standard workloads and some minutes. docs/compare.md.

local workload = set.workload or { "syscall n=500", "in n=100", "pgfault n=300", "ptemod n=500", "forkwait n=10", "ctxsw n=50" }
local found = compare { profile = set.profile or "skylake", all = true, ram = "32M", show = "matrix", workload = workload }
report(found)
check(found.ok, "every technique did the same work")

local best, order = {}, {}
for _, row in ipairs(found.rows) do
	if row.slowdown and row.technique ~= "native/native" then
		local b = best[row.workload]
		if not b then order[#order + 1] = row.workload end
		if not b or row.slowdown < b.slowdown then best[row.workload] = row end
	end
end
print("\nThe fastest of each line (others may be as fast):")
for _, w in ipairs(order) do
	print(("  %-16s %-22s %.2f times the bare machine's cycles"):format(w, best[w].technique, best[w].slowdown))
end

print [[

How to read it: under bt, trap and pv system calls and faults go through the
VMM, VT-x leaves them to the guest; but VT-x pays an exit where a translator
reads a virtual port by a call. Shadow paging pays where page tables change, EPT
where the TLB misses, pv/direct for each batch of updates. No column is the best
everywhere: that is why there were all of them.

Where to go next
  vmscope compare --all                        all workloads
  vmscope compare --workload forkwait --technique bt,pv,ept
                                               why: exits, references, cycles
  vmscope explain bt/shadow pv/direct vmx/ept]]
