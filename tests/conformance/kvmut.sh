#!/bin/sh
# kvmut.sh - run kvm-unit-tests images on vmscope and judge each row of kvmut.tab.
#
# The images are not part of this tree: build kvm-unit-tests for x86_64 and i386 and point --images at a folder that
# holds them as x86_64/*.flat and i386/*.flat.  --baseline names a CSV with what other machines reach per row
# (columns test, then <peer>_pass, <peer>_fail, ...); the best of its *_pass columns is the bar. Given again it names
# another one: columns vmx_subtest, pass, fail, ... compare with the rows vmx.*, one a sub-test of the vmx image; the
# last part of its name (kvmut-vmx-bochs.csv) says whose it is. The end names every row, explained or not, with fewer
# passes than a peer's: "behind bochs: vmx.some_test 3 of 4".
#
# Verdicts:
#   ok         as many passes as the best peer, no failure, ran to its end
#   ahead      more passes than the best peer, no failure
#   behind     fewer passes than the best peer, a failure, or not run to its end, and nothing in kvmut.tab explains it
#   explained  the same, but within the bounds that kvmut.tab gives for something the machine does not model
#   skipped    the image is missing, or the row waits for a later feature
# Exit status: 0 nothing behind, 1 a row is behind, 2 wrong usage.
set -u
LC_ALL=C; export LC_ALL

here=$(cd "$(dirname "$0")" && pwd)
images= baseline= vmscope=$here/../../vmscope only= jobs=2 limit=900 qemu= csv= nested= tab=$here/kvmut.tab logs= speed= technique=

usage() {
	cat <<-EOF
	usage: kvmut.sh --images DIR [--baseline FILE.csv] [--vmscope PROGRAM] [--only ROW,...] [--jobs N] [--timeout S]
	                [--qemu [PROGRAM]] [--csv OUT.csv] [--logs DIR] [--speed detailed|fast] [--table kvmut.tab] [--nested]
	                [--technique CPU/MMU[:whatif]]
	  --qemu     run the rows on QEMU (TCG) instead of vmscope, to see what it makes of the same images
	  --only     rows by name; a trailing * matches any ending
	  --timeout  host seconds for one row (default $limit)
	  --nested   run the rows in a virtual machine that is offered VMX
	  --logs     keep every row's console there
	  --technique  run the rows in a virtual machine, as bt/shadow.wp; :whatif is the CPU whose critical instructions
	             trap. What a VM is not offered is in kvmut_vm.tab
	EOF
	exit 2
}

need() { [ $# -ge 2 ] || { echo "kvmut.sh: $1 needs a value" >&2; usage; }; }
while [ $# -gt 0 ]; do
	case $1 in
	--images) need "$@"; images=$2; shift;;
	--baseline) need "$@"; baseline="$baseline$2
"; shift;;
	--vmscope) need "$@"; vmscope=$2; shift;;
	--only) need "$@"; only=$2; shift;;
	--jobs) need "$@"; jobs=$2; shift;;
	--timeout) need "$@"; limit=$2; shift;;
	--csv) need "$@"; csv=$2; shift;;
	--logs) need "$@"; logs=$2; shift;;
	--speed) need "$@"; speed=$2; shift;;
	--table) need "$@"; tab=$2; shift;;
	--technique) need "$@"; technique=$2; shift;;
	--nested) nested="--mmu ept --set nested=true --set page=2M";;
	--qemu) case ${2-} in ''|-*) qemu=qemu-system-x86_64;; *) qemu=$2; shift;; esac;;
	-h|--help) usage;;
	*) echo "kvmut.sh: unknown argument '$1'" >&2; usage;;
	esac
	shift
done
case $technique in
	'') ;;
	*/*:whatif) nested="$nested --cpu ${technique%%/*} --set trap.critical=1"; mmu=${technique#*/}; nested="$nested --mmu ${mmu%:whatif}";;
	*/*) nested="$nested --cpu ${technique%%/*} --mmu ${technique#*/}";;
	*) echo "kvmut.sh: --technique '$technique': expected CPU/MMU, as bt/shadow.wp" >&2; exit 2;;
esac
case $jobs in ''|*[!0-9]*|0) echo "kvmut.sh: --jobs '$jobs': expected 1 or more" >&2; exit 2;; esac
case $limit in ''|*[!0-9]*|0) echo "kvmut.sh: --timeout '$limit': expected seconds" >&2; exit 2;; esac

if [ -z "$images" ] || [ ! -d "$images" ]; then
	echo "kvmut: skipped: no folder of kvm-unit-tests images (--images DIR with x86_64/*.flat and i386/*.flat)"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
fi
if [ -n "$qemu" ]; then
	command -v "$qemu" >/dev/null || { echo "kvmut: skipped: $qemu is not installed"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
elif [ ! -x "$vmscope" ]; then
	echo "kvmut.sh: $vmscope: no such program; run make first" >&2
	exit 2
fi
printf %s "$baseline" | while read -r file; do
	[ -r "$file" ] || { echo "kvmut.sh: $file: cannot read the baseline" >&2; exit 2; }
done || exit 2

work=$(mktemp -d "${TMPDIR:-/tmp}/kvmut.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 2' INT TERM
[ -n "$logs" ] && { mkdir -p "$logs" || exit 2; } || logs=$work
mkdir "$work/claim" "$work/row"

# In a virtual machine: what explains the row there, from the first line of kvmut_vm.tab that fits.
offered() {
	if [ -z "$technique" ]; then cat; return; fi
	awk -F'|' -v technique="$technique" -v vm="$here/kvmut_vm.tab" '
		BEGIN {
			while ((getline line <vm) > 0) {
				if (line ~ /^[ \t]*(#|$)/) continue
				if (split(line, f, "|") != 4) { printf "%s: expected 4 fields: %s\n", vm, line > "/dev/stderr"; exit 2 }
				for (i = 1; i <= 4; i++) gsub(/^[ \t]+|[ \t]+$/, "", f[i])
				if ((f[1] == "*" || index(technique, f[1]) == 1) && !(f[2] in covered)) { covered[f[2]] = f[3]; why[f[2]] = f[4] }
			}
		}
		{ if ($1 in covered) printf "%s|%s|%s|%s|%s|%s|%s|%s|%s|%s\n", $1, $2, $3, $4, $5, $6, $7, $8, covered[$1], why[$1]; else print }'
}

# The table, one row a line, fields split by '|' without blanks around them; only the rows asked for.
awk -F'|' -v only="$only" '
	/^[ \t]*(#|$)/ { next }
	NF != 10 { printf "%s:%d: %d fields, expected 10\n", FILENAME, FNR, NF > "/dev/stderr"; bad = 1; exit 2 }
	{
		for (i = 1; i <= NF; i++) { gsub(/^[ \t]+|[ \t]+$/, "", $i); if ($i == "-" && i != 9) $i = "" }
		take = only == ""
		n = split(only, want, ",")
		for (i = 1; i <= n; i++) {
			w = want[i]
			if (w ~ /\*$/ ? index($1, substr(w, 1, length(w) - 1)) == 1 : w == $1) { take = 1; used[i] = 1 }
		}
		if (take) { o = $1; for (i = 2; i <= NF; i++) o = o "|" $i; print o }
	}
	END {
		for (i = 1; !bad && i <= n; i++) if (!used[i]) { printf "kvmut.sh: no row named %s\n", want[i] > "/dev/stderr"; exit 2 }
	}' "$tab" >"$work/table" || exit 2
offered <"$work/table" >"$work/rows" || exit 2

# One row: start it, keep the console, write "status seconds" to row/NAME.
run_row() {
	row=$1 image=$2 cpus=$3 args=$4 env=$5 vflags=$6 qflags=$7 gcycles=$8 covered=$9
	case $row in *.i386) folder=i386;; *) folder=x86_64;; esac
	file=$images/$folder/$image out=$logs/$row.log
	if [ "$covered" = later ]; then echo later 0 >"$work/row/$row"; return; fi
	if [ ! -f "$file" ]; then echo missing 0 >"$work/row/$row"; return; fi
	set --
	if [ -n "$env" ]; then
		for word in $env; do echo "$word"; done >"$work/$row.env"
		set -- --initrd "$work/$row.env"
		[ -n "$qemu" ] && set -- -initrd "$work/$row.env"
	fi
	begin=$(date +%s)
	# shellcheck disable=SC2086  # flags are words
	if [ -n "$qemu" ]; then
		timeout -k 5 "$limit" "$qemu" -nodefaults -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4 \
			-display none -serial stdio -accel tcg -m 512 -smp "$cpus" -no-reboot $qflags \
			-kernel "$file" -append "$args" "$@" </dev/null >"$out" 2>"$out.err"
		status=$?
	else
		timeout -k 5 "$limit" "$vmscope" boot "$file" --cpus "$cpus" --ram 512M --append "$args" \
			--max-cycles "${gcycles}000000000" ${speed:+--speed $speed} $nested $vflags "$@" </dev/null >"$out" 2>"$out.err"
		status=$?
	fi
	# A run cut short also exits with 1, as a guest that ends well does: what vmscope says tells them apart.
	case $status in
	124|137) status=timeout;;
	*) [ -n "$qemu" ] || grep -q 'the guest ended the run' "$out.err" ||
		status=$(sed -n 's/^the cycle limit was reached.*/limit/p; s/^shutdown:.*/shutdown/p; s/^the guest asked for a reset.*/reset/p
			s/^every CPU is halted.*/halted/p' "$out.err" | head -n 1);;
	esac
	[ -n "$status" ] || status=died
	echo "$status $(($(date +%s) - begin))" >"$work/row/$row"
}

worker() {
	while IFS='|' read -r row image cpus args env vflags qflags gcycles covered why; do
		mkdir "$work/claim/$row" 2>/dev/null || continue
		run_row "$row" "$image" "$cpus" "$args" "$env" "$vflags" "$qflags" "$gcycles" "$covered"
		[ -t 2 ] && printf '\r%-40s' "$row" >&2
	done <"$work/rows"
}

i=0
while [ $i -lt "$jobs" ]; do worker & i=$((i + 1)); done
wait
[ -t 2 ] && printf '\r%-40s\r' '' >&2

# Count each console, then judge.
while IFS='|' read -r row rest; do
	read -r status seconds <"$work/row/$row"
	if [ -f "$logs/$row.log" ]; then
		awk -v row="$row" -v status="$status" -v s="$seconds" '
			{ sub(/\r$/, "") }
			/^X?PASS:/ { p++ } /^FAIL:/ { f++ } /^X?SKIP:/ { k++ }
			/^(PASS|FAIL|SKIP|XFAIL|XPASS): / { last = $0 }
			/^SUMMARY:/ { sum = 1 }
			END { printf "%s|%s|%s|%d|%d|%d|%d\n", row, status, s, p, f, k, sum }' "$logs/$row.log"
	else
		echo "$row|$status|$seconds|0|0|0|0"
	fi
done <"$work/rows" >"$work/counts"

who=vmscope
[ -n "$qemu" ] && who=qemu
printf %s "$baseline" >"$work/baselines"
[ -n "$csv" ] || csv=$work/out.csv
awk -v who="$who" -v rowsfile="$work/rows" -v bases="$work/baselines" -v csv="$csv" '
	BEGIN {
		FS = ","
		while ((getline basefile <bases) > 0) {
			for (nb = 0; (getline <basefile) > 0; ) {
				if (!nb++) { for (i = 1; i <= NF; i++) head[i] = $i; continue }
				name = $1
				if (head[1] == "vmx_subtest") { gsub(/[^A-Za-z0-9_]/, "_", name); name = "vmx." name }
				origin = basefile
				sub(/.*\//, "", origin); sub(/\.csv$/, "", origin); sub(/.*-/, "", origin)
				for (i = 2; i <= NF; i++)
					if (head[i] ~ /(^|_)pass$/ && $i != "" && (!(name in best) || $i + 0 > best[name])) {
						best[name] = $i + 0
						peer[name] = head[i] == "pass" ? origin : substr(head[i], 1, length(head[i]) - 5)
					}
			}
		}
		FS = "|"
		while ((getline <rowsfile) > 0) { covered[$1] = $9; why[$1] = $10 }
		printf "%-46s %6s %5s %5s  %-7s %4s %6s %-7s verdict\n", "row", "pass", "fail", "skip", "end", "s", "best", "peer"
		print "test," who "_pass," who "_fail," who "_skip," who "_note,best_peer,best_pass,verdict" >csv
	}
	{
		row = $1; status = $2; sec = $3; p = $4; f = $5; k = $6
		known = row in best
		bar = known ? best[row] : 0
		# How it ended: QEMU reports the value v written to the exit port as v*2+1; kvm-unit-tests write 0 when
		# all passed, 1 after a failure, 38 (status 77) when all was skipped, 63 (status 127) after an abort.
		if (status !~ /^[0-9]+$/) end = status
		else if (status == 1) end = "done"
		else if (status == 3) end = "failed"
		else if (status == 77) end = "skip"
		else if (status == 127) end = "abort"
		else end = "st " status
		ended = end == "done" || end == "failed" || end == "skip"
		reason = why[row]
		if (end == "later") { verdict = "skipped: waits for " reason; skipped++ }
		else if (end == "missing") { verdict = "skipped: no such image"; skipped++ }
		else {
			if (ended && f == 0 && end != "failed" && p >= bar) { verdict = p > bar && known ? "ahead" : "ok"; passed++ }
			else {
				split(covered[row], c, "/")
				if (covered[row] == "any" || (covered[row] ~ /\// && p >= c[1] && f <= c[2])) {
					verdict = "explained: " reason; passed++; explained++
				} else {
					verdict = "behind"
					if (p < bar) verdict = verdict ": " p " of " bar " passes"
					if (f) verdict = verdict (p < bar ? ", " : ": ") f " failed"
					if (!ended) verdict = verdict ((p < bar || f) ? ", " : ": ") "did not end well"
					else if (!f && p >= bar) verdict = verdict ": ended with status " status
					failed++
				}
			}
		}
		printf "%-46s %6d %5d %5d  %-7s %4d %6s %-7s %s\n", row, p, f, k, end, sec, known ? bar : "-", known ? peer[row] : "-", verdict
		if (known && end != "later" && end != "missing") {
			compared[peer[row]]++
			if (p < bar) short[peer[row]] = short[peer[row]] ", " row " " p " of " bar
		}
		note = ended ? "" : end
		v = verdict; gsub(/"/, "\"\"", v)
		printf "%s,%d,%d,%d,%s,%s,%s,\"%s\"\n", row, p, f, k, note, known ? peer[row] : "", known ? bar : "", v >csv
		tp += p; tf += f; tk += k
	}
	END {
		for (i in compared)
			printf "behind %s: %s (%d rows compared)\n", i, short[i] == "" ? "nowhere" : substr(short[i], 3), compared[i]
		printf "sub-tests: %d passes, %d failures, %d skips; %d rows explained\n", tp, tf, tk, explained
		printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit failed > 0
	}' "$work/counts"
