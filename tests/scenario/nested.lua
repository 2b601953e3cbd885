-- A hypervisor inside a virtual machine, seen from a scenario: its events, its statistics, and the way back.
local m = machine { ram = "256M", console = false }
local vm = m:vm { cpu = "vmx", mmu = "ept", page = "2M", ram = "160M", nested = true, vmcs_shadowing = true, kernel = guest "minivisor64",
	cmdline = "pages=2m", modules = { guest "kernel64" .. " cpuid n=20; forkwait n=1" } }
local reflected, entries, cpuids = 0, 0, 0
m:on("nested_exit", function(e) reflected = reflected + (e.reason == 10 and 1 or 0) end)
m:on("nested_entry", function() entries = entries + 1 end)
vm:on("exit.cpuid", function() cpuids = cpuids + 1 end)
m:record()
check(m:run { max_cycles = 3e9 } == "guest-exit" and m.status == 1, vm.console)
check(vm.console:find("cpuid n=20: ok", 1, true), vm.console)

local function nested(name) return m.stats["vm1.vcpu0.nested." .. name] end
check(nested "reflected.cpuid" == 20 and reflected == 20, "each CPUID of L2 is L1's")
check(nested "l1_exits.cpuid" == 40, "for which L1 executes CPUID and VMRESUME: " .. nested "l1_exits.cpuid")
check(cpuids >= 20, "a listener hears of L1's CPUIDs: " .. cpuids)
check(nested "vmread" == 0, "VMCS shadowing")
check(nested "entries" == entries and nested "exits" == nested "reflected" + nested "served")
local sum = 0
for _, name in ipairs(names "exits") do sum = sum + nested("reflected." .. name:gsub("^exit%.", "")) end
check(sum == nested "reflected", "the reasons' sum")

-- back to L2's moments and forth
local function seen() return { m:hash(), m.now, nested "exits", vm.console } end
local function same(a, b) for i = 1, #a do if a[i] ~= b[i] then return false end end return true end
local n = m.instructions - 1000
check(m:go { instruction = n })
local last = seen()
check(m:back_to "nested_exit", "the last one reflected")
check(m:go { event = "nested_exit", n = 7 }, "the seventh")
local seventh = seen()
check(m:go { instruction = n - 5000 } and m:go { event = "nested_exit", n = 7 } and same(seen(), seventh), "it is the same again")
check(m:go { instruction = n } and same(seen(), last), "where it began, after all that")

-- what cannot be
local function refused(options, text)
	local host = machine { ram = "96M", profile = options.profile, console = false }
	options.profile, options.ram, options.kernel = nil, "32M", guest "kernel64"
	local ok, why = pcall(host.vm, host, options)
	check(not ok and tostring(why):find(text, 1, true), tostring(why))
end
refused({ cpu = "vmx", mmu = "shadow.wp", nested = true }, "nested has no effect under vmx/shadow.wp: it is of use under vmx/ept or trap")
refused({ cpu = "vmx", mmu = "ept", nested = true, profile = "nehalem" }, "unrestricted guest")
refused({ cpu = "vmx", mmu = "ept", vmcs_shadowing = true }, "nested = true")
