#!/bin/sh
# What sim/banned.h bans does not compile in the simulated world, and the Makefile includes it in every file there.
flags="-std=c17 -D_DEFAULT_SOURCE -D_POSIX_C_SOURCE=200809L -I. -fsyntax-only -x c"
for call in 'time(0)' 'clock()' 'rand()' 'getenv("A")' 'strcpy(b, "x")' 'sprintf(b, "x")' 'localtime(0)' 'gmtime(0)'; do
	text="#include \"sim/banned.h\"
long f(char *b); long f(char *b) { (void)b; return (long)$call; }"
	if printf '%s\n' "$text" | ${CC:-gcc} $flags - 2>/dev/null; then
		echo "not ok banned: $call compiles"
	elif printf '%s\n' "$text" | sed 1s/.*/#include\ \<stdio.h\>\\n#include\ \<stdlib.h\>\\n#include\ \<string.h\>\\n#include\ \<time.h\>/ |
	     ${CC:-gcc} $flags - 2>/dev/null; then
		echo "ok banned $call"
	else
		echo "not ok banned: $call does not compile without the ban either"
	fi
done
for folder in sim models; do
	file=$(ls $folder/*.c | head -n 1)
	make -n -B "build/rel/${file%.c}.o" 2>/dev/null | grep -q 'include sim/banned.h' && echo "ok banned in $folder" ||
		echo "not ok banned: $folder is compiled without sim/banned.h"
done
# Criterion's gt() is true of equal values (2.4): a test says lt(), the other way round.
grep -nE '\<gt\([a-z]' tests/unit/*/*.[ch] tests/unit/*.h && echo "not ok banned: gt() in a test" || echo "ok banned gt"
