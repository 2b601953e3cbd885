-- What a scenario is told when it is wrong: the place, the offending text, a way out.
local function wrong(text, f, ...)
	local ok, message = pcall(f, ...)
	check(not ok, "accepted: " .. text)
	check(tostring(message):find(text, 1, true), tostring(message) .. " -- does not say: " .. text)
end
local m = machine { ram = "32M", console = false }
wrong("errors.lua:8: unknown key 'rm'\n    did you mean 'ram'?", function() local x = machine { rm = "1M" } return x end)
wrong("unknown key 'cost.sycall'\n    did you mean 'cost.syscall'?", machine, { cost = { sycall = 1 } })
wrong("unknown profile 'skylaek'\n    did you mean 'skylake'?", machine, { profile = "skylaek" })
wrong("cpus = 17: expected 1..16", machine, { cpus = 17 })
wrong("l2.ways = 33: expected 1..32", machine, { ["l2.ways"] = 33 })
wrong("l2: 4096 entries in 7 ways", machine, { ["l2.ways"] = 7 })
wrong("a whole number was expected, got 1.5", machine, { cpus = 1.5 })
wrong("machine: a key of type number", machine, { "skylake" })
wrong("at most 64 machines with 64G", machine, { ram = "1T" })
wrong("unknown guest 'kernel46'; did you mean 'kernel64'?", guest, "kernel46")
wrong("unknown name 'mahcine'; did you mean 'machine'?", function() return mahcine {} end)
wrong("unknown name 'os'", function() return os.time() end)
wrong("unknown name 'load'", function() return load("x") end)
wrong("unknown key 'kernl'; did you mean 'kernel'?", m.boot, m, { kernl = "x" })
wrong("boot: the key 'kernel' is missing", m.boot, m, {})
wrong("no such file that this scenario may read", m.boot, m, { kernel = "/etc/passwd" })
wrong("no such file that this scenario may read", m.boot, m, { kernel = "../../Makefile" })
wrong("no such file that this scenario may read", machine, { disk = "/etc/passwd" })
wrong("no known format", function() m:boot { kernel = "errors.lua" } end)
wrong("unknown key 'until'", m.run, m, { ["until"] = "x" })
wrong("unknown trace event 'exceptoin'\n    did you mean 'exception'?", m.run, m, { until_ = "exceptoin" })
wrong("unknown trace event 'exceptoin'", m.on, m, "exceptoin", print)
wrong("bad argument #2 to 'on' (function expected, got no value)", function() m:on("exception") end)
wrong("unknown symbol 'main'", m.symbol, m, "main")
wrong("unknown symbol 'main'", m.break_at, m, "main")
wrong("no CPU 1: this machine has 0..0", function() return m.cpu[1] end)
wrong("unknown field 'rxa'; did you mean 'rax'?", function() return m.cpu[0].rxa end)
wrong("unknown statistic 'cpu0.wolk'", function() return m.stats["cpu0.wolk"] end)
wrong("unknown account or cause 'excute'; did you mean 'execute'?", function() return m.ledger.excute end)
wrong("unknown name 'colsole'; did you mean 'console'?", function() return m.colsole end)
wrong("'console' of a Machine cannot be assigned", function() m.console = "" end)
wrong("physical address 0xf0000000: 4 bytes are not all RAM", m.read_u32, m, 0xf0000000)
wrong("linear address", m.cpu[0].read_u32, m.cpu[0], 0x7fffffff0000)
wrong("at most 64 MB at once", m.read, m, 0, 1 << 30)
wrong("did you mean 'mmu'?", m.vm, m, { mmuu = "ept" })
wrong("a virtual machine runs on its machine's profile", m.vm, m, { profile = "haswell" })
wrong("module name '../x'", require, "../x")
wrong("module 'nothere' not found", require, "nothere")
wrong("__gc is not available", setmetatable, {}, { __gc = print })
wrong("weak tables are not available", setmetatable, {}, { __mode = "k" })
wrong("%p is not available", string.format, "%p", {})
wrong("keys that are objects", function() for _ in pairs { [{}] = 1, [{}] = 2 } do end end)
wrong("the table 'set' comes from the command line", function() set.x = 1 end)

-- a listener runs inside an instruction
local g = machine { ram = "32M", console = false }
g:boot { kernel = guest "hello64" }
for _, f in ipairs { function() g:step() end, function() g:run() end, function() g.cpu[0].rax = 1 end, function() g:write(0, "x") end,
                     function() g:snapshot() end, function() g:type("x") end } do
	local s = g:snapshot()
	local once = true
	g:on("port_out", function() if once then once = false; f() end end)
	wrong("not possible while the machine is inside an instruction", g.run, g)
	g:restore(s)
	s:drop()
	g = machine { ram = "32M", console = false }
	g:boot { kernel = guest "hello64" }
end
