-- shapes.lua - do the shapes that published studies found emerge from the model? Each is measured here and set against
-- what was published; nothing in the model knows these workloads. `make shapes` runs it; status 1 when a shape is missing.
--
-- Sources: [AA06] Adams, Agesen: A Comparison of Software and Hardware Techniques for x86 Virtualization, ASPLOS 2006.
-- [VM09] Bhatia: Performance Evaluation of Intel EPT Hardware Assist, VMware 2009. [BH08] Bhargava et al.: Accelerating
-- Two-Dimensional Page Walks for Virtualized Systems, ASPLOS 2008. [GA16] Gandhi et al.: Agile Paging, ISCA 2016.

local shadow, ept, ept2m, native = "vmx/shadow.wp", "vmx/ept", "vmx/ept:2M", "native/native"
-- enough updates for each page to be in steady use: RandomAccess of HPCC makes many more
local big4k, big2m = "gups size=64m n=2000000", "gups size=64m n=2000000 pages=2m"
local chase4k = "chase size=32m n=500000"
local churn = { "forkwait n=100", "forkexec n=30", "mmapchurn n=100" }
local same = { "cpuid n=1000", "in n=1000" }

local function all(...)
	local names = {}
	for _, x in ipairs { ... } do
		if type(x) == "table" then for _, y in ipairs(x) do names[#names + 1] = y end else names[#names + 1] = x end
	end
	return names
end

local later = compare { workload = all(big4k, big2m, chase4k, churn, same), technique = { shadow, ept, ept2m }, ram = "160M", show = "summary" }
local first = compare { workload = { churn[1] }, technique = { shadow, "vmx/shadow.flush" }, profile = "prescott", ram = "160M", show = "summary" }
report(later)
print()
report(first)

local function row(found, workload, technique)
	for _, r in ipairs(found.rows) do
		if r.workload == workload and r.technique == technique then return r end
	end
end
local function slow(workload, technique, found)
	local r = row(found or later, workload, technique)
	return r and r.slowdown or 0/0
end
local function exits(workload, technique, kind)
	return row(later, workload, technique)[kind or "exits"]
end

local rows = {}
local function shape(name, measured, published, good)
	rows[#rows + 1] = { name, measured, published, good and "yes" or "NO" }
	check(good, name)
end
local function times(x) return string.format("%.2fx", x) end

for _, w in ipairs { big4k, chase4k } do
	local x = slow(w, ept) / slow(w, shadow)
	shape("random access, 4K pages: shadow is not slower than EPT: " .. w:match "%w+", "EPT takes " .. times(x),
		"EPT costs more [VM09, BH08, GA16]", x >= 1 and x < 2)
end
for _, w in ipairs(churn) do
	local x = slow(w, shadow) / slow(w, ept)
	shape("page-table churn: EPT far ahead: " .. w:match "%w+", "shadow takes " .. times(x), "up to 6x [VM09]", x >= 1.5)
end
do
	local gap, closed = slow(big4k, ept) / slow(big4k, shadow) - 1, slow(big2m, ept2m) / slow(big2m, shadow) - 1
	shape("2M pages close the gap on random access", string.format("%+.1f %% becomes %+.1f %%", 100 * gap, 100 * closed),
		"large pages reduce the cost [VM09]", closed < 0.05 and closed < gap / 2 + 0.02)
end
do
	local s, e, d = 0, 0, 0
	for _, w in ipairs(churn) do
		s, e = s + exits(w, shadow), e + exits(w, ept)
		for _, kind in ipairs { "exits.exception", "exits.cr", "exits.invlpg" } do
			d = d + exits(w, shadow, kind) - exits(w, ept, kind)
		end
	end
	shape("exits fall by an order of magnitude", string.format("%d to %d", s, e), ">= 10x [VM09, AA06]", s >= 10 * e)
	shape("all of it page faults, CR accesses and INVLPG", string.format("%.1f %% of the difference", 100 * d / (s - e)),
		"the exits EPT makes needless", d >= 0.95 * (s - e))
end
for _, w in ipairs(same) do
	local kind = w:match "%w+" == "in" and "exits.io" or "exits.cpuid"
	local s, e = exits(w, shadow, kind), exits(w, ept, kind)
	shape("exits that stay the same: " .. w:match "%w+", string.format("%d and %d", s, e), "equal", s > 0 and math.abs(s - e) <= 0.01 * s)
end
do
	-- AA06's guest, a Linux of its time, changes its page tables far more often per cycle than the teaching kernel's fork.
	local old, new, flush = slow(churn[1], shadow, first), slow(churn[1], shadow), slow(churn[1], "vmx/shadow.flush", first)
	shape("first generation (prescott), fork: VT-x with shadow many times slower than native",
		string.format("%.2fx; %.2fx without kept shadows", old, flush), "17.7x [AA06]", old >= 4)
	shape("a later one (skylake) much less", string.format("%.2fx: %.0f %% of the overhead", new, 100 * (new - 1) / (old - 1)),
		"transitions cost a fifth", new - 1 < 0.5 * (old - 1))
end

print()
for _, r in ipairs(rows) do
	print(string.format("%-3s  %s\n       measured: %s; published: %s", r[4], r[1], r[2], r[3]))
end
