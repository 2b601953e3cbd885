local m = machine { ram = "2M", seed = 1, ["l2.latency"] = 13 }
m:write(0xfff0, "\x40\xe6\x80\xeb\xfb")
m:on("port*", function(e) return "stop" end)
m:on("console", print)
local id = m:break_at(0xfffffff0, function(x) return "stop" end)
print(m:run { max_cycles = 5000 })
local s = m:snapshot()
m:step(5)
m:restore(s)
print(s:differs(), s.bytes, m:hash())
m:unbreak(id)
m.cpu[0].rip = 0xfff0
print(m:run { until_ = function(x) return x.instructions > 20 end, every = 3 })
print(m.cpu[0].cs.base, m.cpu[0]["cr0.pe"], m.cpu[0]:translate(0x1000))
for k, v in pairs(m.ledger:all()) do print(k, v) end
