#!/bin/sh
# tables.sh README.md - print that file with its tables made afresh from lib/*.def.
# `make check-readme` compares, `make readme` writes.
lib=$(cd "$(dirname "$0")" && pwd)/lib

workloads() {
	echo '| workload | ring | parameters and their defaults | what it does |'
	echo '|---|---|---|---|'
	sed -n 's/^WORKLOAD(\(.*\))$/\1/p' "$lib/workload.def" | awk -F'"' '{
		split($1, f, /, */); sub(/ +$/, "", f[5])
		ring = f[2] == "KERNEL" ? 0 : 3
		takes = " " f[3] " "; list = ""
		if (takes ~ / N /) list = list " n=" f[4]
		if (takes ~ / SIZE /) list = list " size=" size(f[5])
		if (takes ~ / SEED /) list = list " seed=1"
		if (takes ~ / HZ /) list = list " hz=" f[6] + 0
		if (takes ~ / UPDATES /) list = list " updates=10"
		if (takes ~ / PAGES /) list = list " pages=4k"
		print "| `" f[1] "` | " ring " |" list " | " $2 " |"
	}
	function size(text,   part) {
		split(text, part, / *(<<|\*) */)
		return part[1] (text ~ /<</ ? "m" : "k")
	}'
}

syscalls() {
	echo '| number | system call | what it does |'
	echo '|---|---|---|'
	sed -n 's/^SYSCALL(\(.*\))$/\1/p' "$lib/syscall.def" | awk -F'"' '{
		split($1, f, /, */); gsub(/ /, "", f[1])
		print "| " f[1] " | `" f[2] "(" $2 ")` | " $4 " |"
	}'
}

while IFS= read -r line; do
	case $line in
	'<!-- end -->') skip= ;;
	esac
	[ -z "$skip" ] && printf '%s\n' "$line"
	case $line in
	'<!-- workloads -->') workloads; skip=1 ;;
	'<!-- syscalls -->') syscalls; skip=1 ;;
	esac
done <"$1"
