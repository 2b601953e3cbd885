-- m:micro(): what happens inside one instruction, step by step; and the machine is the same as after m:step().
local function new()
	local m = machine { ram = "64M" }
	m:boot { kernel = guest "kernel64", cmdline = "syscall n=1" }
	return m
end

local m, plain = new(), new()
local steps = m:micro()
plain:step()
check(steps[1].event == "insn", "the instruction comes first")
check(steps[1].text:find("the instruction at 0x"), steps[1].text)
check(m:hash() == plain:hash(), "micro-steps change nothing")

local walks, refs = 0, 0
for i = 1, 3000 do
	for _, s in ipairs(m:micro()) do
		if s.event == "walk" then walks = walks + 1 end
		if s.event == "walk_ref" then
			refs = refs + 1
			check(s.level >= 1 and s.level <= 4, "level " .. s.level)
			check(s.took >= 4, "a reference takes at least the L1's latency: " .. s.text)
		end
	end
	plain:step()
end
check(walks > 0 and refs >= walks, walks .. " walks, " .. refs .. " references")
check(m:hash() == plain:hash(), "3000 micro-stepped instructions are 3000 instructions")

-- a listener's error comes out, and the next call works
m:on("insn", function() error("from a listener") end)
local ok, message = pcall(function() return m:micro() end)
check(not ok and tostring(message):find("from a listener"), tostring(message))
