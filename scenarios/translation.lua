-- translation.lua - dynamic binary translation: a block and what becomes of it; what chaining and adaptation are worth.
--
--   vmscope run scenarios/translation.lua [--set profile=prescott]
--   vmscope step scenarios/translation.lua       then v, and :arrange translation
--
-- Under bt the guest's kernel is never executed as it is. The VMM translates it block by block, when it is first reached, into
-- a cache in simulated memory, and the CPU executes that. Most instructions are copied; sensitive ones become a few others that
-- work on the virtual state, or a callout: UD2, at which the VMM does what is wanted. docs/bt.md has the rest.

local profile = set.profile or "skylake"

local function run(workload, switches)
	local m = machine { profile = profile, ram = "128M", console = false }
	local keys = { cpu = "bt", mmu = "shadow.wp", ram = "64M", console = false, kernel = guest "kernel64", cmdline = workload }
	for k, v in pairs(switches or {}) do keys[k] = v end
	local vm = m:vm(keys)
	local why = m:run { max_cycles = 3e9 }
	check(why == "guest-exit" and vm.console:find(": ok", 1, true), workload .. ": " .. why)
	return m, vm
end

local m, vm = run "cli n=200"

-- The first block in use with such an instruction of the guest.
local function block_with(pattern)
	for _, b in ipairs(vm:translations()) do
		for _, l in ipairs(b.lines) do
			if b.live and l.guest and l.guest:find(pattern) then return b end
		end
	end
end

local function show(title, b)
	if not check(b, "a block: " .. title) then return end
	print(("%s\n  %x: %d instructions, %d bytes, became %d"):format(title, b.lines[1].rip, b.instructions, b.guest_bytes, b.bytes))
	for _, l in ipairs(b.lines) do
		print(wrap(("  %-36s | %s%s"):format(l.guest or "", l.code, l.note ~= "" and " ; " .. l.note or ""), 43))
	end
	print()
end

show("CLI: the virtual interrupt flag is a word of memory; nothing traps", block_with "^cli")
show("MOV to CR3: a callout, the VMM makes other shadow tables current", block_with "^mov cr3")
show("a conditional branch: two ways out, each chained to the other block once taken", block_with "^jnz")

local function stat(name) return m.stats["vm1.bt." .. name] end
print(wrap(("In all %d blocks of %d instructions; %d bytes became %d. Of %d ways out %d are chained."):format(
	stat "blocks", stat "insns", stat "guest_bytes", stat "bytes", stat "exits", stat "chained"), 0))

-- ---- switches ----

-- The same work under two settings; cycles, and the statistics that explain them.
local function against(title, workload, first, second, names)
	print("\n" .. wrap(("%s (%s)"):format(title, workload)))
	print(("  %-24s %14s   %s"):format("", "cycles", table.concat(names, "  ")))
	local cycles = {}
	for _, way in ipairs { first, second } do
		local machine_ = run(workload, way.keys)
		local counts = {}
		for i, name in ipairs(names) do counts[i] = ("%" .. #name .. "d"):format(machine_.stats["vm1." .. name]) end
		cycles[#cycles + 1] = machine_.now
		print(("  %-24s %14d   %s"):format(way.name, machine_.now, table.concat(counts, "  ")))
	end
	return cycles[1] / cycles[2]
end

local chaining = against("Chaining: does a branch lead to the next block by itself, or through the VMM?", "branchy n=20",
	{ name = "bt_chain = false", keys = { bt_chain = false } }, { name = "bt_chain = true", keys = {} },
	{ "bt.callouts.chain", "bt.chained" })
check(chaining > 2, "chaining pays at least twofold")
print(("  chaining: %.1f times as fast"):format(chaining))

local adaptive = against("Adaptation: an instruction that keeps faulting becomes a callout, which is cheaper", "ptemod n=2000",
	{ name = "bt_adaptive = false", keys = { bt_adaptive = false, shadow_flood = 0 } }, { name = "bt_adaptive = true", keys = { shadow_flood = 0 } },
	{ "bt.adapted", "bt.callouts.simulate" })
check(adaptive > 1, "adaptation pays where page tables are written")
print(("  adaptation: %.2f times as fast"):format(adaptive))

print [[

Where to go next
  vmscope boot kernel64 --cpu bt --append "syscall n=10" --blocks -
                                         the whole cache
  vmscope step scenarios/translation.lua v enters the guest, :arrange
                                         translation shows the block that runs
  vmscope compare --workload in,cli,syscall,forkwait --technique bt,shadow.wp
  docs/bt.md]]
