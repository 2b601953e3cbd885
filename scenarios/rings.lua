-- rings.lua - trap-and-emulate, and why plain x86 defeats it: critical instructions, one by one.
--
--   vmscope run scenarios/rings.lua [--set cases=popf,sgdt]
--
-- Ring compression: the VMM takes ring 0 and puts the guest's kernel into ring 1. A privileged instruction traps there, and the VMM
-- does what it would have done. An instruction that is sensitive and does not trap (a critical one) does something else without
-- anybody's noticing. equiv{} runs a guest under a technique and, in lock step, on a bare machine; it stops at the first
-- instruction of the guest whose effect differs. critical32 (scenarios/guests/micro) executes one such instruction.
--
--   plain      trap/shadow on an x86 as it is
--   what-if    trap/shadow on an x86 that never was: critical instructions trap outside ring 0
--   bt         binary translation on plain x86: the kernel's code is translated, so nothing has to trap

local cases = {}
for name in (set.cases or "popf,pushf,sgdt,smsw,str,lar,push_cs,mov_from_cs,iret"):gmatch "[^,]+" do cases[#cases + 1] = name end

local machines = {
	{ name = "plain", cpu = "trap", mmu = "shadow.wp" },
	{ name = "what-if", cpu = "trap", mmu = "shadow.wp", critical = true },
	{ name = "bt", cpu = "bt", mmu = "shadow.wp" },
}

local function verdict(case, on)
	return equiv { kernel = guest "critical32", cmdline = case, cpu = on.cpu, mmu = on.mmu, ["trap.critical"] = on.critical or false }
end

print "POPF is to set the interrupt flag; the kernel believes that it is in ring 0:\n"
print(verdict("popf", machines[1]).text)
print [[
In ring 1 POPF leaves IF as it is, and nothing traps: the VMM cannot know that
the kernel wants interrupts now. Others:
]]

print(("%-11s %-8s %-8s %-8s %s"):format("instruction", "plain", "what-if", "bt", "on plain x86"))
for _, case in ipairs(cases) do
	local line, found = ("%-11s"):format(case), nil
	for _, on in ipairs(machines) do
		local r = verdict(case, on)
		line = line .. (" %-8s"):format(r.ok and "the same" or "differs")
		if on.name == "plain" then found = r end
		check(r.ok == (on.name ~= "plain"), case .. " on " .. on.name .. ": " .. r.text)
	end
	if not found.ok then
		local f = found.fields[1]
		line = wrap(line .. (" %s: %s"):format(found.instruction, f and ("%s is %#x, not %#x"):format(f.name, f.test, f.bare) or "it went elsewhere"), 41)
	end
	print(line)
end

print [[

Popek and Goldberg's theorem: a machine can be virtualized by trap-and-emulate
if its sensitive instructions are all privileged. x86's are not; `vmscope
classify` finds out which. Ways out: a processor whose critical instructions
trap (what-if; VT-x in its own way), a VMM that does not let the kernel's code
run as it is (binary translation), a kernel that asks instead (hypercalls).

Where to go next
  vmscope classify                         critical instructions, by experiment
  vmscope equiv critical64 --append sgdt --cpu trap --mmu shadow
  vmscope run scenarios/translation.lua    how a translator deals with them
  docs/ring.md]]
