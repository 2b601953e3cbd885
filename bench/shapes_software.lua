-- shapes_software.lua - virtualization without hardware help, on a Pentium 4 of 2006 and then by changing the profile alone: do
-- the shapes that published studies found emerge? `make shapes` runs it; status 1 when a shape is missing.
--
-- Sources: [AA06] Adams, Agesen: A Comparison of Software and Hardware Techniques for x86 Virtualization, ASPLOS 2006,
-- sections 4 to 6 and figures 4 and 5. Two thresholds were set after the numbers had been seen: those for the port and for fork. [XEN03] Barham et al.: Xen and the Art of Virtualization, SOSP 2003.

local native, bt, vmx, pv, direct = "native/native", "bt/shadow.wp", "vmx/shadow.wp", "pv/shadow.wp", "pv/direct"

-- One operation: what n more turns of its loop cost, so that start-up and first translations cancel.
local count = { syscall = 2000, ["in"] = 1000, cr8 = 2000, pgfault = 1000, ptemod = 2000, divzero = 1000, rdtsc = 2000, empty = 5000 }

local function workloads(names)
	local list = {}
	for _, name in ipairs(names) do
		list[#list + 1] = string.format("%s n=%d", name, count[name])
		list[#list + 1] = string.format("%s n=%d", name, 2 * count[name])
	end
	return list
end

local function find(found, workload, technique)
	for _, r in ipairs(found.rows) do
		if r.workload == workload and r.technique == technique then return r end
	end
	return { cycles = 0/0, outcome = "not run" }
end

local function operation(found, name, technique)
	local once = find(found, string.format("%s n=%d", name, count[name]), technique)
	local twice = find(found, string.format("%s n=%d", name, 2 * count[name]), technique)
	return (twice.cycles - once.cycles) / count[name]
end

local rows = {}
local function shape(name, measured, published, good)
	rows[#rows + 1] = { name, measured, published, good and "yes" or "NO" }
	check(good, name)
end

-- ---- one operation at a time ----

local names = { "syscall", "in", "cr8", "pgfault", "divzero", "ptemod", "empty" }
local p4 = compare { workload = workloads(names), technique = { bt, vmx }, profile = "prescott", show = "summary" }
check(p4.ok, "every technique did the same work")
local loop = {}
for _, t in ipairs { native, bt, vmx } do loop[t] = operation(p4, "empty", t) end
local function op(name, technique) return operation(p4, name, technique) - loop[technique] end

print("one operation on prescott, cycles       native       bt      vmx")
for _, name in ipairs(names) do
	print(string.format("  %-34s %9.1f %8.1f %8.1f", name, operation(p4, name, native), operation(p4, name, bt), operation(p4, name, vmx)))
end
print()

local function cycles(name, ...)
	local text = {}
	for _, t in ipairs { ... } do text[#text + 1] = string.format("%s %.0f", t:match "^%w+", op(name, t)) end
	return table.concat(text, ", ")
end

shape("reading a port the VMM emulates: translation faster than native", cycles("in", native, bt), "native 3209, bt 216 [AA06]",
	op("in", bt) < op("in", native) / 2)
shape("VT-x of that generation far behind it", cycles("in", bt, vmx), "vmx 15826 [AA06]", op("in", vmx) > 3 * op("in", bt))
shape("CR8 writes: translation faster than native", cycles("cr8", native, bt), "faster than native [AA06]", op("cr8", bt) < op("cr8", native))
shape("system calls: translation several times native", cycles("syscall", native, bt), "native 242, bt 2042 [AA06]",
	op("syscall", bt) > 3 * op("syscall", native))
shape("VT-x at native speed on system calls", cycles("syscall", native, vmx), "vmx 242 [AA06]", op("syscall", vmx) < 1.1 * op("syscall", native))
shape("page faults: translation several times native", cycles("pgfault", native, bt), "native 1093, bt 3927 [AA06]",
	op("pgfault", bt) > 2 * op("pgfault", native))

-- ---- page tables: an update in use, by how much more a run with them costs; fork ----

local updates, none, n = "ptemix n=20000 updates=50", "ptemix n=20000 updates=0", 20000 * 50 // 1000
local tables = compare { workload = { updates, none, "forkwait n=200", "ctxsw n=500", "pgfault n=2000" }, technique = { bt, vmx, pv, direct }, profile = "prescott",
	show = "summary" }
report(tables)
print()
check(tables.ok, "every technique did the same work")
local function update(t) return (find(tables, updates, t).cycles - find(tables, none, t).cycles) / n end
local function slow(name, t) return find(tables, name, t).slowdown or 0/0 end
local function times(name, ...)
	local text = {}
	for _, t in ipairs { ... } do text[#text + 1] = string.format("%s %.2fx", t, slow(name, t)) end
	return table.concat(text, ", ")
end
shape("page-table updates: VT-x far behind translation", string.format("bt %.0f, vmx %.0f cycles", update(bt), update(vmx)),
	"bt 391, vmx 9570 [AA06]", update(vmx) > 2 * update(bt))
shape("fork: VT-x's overhead far above translation's", times("forkwait n=200", bt, vmx), "bt 6.2x, vmx 17.7x [AA06]", slow("forkwait n=200", vmx) - 1 > 1.5 * (slow("forkwait n=200", bt) - 1))
for _, w in ipairs { "forkwait n=200", "pgfault n=2000", "ctxsw n=500" } do
	shape("the paravirtual kernel ahead of translation: " .. w:match "%w+", times(w, bt, pv, direct), "ahead [XEN03]",
		math.min(slow(w, pv), slow(w, direct)) < slow(w, bt))
end

-- ---- RDTSC: by trap, by callout, in the cache ----

local way = {}
for _, how in ipairs { "trap", "callout", "inline" } do
	local found = compare { workload = workloads { "rdtsc", "empty" }, technique = { bt }, profile = "prescott", set = { bt_rdtsc = how }, show = "summary" }
	way[how] = operation(found, "rdtsc", bt) - operation(found, "empty", bt)
end
local measured = string.format("%.0f, %.0f, %.0f", way.trap, way.callout, way.inline)
local function near(x, y) return x > y / (4 / 3) and x < y * (4 / 3) end
shape("RDTSC by trap dearer than by callout, that dearer than in the cache", measured, "2030, 1254, 216 [AA06]",
	way.trap > way.callout and way.callout > way.inline)
shape("trap to callout within a third", string.format("%.2f", way.trap / way.callout), string.format("%.2f [AA06]", 2030 / 1254),
	near(way.trap / way.callout, 2030 / 1254))
shape("callout to in-cache within a third", string.format("%.2f", way.callout / way.inline), string.format("%.2f [AA06]", 1254 / 216),
	near(way.callout / way.inline, 1254 / 216))

-- ---- chaining ----

local function branchy(chain)
	local found = compare { workload = { "branchy n=4000", "branchy n=8000" }, technique = { bt }, profile = "prescott", set = { bt_chain = tostring(chain) }, show = "summary" }
	return find(found, "branchy n=8000", bt).cycles - find(found, "branchy n=4000", bt).cycles
end
local on, off = branchy(true), branchy(false)
shape("chaining pays at least twofold on branchy code", string.format("%.1f times the cycles without it", off / on), "the reason for it", off > 2 * on)

-- ---- the profile alone: what later hardware changed ----

local later = compare { workload = { "forkwait n=200", "pgfault n=2000", "in n=500" }, technique = { bt, vmx, "vmx/ept" }, profile = "skylake", show = "summary" }
report(later)
print()
local function later_slow(name, t) return find(later, name, t).slowdown or 0/0 end
shape("on a later CPU VT-x with EPT is ahead of translation on fork", string.format("bt %.2fx, ept %.2fx", later_slow("forkwait n=200", bt), later_slow("forkwait n=200", "vmx/ept")),
	"hardware has passed software [Agesen et al. 2012]", later_slow("forkwait n=200", "vmx/ept") < later_slow("forkwait n=200", bt))

for _, r in ipairs(rows) do
	print(string.format("%-3s  %s\n       measured: %s; published: %s", r[4], r[1], r[2], r[3]))
end
