--status 2
--! tests/scenario/memory.lua: the scenario's Lua data need more than 256 MB
local t = {}
for i = 1, 1 << 40 do t[i] = { i } end
