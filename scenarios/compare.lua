-- compare.lua - which technique suits which workload, and why: a comparison to take as a beginning.
--
--   vmscope run scenarios/compare.lua [--set workload="gups size=64m"] [--set technique=shadow.wp] [--set profile=prescott]
--
-- Each case is a machine of its own in a process of its own. Before any number is believed the console and the final
-- memory of every case are compared with the bare machine's.

local function list(text)
	local names = {}
	for name in text:gmatch "[^,]+" do names[#names + 1] = name end
	return names
end

local found = compare {
	workload = list(set.workload or "forkwait,gups"),
	technique = list(set.technique or "shadow.wp,ept,ept:2M"),
	profile = list(set.profile or "skylake"),
}
report(found)
check(found.ok, "every technique did the same work")

-- What the tables round off is in found.rows, exactly: one row for each case, with every statistic by name.
print "\nFor each TLB miss: cycles in page walks, references to page tables"
for _, row in ipairs(found.rows) do
	local misses = row["tlb.miss"]
	if row.outcome == "ok" and misses > 0 then
		local references = row["walk.ref.guest"] + row["walk.ref.ept"] + row["walk.ref.shadow"]
		print(string.format("  %-20s %-16s %6.1f cycles %6.2f references",
			row.workload, row.technique, row["walk.cycles"] / misses, references / misses))
	end
end
