#!/bin/sh
# The command line from outside: what it refuses, in which words, and with which exit status.
build=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
v=$build/vmscope g=build/guests

# expect STATUS TEXT ARGUMENTS...: the exit status, and TEXT somewhere on stderr or stdout ("": anything)
expect() {
	status=$1 text=$2
	shift 2
	timeout 60 "$v" "$@" >"$tmp/out" 2>&1
	got=$?
	if [ $got != "$status" ]; then
		echo "not ok cli: vmscope $*: exit status $got, expected $status"
		head -n 3 "$tmp/out"
	elif [ -n "$text" ] && ! grep -qF -- "$text" "$tmp/out"; then
		echo "not ok cli: vmscope $*: does not say: $text"
		head -n 3 "$tmp/out"
	else
		echo "ok cli vmscope $*"
	fi
}

expect 2 "a command is missing"
expect 0 "run a scenario to its end" help
expect 0 "--max-cycles N" help boot
expect 0 "--max-cycles N" run --help
expect 2 "did you mean 'explain'?" exlpain x
expect 2 "did you mean '--profile'?" boot --profil skylake x
expect 2 "--ram does not go with vmscope run" run x --ram 1M
expect 2 "--ram needs SIZE" boot x --ram
expect 2 "--quiet takes no value" boot x --quiet=1
expect 2 "step takes one scenario or image" step
expect 2 "unknown technique 'nix'" compare --technique nix
expect 2 "vmscope grade is not there yet" grade x
expect 2 "EPT needs VMX" boot x --cpu pv --mmu ept
expect 2 "--cpu native goes with --mmu native" boot x --cpu native --mmu shadow
expect 2 "EPT needs VMX; a paravirtual guest has shadows" boot x --cpu pv --mmu ept
expect 2 "unknown technique 'vmy'" boot x --cpu vmy
expect 2 "did you mean 'shadow'?" boot x --cpu bt --mmu shadwo
expect 2 "--cpus: cpus = 17: expected 1..16" boot x --cpus 17
expect 2 "ram = 4097K: expected a multiple of 4096" boot x --ram 4097K
expect 2 "unknown profile 'skylaek'" boot x --profile skylaek
expect 2 "did you mean 'cost.syscall'?" boot x --set cost.sycall=1
expect 2 "l2.ways = 33: expected 1..32" boot x --set l2.ways=33
expect 2 "'ram': expected KEY=VALUE" boot x --set ram
expect 2 "boot takes one image" boot
expect 2 "No such file" boot /nonexistent/image
expect 2 "--max-cycles: 'soon': a number was expected" boot x --max-cycles soon
expect 2 "'nix': expected [ADDRESS:]PORT" boot x --gdb nix
expect 2 "--gdb: cannot listen on 192.0.2.1:1" boot build/guests/hello64.elf --gdb 192.0.2.1:1
expect 2 "/nonexistent.lua: No such file" run /nonexistent.lua
expect 2 "vmscope list scenarios" run nosuch
expect 2 "vmscope list scenarios" step nosuch.lua
expect 2 "vmscope list guests" boot nosuch
expect 2 "vmscope list guests" step nosuch
expect 2 "vmscope list guests" equiv nosuch --cpu trap --mmu shadow
expect 0 "the eight steps" list scenarios
expect 0 "mmu_update" run hypercalls --quiet
expect 0 "mmu_update" run hypercalls.lua --quiet
expect 2 "did you mean 'stats'?" list stat
expect 0 "page walks" list stats
expect 0 "sensitive" list insns
expect 0 "step of a context switch" explain "the state is saved" switch_step
expect 0 "memory virtualization" explain shadow.vtlb
expect 0 "pair of techniques" explain bt/shadow
expect 0 "pair of techniques" explain trap/shadow.wp:whatif
expect 2 "did you mean 'shadow.wp'?" boot $g/kernel64.elf --mmu shadow.wpp
expect 2 "--page: page has no effect on the bare machine: it is of use under ept or shadow" boot $g/kernel64.elf --page 2M
expect 2 "page has no effect under pv/direct" boot $g/kernel64-pv.elf --cpu pv --page 2M
expect 2 "bt_chain has no effect under vmx/ept: it is of use under bt" boot $g/hello64.elf --mmu ept --set bt_chain=true
expect 2 "nested has no effect on the bare machine" step $g/hello64.elf --set nested=true
expect 2 "eager has no effect on the bare machine" classify --set eager=true
expect 2 "vmcs_shadowing has no effect under bt/shadow.wp" equiv $g/hello64.elf --cpu bt --set vmcs_shadowing=true
r="$tmp/results"
expect 2 "bt_chain has no effect under any technique of this comparison" compare --results $r --technique ept --set bt_chain=false
expect 0 "the guest printed the same" compare --results $r --technique ept,bt --workload "cpuid n=3" --set bt_chain=false --show summary
expect 2 "say --technique A,B" compare --results $r --set mmu=ept
expect 2 "bt_rdtsc is no number: bt_rdtsc=inline|callout|trap" compare --results $r --technique bt --sweep bt_rdtsc=0..2
expect 2 "to compare with several: --profile A,B" compare --results $r --sweep profile=1..2
expect 2 "--sweep: bt_block has no effect under any technique of this comparison" compare --results $r --sweep bt_block=1..8
expect 2 "bt_block = 40: expected 1..32" compare --results $r --technique bt --sweep bt_block=8..40:8
expect 2 "did you mean 'vmm.cpuid'?" compare --results $r --sweep vmm.cpid=0..100
expect 0 "bt_chain at 2 values" compare --results $r --technique bt --workload "cpuid n=3" --sweep bt_chain=0..1 --show summary
# A kept result is of the costs it was made with.
slowdown() { "$v" compare --results $r --quiet --technique ept --workload "cpuid n=50" --set vmm.cpuid=$1 --show summary | grep '^cpuid '; }
if [ "$(slowdown 10)" != "$(slowdown 9000)" ] && [ "$(slowdown 10)" = "$(slowdown 10)" ]; then
	echo "ok cli compare keeps results by the costs of the VMM, too"
else
	echo "not ok cli: compare takes the result of other costs of the VMM"
fi
expect 2 "only binary translation has a cache" boot $g/kernel64.elf --mmu ept --blocks -
expect 2 "equiv has nothing to set it against" equiv $g/kernel64-pv.elf --cpu pv
expect 0 "the guest says that it failed, here as there: exit status 3" equiv $g/critical32.elf --append nosuch --cpu bt
expect 2 "not a scenario: this is no text" run $g/kernel64.elf
"$v" list guests | grep "a guest image" && echo "not ok cli: a guest without a row in ui/cli/guest.def" || echo "ok cli every guest says what it is"
expect 0 "Page Fault" explain '#PF'
expect 0 "paging" explain cr0.pg
expect 0 "ia32_efer" explain C0000080H
expect 2 "did you mean 'walk.guest'?" explain walk.gest
expect 0 "exit-service: ledger cause" explain "exit service"
expect 0 "Machine:run: Lua name" explain m:run
expect 0 "--sweep: flag" explain --sweep
expect 0 "nested paging: notion" explain "two dimensional paging"
expect 0 "    exists where the control enable_vpid may be 1" explain vpid
expect 0 "parameters: n=200000 size=4m seed=0 hz=100 pages=4k tsc=0" explain gups
expect 1 "hello from 64-bit long mode" boot hello64 --quiet
expect 2 "nosuch: No such file" boot nosuch
for page in help "help boot" "help compare" "classify --all" "classify --trap-critical" "equiv $g/critical32.elf --append popf --cpu trap"; do
	long=$("$v" $page 2>/dev/null | awk 'length > 80' | head -n 1)
	[ -z "$long" ] && echo "ok cli $page has 80 columns" || echo "not ok cli: vmscope $page: more than 80 columns: $long"
done
# ... and so has whatever a scenario of ours says, and the end of a run.
for scenario in classify entry_failures first_exit hypercalls matrix nanobench nested recursion rings switch translation; do
	timeout 100 "$v" run scenarios/$scenario.lua >"$tmp/page" 2>&1 || echo "not ok cli: scenarios/$scenario.lua: exit status $?"
	long=$(awk 'length > 80' "$tmp/page" | head -n 1)
	[ -z "$long" ] && echo "ok cli scenario $scenario has 80 columns" || echo "not ok cli: scenarios/$scenario.lua: more than 80 columns: $long"
done
"$v" boot kernel64 --append "forkwait n=5" --mmu shadow.wp --cpus 2 --ledger >/dev/null 2>"$tmp/page"
if awk 'length > 80 { exit 1 } /^all  .*100.00%$/ { n++ } END { exit n != 1 }' "$tmp/page"; then
	echo "ok cli --ledger has 80 columns and adds up"
else
	echo "not ok cli: --ledger: $(awk 'length > 80' "$tmp/page" | head -n 1)"
fi
expect 0 "whoever writes" explain watch
expect 0 "stop 1, catch #PF: cpu0 exception vector=14" boot $g/kernel64.elf --append "forkwait n=1" --stop "catch #PF"
expect 0 "ffffffff801041f0 space_fault: push" boot $g/kernel64.elf --append "forkwait n=1" --stop "break space_fault"
expect 0 "in the VMM" boot $g/kernel64.elf --mmu ept --append "forkwait n=1" --stop "catch exit.ept_violation"
expect 0 "stop 3, when cpu.cpl == 3" run tests/scenario/stops.lua --stop "ledger idle 1000000000" --stop "when cpu.cpl == 3"
expect 0 "stop 1, when cpu.cpl == 3" boot kernel64 --append "forkwait n=1" --stop "when cpu.cpl == 3"
expect 2 "unknown field 'cpx'" boot kernel64 --append "forkwait n=1" --stop "when cpu.cpx == 3"
expect 2 "--stop: unknown exit reason 'cpiud'" boot $g/kernel64.elf --stop "catch exit.cpiud"
expect 2 "--stop: unknown kind of stop 'wach'" boot $g/kernel64.elf --stop "wach main"
for kind in $("$v" list | sed 's/ .*//'); do
	expect 0 "" list "$kind"
done

expect 1 "hello from 64-bit long mode" boot $g/hello64.elf --quiet
expect 1 "the instruction limit was reached" boot $g/hello64.elf --max-instructions 10
expect 1 "the cycle limit was reached" boot $g/hello64.elf --max-cycles 1000
expect 2 "unknown trace event 'exceptoin'" boot $g/hello64.elf --trace "$tmp/t:exceptoin"
expect 2 "cannot write" boot $g/hello64.elf --json /nonexistent/x.json

# A program that was taken elsewhere.
mkdir "$tmp/away" && cp "$v" "$tmp/away/vmscope" && here=$PWD
away() { v=$tmp/away/vmscope; cd "$tmp/away"; expect "$@"; cd "$here"; v=$build/vmscope; }
lost="vmscope's own files are missing: no folder scenarios/cpus in $tmp/away, above it, or here"
away 2 "$lost" boot "$here/$g/hello64.elf"
away 2 "--home FOLDER names it" run "$here/scenarios/first_exit.lua"
away 2 "$lost" compare
away 2 "$lost" list profiles
away 2 "--home: $tmp: there is no scenarios/cpus in it" list profiles --home "$tmp"
away 1 "hello from 64-bit long mode" boot --home "$here" "$here/$g/hello64.elf" --quiet

# The same run twice leaves the same bytes, whatever the environment.
run() { env $1 "$v" boot $g/kernel64.elf --append "forkwait n=5" --quiet --stats "$tmp/$2.txt" --stats "$tmp/$2.csv" \
	--json "$tmp/$2.json" --trace "$tmp/$2.trace:exception,cr" >"$tmp/$2.out"; }
run A=1 a
run "A=$(seq 1 2000 | tr -d '\n')" b
for x in txt csv json trace out; do
	if cmp -s "$tmp/a.$x" "$tmp/b.$x" && [ -s "$tmp/a.$x" ]; then
		echo "ok cli same bytes twice: $x"
	else
		echo "not ok cli: two runs differ in --$x"
	fi
done
if command -v python3 >/dev/null; then
	python3 -c 'import json,sys; d = json.load(open(sys.argv[1])); m = d["machines"][0]
assert sum(sum(a.values()) for a in m["ledger"]["cpu0"].values()) == m["cycles"], "ledger"' "$tmp/a.json" &&
		echo "ok cli JSON is JSON, and its ledger adds up" || echo "not ok cli: JSON"
fi

# A snapshot continues where it was taken.
"$v" boot $g/kernel64.elf --append sieve --quiet --max-instructions 6000000 --save "$tmp/s" >"$tmp/first"
"$v" boot $g/kernel64.elf --append sieve --quiet --restore "$tmp/s" --json "$tmp/r.json" >"$tmp/rest"
"$v" boot $g/kernel64.elf --append sieve --quiet --json "$tmp/w.json" >"$tmp/whole"
if cat "$tmp/first" "$tmp/rest" | cmp -s - "$tmp/whole" &&
   [ "$(grep '"cycles"' "$tmp/r.json")" = "$(grep '"cycles"' "$tmp/w.json")" ]; then
	echo "ok cli a restored snapshot goes on as the run would have"
else
	echo "not ok cli: a restored snapshot goes another way"
fi
expect 2 "taken on a machine with" boot $g/hello64.elf --ram 64M --restore "$tmp/s"

# Typed input.
printf '@expect "hello"\n@exit 42\n' >"$tmp/in"
expect 42 "" boot $g/hello64.elf --input "$tmp/in" --quiet
printf '@expect hello\n' >"$tmp/in"
expect 2 "in:1: a text in double quotes was expected" boot $g/hello64.elf --input "$tmp/in"
expect 0 "callret" run scenarios/nanobench.lua --quiet
