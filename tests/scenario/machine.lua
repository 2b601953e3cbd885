-- Every property and method of a machine, on the smallest guest.
--! hello from 64-bit long mode
local m = machine { ram = "64M", seed = 3, cpus = 1, profile = "haswell", ["l2.latency"] = 13, cost = { syscall = 99 } }
check(m.now == 0 and m.instructions == 0, "a new machine has not run")
m:boot { kernel = guest "hello64" }
check(m.name == "m0")
check(m.speed == "detailed")

-- stepping
check(m:step() == "instructions" and m.instructions == 1, "one step is one instruction")
check(m:step(9) == "instructions" and m.instructions == 10)
check(m.ledger.total == m.cpu[0].cycles, "every cycle has an owner")
check(m.cpu[0].number == 0)

-- snapshots: back and forth
local s = m:snapshot("ten")
local h, rip, now = m:hash(), m.cpu[0].rip, m.now
check(s:differs() == nil)
m:step(100)
check(m:hash() ~= h)
check(type(s:differs()) == "string", "the first difference is named")
local t = m:snapshot()
local h2 = m:hash()
m:restore(s)
check(m:hash() == h and m.cpu[0].rip == rip and m.now == now, "back to the older one")
m:step(100)
check(m:hash() == h2, "the same way again")
m:restore(s)
m:restore(t)
check(m:hash() == h2, "the newer one stays valid")
check(s.bytes > 0)
s:drop()
local ok, message = pcall(m.restore, m, s)
check(not ok and message:find("this snapshot was dropped", 1, true), "a dropped snapshot is refused")

-- listeners
local outs, lines, all = 0, {}, 0
m:on("port_out", function(e)
	outs = outs + 1
	check(e.event == "port_out" and e.cpu == 0 and e.component == "cpu0" and e.port and e.cycle > 0)
end)
m:on("console", function(e) lines[#lines + 1] = e.line end)
m:on("port*", function() all = all + 1 end)
local why, status = m:run()
check(why == "guest-exit" and status == 1 and m.status == 1, "the guest ends through port 0xf4")
check(outs > 20 and all >= outs and outs == m.stats["cpu0.port.out"], "each OUT is heard")
check(lines[1] == "hello from 64-bit long mode", "lines come without their end")
check(m.console == "hello from 64-bit long mode\n")
check(m.seconds > 0 and m.seconds < 1)

-- numbers
check(m.ledger["vm0"] == m.ledger["vm0.kernel"] + m.ledger["vm0.user"])
check(m.ledger["execute"] == m.ledger["vm0.kernel/execute"])
local sum = 0
for _, v in pairs(m.ledger:all()) do sum = sum + v end
check(sum == m.ledger.total and m.cpu[0].ledger.total == sum)
check(m.stats:all()["cpu0.port.out"] == outs)

-- registers and memory
local c = m.cpu[0]
check(c["cr0.pg"] == 1 and c.cr0 >> 31 & 1 == 1, "bits have names")
check(type(c.gdtr.base) == "number" and type(c.cs.base) == "number")
c.rbx = 0x1234
check(c.rbx == 0x1234)
m:write(0x300000, "\1\2\3\4\5\6\7\8")
check(m:read(0x300000, 3) == "\1\2\3" and m:read_u8(0x300001) == 2 and m:read_u16(0x300000) == 0x201)
check(m:read_u32(0x300000) == 0x04030201 and m:read_u64(0x300000) == 0x0807060504030201)
local pa, walk = c:translate(0x100000)
check(pa == 0x100000 and #walk.refs >= 2 and walk.page_size >= 4096, "identity-mapped")
check(c:read(0x100000, 4) == m:read(0x100000, 4) and c:read_u32(0x100000) == m:read_u32(0x100000))
check(c:read_u8(0x100000) == m:read_u8(0x100000) and c:read_u16(0x100000) == m:read_u16(0x100000))
check(c:read_u64(0x100000) == m:read_u64(0x100000))
c:write(0x100ffe, "abcd")
check(m:read(0x100ffe, 4) == "abcd", "across a page")
check(m.dev.com1.lcr ~= nil, "devices have fields")
check(#m.screen >= 25)
