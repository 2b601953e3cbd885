report { title = "x", columns = { "a", "b" }, rows = { { 1, 2.5 }, { a = "x", b = {} } } }
check(false, "y") table.sort({ 3, 1, 2 }, function(a, b) return a < b end)
print(string.format("%5s|%d", {}, 7), math.random(3), next { 1 }, set.n)
local co = coroutine.wrap(function() coroutine.yield(pcall(error, {})) end) print(co())
