#!/bin/sh
# Scenarios as tests: every tests/scenario/*.lua runs and ends with status 0 (its own checks), and every
# `--! TEXT` line of it is somewhere in what it printed, standard error included.
build=$1
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
for file in tests/scenario/*.lua; do
	want=$(sed -n 's/^--status //p' "$file")
	flags=$(sed -n 's/^--flags //p' "$file")
	timeout 120 "$build/vmscope" run "$file" $flags --quiet --set n=12 --set text=words --set flag=true >"$out" 2>&1
	got=$?
	if [ "$got" != "${want:-0}" ]; then
		echo "not ok scenario $file: exit status $got"
		head -n 5 "$out"
		continue
	fi
	missing=$(sed -n 's/^--! //p' "$file" | while IFS= read -r line; do
		grep -qF -- "$line" "$out" || printf '%s' "$line"
	done)
	if [ -n "$missing" ]; then
		echo "not ok scenario $file: does not print: $missing"
		head -n 5 "$out"
	else
		echo "ok scenario $file"
	fi
done
