#!/bin/sh
# Arrows between folders point one way (docs/architecture.md). Names every include that breaks a rule.
#   folder      may include from
found=$(mktemp) || exit 1
trap 'rm -f "$found"' EXIT

rules='
sim           sim
models/mmu    sim models/mmu models/profile.h
models/io     sim models/io models/mmu models/profile.h
models/cpu    sim models/cpu models/mmu models/profile.h
models/vmm    sim models/vmm models/cpu models/mmu models/io models/profile.h
models/boot   sim models
ui            sim models ui scenarios/guests/lib/workload.def scenarios/guests/lib/params.h
'

echo "$rules" | while read -r folder allowed; do
	[ -d "$folder" ] || continue
	grep -rn --include='*.[ch]' --include='*.def' '^#include "' "$folder" | while IFS=: read -r file line text; do
		included=$(printf '%s' "$text" | sed 's/.*"\(.*\)".*/\1/')
		for a in $allowed; do
			case $included in "$a"/*|"$a") continue 2 ;; esac
		done
		echo "not ok layers: $file:$line includes $included; $folder may include only: $allowed"
	done
done >"$found"
# libraries stay where they belong: header, the folders that may use it
echo '
curses.h  ui/tui
lua.h     ui/lua
Zydis/    models/cpu ui tests
mpfr.h    models/cpu
' | while read -r header folders; do
	[ -n "$header" ] || continue
	grep -rnE --include='*.[ch]' "#include <.*$header" sim models ui tests | while IFS=: read -r file line _; do
		for f in $folders; do
			case $file in "$f"/*) continue 2 ;; esac
		done
		echo "not ok layers: $file:$line includes <$header>, which belongs to $folders"
	done
done >>"$found"
cat "$found"
[ -s "$found" ] || echo "ok layers"
