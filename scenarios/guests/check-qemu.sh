#!/bin/sh
# check-qemu.sh FOLDER [--bless] - run every case of expected/cases.txt under QEMU's interpreter and
# compare console and exit status.  --bless writes the expected texts instead (git diff is the review).
here=$(cd "$(dirname "$0")" && pwd)
images=$1
bless=$2
qemu=${QEMU:-qemu-system-x86_64}

if ! command -v "$qemu" >/dev/null; then
	echo "check-qemu: skipped, there is no $qemu (Debian: apt-get install qemu-system-x86)"
	exit 0
fi
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
seq 1 20000 | head -c 65536 >"$scratch/disk"	# the disk that cases.txt means
passed=0 failed=0

run_case() {	# file image status command-line
	want=$here/expected/$1.txt
	set -- "$1" "$2" "$3" "$4" -m 128 -no-reboot -display none -serial "file:$scratch/console" \
		-device isa-debug-exit,iobase=0xf4,iosize=4
	append=$4
	case $append in
	"disk "*)
		append=${append#disk }
		set -- "$@" -drive "file=$scratch/disk,format=raw,if=ide,snapshot=on" ;;
	smp*)	set -- "$@" -smp 4 ;;
	esac
	case $2 in
	*.bin)	set -- "$@" -drive "file=$images/$2,format=raw,if=ide,snapshot=on" ;;
	*)	set -- "$@" -kernel "$images/$2" -append "$append" ;;
	esac
	name=$1 image=$2 status=$3
	shift 4
	timeout 120 "$qemu" -accel tcg "$@" </dev/null >"$scratch/qemu" 2>&1
	got=$?
	[ "$bless" = --bless ] && cp "$scratch/console" "$want"
	if [ $got -eq "$status" ] && cmp -s "$scratch/console" "$want"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED $image '$append': exit status $got, expected $status"
		cat "$scratch/qemu"
		diff "$want" "$scratch/console" | head -20
	fi
}

while read -r file on status line; do
	case $file in '' | '#'*) continue ;; esac
	[ "$on" = . ] && on="kernel32.elf kernel64.elf"
	for image in $on; do
		run_case "$file" "$image" "$status" "$line"
	done
done <"$here/expected/cases.txt"
echo "check-qemu: $passed passed, $failed failed"
[ $failed -eq 0 ]
