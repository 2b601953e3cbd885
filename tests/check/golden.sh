#!/bin/sh
# Whole runs against golden files. tests/golden/NAME.run holds a command line for vmscope (first line; %guests is the folder
# of built guests, %tmp a scratch folder); NAME.out holds its standard output, then a line `status N`.
# The hash of the final state is masked: it is another one with every field a state struct gains, and equality of states is
# for the equivalence tests. The hash of a trace is shown.
#   GOLDEN=write rewrites the files: read the diff before committing it.
build=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
for run in tests/golden/*.run; do
	[ -e "$run" ] || { echo "not ok golden: no golden runs"; exit 1; }
	name=$(basename "$run" .run)
	args=$(sed -n 1p "$run" | sed "s#%guests#build/guests#g; s#%tmp#$tmp#g")
	{ eval "timeout 120 $build/vmscope $args" 2>"$tmp/err"; echo "status $?"; } |
		sed 's/"hash": "[0-9a-f]\{16\}"/"hash": "*"/' >"$tmp/out"
	if [ "$GOLDEN" = write ]; then
		cp "$tmp/out" "tests/golden/$name.out"
		echo "ok golden $name (written)"
	elif diff -u "tests/golden/$name.out" "$tmp/out" >"$tmp/diff"; then
		echo "ok golden $name"
	else
		echo "not ok golden $name: output differs"
		head -n 20 "$tmp/diff"
		head -n 5 "$tmp/err"
	fi
done
