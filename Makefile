# vmscope. `make` builds ./vmscope; `make demo` and `make test` do all set-up, build and run: see README.md.
#   DEV=1     warnings are errors
#   SAN=1     address and undefined-behaviour sanitizers
#   CC=clang  the other compiler

PACKAGES := gcc libc6-dev pkg-config libzydis-dev liblua5.4-dev libncurses-dev libmpfr-dev libdw-dev
TEST_PACKAGES := libcriterion-dev tmux gdb

comma := ,
MODE  := $(if $(FUZZER),fuzz,$(if $(SAN),san,rel))$(if $(findstring clang,$(CC)),-clang)
B     := build/$(MODE)

CFLAGS   := -std=c17 -D_DEFAULT_SOURCE -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wshadow $(if $(DEV),-Werror) -g
SANITIZE := -O1 -fsanitize=$(if $(FUZZER),fuzzer-no-link$(comma))address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
CFLAGS   += $(if $(FUZZER)$(SAN),$(SANITIZE),-O2)
CPPFLAGS := -I. -I/usr/include/lua5.4 -MMD -MP
LIBS     := -llua5.4 -lncursesw -lZydis -lmpfr -lgmp -ldw -lelf -lm

SRC  := $(sort $(wildcard sim/*.c models/*.c models/*/*.c models/*/*/*.c ui/*/*.c))
OBJ  := $(SRC:%.c=$B/%.o)
MAIN := $B/ui/cli/main.o
TEST_SRC := $(sort $(wildcard tests/unit/*/*.c tests/unit/*.c) $(filter-out tests/fuzz/main.c,$(wildcard tests/fuzz/*.c)))
TEST_OBJ := $(TEST_SRC:%.c=$B/%.o)

all: vmscope guests

vmscope: $B/vmscope
	@ln -sf $< $@

$B/vmscope: $(OBJ)
	$(CC) $(CFLAGS) -o $@ $^ $(LIBS)

$B/unit: $(filter-out $(MAIN),$(OBJ)) $(TEST_OBJ)
	$(CC) $(CFLAGS) -o $@ $^ $(LIBS) -lcriterion

# No file of the simulated world reads the host's clock, environment or random numbers.
$B/sim/%.o $B/models/%.o: CPPFLAGS += -include sim/banned.h

$B/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -c -o $@ $<

guests:
	@$(MAKE) -s -C scenarios/guests OUT=$(CURDIR)/build/guests

objects: $(OBJ)

# Set-up first, then build in a second make: what the first one found missing is there by then.
setup:
	@.ci/setup $(PACKAGES)
# What draws the pictures of comparisons (docs/compare.md).
setup-plot:
	@.ci/setup gnuplot-nox
setup-test:
	@.ci/setup $(PACKAGES) $(TEST_PACKAGES)

demo: setup
	@$(MAKE) -s all
	./vmscope run scenarios/demo.lua

test: setup-test
	@$(MAKE) -s all $B/unit
	@sh tests/run.sh $B

unit: $B/unit
	$B/unit -j2 --timeout 120

# The scenario language for editors, from the tables.
meta: all
	./vmscope list lua-meta > scenarios/vmscope.lua

golden: all
	GOLDEN=write sh tests/check/golden.sh $B

# make fuzz TARGET=exec TIME=60: libFuzzer with sanitizers on one target (tests/fuzz); findings are saved as crash-*
FUZZ := build/fuzz
fuzz: setup
	@.ci/setup clang libclang-rt-14-dev
	@mkdir -p $(FUZZ)/$(TARGET)
	@$(MAKE) -s CC=clang FUZZER=1 $(FUZZ)/$(TARGET).run
	$(FUZZ)/$(TARGET).run -max_total_time=$(TIME) -rss_limit_mb=2048 -timeout=20 $(FUZZ)/$(TARGET) tests/fuzz/corpus/$(TARGET)

$(FUZZ)/%.run: $(filter-out $(MAIN),$(OBJ)) $B/tests/fuzz/%.o $B/tests/fuzz/machine.o tests/fuzz/main.c
	$(CC) $(CFLAGS) -fsanitize=fuzzer -I. -DTARGET=fuzz_$* -o $@ $^ $(LIBS)

# Software nobody here wrote. XV6=<folder with kernel and fs.img>; KVMUT=<folder with x86_64/*.flat and i386/*.flat>,
# BASELINE=<csv of what other machines reach>. What is not given is skipped by name.
check-real: setup
	@.ci/setup cpio
	@$(MAKE) -s all
	tests/conformance/real.sh $(if $(XV6),--images $(XV6))
check-kvmut: all
	tests/conformance/kvmut.sh --images "$(KVMUT)" $(if $(BASELINE),--baseline $(BASELINE))

# A million and more random cases of every integer, SSE and x87 instruction form, here and on the host's processor.
differential: setup-test
	@$(MAKE) -s $B/unit
	VMSCOPE_INT_CASES=1500 VMSCOPE_FP_CASES=4000 $B/unit -j2 --timeout 3600 --filter '*differential*/*'

# Shapes that published studies found: measured against published.
shapes: all
	./vmscope run bench/shapes.lua --quiet
	./vmscope run bench/shapes_operations.lua --quiet
	./vmscope run bench/shapes_software.lua --quiet

# Guest instructions per host second, beside what other emulators are installed.
bench: all
	@CC="$(CC)" BENCH_FLAGS="$(CFLAGS)" bench/run.sh

# How long a step back takes, anywhere in a run of a thousand million cycles.
bench-travel: all $B/bench/travel
	$B/bench/travel

# Does the stepping screen feel instant? Steps, redraws, three sizes, three techniques.
bench-screen: all $B/bench/screen
	$B/bench/screen

$B/bench/travel $B/bench/screen: $B/bench/%: $(filter-out $(MAIN),$(OBJ)) $B/bench/%.o
	$(CC) $(CFLAGS) -o $@ $^ $(LIBS)

clean:
	rm -rf build vmscope

.PHONY: bench bench-travel bench-screen shapes differential check-real check-kvmut
.PHONY: all guests objects setup setup-plot setup-test demo test unit golden meta fuzz clean
-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d)
