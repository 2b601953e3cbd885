-- shapes_software.lua - virtualization without hardware help, on a Pentium 4 of 2006 and then by changing the profile alone: do
-- the shapes that published studies found emerge? `make shapes` runs it; status 1 when a shape is missing. Single operations:
-- shapes_operations.lua.
--
-- Sources: [AA06] Adams, Agesen: A Comparison of Software and Hardware Techniques for x86 Virtualization, ASPLOS 2006: section 3
-- (RDTSC), figure 4 and section 6 (forkwait: native 6.0 s, translation 36.9 s, VT-x 106.4 s). [XEN03] Barham et al.: Xen and the Art of
-- Virtualization, SOSP 2003. [A12] Agesen et al.: Software Techniques for Avoiding Hardware Virtualization Exits, USENIX ATC 2012.
--
-- Ratios of whole workloads count as found within a factor of two of the published ones: the guest there is a Linux, here the teaching kernel.
-- Those of RDTSC, one instruction, within a third.

local shape = require "shape"
local native, bt, vmx, pv, direct = "native/native", "bt/shadow.wp", "vmx/shadow.wp", "pv/shadow.wp", "pv/direct"
local count = { rdtsc = 2000, empty = 5000 }

-- ---- page tables: fork; an update of an entry in use, by how much more a run with them costs ----

local fork, fault, switch = "forkwait n=200", "pgfault n=2000", "ctxsw n=500"
local updates, none, n = "ptemix n=20000 updates=50", "ptemix n=20000 updates=0", 20000 * 50 // 1000
local function times(found, name, ...)
	local text = {}
	for _, t in ipairs { ... } do text[#text + 1] = string.format("%s %.2fx", t, shape.find(found, name, t).slowdown) end
	return table.concat(text, ", ")
end

-- [AA06]'s VMM never gives up a trace of a page table; ours does, unless told otherwise, when a table is written again and again
for _, flood in ipairs { 0, 3 } do
	local found = compare { workload = { fork, updates, none }, technique = { bt, vmx }, profile = "prescott", set = { shadow_flood = flood }, show = "summary" }
	check(found.ok, "every technique did the same work")
	local kept = flood == 0 and "traces kept" or "traces given up"
	local function over(t) return shape.find(found, fork, t).slowdown - 1 end
	local function update(t) return (shape.find(found, updates, t).cycles - shape.find(found, none, t).cycles) / n end
	shape.row("fork: VT-x's overhead over translation's, " .. kept, string.format("%.2f (%s)", over(vmx) / over(bt), times(found, fork, bt, vmx)),
		"3.25 (bt 6.15x, vmx 17.73x) [AA06]", shape.within(2, over(vmx) / over(bt), 100.4 / 30.9))
	shape.row("page-table entries in use: VT-x's update at least twice translation's, " .. kept, string.format("bt %.0f, vmx %.0f cycles", update(bt), update(vmx)),
		"bt 391, vmx 12733, of an entry not in use [AA06]", update(vmx) >= 2 * update(bt))
end

-- ---- the paravirtual kernel ----

local pvs = compare { workload = { fork, fault, switch }, technique = { bt, pv, direct }, profile = "prescott", show = "summary" }
check(pvs.ok, "every technique did the same work")
for _, w in ipairs { fork, fault, switch } do
	shape.row("the paravirtual kernel ahead of translation: " .. w:match "%w+", times(pvs, w, bt, pv, direct), "ahead [XEN03]",
		math.min(shape.find(pvs, w, pv).slowdown, shape.find(pvs, w, direct).slowdown) < shape.find(pvs, w, bt).slowdown)
end

-- ---- RDTSC: by trap, by callout, in the cache ----

-- Of an IA-32 guest's kernel: their VMM translated no other then ("Hardware and software requirements for 64-bit guest operating systems",
-- VMware KB 1003945: 64-bit guests need VT-x on Intel's processors). `--set guest=kernel64`: what it is of 64-bit code (docs/bt.md, "Time").
local way = {}
for _, how in ipairs { "trap", "callout", "inline" } do
	local found = compare { workload = shape.twice(count, { "rdtsc", "empty" }), image = set.guest or "kernel32", technique = { bt }, profile = "prescott", set = { bt_rdtsc = how }, show = "summary" }
	way[how] = shape.turn(found, count, "rdtsc", bt) - shape.turn(found, count, "empty", bt)
end
shape.row("RDTSC by trap dearer than by callout, that dearer than in the cache", string.format("%.0f, %.0f, %.0f", way.trap, way.callout, way.inline),
	"2030, 1254, 216 [AA06]", way.trap > way.callout and way.callout > way.inline)
shape.row("trap to callout within a third", string.format("%.2f", way.trap / way.callout), string.format("%.2f [AA06]", 2030 / 1254),
	shape.within(4 / 3, way.trap / way.callout, 2030 / 1254))
shape.row("callout to in-cache within a third", string.format("%.2f", way.callout / way.inline), string.format("%.2f [AA06]", 1254 / 216),
	shape.within(4 / 3, way.callout / way.inline, 1254 / 216))

-- ---- chaining, adaptation ----

for _, profile in ipairs { "prescott", "core2", "skylake" } do
	local more = {}
	for _, chain in ipairs { true, false } do
		local found = compare { workload = { "branchy n=4000", "branchy n=8000" }, technique = { bt }, profile = profile, set = { bt_chain = tostring(chain) }, show = "summary" }
		more[chain] = shape.find(found, "branchy n=8000", bt).cycles - shape.find(found, "branchy n=4000", bt).cycles
	end
	shape.row("chaining pays at least twofold on branchy code: " .. profile, string.format("%.0f times the cycles without it", more[false] / more[true]),
		"the reason for it [AA06]", more[false] > 2 * more[true])
end
do
	local one = { ptemod = 2000 }
	local turn, list = {}, shape.twice(one, { "ptemod" })
	for _, adaptive in ipairs { true, false } do
		local found = compare { workload = list, technique = { bt }, profile = "prescott", set = { bt_adaptive = tostring(adaptive), shadow_flood = 0 }, show = "summary" }
		turn[adaptive] = shape.turn(found, one, "ptemod", bt)
	end
	shape.row("adaptation pays on page-table writes", string.format("%.0f cycles, without it %.0f", turn[true], turn[false]), "391 with it [AA06]", turn[true] < turn[false])
end

-- ---- the profile alone: what later hardware changed ----

local later = compare { workload = { fork }, technique = { bt, vmx, "vmx/ept" }, profile = "skylake", show = "summary" }
shape.row("on a later CPU VT-x with EPT is ahead of translation on fork", times(later, fork, bt, "vmx/ept"),
	"hardware has passed software [A12]", shape.find(later, fork, "vmx/ept").slowdown < shape.find(later, fork, bt).slowdown)

shape.print()
