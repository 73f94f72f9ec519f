# Every tests/fuzz/fuzz_NAME.c is a libFuzzer target with its seeds in tests/fuzz/corpus/NAME/.
# For hours: make fuzz FUZZ_SECONDS=7200; one target: make fuzz FUZZ=xml.

FUZZ_SECONDS ?= 5
FUZZ         ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_BINS    := $(patsubst %,build/fuzz/bin/fuzz_%,$(FUZZ))

.PHONY: fuzz fuzz-bins

fuzz: ## run every fuzz target for FUZZ_SECONDS
	@$(MAKE) --no-print-directory -j$$(nproc) VARIANT=fuzz fuzz-bins
	@sh tests/fuzz/run.sh $(FUZZ_SECONDS) build/fuzz/crashes $(FUZZ_BINS)

fuzz-bins: $(FUZZ_BINS)

build/fuzz/bin/fuzz_%: tests/fuzz/fuzz_%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d -o $@ $< $(LIB) $(LDLIBS)
