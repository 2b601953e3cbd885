-- Going back from a scenario: any moment is the same moment again, what Lua sees of it too.
local m = machine { ram = "96M" }
local vm = m:vm { cpu = "vmx", mmu = "ept", ram = "32M", kernel = guest "kernel64", cmdline = "cpuid n=40000" }
local heard = 0
m:on("vm_exit", function() heard = heard + 1 end)
m:record()
m:run { max_instructions = 360000 }
local function seen() return { m:hash(), m.now, m.instructions, m.stats["cpu0.exit.io"], m.ledger.total, vm.console } end
local function same(a, b) for i = 1, #a do if a[i] ~= b[i] then return false end end return true end
local last, n, all = seen(), m.instructions, heard

check(not m.past, "the newest moment is not in the past")
check(m:back(1000) and m.instructions == n - 1000 and m.past, "a thousand back")
m:step(1000)
check(same(seen(), last), "and forth")
check(m:go { instruction = 300000 } and m.instructions == 300000, "to an instruction")
check(m:go { cycle = 700000 } and m.now >= 700000, "to a cycle")
local cycle = m.now
check(m:go { cycle = cycle } and m.now == cycle, "to the same cycle")

check(m:go { event = "exit.io", n = 7 }, "there is a seventh")
check(m.stats["cpu0.exit.io"] == 7, "and it is the seventh: " .. m.stats["cpu0.exit.io"])
local seventh = seen()
check(m:go { event = "exit.io", n = 50 } and m.stats["cpu0.exit.io"] == 50, "the fiftieth")
check(m:go { event = "exit.io", n = 7 } and same(seen(), seventh), "the seventh is the same again")
check(m:back_to "vm_exit" and m.stats["cpu0.exit.io"] == 6, "the exit before it: " .. m.stats["cpu0.exit.io"])
check(m:go { event = "exit.cpuid", n = 30000 } and m.stats["cpu0.exit.cpuid"] == 30000, "a moment to come")
check(not m:go { event = "exit.cpuid", n = 60000 }, "there are not so many")

m:go { instruction = n }
check(same(seen(), last), "the newest moment, after all that")
check(#m.name > 0 and heard >= all, "listeners hear each moment once: " .. heard .. " of " .. all)

m:go { instruction = 300000 }
m.cpu[0].r15 = 77
m:step(10)
check(not m.past, "a change in the past is a new present")
check(not pcall(m.go, m, {}), "nowhere to go")
check(not pcall(m.go, m, { instruction = -1 }), "before the beginning")
check(not pcall(m.go, m, { cycle = -1 }), "before the beginning, in cycles")
check(not pcall(m.back, m, -1), "back is not forth")
check(not pcall(m.go, m, { event = "exit.nothing" }), "an unknown exit")
print "done"
--! done
