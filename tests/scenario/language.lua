-- The same results in every run and on every host.
--! table: 1
--! b 2	a
local keys = {}
for k in pairs { c = 1, [3] = 1, a = 1, [1] = 1, [true] = 1, [2.5] = 1, b = 1 } do keys[#keys + 1] = tostring(k) end
check(table.concat(keys, " ") == "1 2.5 3 a b c true", table.concat(keys, " "))
local t = { x = 1, y = 2, z = 3 }
for k in pairs(t) do t[k] = nil end
check(next(t) == nil, "removing while walking")
check(next { b = 1, a = 1 } == "a" and next({ b = 1, a = 1 }, "a") == "b" and next({ a = 1 }, "a") == nil)
check(pairs(setmetatable({}, { __pairs = function() return 7 end })) == 7)

-- a stable sort
local list = {}
for i = 1, 500 do list[i] = { key = i * 7919 % 10, at = i } end
table.sort(list, function(a, b) return a.key < b.key end)
local stable = true
for i = 2, 500 do
	local a, b = list[i - 1], list[i]
	stable = stable and (a.key < b.key or a.key == b.key and a.at < b.at)
end
check(stable, "equal elements keep their order")
local words = { "pear", "apple", "fig" }
table.sort(words)
check(table.concat(words, ",") == "apple,fig,pear")
check(not pcall(table.sort, { 1, "a" }), "no order between a number and a string")
table.sort(list, function() return true end)    -- nonsense must not hurt

-- random numbers of the scenario's own
local a = { math.random(), math.random(10), math.random(5, 6), math.random(0) }
check(a[1] >= 0 and a[1] < 1 and a[2] >= 1 and a[2] <= 10 and (a[3] == 5 or a[3] == 6))
math.randomseed(42)
local x = math.random(1000000)
math.randomseed(42)
check(math.random(1000000) == x)
check(not pcall(math.random, 2, 1))

print({})
print(string.format("%s %d\t%s", "b", 2, "a"))
check(string.format("%5.1f|%-4s|%q", 1.25, "x", "y") == '  1.2|x   |"y"', string.format("%5.1f|%-4s|%q", 1.25, "x", "y"))
check(tostring(setmetatable({}, { __tostring = function() return "mine" end })) == "mine")
check(tostring(print):match("^function: %d+$") and not tostring({}):find("0x"))

-- what the command line said
check(set.n == 12 and set.text == "words" and set.flag == true and set.nothing == nil)
check(names("techniques")[1] == "native" and not pcall(names, "technqiues"))
check(profile("skylake").name == "skylake" and profile("prescott")["l2.latency"] == 28)
local p = profile "nehalem"
p["l3.latency"] = 50
check(machine { profile = p, console = false } ~= nil)
local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
check(co() + co() + co() == 6)
check(require("module").answer == 42 and require("module") == require("module"))
report { title = "t", columns = { "n", "name" }, rows = { { 1, "one" }, { n = 22, name = "two" } } }
-- Sentences that fit a page.
local long = wrap(("words of a sentence "):rep(9), 4)
for line in long:gmatch "[^\n]+" do check(#line <= 80, line) end
check(long:find("\n    %S") and not long:find("\n     ") and wrap "short" == "short" and wrap "" == "")
check(not pcall(wrap, "x", 61) and not pcall(wrap, ("x"):rep(70000)) and not pcall(wrap, "a\0b"))
