---@meta
-- The scenario language of vmscope, for editors. Made by `make meta` from ui/lua/api.def and the configuration
-- tables; do not edit.

---what to load
---@class BootOptions
---@field kernel string image file: Linux, Multiboot, PVH, boot sector, or flat with base
---@field cmdline? string the kernel's command line
---@field initrd? string initial RAM disk
---@field modules? string[] Multiboot modules: "file arguments"
---@field base? integer load and enter a flat binary here

---a virtual machine: the keys of machine (ram, cpus, disk, mmu, page, eager, tags ...) and of boot
---@class VmOptions
---@field kernel string image file, as for boot
---@field cmdline? string the kernel's command line
---@field initrd? string initial RAM disk
---@field modules? string[] Multiboot modules: "file arguments"
---@field base? integer load and enter a flat binary here
---@field cpu? string CPU virtualization: vmx
---@field mmu? string memory virtualization: ept, shadow.wp, ...
---@field ram? string|integer its memory; 64M
---@field cpus? integer virtual CPUs; 1
---@field console? boolean false: its console is kept but not printed

---until when to run
---@class RunOptions
---@field until_? string|fun(m: Machine): any "guest-exit" (the default), a trace event's name, or a predicate asked every `every` instructions
---@field until_console? string until the guest has printed this text
---@field until_address? integer|string until this linear address or symbol is about to execute
---@field max_cycles? integer at most so many cycles more
---@field max_instructions? integer at most so many instructions more
---@field every? integer instructions between two questions to the predicate: 1

---the CPU to classify the instructions of
---@class ClassifyOptions
---@field profile string? its profile: skylake
---@field umip boolean? with user-mode instruction prevention
---@field trap_critical boolean? the what-if machine whose critical instructions trap

---what an instruction is
---@class Verdict
---@field instruction string its mnemonic, and the form where that matters: "mov sreg"
---@field mode integer 32 or 64
---@field class string privileged, critical, innocuous, or not executed
---@field control boolean it changed a resource without a trap
---@field behaviour boolean its results told a resource or the ring, without a trap
---@field evidence string the two executions that show it

---the run under test: keys of machine and m:vm (cpu, mmu, profile, ram: 64M, ...), and
---@class EquivOptions
---@field kernel string the image
---@field cmdline? string its command line
---@field initrd? string initial RAM disk, or first module
---@field console? boolean true: what the guest prints is printed
---@field max_instructions? integer of the guest
---@field max_cycles? integer of the machine under test

---what equiv found
---@class Equivalence
---@field ok boolean every instruction did what it does on a bare machine
---@field text string in words
---@field instructions integer of the guest, compared
---@field interrupts integer taken over by the bare machine
---@field address integer? linear, of the instruction that differed
---@field ring integer? the guest's
---@field symbol string? where that is
---@field instruction string? disassembled
---@field critical boolean? by the table of instructions
---@field reason string? why
---@field fields table[]? each with name, bare and test

---a moment
---@class GoOptions
---@field instruction integer? after so many instructions of all CPUs
---@field cycle integer? the first moment at or after this cycle
---@field event string? a trace event, exit.cpuid (list exits), exception.14
---@field n integer? the n-th since the beginning: 1

---a page of a guide
---@class GuidePage
---@field title string its first line
---@field text string what to know and what to press; lines are broken to the pane's width
---@field show string? a pane to look at meanwhile (vmscope list panes)
---@field done (fun(): boolean)? asked after each key; the next page comes when it says true

---a VM exit, before it is served
---@class ExitEvent
---@field event string exit.cpuid, ...
---@field cycle integer when
---@field cpu integer the physical CPU
---@field vcpu integer the virtual one
---@field reason integer basic exit reason
---@field qualification integer exit qualification
---@field length integer VM-exit instruction length
---@field rip integer the guest's RIP
---@field regs table<string, integer> general registers but RSP: what is there afterwards is what the guest finds

---a table to print
---@class Report
---@field title? string printed above
---@field columns string[] column heads
---@field rows table[] each an array in the columns' order, or a table by column name

---what to compare; lists may be a single name
---@class CompareOptions
---@field workload? string[]|string what the guests run, parameters if wanted: "gups size=16m"; the standard ones
---@field technique? string[]|string native, ept, ept:2M, shadow.wp, vmx/ept, ...; the standard ones
---@field profile? string[]|string CPU profiles; skylake
---@field page? string[]|string EPT page sizes: every ept once with each
---@field image? string the guest: a built one by name, or a file; kernel64
---@field initrd? string initial RAM disk
---@field ram? string|integer the guest's memory; 128M
---@field cpus? integer CPUs of the machine and the guest; 1
---@field set? table<string, any> rows of the profile or configuration
---@field sweep? string "name=a..b[:step|xN]": a profile row or a parameter of the workload
---@field except? string[]|string final memory that may differ: a symbol or LOW-HIGH
---@field memory? boolean false: only the consoles are compared
---@field all? boolean every pair of techniques that is modelled
---@field show? string parts of the text: summary,why,exits,walks,ledger
---@field max_cycles? integer of each case
---@field seed? integer of every random stream

---what compare found; report prints it
---@class Comparison
---@field ok boolean every case ran to its end and did the same work as on the bare machine
---@field rows ComparisonRow[] one for each case
---@field divergences string[] where techniques diverge from the bare machine
---@field text string the tables

---one case; the keys of vmscope list metrics are fields too
---@class ComparisonRow
---@field profile string CPU profile
---@field workload string as it was named
---@field technique string "vmx/ept:2M"
---@field value integer|nil of the sweep
---@field outcome string ok, failed, limit, refused, crashed, not run
---@field why string|nil what is wrong
---@field slowdown number|nil cycles by the bare machine's
---@field why_text string|nil on the rows of the bare machine: who wins, by how much and why
---@field console string what the guest printed
---@field shares table<string, integer> the ledger in a few parts
---@field stats table<string, integer> every statistic and cell of the ledger that is not 0, of the measured part

---something that happened inside an instruction: a trace event, whose own arguments are fields too
---@class MicroStep
---@field event string its name (vmscope list events)
---@field text string a line for people
---@field took integer cycles since the step before
---@field cycle integer when
---@field component string who: cpu0, ...

---what a listener is told; the event's own arguments are fields too
---@class Event
---@field event string its name
---@field cycle integer when
---@field component string who: cpu0, ...
---@field cpu integer|nil the number when it was a CPU
---@field line string|nil of a console line

---a block of translated code
---@class Translation
---@field rip integer the guest's address
---@field at integer that of its translation
---@field vcpu integer whose code cache it is in
---@field instructions integer of the guest
---@field guest_bytes integer their length
---@field bytes integer length of the translation
---@field live boolean false: dropped
---@field exits table[] direct branches out of it: target, chained
---@field lines table[] translated instructions: at, code, note; where one of the guest's begins also rip, guest

---what may stop a run
---@class Stop
---@field id integer for unbreak
---@field text string as it was written
---@field hits integer how often it has stopped the run

---what has stopped a run
---@class StopHit
---@field id integer of the stop
---@field text string as it was written
---@field why string a sentence
---@field cpu integer which CPU
---@field address integer of memory what was accessed, otherwise that of the next instruction
---@field access "read"|"write"|nil of memory
---@field before integer the value before, of memory and fields
---@field after integer the value now

---a VM-entry check that failed
---@class EntryFailure
---@field check string its name (vmscope list checks)
---@field title string of the section in SDM Vol. 3C
---@field field string the VMCS field
---@field found integer its value; of an MSR-load area's entry, the value to load
---@field wrong integer the bits of it that are wrong
---@field bits string the same in words
---@field expected string what the field must be
---@field hint string what usually went wrong
---@field consequence string the error or the exit it leads to when it is the first
---@field cpu integer which CPU
---@field cycle integer when
---@field rip integer of the VMLAUNCH or VMRESUME
---@field entry integer|nil number of the MSR-load area's entry, from 1
---@field msr integer|nil its MSR

---a translation
---@class Walk
---@field page_size integer bytes of the page, when there is one
---@field refs table[] each reference: level, index, table, address, entry

---configuration of a machine
---@class MachineOptions
---@field console? boolean false: the guest's console is not echoed to stdout
---@field cost? table<string, integer> base costs by class: { syscall = 100 }
---@field profile? string|table CPU profile: scenarios/cpus/NAME.lua
---@field ram? string|number RAM: bytes, or a number with K, M, G or T
---@field cpus? string|number number of CPUs
---@field speed? string|number detailed times caches and TLBs; fast does not
---@field seed? string|number seed of every random stream
---@field quantum? string|number turn of one CPU before another runs
---@field disk? string|number image of the primary IDE master; writes stay in memory
---@field disk2? string|number image of the primary IDE slave
---@field disk3? string|number image of the secondary IDE master
---@field disk4? string|number image of the secondary IDE slave
---@field rtc? string|number what the real-time clock starts at, seconds since 1970
---@field trace_ring? string|number trace records kept in memory: a power of two
---@field test_device? boolean QEMU's test devices, as kvm-unit-tests expect them
---@field reset_on_shutdown? boolean a triple fault resets the machine instead of ending the run
---@field reboot? boolean a reset boots the same image again, memory kept, instead of ending the run
---@field cpu? string|number CPU virtualization: native, trap, bt, pv, vmx (vmscope list techniques)
---@field mmu? string|number memory virtualization: native, shadow.flush, .vtlb, .wp, .unsync, direct, ept, agile (vmscope list mmus)
---@field page? string|number ept or shadow: the largest page the VMM maps with, in shadow tables where the guest's is as large (that: a workload's pages=2m)
---@field eager? boolean vmx/ept: map all memory at the start instead of on demand
---@field tags? boolean vmx: use VPIDs: translations survive VM exits and entries
---@field apicv? string|number vmx: at most what of a virtual local APIC the hardware does
---@field shadow_limit? string|number shadow or agile: memory for shadow tables; the oldest roots go when it is used up
---@field shadow_flood? string|number shadow.wp, shadow.unsync or agile: trapped writes to a guest table, with no fill between, until its shadow is given up; 0: never
---@field host_cpus? string|number any VMM: physical CPUs under a virtual machine; as many as it has virtual ones
---@field slice? string|number any VMM: turn of a virtual CPU while others wait for its physical one
---@field nested? boolean vmx/ept or trap: the virtual machine is offered VMX, for a hypervisor inside it; trap, with trap.critical: critical instructions trap in it, too
---@field vmcs_shadowing? boolean vmx/ept: with nested: that hypervisor's VMREADs and VMWRITEs reach a shadow VMCS without an exit
---@field bt_chain? boolean bt: direct branches lead from block to block without the VMM
---@field bt_adaptive? boolean bt: instructions that trap often are translated anew, as callouts
---@field bt_block? string|number bt: guest instructions of a block, at most
---@field bt_cache? string|number bt: the code cache of a virtual CPU, 16K to 1920K
---@field bt_rdtsc? string|number bt: RDTSC in the cache, by a callout, or by the fault the hardware makes of it
---@field hz? integer clock rate; the TSC counts at this rate
---@field phys_bits? integer MAXPHYADDR
---@field lin_bits? integer linear-address width: 57 offers 5-level paging
---@field ["cet.shstk"]? integer shadow stacks, from the Skylake generation on: no CPU modelled here had them
---@field ["cet.ibt"]? integer indirect-branch tracking (ENDBRANCH), likewise
---@field ["trap.critical"]? integer every critical instruction is #GP(0) outside ring 0, as Popek and Goldberg ask
---@field ["trap.umip"]? integer SGDT, SIDT, SLDT, SMSW, STR are #GP(0) outside ring 0 whatever CR4.UMIP says, the other critical instructions are not
---@field line? integer cache-line size
---@field ["l1i.size"]? integer L1 instruction cache size
---@field ["l1i.ways"]? integer L1 instruction cache associativity
---@field ["l1d.size"]? integer L1 data cache size
---@field ["l1d.ways"]? integer L1 data cache associativity
---@field ["l1.latency"]? integer L1 load-to-use latency; hidden in the base cost of a load
---@field ["l2.size"]? integer L2 size
---@field ["l2.ways"]? integer L2 associativity
---@field ["l2.latency"]? integer L2 load-to-use latency
---@field ["l3.size"]? integer L3 size; 0: none
---@field ["l3.ways"]? integer L3 associativity
---@field ["l3.latency"]? integer L3 load-to-use latency
---@field ["mem.latency"]? integer load-to-use latency of a reference that misses every cache
---@field ["store.miss"]? integer share of a miss's latency a store waits for: store buffers hide the rest
---@field ["itlb.4k"]? integer L1 instruction TLB, 4 KB entries
---@field ["itlb.4k.ways"]? integer ways; equal to the entries: fully associative
---@field ["itlb.2m"]? integer L1 instruction TLB, 2 MB and 4 MB entries
---@field ["itlb.2m.ways"]? integer ways
---@field ["dtlb.4k"]? integer L1 data TLB, 4 KB entries
---@field ["dtlb.4k.ways"]? integer ways
---@field ["dtlb.2m"]? integer L1 data TLB, 2 MB and 4 MB entries
---@field ["dtlb.2m.ways"]? integer ways
---@field ["dtlb.1g"]? integer L1 data TLB, 1 GB entries
---@field ["dtlb.1g.ways"]? integer ways
---@field ["stlb.4k"]? integer unified second-level TLB, 4 KB (and, if shared, 2 MB) entries
---@field ["stlb.4k.ways"]? integer ways
---@field ["stlb.2m.shared"]? integer 2 MB translations share the second-level 4 KB array
---@field ["stlb.1g"]? integer second-level TLB, 1 GB entries
---@field ["stlb.1g.ways"]? integer ways
---@field ["stlb.latency"]? integer added by a second-level TLB hit
---@field ["walk.base"]? integer start of a page walk, beyond its references
---@field ["psc.pml5e"]? integer PML5E paging-structure-cache entries, fully associative
---@field ["psc.pml4e"]? integer PML4E paging-structure-cache entries
---@field ["psc.pdpte"]? integer PDPTE paging-structure-cache entries
---@field ["psc.pde"]? integer PDE paging-structure-cache entries
---@field ["psc.combined"]? integer in a guest, paging-structure caches hold where EPT puts the next table: a hit skips its EPT walk, and the nested TLB
---@field ["nested.tlb"]? integer guest-physical to host-physical entries for the paging structures of two-dimensional walks, fully associative
---@field ["ept.psc"]? integer EPT paging-structure-cache entries per level
---@field ["walk.ad_assist"]? integer microcode assist that sets an accessed or dirty flag
---@field ["exception.flow"]? integer delivery of an exception or software interrupt through a gate
---@field ["interrupt.flow"]? integer recognition and delivery of an external interrupt
---@field ["exception.ring"]? integer extra for a change of privilege level and stack
---@field ["task.flow"]? integer hardware task switch, beyond its references
---@field ["vmexit.flow"]? integer VM exit, beyond its references
---@field ["vmentry.flow"]? integer VM entry, beyond its references
---@field vmread? integer VMREAD
---@field vmwrite? integer VMWRITE
---@field vmptrld? integer VMPTRLD
---@field ["port.latency"]? integer one access to a port behind the chipset
---@field ["mmio.latency"]? integer one access to a device register on PCI
---@field ["apic.timer.hz"]? integer clock of the local APIC's timer before its divider
---@field ["apic.latency"]? integer one access to the local APIC's registers
---@field ["vmm.save_regs"]? integer save the guest's general registers and find the vCPU
---@field ["vmm.dispatch"]? integer read the exit reason and branch on it
---@field ["vmm.restore_regs"]? integer restore the guest's general registers
---@field ["vmm.cpuid"]? integer look up the leaf and mask what the VM is not offered
---@field ["vmm.msr"]? integer look up the MSR, check the value
---@field ["vmm.cr"]? integer check a control register's new value and what follows from it
---@field ["vmm.io"]? integer decode an I/O instruction and find the device at the port
---@field ["vmm.device"]? integer the device model: one register access
---@field ["vmm.halt"]? integer take a virtual CPU off its physical one
---@field ["vmm.irq"]? integer find the virtual interrupt to inject, or ask for the window
---@field ["vmm.host_irq"]? integer the host's own interrupt handler, EOI included
---@field ["vmm.schedule"]? integer choose the virtual CPU that runs next
---@field ["vmm.timer"]? integer world switch: arm the host's timer, a write to its local APIC (assumed)
---@field ["vmm.switch"]? integer world switch: MSRs and debug registers no VMCS holds
---@field ["vmm.fpu"]? integer world switch: XSAVE and XRSTOR of the floating-point state
---@field ["vmm.start"]? integer a virtual CPU's INIT or start-up IPI
---@field ["vmm.ept_map"]? integer find the memory behind a guest-physical address
---@field ["vmm.ept_table"]? integer allocate and clear a table
---@field ["vmm.ept_level"]? integer one level of the walk to the entry, its reference excluded
---@field ["vmm.simple"]? integer an exit that needs a decision and no more
---@field ["vmm.emulate"]? integer fetch and decode an instruction to emulate, set up its operands
---@field ["vmm.emulate_op"]? integer carry out one emulated instruction, or one more iteration of REP
---@field ["vmm.interpret"]? integer interpret one instruction of a guest in a mode VMX cannot enter
---@field ["vmm.guest_walk"]? integer software walk of the guest's tables: one level, its reference excluded
---@field ["vmm.shadow_walk"]? integer the same while a shadow entry is built
---@field ["vmm.shadow_fault"]? integer a #PF exit: look at the error code, prepare the walk of the guest's tables
---@field ["vmm.shadow_fill"]? integer compute a shadow entry, put it and its reverse map in place
---@field ["vmm.shadow_page"]? integer take a shadow table from the pool, describe it; clearing it is references
---@field ["vmm.shadow_guard"]? integer guard a guest table: go through its reverse map
---@field ["vmm.shadow_zap"]? integer give a shadow table back
---@field ["vmm.shadow_root"]? integer find or make the root for a CR3
---@field ["vmm.shadow_switch"]? integer take the other root of a guest whose kernel and user have one each
---@field ["vmm.shadow_sync"]? integer bring one table in step: find it, decode which entry was written
---@field ["vmm.shadow_sync_entry"]? integer compare one entry of a table out of step with the guest's
---@field ["vmm.shadow_invlpg"]? integer find the shadow entry of an invalidated page
---@field ["vmm.shadow_remote"]? integer make another CPU flush: an inter-processor interrupt and its answer (assumed)
---@field ["vmm.pv_call"]? integer a hypercall: check its number, branch on it, give its result back
---@field ["vmm.pv_table"]? integer a hypercall that registers something: look at what it names
---@field ["vmm.pv_iret"]? integer a hypercall that returns: check selectors and flags
---@field ["vmm.pv_bounce"]? integer enter the guest's kernel: choose its stack, put a frame there
---@field ["vmm.pv_update"]? integer one request of a batch: find the frame, decide
---@field ["vmm.pv_check_entry"]? integer check or let go one present entry of a page table, its counts excluded
---@field ["vmm.pv_check_table"]? integer go through the 512 entries of a table that is to be one, the present ones' checks excluded
---@field ["vmm.ring_descriptor"]? integer copy one of the guest's segment descriptors for the hardware
---@field ["vmm.ring_dispatch"]? integer branch on the vector
---@field ["vmm.ring_decode"]? integer decode the instruction that trapped
---@field ["vmm.ring_mode"]? integer change between the VMM's 32-bit and 64-bit halves
---@field ["vmm.ring_reflect"]? integer an event into the guest's IDT: gate, code segment, stack, checks
---@field ["vmm.ring_return"]? integer IRET, SYSRET or SYSEXIT of the guest's kernel: checks
---@field ["vmm.ring_flags"]? integer CLI, STI, PUSHF or POPF on the virtual flags
---@field ["vmm.ring_syscall"]? integer a system call: the guest's entry point and flags
---@field ["vmm.nested_insn"]? integer a VMX instruction of L1: checks, its operand decoded
---@field ["vmm.nested_entry"]? integer VM entry of L2: vmcs12 checked, controls merged
---@field ["vmm.nested_exit"]? integer VM exit of L2 to L1: what to save and what L1's host state becomes
---@field ["vmm.nested_reflect"]? integer an exit of L2: is it L1's?
---@field ["vmm.bt_insn"]? integer decode an instruction and emit its translation; storing it is references
---@field ["vmm.bt_block"]? integer begin a block: walk to its code, take room in the cache, enter it in the hash
---@field ["vmm.bt_find"]? integer find the translation of an address
---@field ["vmm.bt_chain"]? integer chain an exit to its target's block
---@field ["vmm.bt_where"]? integer find the guest's address for one in the cache
---@field ["vmm.bt_callout"]? integer dispatch a callout
---@field ["vmm.bt_drop"]? integer drop a block: unchain what leads to it
---@field ["vmm.bt_flush"]? integer drop the whole cache; clearing is references
---@field ["vmm.bt_adapt"]? integer count an instruction that had to be emulated

---@class Machine
---@field boot fun(self: Machine, image: BootOptions) load a kernel image and set the entry state
---@field run fun(self: Machine, options: RunOptions|nil): string, any run; returns why it stopped (vmscope list stops, or event, predicate, address, console, stop) and its detail
---@field step fun(self: Machine, n: integer|nil): string run n instructions, 1 by default; returns why it stopped
---@field micro fun(self: Machine): MicroStep[] run one instruction; returns what happened inside it: phases, references of walks, TLB hits and fills, accesses
---@field on fun(self: Machine, event: string, fn: fun(e: Event): string|nil) call fn for each trace event of this name (vmscope list events; a trailing * matches more), or for each "console" line; fn may return "stop"
---@field break_at fun(self: Machine, where: integer|string, fn: nil|fun(m: Machine, id: integer): string|nil): integer stop before the instruction at a linear address or symbol; with fn, call it and run on unless it returns "stop"; returns the breakpoint's id
---@field stop_at fun(self: Machine, what: string|fun(m: Machine): any, fn: nil|fun(m: Machine, hit: StopHit): string|nil): integer stop at what the text says (vmscope list stop-kinds): "watch gpa:0x1000 8", "catch exit.cpuid", or when a function becomes true; with fn, call it and run on unless it returns "stop"; returns the stop's id
---@field unbreak fun(self: Machine, id: integer): boolean remove a breakpoint or another stop
---@field stop fun(self: Machine) from a callback: let m:run return
---@field type fun(self: Machine, text: string) type text on COM1
---@field key fun(self: Machine, text: string) type text on the PS/2 keyboard
---@field read fun(self: Machine, address: integer, n: integer): string bytes of physical memory
---@field read_u8 fun(self: Machine, address: integer): integer one byte of physical memory
---@field read_u16 fun(self: Machine, address: integer): integer two bytes of physical memory
---@field read_u32 fun(self: Machine, address: integer): integer four bytes of physical memory
---@field read_u64 fun(self: Machine, address: integer): integer eight bytes of physical memory
---@field write fun(self: Machine, address: integer, bytes: string) overwrite physical memory
---@field symbol fun(self: Machine, name: string): integer address of a symbol of the kernel image
---@field symbol_at fun(self: Machine, address: integer): string|nil, integer|nil the symbol that covers an address, and the offset in it
---@field snapshot fun(self: Machine, label: string|nil): Snapshot remember the whole state; costs what is written afterwards
---@field restore fun(self: Machine, snapshot: Snapshot) go back to a snapshot; older and newer ones stay valid
---@field record fun(self: Machine) from now on the run can go back: m:back, m:back_to, m:go
---@field back fun(self: Machine, n: integer|nil): boolean n instructions back, 1 by default; false: this was the beginning
---@field back_to fun(self: Machine, event: string|nil): boolean to the last moment before now of a trace event (vm_exit, exception, ...), or without one of whatever stops the run; false: there is none
---@field go fun(self: Machine, to: GoOptions): boolean to any moment, in the past or to come; false: the run ends before
---@field past boolean now is before a moment that was reached already
---@field hash fun(self: Machine): string hash of the whole state
---@field vm fun(self: Machine, options: VmOptions): Vm a virtual machine on it, its kernel loaded; it runs when the machine does
---@field entry_failures fun(self: Machine): EntryFailure[] the checks that the last VM entry of each CPU failed, in order; empty: none
---@field stops Stop[] its breakpoints and other stops, those of its virtual machines too, with their hits
---@field hit StopHit|nil what stopped the last run, when that was a stop
---@field stats Stats statistics by name
---@field ledger Ledger cycles by owner, all CPUs together
---@field console string what the guest printed on COM1
---@field screen string the VGA text screen, 25 lines
---@field cpu table<integer, Cpu> the CPUs, from 0
---@field dev View the devices' fields: m.dev.com1.lcr (vmscope list fields)
---@field now integer simulated time in cycles
---@field seconds number simulated time in seconds
---@field instructions integer instructions completed on all CPUs
---@field speed "detailed"|"fast" may be assigned between runs
---@field status integer exit status the last run asks for
---@field name string its name in files

---@class Vm
---@field on fun(self: Vm, event: string, fn: fun(e: ExitEvent): string|nil) call fn before the VMM serves an exit (exit.cpuid, ..., exit.*): it may change e.regs and return "handled"; or for each line of its console
---@field break_at fun(self: Vm, where: integer|string, fn: nil|fun(m: Machine, id: integer): string|nil): integer stop before the instruction at a linear address or symbol, when it is this guest that runs
---@field stop_at fun(self: Vm, what: string|fun(vm: Vm): any, fn: nil|fun(m: Machine, hit: StopHit): string|nil): integer as of the machine, while this guest runs; gva and gpa are the guest's
---@field unbreak fun(self: Vm, id: integer): boolean remove a breakpoint or another stop
---@field type fun(self: Vm, text: string) type text on its COM1
---@field key fun(self: Vm, text: string) type text on its PS/2 keyboard
---@field read fun(self: Vm, address: integer, n: integer): string bytes of guest-physical memory
---@field read_u8 fun(self: Vm, address: integer): integer one byte of guest-physical memory
---@field read_u16 fun(self: Vm, address: integer): integer two bytes of guest-physical memory
---@field read_u32 fun(self: Vm, address: integer): integer four bytes of guest-physical memory
---@field read_u64 fun(self: Vm, address: integer): integer eight bytes of guest-physical memory
---@field write fun(self: Vm, address: integer, bytes: string) overwrite guest-physical memory
---@field symbol fun(self: Vm, name: string): integer address of a symbol of its kernel image
---@field symbol_at fun(self: Vm, address: integer): string|nil, integer|nil the symbol that covers an address, and the offset in it
---@field translations fun(self: Vm): Translation[] under bt: the blocks of its code caches, each with the guest's instructions and what they were translated to
---@field console string what its guest printed on COM1
---@field screen string its VGA text screen, 25 lines
---@field name string its name in files

---@class Cpu
---@field [string] integer|View fields and bits by name: vmscope list fields
---@field read fun(self: Cpu, address: integer, n: integer): string bytes at a linear address, as the page tables map it now
---@field read_u8 fun(self: Cpu, address: integer): integer one byte at a linear address
---@field read_u16 fun(self: Cpu, address: integer): integer two bytes at a linear address
---@field read_u32 fun(self: Cpu, address: integer): integer four bytes at a linear address
---@field read_u64 fun(self: Cpu, address: integer): integer eight bytes at a linear address
---@field write fun(self: Cpu, address: integer, bytes: string) overwrite memory at a linear address, whatever its permissions
---@field translate fun(self: Cpu, address: integer): integer|nil, Walk physical address of a linear one or nil, and each reference of the walk
---@field ledger Ledger cycles of this CPU by owner
---@field cycles integer this CPU's clock
---@field number integer its number

---@class View
---@field [string] integer|View fields and bits by name: vmscope list fields

---@class Stats
---@field [string] integer by name: vmscope list stats
---@field all fun(self: Stats): table<string, integer> every statistic

---@class Ledger
---@field [string] integer by name: vmscope list ledger
---@field all fun(self: Ledger): table<string, integer> every account/cause that is not 0
---@field total integer all cycles

---@class Snapshot
---@field drop fun(self: Snapshot) forget it
---@field bytes integer host memory it holds
---@field differs fun(self: Snapshot): string|nil the first place where the present state differs from it

---values of --set KEY=VALUE
---@type table<string, any>
set = {}

---build a machine
---@type fun(options: MachineOptions|nil): Machine
machine = nil

---path of a built guest image (vmscope list guests)
---@type fun(name: string): string
guest = nil

---a CPU profile as a table of its rows; may be changed and given to machine
---@type fun(name: string): table<string, integer|string>
profile = nil

---Popek and Goldberg's class of each instruction, by experiment
---@type fun(options: ClassifyOptions|nil): Verdict[]
classify = nil

---run a guest under a technique in lock step with the same guest on a bare machine: the first guest instruction whose effect differs
---@type fun(options: EquivOptions): Equivalence
equiv = nil

---pages of text that lead a person through the run on the stepping screen: each with title, text, show (a pane) and done (a function: has the task been done?)
---@type fun(pages: GuidePage[])
guide = nil

---print a table, or what compare found
---@type fun(report: Report|Comparison)
report = nil

---text in lines of at most 80 columns, all but the first indented (2)
---@type fun(text: string, indent: integer|nil): string
wrap = nil

---a false condition is printed and makes the exit status 1
---@type fun(condition: any, text: string|nil): boolean
check = nil

---end the scenario with this exit status
---@type fun(status: integer|nil)
exit = nil

---every name of a kind, as vmscope list prints them, in its order
---@type fun(kind: string): string[]
names = nil

---the same guests under several techniques, each in a process of its own; verified against the bare machine
---@type fun(options: CompareOptions|nil): Comparison
compare = nil
