-- demo.lua - the teaching kernel on the bare machine, one workload after the other, and where every cycle went.
--
--   vmscope run scenarios/demo.lua [--set profile=NAME] [--set workloads="forkwait; gups"]

local workloads = set.workloads or "syscall n=1000; pgfault n=1000; forkwait n=50; ctxsw n=200; mmapchurn n=50; gups n=50000; sieve n=50000"
local m = machine { profile = set.profile or "skylake", ram = "64M" }
m:boot { kernel = guest "kernel64", cmdline = workloads }

local faults, switches = 0, 0
m:on("exception", function(e) if e.vector == 14 then faults = faults + 1 end end)
m:on("cr", function(e) if e.number == 3 then switches = switches + 1 end end)

-- The ledger at the ends of each workload's region of interest.
local rows, begin = {}, nil
local names = {}
for name in (workloads .. ";"):gmatch("%s*([%w_]+)[^;]*;") do names[#names + 1] = name end
m:break_at("roi_begin", function() begin = { all = m.ledger:all(), total = m.ledger.total, n = m.instructions } end)
m:break_at("roi_end", function()
	local total, by = m.ledger.total - begin.total, { user = 0, kernel = 0, walk = 0, memory = 0, exception = 0, io = 0 }
	for key, cycles in pairs(m.ledger:all()) do
		local d = cycles - (begin.all[key] or 0)
		local who, cause = key:match("vm0%.(%w+)/([%w.]+)")
		if who then by[who] = by[who] + d end
		if key:find("/walk", 1, true) then by.walk = by.walk + d
		elseif key:find("/load", 1, true) or key:find("/store", 1, true) or key:find("/fetch", 1, true) then by.memory = by.memory + d
		elseif cause == "exception" or cause == "interrupt" then by.exception = by.exception + d
		elseif cause == "io" then by.io = by.io + d end
	end
	local function percent(v) return string.format("%.1f%%", 100 * v / total) end
	rows[#rows + 1] = { names[#rows + 1] or "?", total, m.instructions - begin.n, percent(by.user), percent(by.kernel),
	                    percent(by.walk), percent(by.memory), percent(by.exception), percent(by.io) }
end)

local why, status = m:run()
check(why == "guest-exit" and status == 1, "the teaching kernel ended well")    -- (0 << 1) | 1, as QEMU reports it
print()
report {
	title = "regions of interest: cycles, and whose they were",
	columns = { "workload", "cycles", "instructions", "user", "kernel", "page walks", "cache stalls", "exceptions", "I/O" },
	rows = rows,
}
print(string.format("\n%d page faults, %d loads of CR3, %d cycles in %d instructions", faults, switches, m.now, m.instructions))
