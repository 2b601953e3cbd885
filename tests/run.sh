#!/bin/sh
# Run every test: Criterion's unit tests, then each script in tests/check. A script prints lines
# `ok NAME`, `not ok NAME: why` or `skip NAME: why`; the closing line counts everything.
# usage: tests/run.sh BUILD_DIRECTORY
build=$1
passed=0 failed=0 skipped=0
report=$(mktemp) || exit 1
trap 'rm -f "$report"' EXIT

"$build/unit" -j2 --timeout 120 >"$report" 2>&1
status=$?
grep -v '^\[----\] *$' "$report" | grep -vE '^\[(PASS|RUN|SKIP) *\]' | tail -n 60
line=$(grep -a 'Synthesis:' "$report" | tail -n 1)
number() { printf '%s\n' "$line" | sed 's/\x1b\[[0-9;]*m//g' | sed -n "s/.*$1: *\([0-9]*\).*/\1/p"; }
n=$(number Passing) passed=${n:-0}
n=$(number Failing) failed=${n:-0}
n=$(number Crashing) failed=$((failed + ${n:-0}))
if [ -z "$line" ] || { [ $status != 0 ] && [ $failed = 0 ]; }; then
	echo "not ok unit: the test program ended with status $status"
	failed=$((failed + 1))
fi

for script in tests/check/*.sh; do
	echo "== $script"
	sh "$script" "$build" >"$report" 2>&1 || echo "not ok $script: ended with status $?" >>"$report"
	grep -v '^ok ' "$report"
	passed=$((passed + $(grep -c '^ok ' "$report")))
	failed=$((failed + $(grep -c '^not ok ' "$report")))
	skipped=$((skipped + $(grep -c '^skip ' "$report")))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
