--status 2
--flags --lua-limit 2e7
--! not caught
--! the scenario ran too long
-- neither pcall nor a coroutine escapes the limit; large strings count too
local s = ("x"):rep(1 << 20)
print("not caught")
local co = coroutine.wrap(function() while true do pcall(function() while true do local _ = s .. "y" end end) end end)
pcall(co)
while true do pcall(function() while true do end end) end
