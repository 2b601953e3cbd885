#!/bin/sh
# Exports: each form is what its format says, changes nothing of the run, and tells the same as the others.
build=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
v=$build/vmscope g=build/guests

verdict() {     # STATUS NAME
	if [ "$1" = 0 ]; then echo "ok exports $2"; else echo "not ok exports: $2"; fi
}

# runs NAME ARGUMENTS...: one run without exports, one with all of them
runs() {
	name=$1
	shift
	timeout 120 "$v" boot "$@" --quiet --json "$tmp/plain.json" >"$tmp/plain.out"
	timeout 120 "$v" boot "$@" --quiet --json "$tmp/with.json" --trace "$tmp/t.perfetto.json" --trace "$tmp/t.vcd" \
		--trace "$tmp/t.jsonl:vm_exit,vm_entry,interrupt,exception,irq,cpl" --trace "$tmp/t.csv:vm_exit,vm_entry,interrupt,exception,irq,cpl" >"$tmp/with.out"
	cmp -s "$tmp/plain.out" "$tmp/with.out" && grep -v trace_hash "$tmp/with.json" | cmp -s "$tmp/plain.json" -
	verdict $? "$name: cycles, statistics and hash are the same with and without"
	awk -f tests/check/trace_event.awk "$tmp/t.perfetto.json" >"$tmp/said"
	verdict $? "$name: trace events ($(tail -n 1 "$tmp/said"))"
	grep '^/' "$tmp/said" | head -n 3
	awk -f tests/check/vcd.awk "$tmp/t.vcd" >"$tmp/said"
	verdict $? "$name: value changes ($(tail -n 1 "$tmp/said"))"
	grep '^/' "$tmp/said" | head -n 3
	awk -F, 'NR == 1 { n = NF } NF != n || NF < 6 { bad = 1 } END { exit bad }' "$tmp/t.csv"
	verdict $? "$name: every line of the CSV has the head's columns"
	[ "$(sed 1d "$tmp/t.csv" | cut -d, -f2,3,4,5)" = "$(sed 's/.*"cycle":\([0-9]*\),"seconds":\([0-9.]*\),"component":"\([^"]*\)","event":"\([^"]*\)".*/\1,\2,\3,\4/' "$tmp/t.jsonl")" ]
	verdict $? "$name: CSV and JSON Lines tell the same"
	if command -v python3 >/dev/null; then
		python3 -c 'import json, sys
json.load(open(sys.argv[1]))
for line in open(sys.argv[2]):
    pairs = json.loads(line, object_pairs_hook=list)
    assert len(set(k for k, v in pairs)) == len(pairs), line' "$tmp/t.perfetto.json" "$tmp/t.jsonl"
		verdict $? "$name: JSON is JSON, and no key is twice in an object"
	fi
}

runs native $g/kernel64.elf --append "forkwait n=3"
runs "vmx/ept" $g/kernel64.elf --cpu vmx --mmu ept --append "timer n=3 hz=1000"
runs "vmx/shadow.wp" $g/kernel64.elf --cpu vmx --mmu shadow.wp --append "forkwait n=3 hz=1000"
runs "2 CPUs" $g/kernel64.elf --cpus 2 --append "smp n=1"
runs "a hypervisor as a guest" $g/minivisor64.elf --module "$g/kernel64.elf cpuid n=4; forkwait n=3 hz=0" --append "pages=4k"

# The checkers are no rubber stamps.
sed '0,/"ph":"E"/s/"ph":"E"/"ph":"B","name":"x"/' "$tmp/t.perfetto.json" >"$tmp/bad.json"
! awk -f tests/check/trace_event.awk "$tmp/bad.json" >/dev/null
verdict $? "a slice without its end is noticed"
sed 's/"dur":0\.1/"dur":9.1/' "$tmp/t.perfetto.json" >"$tmp/bad.json"
! awk -f tests/check/trace_event.awk "$tmp/bad.json" >/dev/null
verdict $? "slices that overlap are noticed"
sed '$d' "$tmp/t.vcd" | { cat; echo "#5"; } >"$tmp/bad.vcd"
! awk -f tests/check/vcd.awk "$tmp/bad.vcd" >/dev/null
verdict $? "time that goes back is noticed"

# Several machines: records say of which, a VCD is a file for each.
cat >"$tmp/two.lua" <<'LUA'
for i = 1, 2 do
  local m = machine { ram = "64M" }
  m:boot { kernel = guest "hello64" }
  m:run {}
end
LUA
"$v" run "$tmp/two.lua" --quiet --trace "$tmp/two.vcd" --trace "$tmp/two.perfetto.json" --trace "$tmp/two.jsonl:uart_tx" >/dev/null 2>"$tmp/err"
awk -f tests/check/vcd.awk "$tmp/two.vcd" >/dev/null && awk -f tests/check/vcd.awk "$tmp/two.m1.vcd" >/dev/null
verdict $? "two machines: two dumps"
awk -f tests/check/trace_event.awk "$tmp/two.perfetto.json" >/dev/null && grep -q '"name":"m1 CPUs"' "$tmp/two.perfetto.json"
verdict $? "two machines: one picture"
[ "$(grep -c '"machine":"m0"' "$tmp/two.jsonl")" = "$(grep -c '"machine":"m1"' "$tmp/two.jsonl")" ] && grep -q m1 "$tmp/two.jsonl"
verdict $? "two machines: one list"

# Going back writes nothing twice.
cat >"$tmp/back.lua" <<'LUA'
local m = machine { ram = "64M" }
m:boot { kernel = guest "hello64" }
if set and set.back then
  m:record()
  m:run { max_instructions = 300 }
  m:back(200)
  m:step(50)
  m:back(100)
end
m:run {}
LUA
"$v" run "$tmp/back.lua" --quiet --trace "$tmp/a.jsonl" --trace "$tmp/a.vcd" --trace "$tmp/a.perfetto.json" >/dev/null 2>"$tmp/err"
"$v" run "$tmp/back.lua" --quiet --set back=1 --trace "$tmp/b.jsonl" --trace "$tmp/b.vcd" --trace "$tmp/b.perfetto.json" >/dev/null 2>>"$tmp/err"
cmp "$tmp/a.jsonl" "$tmp/b.jsonl" >>"$tmp/err" 2>&1 && cmp "$tmp/a.vcd" "$tmp/b.vcd" >>"$tmp/err" 2>&1 && [ -s "$tmp/a.jsonl" ]
verdict $? "a run that goes back is written once"
grep -q . "$tmp/err" && head -n 3 "$tmp/err"

refuse() {      # TEXT ARGUMENTS...
	text=$1
	shift
	timeout 60 "$v" "$@" >"$tmp/out" 2>&1
	[ $? = 2 ] && grep -qF -- "$text" "$tmp/out"
	verdict $? "$text"
}
refuse "this form chooses its events itself" boot $g/hello64.elf --trace "$tmp/x.vcd:irq"
refuse "--trace: more than 4 times" boot $g/hello64.elf --trace a --trace b --trace c --trace d --trace e
refuse "cannot write" boot $g/hello64.elf --trace /nonexistent/x.vcd

# diff: a run is the same as itself in every form and speed of the clock, and not as another.
boot() { timeout 60 "$v" boot $g/kernel64.elf --quiet "$@" >/dev/null; }
boot --append "forkwait n=3" --trace "$tmp/a.jsonl:exception,cr" --trace "$tmp/a.csv:exception,cr" --trace "$tmp/a.txt:exception,cr" --json "$tmp/a.json"
boot --append "forkwait n=3" --profile haswell --trace "$tmp/b.jsonl:exception,cr"
boot --append "forkwait n=4" --trace "$tmp/c.jsonl:exception,cr" --json "$tmp/c.json"
expect() {      # STATUS TEXT ARGUMENTS...
	status=$1 text=$2
	shift 2
	timeout 60 "$v" diff "$@" >"$tmp/out" 2>&1
	[ $? = "$status" ] && { [ -z "$text" ] || grep -qF -- "$text" "$tmp/out"; }
	verdict $? "diff$(echo " $*" | sed "s#$tmp/##g"): $status $text"
}
expect 0 "" "$tmp/a.jsonl" "$tmp/a.csv"
expect 0 "" "$tmp/a.jsonl" "$tmp/b.jsonl"
expect 1 "cycle differs" --by time "$tmp/a.jsonl" "$tmp/b.jsonl"
expect 1 "then event differs" "$tmp/a.jsonl" "$tmp/c.jsonl"
expect 1 "then value differs" "$tmp/a.jsonl" "$tmp/c.jsonl" --events cr
expect 1 "machines.0.stats.cpu0.exception" "$tmp/a.json" "$tmp/c.json"
expect 0 "" "$tmp/a.json" "$tmp/a.json"
expect 2 "compare traces with traces" "$tmp/a.jsonl" "$tmp/c.json"
expect 2 "run:1: this is no trace record" tests/golden/hello32-stats.run "$tmp/a.jsonl"
expect 2 "expected order or time" --by size "$tmp/a.jsonl" "$tmp/c.jsonl"
expect 2 "diff takes two files" "$tmp/a.jsonl"
