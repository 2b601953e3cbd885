-- shapes_operations.lua - one operation at a time, on the bare machine, translated and under VT-x: figure 4 of Adams and Agesen,
-- "A Comparison of Software and Hardware Techniques for x86 Virtualization" (ASPLOS 2006), on the profile of their processor; then the same
-- on later ones, the profile alone changed. `make shapes` runs it; status 1 when a shape is missing.
--
-- The published cycles are those of the figure and of its text: a translated system call takes "approximately 2000 more" than a
-- native one, an IN "fifteen times" less than native; VT-x writes CR8 at about native speed.
-- Their VMM traces page tables and never gives a trace up: shadow_flood = 0.
--
-- What counts as a shape: the order of the three, where two that differ by less than a quarter are the same; and of the cycles, which
-- are within a factor of two of the published ones is printed, and the count of them is the measure of the model.

local shape = require "shape"
local native, bt, vmx, ept = "native/native", "bt/shadow.wp", "vmx/shadow.wp", "vmx/ept"
local count = { syscall = 2000, ["in"] = 1000, cr8 = 2000, callret = 5000, pgfault = 1000, divzero = 1000, ptemod = 2000, empty = 5000 }
local names = { "syscall", "in", "cr8", "callret", "pgfault", "divzero", "ptemod", "empty" }
local published = {
	syscall = { 242, 2242, 242 }, ["in"] = { 3209, 214, 15826 }, cr8 = { 150, 35, 150 }, callret = { 11, 51, 11 },
	pgfault = { 1093, 3927, 11242 }, divzero = { 889, 3223, 1014 }, ptemod = { 1, 391, 12733 },
}

-- Cycles of each operation under each technique, the loop around it subtracted.
local function measure(profile, techniques)
	local found = compare { workload = shape.twice(count, names), technique = techniques, profile = profile, set = { shadow_flood = 0 }, show = "summary" }
	check(found.ok, "every technique did the same work")
	local cycles = {}
	for _, name in ipairs(names) do
		cycles[name] = { shape.turn(found, count, name, native) }
		for i, t in ipairs(techniques) do cycles[name][i + 1] = shape.turn(found, count, name, t) end
	end
	for _, name in ipairs(names) do
		for i = 1, #techniques + 1 do
			if name ~= "empty" then cycles[name][i] = cycles[name][i] - cycles.empty[i] end
		end
	end
	return cycles
end

-- Who is ahead, as text; those that differ by less than a quarter in the order native, bt, vmx.
local function order(c)
	local list = { { c[1], 1, "native" }, { c[2], 2, "bt" }, { c[3], 3, "vmx" } }
	table.sort(list, function(a, b) return a[1] < b[1] end)
	local groups = { { list[1] } }
	for i = 2, 3 do
		local last = groups[#groups]
		if list[i][1] < 1.25 * list[i - 1][1] then last[#last + 1] = list[i] else groups[#groups + 1] = { list[i] } end
	end
	for g, group in ipairs(groups) do
		table.sort(group, function(a, b) return a[2] < b[2] end)
		for k, x in ipairs(group) do group[k] = x[3] end
		groups[g] = table.concat(group, " = ")
	end
	return table.concat(groups, " < ")
end

local p4 = measure("prescott", { bt, vmx })
print "one operation on prescott, cycles; in brackets: published"
print "             native               bt              vmx"
local near, cells = 0, 0
for _, name in ipairs(names) do
	local line = string.format("  %-8s", name)
	for i = 1, 3 do
		local p = published[name] and published[name][i]
		local good = p and shape.within(2, math.max(p4[name][i], 1), p)
		line = line .. string.format(" %8.0f %7s%s", p4[name][i], p and string.format("(%d)", p) or "", p and not good and "!" or " ")
		if p then near, cells = near + (good and 1 or 0), cells + 1 end
	end
	print(line)
end
print(string.format("%d of %d within a factor of two; the others are marked !", near, cells))
for _, name in ipairs(names) do
	if published[name] then
		local got, want = order(p4[name]), order(published[name])
		shape.row("who is ahead: " .. name, string.format("%.0f, %.0f, %.0f: %s", p4[name][1], p4[name][2], p4[name][3], got),
			string.format("%d, %d, %d: %s", published[name][1], published[name][2], published[name][3], want), got == want)
	end
end
do
	local c = p4
	shape.row("several times native under translation: system calls and page faults, at least twice",
		string.format("%.1fx, %.1fx", c.syscall[2] / c.syscall[1], c.pgfault[2] / c.pgfault[1]), "9.3x, 3.6x",
		c.syscall[2] >= 2 * c.syscall[1] and c.pgfault[2] >= 2 * c.pgfault[1])
	shape.row("VT-x far behind translation: port reads and page-table writes, at least twice",
		string.format("%.1fx, %.1fx", c["in"][3] / c["in"][2], c.ptemod[3] / c.ptemod[2]), "74x, 33x",
		c["in"][3] >= 2 * c["in"][2] and c.ptemod[3] >= 2 * c.ptemod[2])
end

-- ---- the profile alone ----

local later = {}
for _, profile in ipairs { "core2", "nehalem", "skylake" } do
	local techniques = profile == "core2" and { bt, vmx } or { bt, vmx, ept }
	local c = measure(profile, techniques)
	later[profile] = c
	print(string.format("\none operation on %-10s native       bt      vmx%s", profile, techniques[3] and "      ept" or ""))
	for _, name in ipairs(names) do
		local line = string.format("  %-24s", name)
		for i = 1, #techniques + 1 do line = line .. string.format(" %8.0f", c[name][i]) end
		print(line)
	end
end
local function ratios(i, name)
	return string.format("%.2f, %.2f, %.2f, %.2f", p4[name][i] / p4[name][1], later.core2[name][i] / later.core2[name][1],
		later.nehalem[name][i] / later.nehalem[name][1], later.skylake[name][i] / later.skylake[name][1])
end
local function cycles(i, name)
	return string.format("%.0f, %.0f, %.0f, %.0f", p4[name][i], later.core2[name][i], later.nehalem[name][i], later.skylake[name][i])
end
shape.row("VT-x's page fault with shadow tables, in cycles: less on each later processor", cycles(3, "pgfault"),
	"transitions of 4340, 2123 cycles in 2006, 1009 and 784 in 2008 and 2011 [Agesen et al. 2012]",
	p4.pgfault[3] > later.core2.pgfault[3] and later.core2.pgfault[3] > later.nehalem.pgfault[3] and later.nehalem.pgfault[3] > later.skylake.pgfault[3])
shape.row("system calls: translation stays several times native, VT-x at native speed", ratios(2, "syscall") .. "; " .. ratios(3, "syscall"),
	"the reason why translation was given up [Agesen et al. 2010]",
	later.skylake.syscall[2] > 2 * later.skylake.syscall[1] and later.skylake.syscall[3] < 1.1 * later.skylake.syscall[1])
shape.row("with EPT page faults and page-table writes are at native speed", string.format("%.2f, %.2f",
	later.skylake.pgfault[4] / later.skylake.pgfault[1], (later.skylake.ptemod[4] + 1) / (later.skylake.ptemod[1] + 1)), "the exits EPT makes needless",
	later.skylake.pgfault[4] < 1.25 * later.skylake.pgfault[1] and later.skylake.ptemod[4] < 5)

shape.print()
