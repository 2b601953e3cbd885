-- What stops a run: texts, functions, what they are told.
local function boot(cmdline)
	local m = machine { ram = "64M", console = false }
	m:boot { kernel = guest "kernel64", cmdline = cmdline }
	return m
end
local m = boot "forkwait n=2"
check(m.hit == nil and #m.stops == 0)

local id = m:stop_at "catch #PF"
local why, which = m:run()
if which ~= id then print(m.hit.why) exit(0) end        -- --stop of the command line came first
check(why == "break" and which == id, "without a function the run is over")
check(m.hit.id == id and m.hit.text == "catch #PF" and m.hit.why:find("vector=14"), m.hit.why)
check(m.hit.address == m.cpu[0].rip, "the next instruction: the handler's first")
check(#m.stops == 1 and m.stops[1].hits == 1)
check(m:unbreak(id) and #m.stops == 0)

-- with a function it goes on, until that says stop
local seen = {}
m:stop_at("watch gpa:0x100000 0x400000", function(x, hit)
	check(x == m and hit.access == "write")
	seen[#seen + 1] = hit
	return #seen == 5 and "stop" or nil
end)
check(m:run() == "break" and #seen == 5)
check(seen[5].why:find("wrote"), seen[5].why)
check(m:unbreak(m.stops[1].id))

-- a function as the condition: asked after each instruction, an edge
local n = 0
local user = m:stop_at(function(x) return x.cpu[0].cpl == 3 end, function() n = n + 1; return "stop" end)
check(m:run() == "break" and n == 1 and m.cpu[0].cpl == 3)
check(m:run() == "break" and n == 2, "once more only after it was false")
check(m:unbreak(user))

-- several at one moment: each function is called
local calls = {}
m:break_at("space_fault", function(_, i) calls[#calls + 1] = i end)
m:stop_at("break space_fault", function() calls[#calls + 1] = "text"; return "stop" end)
check(m:run() == "break" and #calls == 2 and calls[2] == "text")

-- a virtual machine's
local h = machine { ram = "256M" }
local vm = h:vm { mmu = "shadow.wp", ram = "64M", kernel = guest "kernel64", cmdline = "forkwait n=1", console = false }
local root
vm:stop_at("insn wrmsr", function(x, hit) root = hit; return "stop" end)
check(h:run() == "break" and root and root.cpu == 0)
vm:stop_at(function(v) return v == vm and #v.console > 5 end, function() return "stop" end)
check(h:run() == "break")

-- errors
local function says(text, f, ...)
	local ok, e = pcall(f, ...)
	check(not ok and e:find(text, 1, true), e)
end
says("did you mean 'vm_exit'?", m.stop_at, m, "catch vm_exti")
says("unknown kind of stop 'stop'", m.stop_at, m, "stop here")
says("did you mean 'space_fault'?", vm.break_at, vm, "space_falt")
m:stop_at(function(x) return x.nonsense end)
says("unknown name 'nonsense'", m.run, m)
