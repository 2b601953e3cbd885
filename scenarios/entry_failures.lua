-- entry_failures.lua - VM entries that fail, and why: one field of minivisor's VMCS is broken before each.
--
--   vmscope run scenarios/entry_failures.lua [--set poke=681e:ffff000000000000]
--
-- minivisor (scenarios/guests/minivisor) is machine code in VMX root operation; poke= writes a VMCS field by its encoding
-- (vmscope list vmcs) just before VMLAUNCH. Hardware says error 7, error 8 or exit reason 33, and no more.
-- vmscope makes every check and says which of them say no: m:entry_failures(), and vmscope explain NAME.

local broken = {
	{ "6820:0",            "RFLAGS of a guest nobody thought of" },
	{ "4816:c098",         "code that was never accessed" },
	{ "4000:0",            "pin-based controls without the bits that must be 1" },
	{ "201a:1000",         "an EPT pointer without its walk length" },
	{ "6c16:8000000000000000", "a host RIP that is no address" },
	{ "2800:0",            "a link pointer of 0 instead of all ones" },
	{ "4016:80000320",     "an exception with vector 32" },
	{ "6800:80000000",     "paging without protection" },
}
if set.poke then broken = { { set.poke, "given by --set poke" } } end

for _, case in ipairs(broken) do
	local m = machine { ram = "160M", console = false, speed = "fast" }
	m:boot { kernel = guest "minivisor64", cmdline = "poke=" .. case[1],
	         modules = { guest "kernel64" .. " nop" } }
	m:run { max_cycles = 1e9 }
	local failures = m:entry_failures()
	print(string.format("%s: %s", case[1], case[2]))
	for i, f in ipairs(failures) do
		print(wrap(("  %d. %s: %s = 0x%x, wrong: %s"):format(i, f.check, f.field, f.found, f.bits), 5))
		print(wrap("     expected: " .. f.expected, 15))
		print(wrap("     hint: " .. f.hint, 11))
	end
	if #failures > 0 then
		print(wrap("  -> " .. failures[1].consequence, 5))
	else
		print("  -> entered")
	end
	check(#failures > 0 or set.poke, "the entry fails: " .. case[1])
end
