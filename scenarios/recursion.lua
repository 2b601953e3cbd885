-- recursion.lua - a virtual machine in a virtual machine, and so on: Popek and Goldberg's second theorem.
--
--   vmscope run scenarios/recursion.lua [--set depth=3]
--
-- minitrap (scenarios/guests/minitrap) is a trap-and-emulate hypervisor of a few hundred lines that needs a machine whose critical
-- instructions trap. It runs on such a machine, and gives its guest one. So its guest may be minitrap: here rings32, a kernel that
-- prints what sensitive instructions show it, runs under more and more of them, on the bare machine and inside a VM of the
-- modelled VMM, which emulates in the same way and is asked for a machine of that kind (nested). What it prints must not tell the difference. Each trap of an inner
-- hypervisor's guest is several of the outer one's: to emulate it the inner one executes what traps itself.

local depth = math.tointeger(set.depth or 2)
check(depth and depth >= 1 and depth <= 4, "depth is 1 to 4")

-- What the guest printed, without minitrap's own lines; traps by level, the innermost VMM's first.
local function result(console, m)
	local lines, traps = {}, {}
	for line in console:gmatch "[^\n]+" do
		if line:match "^minitrap: %d+ traps" then
			traps[#traps + 1] = math.tointeger(line:match "%d+")
		elseif not line:match "^minitrap" then
			lines[#lines + 1] = line
		end
	end
	return { console = table.concat(lines, "\n"), traps = traps, cycles = m.now }
end

local function images(levels)
	local modules = {}
	for _ = 2, levels do modules[#modules + 1] = guest "minitrap32" end
	if levels > 0 then modules[#modules + 1] = guest "rings32" end
	return guest(levels > 0 and "minitrap32" or "rings32"), modules
end

local function bare(levels)
	local m = machine { ram = "128M", console = false, ["trap.critical"] = true }
	local kernel, modules = images(levels)
	m:boot { kernel = kernel, modules = modules }
	m:run { max_cycles = 2e10 }
	return result(m.console, m)
end

local function modelled(levels)
	local m = machine { ram = "160M", ["trap.critical"] = true }
	local kernel, modules = images(levels)
	local vm = m:vm { cpu = "trap", mmu = "shadow.wp", nested = true, ram = "64M", console = false, kernel = kernel, modules = modules }
	m:run { max_cycles = 2e10 }
	local r, exits = result(vm.console, m), 0
	for name, n in pairs(m.stats:all()) do
		if name:match "^cpu0%.exit%." then exits = exits + n end
	end
	r.traps[#r.traps + 1] = exits
	return r
end

local rows = { { "the bare machine", bare(0) } }
for n = 1, depth do rows[#rows + 1] = { string.rep("minitrap, ", n - 1) .. "minitrap", bare(n) } end
for n = 0, depth - 1 do rows[#rows + 1] = { string.rep("minitrap, ", n) .. "modelled VMM", modelled(n) } end

print(wrap(rows[1][2].console:gsub("%s+$", "")) .. "\n")
print(string.format("%-36s %12s   %s", "rings32 runs on: innermost VMM first", "cycles", "traps, in that order"))
for _, row in ipairs(rows) do
	local name, r = row[1], row[2]
	print(string.format("%-36s %12d   %s", name, r.cycles, table.concat(r.traps, "  ")))
	check(r.console == rows[1][2].console, "the guest under " .. name .. " prints what it prints on the bare machine")
end
local last = rows[depth + 1][2].traps
if depth > 1 then
	print("\n" .. wrap(("The consoles are equal. A trap of the guest costs the VMM outside %.1f traps: emulating one is a dozen sensitive instructions."):format(
		last[2] / last[1]), 0))
end
