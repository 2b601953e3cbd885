-- nanobench.lua - the cost of seven single operations on the bare machine, as a sum of phases and references.
--
-- Beside what Adams and Agesen measured on a 3.8 GHz Pentium 4 672 (A Comparison of Software and Hardware Techniques for
-- x86 Virtualization, ASPLOS 2006, figure 4, native).
--
--   vmscope run scenarios/nanobench.lua [--set profile=skylake] [--set guest=kernel32]
--
-- Each operation runs n and then 2n times in a loop of two more instructions; the difference of the two, less that of
-- the empty loop, is one operation: start-up and the way to the region of interest cancel.

local name = set.profile or "prescott"
local kernel = set.guest or "kernel64"

-- operation, how often, published cycles
local operations = {
	{ "empty",   10000 },
	{ "syscall",  2000, 242 },
	{ "in",       1000, 3209 },
	{ "cr8",      5000, 150 },
	{ "callret", 10000, 11 },
	{ "pgfault",  1000, 1093 },
	{ "divzero",  1000, 889 },
	{ "ptemod",   5000 },        -- a plain store: published as too small to show
}
if kernel == "kernel32" then operations[4][3] = nil end   -- no CR8 on IA-32: a store to the local APIC instead

local m = machine { profile = name, ram = "64M", console = false }
local commands = {}
for _, op in ipairs(operations) do
	commands[#commands + 1] = string.format("%s n=%d; %s n=%d", op[1], op[2], op[1], 2 * op[2])
end
m:boot { kernel = guest(kernel), cmdline = table.concat(commands, "; ") }

-- The ledger at both ends of every region of interest.
local regions, begin = {}, nil
m:break_at("roi_begin", function() begin = m.ledger:all() end)
m:break_at("roi_end", function()
	local spent, sum = {}, 0
	for key, cycles in pairs(m.ledger:all()) do
		local cause = key:match("/(.*)")
		local d = cycles - (begin[key] or 0)
		spent[cause] = (spent[cause] or 0) + d
		sum = sum + d
	end
	regions[#regions + 1] = { spent = spent, sum = sum }
end)
-- The phases of an exception's delivery: the last one of each name seen.
local phase_names, phases = names "phases", {}
m:on("phase", function(e) phases[e.phase + 1] = e.cycles end)

local why = m:run { max_cycles = 1e9 }
check(why == "guest-exit" and #regions == 2 * #operations, "the workloads ran: " .. why .. ", " .. #regions .. " regions")

local function one(i)                           -- cycles of one turn of operation i's loop, by cause
	local n, a, b = operations[i][2], regions[2 * i - 1], regions[2 * i]
	local spent = {}
	for cause, cycles in pairs(b.spent) do spent[cause] = (cycles - (a.spent[cause] or 0)) / n end
	return (b.sum - a.sum) / n, spent
end

local loop, loop_spent = one(1)
local rows = {}
for i = 2, #operations do
	local op, sum, spent = operations[i], one(i)
	sum = sum - loop
	local parts = {}
	for cause, cycles in pairs(spent) do
		local d = cycles - (loop_spent[cause] or 0)
		if math.abs(d) >= 1 then parts[#parts + 1] = ("%s %.0f"):format(cause, d) end
	end
	local published, off = name == "prescott" and op[3], "-"
	if published then
		off = string.format("%+.0f%%", 100 * (sum - published) / published)
		check(math.abs(sum - published) <= 0.2 * published, op[1] .. " is within 20 % of the published figure")
	elseif name == "prescott" and op[1] == "ptemod" then
		check(sum < 20, op[1] .. " is a plain store")
	end
	if name == "prescott" then
		rows[#rows + 1] = { op[1], math.floor(sum + 0.5), published or "-", off, table.concat(parts, ", ") }
	else
		rows[#rows + 1] = { op[1], math.floor(sum + 0.5), table.concat(parts, ", ") }
	end
end
report {
	title = string.format("one operation on %s, cycles (%s, loop of %.1f cycles subtracted)", name, kernel, loop),
	columns = name == "prescott" and { "operation", "measured", "published", "off", "sum of" } or { "operation", "measured", "sum of" },
	rows = rows,
}

local parts, sum = {}, 0
for i, cycles in pairs(phases) do
	local phase = phase_names[i]:match("^exception: (.*)")
	if phase then
		parts[#parts + 1] = phase .. " " .. cycles
		sum = sum + cycles
	end
end
print(wrap(string.format("exception %d = %s", sum, table.concat(parts, " + ")), 16))
