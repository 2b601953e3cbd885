-- compare{}: two techniques that do the same work, and a guest that prints time, which cannot be the same.
--! it diverges, as it should
local found = compare { workload = { "in n=5", "forkwait n=2" }, technique = { "ept", "shadow.wp" }, ram = "32M", show = "summary" }
check(found.ok, "the same work")
check(#found.rows == 6 and #found.divergences == 0, "six cases")
for _, r in ipairs(found.rows) do
	check(r.outcome == "ok" and r.cycles > 0 and r.slowdown, r.workload)
	local sum = 0
	for _, cycles in pairs(r.shares) do sum = sum + cycles end
	check(sum == r.cycles, "every cycle has a part of the ledger")
	if r.technique ~= "native/native" and r.workload == "in n=5" then check(r["exits.io"] == 5, "an exit for each IN") end
end
report(found)

local time = compare { workload = "in n=5 tsc=1", technique = "ept", ram = "32M", show = "summary" }
check(not time.ok and time.divergences[1]:find("the console differs from line 3 on", 1, true), "time is found")
if #time.divergences == 1 then print("it diverges, as it should") end

local ok, text = pcall(compare, { tecnique = "ept" })
check(not ok and text:find("did you mean 'technique'", 1, true), text)

ok, text = pcall(compare, { technique = "ept", set = { bt_chain = false } })
check(not ok and text:find("bt_chain has no effect under any technique of this comparison", 1, true), text)
found = compare { image = "hello64", cpus = 2, technique = "ept", workload = "x", ram = "32M" }
check(found.ok, "two CPUs")
