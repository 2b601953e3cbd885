-- A virtual machine from Lua: its console, its memory, and its exits seen before they are served.
local m = machine { ram = "256M", console = false }
local vm = m:vm { mmu = "ept", ram = "64M", kernel = guest "kernel64", cmdline = "syscall n=5" }
local exits, ins, last = 0, 0, nil
vm:on("exit.*", function(e)
	exits = exits + 1
	check(e.cycle >= (last or 0), "time goes forwards")
	last = e.cycle
end)
vm:on("exit.io", function(e)
	local port, into = e.qualification >> 16, e.qualification & 8 ~= 0
	if into and port == 0x3fd then          -- the line status register: always ready, said without asking the device
		ins = ins + 1
		e.regs.rax = e.regs.rax & ~0xff | 0x60
		return "handled"
	end
end)
m:run { until_ = "guest-exit", max_cycles = 1e9 }
check(vm.console:find("syscall n=5: ok", 1, true), vm.console)
check(ins > 0, "no read of the line status register")
check(exits == m.stats["vm1.exits"], exits .. " exits seen, " .. m.stats["vm1.exits"] .. " served")
check(#vm:read(vm:symbol("kernel_main") & 0xffffff, 16) == 16)
check(not pcall(vm.on, vm, "exit.cupid", print))
local ok, message = pcall(vm.on, vm, "exit.cupid", print)
check(message:find("did you mean 'cpuid'?", 1, true), message)
