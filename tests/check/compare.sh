#!/bin/sh
# vmscope compare as people use it: a killed one goes on where it was, hostile arguments are refused, --jobs changes nothing.
build=$1
vmscope=$build/vmscope
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
ok() { echo "ok compare: $1"; }
no() { echo "not ok compare: $1"; }

# Killed in the middle: what was finished is there, whole, and is not run again.
args="--technique native --workload in,cr8,callret,sieve --show summary --results $tmp/kept"
# shellcheck disable=SC2086
setsid "$vmscope" compare $args --jobs 1 >/dev/null 2>&1 &      # a process group of its own: workers die with it
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	[ -n "$(ls "$tmp"/kept/*.case 2>/dev/null)" ] && break
	sleep 0.05
done
kill -9 -$pid 2>/dev/null
wait $pid 2>/dev/null
before=$(find "$tmp/kept" -name '*.case' | wc -l)
# shellcheck disable=SC2086
timeout 60 "$vmscope" compare $args >"$tmp/resumed" 2>"$tmp/err"
status=$?
# shellcheck disable=SC2086
timeout 60 "$vmscope" compare $args --fresh --quiet >"$tmp/fresh" 2>&1
if [ "$before" -lt 1 ]; then no "nothing was kept before the kill"
elif [ $status = 0 ] && grep -q "^$before of 4 results were" "$tmp/err" && cmp -s "$tmp/resumed" "$tmp/fresh"; then ok "goes on after a kill"
else no "after a kill: status $status, $before kept: $(head -n 1 "$tmp/err")"; fi

# A result that is not what it says it is, is run again.
for f in "$tmp"/kept/*.case; do echo garbage >"$f"; done
# shellcheck disable=SC2086
timeout 60 "$vmscope" compare $args >"$tmp/again" 2>"$tmp/err"
cmp -s "$tmp/again" "$tmp/fresh" && [ ! -s "$tmp/err" ] && ok "spoilt results are not believed" || no "spoilt results: $(head -n 1 "$tmp/err")"

# The number of workers and their order do not show.
args="--technique native --workload in,cr8,divzero --quiet --fresh --results $tmp/kept"
# shellcheck disable=SC2086
timeout 60 "$vmscope" compare $args --jobs 1 --json "$tmp/one" >"$tmp/text1"
# shellcheck disable=SC2086
timeout 60 "$vmscope" compare $args --jobs 3 --json "$tmp/three" >"$tmp/text3"
cmp -s "$tmp/one" "$tmp/three" && cmp -s "$tmp/text1" "$tmp/text3" && ok "jobs change nothing" || no "jobs change the result"

# Ctrl-C keeps what is finished; a worker that dies is a row that says so.
long="--technique native --workload in,\"sieve n=40000000\" --jobs 2 --quiet --show summary --results $tmp/int"
eval "exec $vmscope compare $long" >"$tmp/out" 2>&1 &
pid=$!
i=0
while [ -z "$(ls "$tmp"/int/*.case 2>/dev/null)" ] && [ $i -lt 100 ]; do sleep 0.05; i=$((i + 1)); done
kill -INT $pid
wait $pid
status=$?
if [ $status = 1 ] && grep -q '^Interrupted: 1 of 2 cases were not run; the same command goes on' "$tmp/out"; then ok "Ctrl-C keeps what is finished"
else no "Ctrl-C: status $status: $(sed -n 2p "$tmp/out")"; fi
eval "exec $vmscope compare $long" >"$tmp/out" 2>&1 &
pid=$!
worker=
i=0
while [ -z "$worker" ] && [ $i -lt 100 ]; do
	sleep 0.05
	i=$((i + 1))
	worker=$(cat /proc/$pid/task/$pid/children 2>/dev/null)
done
if [ -z "$worker" ]; then
	echo "skip compare: this host does not tell a process's children"
	kill $pid
	wait $pid
else
	kill -SEGV ${worker% }
	wait $pid
	status=$?
	if [ $status = 1 ] && tr -s '\n ' '  ' <"$tmp/out" | grep -q 'crashed: the worker was killed'; then ok "a worker that dies is a row"
	else no "a worker that dies: status $status: $(sed -n 2p "$tmp/out")"; fi
fi

# A limit is a row, and status 1.
timeout 60 "$vmscope" compare --technique native --workload in,sieve --max-cycles 3000000 --quiet --results "$tmp/kept" --show summary >"$tmp/limit"
[ $? = 1 ] && grep -q '^  sieve under native/native on skylake: limit: the cycle limit was reached' "$tmp/limit" && ! grep -q '^sieve' "$tmp/limit" && ok "a limit is told" || no "a limit is not told"

refuse() {
	want=$1; shift
	timeout 60 "$vmscope" compare --results "$tmp/kept" "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
	if [ $status != 2 ]; then no "$*: status $status, expected 2"
	elif ! grep -qF -- "$want" "$tmp/err"; then no "$*: $(head -n 1 "$tmp/err")"
	else ok "refuses $*"; fi
}
refuse "compare takes no operand" gups
refuse "expected 1..256" --jobs 0
refuse "expected 1..256" --jobs -1
refuse "unknown kind of picture" --plot x.pdf
refuse "did you mean 'gups'?" --workload gusp
refuse "--sweep: workload in has no parameter 'updates'" --workload ptemix,in --sweep updates=0..8
refuse "it takes n=1000 tsc=0: vmscope explain in" --workload "in m=3"
refuse "unknown part" --show nix
refuse "unknown profile 'nix'" --profile nix
refuse "no such image" --image /nix
refuse "no such memory" --technique native --workload in --except nix
refuse "at most 4096" --technique native --sweep n=1..256:1 --profile skylake,prescott
refuse "unknown key 'nix'" --set nix=1
refuse "cannot make the folder" --results /dev/null/x --workload in
refuse "not a folder" --results /dev/null --workload in
