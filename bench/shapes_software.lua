-- shapes_software.lua - virtualization without hardware help, on a Pentium 4 of 2006 and then by changing the profile alone: do
-- the shapes that published studies found emerge? `make shapes` runs it; status 1 when a shape is missing.
--
-- Sources: [AA06] Adams, Agesen: A Comparison of Software and Hardware Techniques for x86 Virtualization, ASPLOS 2006,
-- sections 4 to 6 and figures 4 and 5. [XEN03] Barham et al.: Xen and the Art of Virtualization, SOSP 2003.

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
shape("VT-x of that generation far behind it", cycles("in", bt, vmx), "vmx 15826 [AA06]", op("in", vmx) > 5 * op("in", bt))
shape("CR8 writes: translation faster than native", cycles("cr8", native, bt), "faster than native [AA06]", op("cr8", bt) < op("cr8", native))
shape("system calls: translation several times native", cycles("syscall", native, bt), "native 242, bt 2042 [AA06]",
	op("syscall", bt) > 3 * op("syscall", native))
shape("VT-x at native speed on system calls", cycles("syscall", native, vmx), "vmx 242 [AA06]", op("syscall", vmx) < 1.1 * op("syscall", native))
shape("page faults: translation several times native", cycles("pgfault", native, bt), "native 1093, bt 3927 [AA06]",
	op("pgfault", bt) > 2 * op("pgfault", native))
shape("page-table writes: VT-x far behind translation", cycles("ptemod", bt, vmx), "bt 391, vmx 9570 [AA06]",
	op("ptemod", vmx) > 5 * op("ptemod", bt))
