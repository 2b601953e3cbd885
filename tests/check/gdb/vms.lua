-- Two virtual machines with the same kernel on one CPU, for tests/check/gdb.sh.
local m = machine { ram = "256M", cpus = 1 }
m:vm { cpu = "vmx", mmu = "ept", ram = "32M", kernel = guest "kernel64", cmdline = "forkwait n=3" }
m:vm { cpu = "vmx", mmu = "shadow.wp", ram = "32M", kernel = guest "kernel64", cmdline = "pgfault n=20; forkwait n=2" }
print(m:run())
