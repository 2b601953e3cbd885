-- The ways to stop a run.
local function boot(cmdline)
	local m = machine { ram = "64M", console = false }
	m:boot { kernel = guest "kernel64", cmdline = cmdline }
	return m
end
local m = boot "syscall n=100; pgfault n=100"
check(m:run { max_instructions = 1000 } == "instructions" and m.instructions == 1000)
local now = m.now
check(m:run { max_cycles = 1e4 } == "cycles" and m.now >= now + 10000 and m.now < now + 12000)
local why, text = m:run { until_console = "-- syscall" }
check(why == "console" and text == "-- syscall" and m.console:sub(-10) == "-- syscall", "stops right behind the text")
local why, rip = m:run { until_address = "roi_begin" }
check(why == "address" and rip == m:symbol("roi_begin") and m.cpu[0].rip == rip, "stops before the instruction")
check(m:symbol_at(rip) == "roi_begin" and select(2, m:symbol_at(rip + 1)) == 1 and m:symbol_at(0x10) == nil)
local why, e = m:run { until_ = "exception" }
check(why == "event" and e.event == "exception" and e.vector == 14, "until an event")
local from = m.instructions
local why, value = m:run { until_ = function(x) return x.instructions >= from + 50 and "enough" end }
check(why == "predicate" and value == "enough" and m.instructions == from + 50, "a predicate is asked at each instruction")
local why = m:run { until_ = function(x) return x.instructions >= from + 101 end, every = 10 }
check(why == "predicate" and m.instructions == from + 110, "or every tenth")
check(m:run { until_ = function() return false end, every = 1000, max_instructions = 5000 } == "instructions")

-- a listener's "stop", and stop()
local n = 0
m:on("exception", function() n = n + 1; if n == 10 then return "stop" end end)
check(m:run() == "stop" and n == 10)
m:on("exception", function() if n == 20 then m:stop() end end)
check(m:run() == "stop" and n >= 20)

-- breakpoints
local hits = 0
local id = m:break_at("roi_end", function(x, i) hits = hits + 1; check(x == m and i > 0); if hits == 1 then return "stop" end end)
local why, which = m:run()
check(why == "break" and which == id and hits == 1)
check(m:unbreak(id) == true and m:unbreak(id) == false)
check(m:run() == "guest-exit" and hits == 1)

-- fast and detailed have the same outcome
local a, b = boot "forkwait n=5", boot "forkwait n=5"
b.speed = "fast"
check(b.speed == "fast")
check(a:run() == "guest-exit" and b:run() == "guest-exit")
check(a.console == b.console and a.now > b.now, "fast is the same with less time")

-- stepping, running through, and running with restores in between are one
local c = boot "forkwait n=5"
while true do
	local s = c:snapshot()
	local why = c:run { max_instructions = 250000 }
	c:restore(s)
	s:drop()
	why = c:run { max_instructions = 250000 }
	if why ~= "instructions" then check(why == "guest-exit", why) break end
end
check(c.now == a.now and c.instructions == a.instructions and c.ledger.execute == a.ledger.execute, "restores leave no trace")
