-- switch.lua - a processor for two virtual machines: the eight steps of a context switch, each with its cycles.
--
--   vmscope run scenarios/switch.lua [--set slice=200000] [--set cpu=bt]
--   vmscope step scenarios/switch.lua           then c, and :pane events
--
-- Two kernels in rings, one physical CPU. A VMM without VMX has the timer: it interrupts whoever runs, and the VMM chooses who
-- goes on. docs/ring.md; the trace event switch_step has the same for other tools.

local slice, cpu = math.tointeger(set.slice or 200000), set.cpu or "trap"
if not check(slice and slice >= 20000, "slice is a number of cycles, at least 20000") then return end
if not check(cpu == "trap" or cpu == "bt", "cpu is trap or bt: VT-x's VMM is entered by VM exits, and this kernel is not paravirtual") then return end

local m = machine { profile = set.profile or "skylake", ram = "256M", console = false }

local vms = {}
for i, workload in ipairs { "empty n=400000", "callret n=40000" } do
	vms[i] = m:vm { cpu = cpu, mmu = "shadow.wp", ram = "32M", slice = slice, console = false, kernel = guest "kernel32",
		cmdline = workload }
end

local names = { "the timer interrupts", "the VMM is entered", "the state is saved", "the next one is decided", "the timer is armed",
	"its state is restored", "the address space is switched", "the jump: IRET" }
local steps, total, switches = {}, {}, 0

-- A whole switch: from the timer's interrupt of one to the jump into the other.
local function whole()
	switches = switches + 1
	if switches == 1 then print(("The first switch that the timer brings about: from vm%d to vm%d\n  %-33s %4s %12s"):format(
		steps[1].vm, steps[8].vm, "", "of", "cycle")) end
	for i, s in ipairs(steps) do
		local took = i > 1 and s.cycle - steps[i - 1].cycle or 0
		total[i] = (total[i] or 0) + took
		if switches == 1 then
			print(("  %d %-31s  vm%d %12d%s"):format(i, names[i], s.vm, s.cycle, i > 1 and ("  +%d"):format(took) or ""))
		end
	end
end

m:on("switch_step", function(e)
	if e.step == 1 then steps = {} end
	steps[#steps + 1] = { step = e.step, vm = e.vm, cycle = e.cycle }
	if #steps == 8 and steps[1].step == 1 and e.step == 8 and e.vm ~= steps[1].vm then whole() end
end)

local why = m:run { max_cycles = 2e9 }
if why == "stopped" then return end
for i, vm in ipairs(vms) do check(vm.console:find(": ok", 1, true), "vm" .. i .. ": " .. vm.console) end
if not check(switches > 0, "the timer has switched between the virtual machines") then return end

print(("\n%d such switches, cycles of each step on the average\n"):format(switches))
local all = 0
for i = 2, 8 do
	print(("  %d %-31s %8.0f"):format(i, names[i], total[i] / switches))
	all = all + total[i]
end
print(("    %-31s %8.0f\n"):format("", all / switches))
print(wrap(("A slice is %d cycles, so switching costs %.1f %% of the processor. A shorter slice answers sooner and costs more: --set slice=50000."):format(
	slice, 100 * all / switches / (slice + all / switches)), 0))
