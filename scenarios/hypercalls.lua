-- hypercalls.lua - what a paravirtual kernel asks of its VMM: the hypercalls of one workload, seen one by one.
--   vmscope run scenarios/hypercalls.lua
-- docs/pv.md; `vmscope list hypercalls` says what each is.

local workload = "forkwait n=20"

local function run(mmu)
  local m = machine { profile = "skylake", ram = "256M", cpus = 1 }
  local vm = m:vm { cpu = "pv", mmu = mmu, ram = "64M", kernel = guest "kernel64-pv", cmdline = workload }
  local seen = {}
  vm:on("exit.hypercall", function(e) seen[e.qualification] = (seen[e.qualification] or 0) + 1 end)
  m:run { max_cycles = 5e9 }
  return m, vm, seen
end

for _, mmu in ipairs { "direct", "shadow.wp" } do
  local m, vm, seen = run(mmu)
  print(("pv/%s: %s"):format(mmu, vm.console:match("[^\n]*: ok")))
  local calls = 0
  for _, name in ipairs { "version", "console_write", "set_traps", "set_gdt", "set_callbacks", "set_shared", "stack_switch", "mmu_update",
                          "update_va", "pin", "unpin", "new_root", "flush", "iret", "block", "yield", "set_timer", "event_send",
                          "event_deliver", "shutdown" } do
    local n = m.stats["vm1.hypercall." .. name]
    if n > 0 then print(("  %-14s %6d"):format(name, n)) end
    calls = calls + n
  end
  local hooked = 0
  for _, n in pairs(seen) do hooked = hooked + n end
  print(("  %d hypercalls, %d of them seen by the hook"):format(calls, hooked))
end
