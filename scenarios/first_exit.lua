-- first_exit.lua - a first VM exit, step by step: a guide on the stepping screen, vmscope step scenarios/first_exit.lua
--
-- A virtual machine with 64 MB boots the teaching kernel under VT-x with EPT. The guide on the screen leads from the
-- guest's first instruction to its first VM exit, through what the hardware and the VMM do, back into the guest, and back
-- in time. Without the screen (vmscope run) the guest runs to its end and the exits are counted.

local m = machine { profile = "skylake", ram = "128M" }
local vm = m:vm { cpu = "vmx", mmu = "ept", ram = "64M", eager = true, kernel = guest "kernel64", cmdline = "cpuid n=3" }

local exits, entries = 0, 0     -- listeners hear every moment once, however often time goes back and forth
m:on("vm_exit", function() exits = exits + 1 end)
m:on("vm_entry", function() entries = entries + 1 end)

local function stat(name) return m.stats["cpu0.exit." .. name] end
local function all_exits() return stat "wrmsr" + stat "cr_access" + stat "io" + stat "cpuid" end

guide {
	{ title = "A virtual machine, before anything has happened", show = "regs", text = [[
The kernel below believes it has a PC to itself. It has not: it will run in VMX non-root operation, and the
instructions that could touch the real machine will leave it - a VM exit. The first lines always say who has the CPU.

Press v: the VMM prepares a VMCS and the EPT, and enters the guest.]],
		done = function() return entries > 0 end },
	{ title = "Inside the guest", show = "regs", text = [[
VMX non-root, vm1, ring 0: most instructions run at full speed, straight on the CPU, with nobody looking.

Press s a few times. Each step is one instruction; what it changed is marked.
Then press x: run to the first VM exit.]],
		done = function() return exits > 0 end },
	{ title = "The first VM exit", show = "exits", text = [[
_start wants to write EFER with WRMSR to switch on long mode. The VMM has not allowed that, so the CPU left the guest before
the instruction: the guest's RIP still points to it. The exits pane has the reason and the qualification, in words.

Press ) for what that cost.]] },
	{ title = "What an exit is made of", show = "transition", text = [[
A VM exit is not a jump: the CPU recognises the cause, saves the guest's state in the VMCS, goes through the MSR areas and
loads the host's state. Each phase has its cycles, and they are charged to the hardware, not to the guest.

m goes through them one by one, rm back. Press ) when you have seen enough.]] },
	{ title = "What the CPU wrote down", show = "vmcs", text = [[
The VMCS is all the VMM knows about the exit. Tab gives a pane the keys, j and k scroll, Enter explains a field.
Look for the exit reason and the guest's RIP.

Press v: the VMM does the write on the guest's behalf, moves RIP on, and executes VMRESUME.]],
		done = function() return entries > 1 end },
	{ title = "Back in the guest", show = "ledger", text = [[
The next instruction is the one after WRMSR; the guest cannot tell that anything happened - except by the clock. The ledger
shows who had the cycles: the guest, the hardware's transitions, the VMM.

Press x twice for the next two exits: see what else a kernel does that a guest may not.]],
		done = function() return exits > 2 end },
	{ title = "The way back", show = "exits", text = [[
Time goes both ways here. rs is a step back, rx goes back to the last VM exit; the first lines then say PAST. Everything
is as it was: registers, caches, TLBs, devices. Press rx until you are at the first exit again.]],
		done = function() return exits > 2 and all_exits() == 1 end },
	{ title = "On your own", show = "exits", text = [[
G goes to the latest moment, c runs on, a key stops. :catch vm_exit if reason == 10 and c run to the guest's first CPUID;
:lua m.stats["cpu0.exit.io"] counts its port accesses; L changes the arrangement of panes, ? lists all keys, q leaves.

Then read docs/manual.md]] },
}

local why = m:run()
if why == "guest-exit" then
	check(vm.console:find "cpuid n=3: ok", "the guest has run its workload")
	print(("%d VM exits: wrmsr %d, CR access %d, I/O %d, cpuid %d"):format(exits, stat "wrmsr", stat "cr_access", stat "io", stat "cpuid"))
end
