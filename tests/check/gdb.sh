#!/bin/sh
# A stock gdb against vmscope: scripts of tests/check/gdb, and what they must print. Of gdb's output the lines that do not
# depend on the compiler are compared; addresses and source lines are not.
# GOLDEN=write keeps what was printed instead.
build=$1
suffix=
here=tests/check/gdb
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
command -v gdb >/dev/null || { echo "skip gdb: no gdb is installed"; exit 0; }

# Start vmscope with these arguments: $pid, and the $port it waits at.
start() {
	rm -f "$tmp/err"
	timeout 60 "$build/vmscope" "$@" --gdb 0$suffix --quiet >"$tmp/console" 2>"$tmp/err" &
	pid=$!
	port=
	for try in $(seq 100); do
		port=$(sed -n 's/.*target remote .*:\([0-9]*\)$/\1/p' "$tmp/err" 2>/dev/null)
		[ -n "$port" ] && break
		sleep 0.1
	done
}

# attach CASE EXPECTED KERNEL ARCHITECTURE COMMAND...: the script CASE.gdb on a run, its lines in EXPECTED.out
attach() {
	case=$1 expected=$2 image=build/guests/$3.elf arch=$4
	symbols="file $image"
	[ "$3" = none ] && symbols="set confirm off"
	shift 4
	start "$@"
	timeout 60 gdb -nx -batch -ex "set confirm off" -ex "set architecture $arch" -ex "$symbols" -ex "target remote :$port" \
		-x "$here/$case.gdb" >"$tmp/all" 2>&1
	wait $pid
	status=$?
	{
		grep -E '^== |^(Old|New) value|^Value =|in section |^No more reverse|^\[Inferior|^(Hardware|.*Thread [0-9]+ hit)|^\[ PE|Thread [0-9]+ \(CPU|Error in|^0x100000: |^=> ' "$tmp/all" |
			sed -e 's/ + [0-9]* in section/ in section/' -e 's/\(Thread [0-9]* (CPU[^)]*)\).*/\1/' -e 's/^.*Thread \([0-9]*\) (/thread \1 (/' \
			    -e 's/\(hit Breakpoint [0-9.]*, [^ ]*\).*/\1/'
		echo "-- console"
		cat "$tmp/console"
		echo "status $status"
	} >"$tmp/out"
	name="gdb $case: vmscope $*"
	if [ "$GOLDEN" = write ]; then
		cp "$tmp/out" "$here/$expected.out"
		echo "ok $name"
	elif diff -u "$here/$expected.out" "$tmp/out" >"$tmp/diff"; then
		echo "ok $name"
	else
		echo "not ok $name: output differs"
		cat "$tmp/diff"
		tail -n 5 "$tmp/all"
	fi
}

for kernel in "kernel32 i386" "kernel64 i386:x86-64"; do
	for technique in "--cpu native --mmu native" "--cpu vmx --mmu ept" "--cpu vmx --mmu shadow.wp"; do
		expected=fork-guest
		[ "$technique" = "--cpu native --mmu native" ] && expected=fork-native
		attach fork $expected $kernel boot build/guests/${kernel% *}.elf $technique --ram 64M --append "forkwait n=2"
	done
done
set -- kernel64 i386:x86-64 boot build/guests/kernel64.elf --ram 64M --cpus 3 --append "smp n=2"
attach smp smp "$@"
attach smp smp-guest "$@" --cpu vmx --mmu ept
attach vms vms kernel64 i386:x86-64 run $here/vms.lua
attach leave leave kernel64 i386:x86-64 boot build/guests/kernel64.elf --ram 64M --append "forkwait n=2"

suffix=,i8086
attach real real none i8086 boot build/guests/realmode.bin --base 0x7c00
suffix=

# What no gdb sends: noise, a wrong checksum, a packet cut off, one too long; then a question, and the connection breaks.
start boot build/guests/kernel64.elf --ram 64M
bash -c 'exec 3<>/dev/tcp/127.0.0.1/$1
	printf "noise\377\000\$g#00\$mffffff\$qC#b4" >&3
	{ printf "\$"; head -c 40000 /dev/zero; printf "#00"; } >&3
	printf "\$?#3f+\$QStartNoAckMode#b0\$k#6b" >&3
	timeout 20 cat <&3' raw "$port" >"$tmp/raw" 2>&1
wait $pid
status=$?
# acknowledged by + or -, in this order
want='-+$QC1#c5-+$T05thread:1;#d7+$OK#9a'
if [ "$(cat "$tmp/raw")" = "$want" ] && [ $status = 1 ]; then
	echo "ok gdb raw"
else
	echo "not ok gdb raw: status $status, $(cat "$tmp/raw"), expected $want"
fi
