-- VMX operation seen from a scenario: minivisor's guest, and a VM entry that fails.
local function start(options, guest_line)
	local m = machine { ram = "160M", console = false, speed = "fast" }
	m:boot { kernel = guest "minivisor64", cmdline = options, modules = { guest "kernel64" .. " " .. guest_line } }
	return m
end

local m = start("pages=4k", "cpuid n=3")
check(#m:entry_failures() == 0, "nothing has failed before the first entry")
check(m:run { max_cycles = 1e9 } == "guest-exit" and m.status == 1)
check(#m:entry_failures() == 0)
check(m.console:find("cpuid n=3: ok", 1, true), m.console)
check(m.console:find("minivisor:        3  CPUID", 1, true), m.console)

local told = {}
m = start("poke=6820:0", "nop")
m:on("vm_check", function(e)
	told[#told + 1] = e
	check(names "checks"[e.check + 1] == m:entry_failures()[1].check, "the event's number is the check's")
end)
check(m:run { max_cycles = 1e9 } == "guest-exit" and m.status == 5)
local f = m:entry_failures()
check(#f == 1 and #told == 1)
check(f[1].check == "rflags_one" and f[1].field == "guest_rflags" and f[1].found == 0 and f[1].wrong == 2)
check(f[1].bits == "bit 1 is 0", f[1].bits)
check(f[1].title == "Checks on Guest RIP, RFLAGS, and SSP")
check(f[1].consequence:find("reason 33", 1, true))
check(f[1].cpu == 0 and f[1].entry == nil and m:symbol_at(f[1].rip) == "vm_enter")
check(told[1].found == 0 and told[1].wrong == 2)

-- a hypervisor in pieces, each run twice, is the same hypervisor
m = machine { ram = "160M", console = false }
m:boot { kernel = guest "minivisor64", cmdline = "pages=4k", modules = { guest "kernel64" .. " forkwait n=3; timer n=2" } }
local start = m:snapshot()
check(m:run { max_cycles = 2e9 } == "guest-exit")
local whole, stop = m:hash(), m:snapshot()
m:restore(start)
repeat
	local s = m:snapshot()
	m:run { max_instructions = 20011 }
	m:restore(s)
	s:drop()
	local why = m:run { max_instructions = 20011 }
until why ~= "instructions"
check(m:hash() == whole, stop:differs())
