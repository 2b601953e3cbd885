-- demo.lua - shadow paging against EPT: the same guest, the standard workloads, and why one wins where it does.
--
--   vmscope run scenarios/demo.lua [--set profile=NAME]

print [[
A virtual machine's page tables map to memory it does not have. Two ways out:

  shadow.wp  The VMM builds page tables of its own (shadows) and keeps them in
             step with the guest's, which it write-protects. A TLB miss costs
             what it costs on the bare machine; a change of a page table costs
             VM exits.
  ept        The CPU walks two dimensions of tables, the guest's and the VMM's
             (extended page tables, EPT). A change of a page table costs
             nothing; a TLB miss costs up to 24 memory references, not 4.
  ept:2M     EPT that maps memory with pages of 2 MB: fewer references.

The same kernel runs under each of them, and on the bare machine.
]]

local found = compare { profile = set.profile or "skylake", show = "summary,why,exits" }
report(found)
check(found.ok, "every technique did the same work")

print [[

Where to go next
  ./vmscope compare --workload forkwait,gups     all tables; --plot F.svg draws
  ./vmscope compare --workload ptemix --technique shadow.vtlb,ept \
            --sweep updates=0..8:1               when EPT overtakes shadow paging
  ./vmscope boot build/guests/kernel64.elf --cpu vmx --mmu ept --ledger \
            --append "forkwait n=20"             one run, and every cycle's owner
  ./vmscope step build/guests/kernel64.elf --cpu vmx --mmu shadow.wp \
            --append "forkwait n=20"             step through a VM exit
  ./vmscope run scenarios/compare.lua            the same from Lua
  ./vmscope compare --all                        every technique, also those
                                                 without VT-x; docs/course.md
  ./vmscope explain ept_violation exits.ept      what a name means
  docs/compare.md, docs/manual.md                the manual]]
