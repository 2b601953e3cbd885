-- classify.lua - Popek and Goldberg, measured: which instructions are critical on x86, with UMIP, and on the machine x86 is not.
--
--   vmscope run scenarios/classify.lua [--set profile=prescott] [--set insn=popf]      some 15 seconds
--
-- classify { } executes every instruction in ring 0 and ring 3 from many states and looks which trap, which change a resource and
-- whose results depend on one. Nobody tells it which are critical. docs/manual.md, "Privileged, critical, innocuous".

local profile, insn = set.profile or "skylake", set.insn or "popf"
local machines = {
	{ "plain x86", classify { profile = profile } },
	{ "with UMIP", classify { profile = profile, umip = true } },
	{ "what-if", classify { profile = profile, trap_critical = true } },
}

local rows = {}
for _, mode in ipairs { 32, 64 } do
	for _, m in ipairs(machines) do
		local n = {}
		for _, v in ipairs(m[2]) do
			if v.mode == mode then n[v.class] = (n[v.class] or 0) + 1 end
		end
		rows[#rows + 1] = { mode == 32 and "IA-32" or "Intel 64", m[1], n.privileged or 0, n.critical or 0, n.innocuous or 0,
			(n.critical or 0) == 0 and "by trap-and-emulate" or "not by trap-and-emulate" }
	end
end
report { columns = { "", "machine", "privileged", "critical", "innocuous", "can be virtualized" }, rows = rows }

print("\nThe evidence for " .. insn .. " on plain x86, two executions that differ:")
local found = false
for _, v in ipairs(machines[1][2]) do
	if v.instruction == insn then
		found = true
		print(wrap(("  %d-bit: %s, %s"):format(v.mode, v.class, v.evidence ~= "" and v.evidence or "no two executions differ"), 10))
	end
end
check(found, "an instruction of this name: " .. insn)
local left = 0
for _, v in ipairs(machines[3][2]) do
	if v.class == "critical" then left = left + 1 end
end
check(left == 0, "the what-if machine has no critical instruction")

print [[

The theorem: if the sensitive instructions are a subset of the privileged ones,
a VMM can be built that lets the guest's kernel run out of ring 0 and carries
out what traps. UMIP takes five critical instructions away (SGDT, SIDT, SLDT,
SMSW, STR) and leaves the rest.

Where to go next
  vmscope classify                        all of them with evidence; --umip,
                                          --trap-critical
  vmscope run scenarios/rings.lua         what each breaks in a virtual machine]]
