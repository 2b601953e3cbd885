-- equiv{} from a scenario: the technique and the bare machine in lock step.
local r = equiv { kernel = guest "kernel32", cmdline = "nop", cpu = "vmx", mmu = "shadow.wp", speed = "fast", max_instructions = 100000 }
check(r.ok and r.instructions == 100000, r.text)
check(r.text:find("equivalent: 100000 instructions", 1, true), r.text)
check(not pcall(equiv, { kernel = guest "kernel32", cpu = "vmx", mmu = "ept", kernl = "x" }))
check(not pcall(equiv, { cpu = "vmx", mmu = "ept" }))
check(not pcall(equiv, { kernel = guest "kernel32" }))
print "done"
--! done
