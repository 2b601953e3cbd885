# vmscope. `make` builds ./vmscope; `make demo` and `make test` do all set-up, build and run: see README.md.
#   DEV=1     warnings are errors
#   SAN=1     address and undefined-behaviour sanitizers
#   CC=clang  the other compiler

PACKAGES := gcc libc6-dev pkg-config libzydis-dev liblua5.4-dev libncurses-dev libmpfr-dev
TEST_PACKAGES := libcriterion-dev

comma := ,
MODE  := $(if $(SAN),san,rel)$(if $(findstring clang,$(CC)),-clang)
B     := build/$(MODE)

CFLAGS   := -std=c17 -D_DEFAULT_SOURCE -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wshadow $(if $(DEV),-Werror) -g
CFLAGS   += $(if $(SAN),-O1 -fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer,-O2)
CPPFLAGS := -I. -I/usr/include/lua5.4 -MMD -MP
LIBS     := -llua5.4 -lncursesw -lZydis -lmpfr -lgmp -lm

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
FUZZ_FLAGS := -std=c17 -D_DEFAULT_SOURCE -D_POSIX_C_SOURCE=200809L -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
fuzz: setup
	@.ci/setup clang libclang-rt-14-dev
	@mkdir -p $(FUZZ)/$(TARGET)
	clang $(FUZZ_FLAGS) -I. -I/usr/include/lua5.4 -DTARGET=fuzz_$(TARGET) -o $(FUZZ)/$(TARGET).run \
		$(filter-out ui/cli/main.c,$(SRC)) tests/fuzz/$(TARGET).c tests/fuzz/machine.c tests/fuzz/main.c $(LIBS)
	$(FUZZ)/$(TARGET).run -max_total_time=$(TIME) -rss_limit_mb=2048 -timeout=20 $(FUZZ)/$(TARGET) tests/fuzz/corpus/$(TARGET)

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

# Guest instructions per host second, beside what other emulators are installed.
bench: all
	@CC="$(CC)" BENCH_FLAGS="$(CFLAGS)" bench/run.sh

clean:
	rm -rf build vmscope

.PHONY: bench differential check-real check-kvmut
.PHONY: all guests objects setup setup-test demo test unit golden meta fuzz clean
-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d)
