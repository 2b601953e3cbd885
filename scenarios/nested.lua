-- nested.lua - a hypervisor inside a virtual machine: what an exit of its guest costs, with and without VMCS shadowing.
--
--   vmscope run scenarios/nested.lua [--set profile=haswell] [--set workload="forkwait n=5"] [--set pages=4k]
--
-- The same kernel, four times. minivisor (scenarios/guests/minivisor) is machine code that knows nothing of being virtualized.
--
--   bare       kernel on the machine
--   minivisor  kernel in a VM of minivisor, which runs on the machine
--   nested     L2 the kernel, in a VM of L1 minivisor, in a VM of L0, the modelled VMM under vmx/ept
--   shadowing  the same; L1's VMREADs and VMWRITEs reach a shadow VMCS and do not exit

local profile = set.profile or "skylake"
local workload = set.workload or "cpuid n=200; forkwait n=4; ctxsw n=20"
local limit = tonumber(set.max_cycles or 5e9)

-- How a run is told: its console, cycles, exits of the kernel's VM.
local function finish(name, m, console)
	local why = m:run { max_cycles = limit }
	check(why == "guest-exit", name .. " ended by " .. why)
	return { name = name, m = m, console = console(), cycles = m.now, stats = m.stats }
end

local function bare()
	local m = machine { profile = profile, ram = "64M", console = false }
	m:boot { kernel = guest "kernel64", cmdline = workload }
	return finish("bare", m, function() return m.console end)
end

local minivisor = { kernel = guest "minivisor64", cmdline = "pages=" .. (set.pages == 4096 and "4k" or "2m"),
	modules = { guest "kernel64" .. " " .. workload } }

local function on_the_machine()
	local m = machine { profile = profile, ram = "160M", console = false }
	m:boot(minivisor)
	return finish("minivisor", m, function() return m.console end)
end

local function in_a_vm(name, shadowing)
	local m = machine { profile = profile, ram = "256M", console = false }
	local vm = m:vm { cpu = "vmx", mmu = "ept", page = "2M", ram = "160M", nested = true, vmcs_shadowing = shadowing,
		kernel = minivisor.kernel, cmdline = minivisor.cmdline, modules = minivisor.modules }
	return finish(name, m, function() return vm.console end)
end

-- What the kernel printed, without what its hypervisor says.
local function kernel_lines(console)
	local lines = {}
	for line in console:gmatch "[^\r\n]+" do
		if not line:find "^minivisor:" then lines[#lines + 1] = line end
	end
	return table.concat(lines, "\n")
end

local runs = { bare(), on_the_machine(), in_a_vm("nested", false) }
local has_shadowing = profile == "haswell" or profile == "skylake"
if has_shadowing then runs[4] = in_a_vm("shadowing", true) end

local first, same = runs[1], true
for i = 2, #runs do
	same = check(kernel_lines(runs[i].console) == kernel_lines(first.console),
		"the kernel's console under " .. runs[i].name .. " is another:\n" .. runs[i].console) and same
end
for i = 3, #runs do
	same = check(runs[i].console == runs[2].console, "minivisor's console in a VM is another:\n" .. runs[i].console) and same
end

if not same then return end     -- and the run has failed: check() has said why

local function nested(run, name) return run.stats["vm1.vcpu0.nested." .. name] or 0 end

print(wrap(("%s, %s: the kernel's console is the same in all %d runs"):format(profile, workload, #runs)) .. "\n")
print(("%-10s %14s %9s %10s %10s %10s %10s"):format("", "cycles", "slowdown", "L2 to L1", "L2 to L0", "L1 to L0", "each"))
for i, r in ipairs(runs) do
	local to_l1, to_l0, l1, each = "-", "-", "-", "-"
	if i == 2 then
		to_l1 = tonumber(r.console:match "minivisor:%s+(%d+)%s+exits")
	elseif i > 2 then
		to_l1, to_l0 = nested(r, "reflected"), nested(r, "served")
		l1 = r.stats["vm1.exits"] - nested(r, "exits")
		each = ("%.2f"):format((to_l1 + nested(r, "l1_exits")) / to_l1)
	end
	print(("%-10s %14d %9.2f %10s %10s %10s %10s"):format(r.name, r.cycles, r.cycles / first.cycles, to_l1, to_l0, l1, each))
end

print [[

L2 to L1: exits of the kernel that minivisor serves; to L0: that L0 serves alone
(EPT02 lacked an entry, a port or a device that minivisor leaves to its guest,
the host's own interrupts). each: exits of L0 for one exit that minivisor
serves: that exit itself, and those of minivisor meanwhile.]]
print(("\n%-22s %9s %s"):format("exits of L2 by reason", "to L1", "exits of L0 for each"))
for _, full in ipairs(names "exits") do
	local reason = full:gsub("^exit%.", "")
	local n = nested(runs[3], "reflected." .. reason)
	if n > 0 then
		local line = ("%-22s %9d %9.2f"):format(reason, n, 1 + nested(runs[3], "l1_exits." .. reason) / n)
		local m = runs[4] and nested(runs[4], "reflected." .. reason) or 0
		if m > 0 then line = line .. (" %9.2f with VMCS shadowing"):format(1 + nested(runs[4], "l1_exits." .. reason) / m) end
		print(line)
	end
end

print [[

The hardware knows one level of guests, so every exit of L2 comes to L0 first.
What is L1's affair L0 writes into L1's VMCS and goes on in L1 - whose own VMX
instructions exit, too: a VMREAD for each thing it looks at, VMWRITEs, at last
VMRESUME, for which L0 makes the VMCS that L2 really runs with. One exit becomes
many. A shadow VMCS takes the VMREADs and VMWRITEs away; VMRESUME stays, and
what L1 itself may not do on its machine: its ports.]]
if runs[4] then
	local with, without = runs[4].cycles, runs[3].cycles
	print(wrap(("Here VMCS shadowing takes away %.0f %% of L0's exits and %.0f %% of what nesting added to the time."):format(
		100 * (1 - runs[4].stats["vm1.exits"] / runs[3].stats["vm1.exits"]), 100 * (without - with) / (without - runs[2].cycles)), 0))
else
	print(("Profile %s has no VMCS shadowing: haswell and skylake have."):format(profile))
end
