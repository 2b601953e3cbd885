#!/bin/sh
# run.sh - how many guest instructions per host second: vmscope (detailed, fast; ept, ept2m: detailed in a VM), Bochs, QEMU TCG, QEMU TCG -icount.
#
# All run the same CPU-bound multiboot guest (scenarios/guests/bench), whose command line says how much to do and whose
# last line says how many instructions its loops executed.  Each machine runs it with one round and with R rounds; the
# difference in host CPU time pays for R - 1 rounds, so firmware, loading and start-up drop out.  R grows per machine
# until a run is long enough to measure.  Machines take turns, `--repeat` times; the best time of each counts.
# Figures are printed, never asserted; only the memory check at the end can fail.
set -u
LC_ALL=C; export LC_ALL

top=$(cd "$(dirname "$0")/.." && pwd)
repeat=3 vmscope=$top/vmscope guest=$top/build/guests/bench64.elf only= works="mix sieve copy chase far" seconds=2

usage() {
	cat >&2 <<-EOF
	usage: bench/run.sh [--repeat N] [--seconds S] [--vmscope PROGRAM] [--guest bench64.elf]
	                    [--machines detailed,fast,ept,ept2m,bochs,qemu,icount] [--work mix,sieve,copy,chase,far]
	EOF
	exit 2
}
need() { [ $# -ge 2 ] || usage; }
while [ $# -gt 0 ]; do
	case $1 in
	--repeat) need "$@"; repeat=$2; shift;;
	--seconds) need "$@"; seconds=$2; shift;;
	--vmscope) need "$@"; vmscope=$2; shift;;
	--guest) need "$@"; guest=$2; shift;;
	--machines) need "$@"; only=$2; shift;;
	--work) need "$@"; works=$(echo "$2" | tr , ' '); shift;;
	*) echo "run.sh: unknown argument '$1'" >&2; usage;;
	esac
	shift
done
for n in "$repeat" "$seconds"; do
	case $n in ''|*[!0-9]*|0) echo "run.sh: '$n': expected a number above 0" >&2; exit 2;; esac
done
[ -f "$guest" ] || { echo "run.sh: $guest: no such guest; run make guests first" >&2; exit 2; }

tmp=$(mktemp -d "${TMPDIR:-/tmp}/bench.XXXXXX") || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 2' INT TERM

# What one round does, per kind of work.
work_args() {
	case $1 in
	mix) echo "sieve=1000000 copy=1000000 chase=50000 span=256k";;
	sieve) echo "sieve=1000000 copy=0 chase=0";;
	copy) echo "sieve=0 copy=4000000 chase=0";;
	chase) echo "sieve=0 copy=0 chase=1000000 span=256k";;
	far) echo "sieve=0 copy=0 chase=500000 span=8m";;
	*) echo "run.sh: unknown work '$1' (mix, sieve, copy, chase, far)" >&2; exit 2;;
	esac
}

# machine_missing NAME: prints why it cannot run here, nothing when it can.
machine_missing() {
	case $1 in
	detailed|fast|ept|ept2m) [ -x "$vmscope" ] || echo "no $vmscope; run make first";;
	qemu|icount) command -v qemu-system-x86_64 >/dev/null || echo "qemu-system-x86_64 is not installed (Debian: qemu-system-x86)";;
	bochs)
		for p in bochs-bin:bochs script:bsdutils grub-mkrescue:grub-pc-bin xorriso:xorriso mformat:mtools; do
			command -v "${p%:*}" >/dev/null || { echo "${p%:*} is not installed (Debian: ${p#*:})"; return; }
		done
		[ -f /usr/share/bochs/BIOS-bochs-latest ] || { echo "no BIOS for Bochs (Debian: bochsbios)"; return; }
		ls /usr/lib/*/bochs/plugins/libbx_term_gui.so >/dev/null 2>&1 || echo "no text display for Bochs (Debian: bochs-term)";;
	*) echo "run.sh: unknown machine '$1'" >&2; exit 2;;
	esac
}

# Bochs starts from a CD that carries the guest and its command line.
bochs_prepare() {
	rm -rf "$tmp/iso"; mkdir -p "$tmp/iso/boot/grub"
	cp "$guest" "$tmp/iso/boot/guest"
	printf 'set timeout=0\nterminal_output console\nmultiboot /boot/guest %s\nboot\n' "$1" >"$tmp/iso/boot/grub/grub.cfg"
	grub-mkrescue --locales= --fonts= --themes= --install-modules="multiboot normal configfile iso9660 biosdisk" \
		-o "$tmp/guest.iso" "$tmp/iso" >/dev/null 2>&1
	echo c >"$tmp/go"       # Debian's Bochs waits in its debugger for "continue"
	cat >"$tmp/bochsrc" <<-EOF
	megs: 128
	cpu: model=corei7_skylake_x, count=1, ips=200000000
	romimage: file=/usr/share/bochs/BIOS-bochs-latest
	vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
	boot: cdrom
	ata0-master: type=cdrom, path=$tmp/guest.iso, status=inserted
	display_library: term
	clock: sync=none
	log: $tmp/bochs.log
	panic: action=fatal
	EOF
}

# run_machine NAME ARGS: one run; the console goes to $tmp/out. Prints the host CPU seconds it took, nothing on failure.
run_machine() {
	[ "$1" = bochs ] && bochs_prepare "$2"
	qemu="qemu-system-x86_64 -accel tcg -m 128 -nodefaults -display none -serial file:$tmp/out
		-device isa-debug-exit,iobase=0xf4,iosize=4 -kernel $guest"
	rm -f "$tmp/out"
	(
		# shellcheck disable=SC2086
		case $1 in
		detailed|fast) timeout 600 "$vmscope" boot "$guest" --ram 128M --speed "$1" --append "$2" --quiet >"$tmp/out" 2>"$tmp/err";;
		ept) timeout 600 "$vmscope" boot "$guest" --ram 128M --cpu vmx --mmu ept --append "$2" --quiet >"$tmp/out" 2>"$tmp/err";;
		ept2m) timeout 600 "$vmscope" boot "$guest" --ram 128M --cpu vmx --mmu ept --set page=2M --append "$2" --quiet >"$tmp/out" 2>"$tmp/err";;
		qemu) timeout 600 $qemu -append "$2" >"$tmp/err" 2>&1;;
		icount) timeout 600 $qemu -icount shift=0,sleep=off -append "$2" >"$tmp/err" 2>&1;;
		bochs) TERM=xterm timeout 600 script -qefc "bochs-bin -q -f $tmp/bochsrc -rc $tmp/go" /dev/null </dev/null >/dev/null 2>&1
			grep -q 'shutdown requested' "$tmp/bochs.log" && echo ': ok' >"$tmp/out";;
		esac
		times
	) </dev/null >"$tmp/times"
	grep -q ': ok' "$tmp/out" 2>/dev/null || { echo "run.sh: $1 did not run the guest to its end ($2)" >&2; return; }
	awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); s += t[1] * 60 + t[2] } printf "%.3f\n", s }' "$tmp/times"
}

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
compiler=$(sed -n 's/^CC[[:space:]]*[:?]*=[[:space:]]*//p' "$top/Makefile" | head -n 1)
echo "# commit $(git -C "$top" describe --always --dirty 2>/dev/null || echo unknown); $(${CC:-${compiler:-cc}} --version 2>/dev/null | head -n 1); ${BENCH_FLAGS:--O2}; ${cpu:-unknown CPU}"
echo "# thousand million guest instructions per host CPU second; best of $repeat; ratios to bochs in brackets"

machines=
for m in $(echo "${only:-detailed,fast,ept,ept2m,bochs,qemu,icount}" | tr , ' '); do
	why=$(machine_missing "$m") || exit 2
	if [ -n "$why" ]; then echo "# $m: skipped: $why"; else machines="$machines $m"; fi
done
[ -n "$machines" ] || { echo "# nothing to run"; exit 0; }

printf '%-8s' work
for m in $machines; do printf '%20s' "$m"; done
echo
for w in $works; do
	args=$(work_args "$w") || exit 2
	for m in $machines; do
		# How many rounds take $seconds beyond what one round takes with its start-up.
		rounds=2 t= first=$(run_machine "$m" "rounds=1 $args")
		[ -n "$first" ] || continue
		while :; do
			t=$(run_machine "$m" "rounds=$rounds $args")
			[ -n "$t" ] || break
			insns=$(sed -n 's/.*instructions \([0-9]*\).*/\1/p' "$tmp/out")
			[ -n "$insns" ] && echo "$((insns / rounds))" >"$tmp/$w.unit"
			[ "$(awk "BEGIN { print ($t - $first >= $seconds) }")" = 1 ] || [ $rounds -ge 100000 ] && break
			rounds=$((rounds * 4))
		done
		[ -n "$t" ] && echo "$rounds" >"$tmp/$w.$m.rounds"
	done
	i=0
	while [ $i -lt "$repeat" ]; do
		for m in $machines; do
			[ -f "$tmp/$w.$m.rounds" ] || continue
			run_machine "$m" "rounds=1 $args" >>"$tmp/$w.$m.small"
			run_machine "$m" "rounds=$(cat "$tmp/$w.$m.rounds") $args" >>"$tmp/$w.$m.large"
		done
		i=$((i + 1))
	done
	# A guest on Bochs has no console here: its count of instructions is the same as on the others.
	unit=$(cat "$tmp/$w.unit" 2>/dev/null || echo 0)
	for m in $machines; do
		[ -f "$tmp/$w.$m.rounds" ] || { echo "$m -"; continue; }
		echo "$m $(sort -n "$tmp/$w.$m.small" | head -n 1) $(sort -n "$tmp/$w.$m.large" | head -n 1) $(cat "$tmp/$w.$m.rounds")"
	done | awk -v unit="$unit" -v w="$w" -v rates="$tmp/rates" '
		{ name[NR] = $1; d = $3 - $2; rate[NR] = (NF == 4 && d > 0 && unit > 0) ? unit * ($4 - 1) / d / 1e9 : 0; if ($1 == "bochs") base = rate[NR]; print w, $1, rate[NR] >>rates }
		END {
			printf "%-8s", w
			for (i = 1; i <= NR; i++) {
				cell = rate[i] ? sprintf("%.4f", rate[i]) : "-"
				if (rate[i] && base) cell = cell sprintf(" (%.2f)", rate[i] / base)
				printf "%20s", cell
			}
			print ""
		}'
done

# Virtual machines must not cost the host much: few exits, so nearly all of it is the same work.
for m in ept2m ept; do
	awk -v m="$m" -v pages="$([ $m = ept ] && echo "4 KB EPT pages below the guest's 2 MB" || echo "EPT pages as large as the guest's")" '
		$2 == "detailed" { native[$1] = $3 } $2 == m { vm[$1] = $3 }
		END {
			for (w in vm) if (native[w] > 0 && vm[w] > 0) {
				n++; r = vm[w] / native[w]; sum += r
				if (!least || r < least) { least = r; where = w }
			}
			if (n) printf "%s, %s: %.0f %% of the native speed on the host, %.0f %% at least (%s): %s\n", m, pages, 100 * sum / n, 100 * least, where,
				(least >= 0.7) ? "ok (70 % or more)" : "TOO SLOW (70 %)"
		}' "$tmp/rates" 2>/dev/null
done

# An idle machine with 4 GB of RAM: its memory on the host is what was touched, not what the guest could touch.
if [ -x "$vmscope" ] && [ -r /proc/self/status ]; then
	printf '\353\376' >"$tmp/loop.bin"      # jmp to itself
	"$vmscope" boot "$tmp/loop.bin" --base 0x7c00 --ram 4G --quiet --max-cycles 1000000000000 >/dev/null 2>&1 &
	pid=$!
	sleep 2
	kb=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB.*/\1/p' "/proc/$pid/status" 2>/dev/null)
	kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null
	if [ -z "$kb" ]; then
		echo "memory: no figure: the idle machine did not run"; exit 1
	elif [ "$kb" -lt 65536 ]; then
		echo "memory: idle machine with 4 GB of RAM: $((kb / 1024)) MB at its highest: ok (below 64 MB)"
	else
		echo "memory: idle machine with 4 GB of RAM: $((kb / 1024)) MB at its highest: TOO MUCH (64 MB)"; exit 1
	fi
else
	echo "# memory: skipped: no vmscope, or no /proc on this host"
fi
