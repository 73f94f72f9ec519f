# Ingot's front door. `make run` and `make test` are all a user needs; `make help` lists the rest.
#
# A variant is one way to compile everything: release (gcc), clang, asan (ASan + UBSan), tsan, fuzz.
# Each has its own folder below build/, so that they never disturb one another.

VARIANT ?= release
CC_release := gcc
CC_clang   := clang
CC_asan    := gcc
CC_tsan    := clang
CC_fuzz    := clang
CXX_release := g++
CXX_clang   := clang++
CXX_asan    := g++
CXX_tsan    := clang++
CXX_fuzz    := clang++
OPT_release := -O2 -g
OPT_clang   := -O2 -g
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

OUT    := build/$(VARIANT)
CCACHE := $(shell command -v ccache 2>/dev/null)
CC     := $(CCACHE) $(CC_$(VARIANT))
CXX    := $(CCACHE) $(CXX_$(VARIANT))
OPT    := $(OPT_$(VARIANT))

VERSION := 0.1.0
CPPFLAGS := -Isrc -isystem /usr/share/include/llhttp -D_GNU_SOURCE -DINGOT_VERSION='"$(VERSION)"' \
            -include base/banned.h
CFLAGS   := -std=c17 -Wall -Wextra -Wshadow -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -fno-strict-aliasing -fstack-protector-strong -fno-common $(OPT)
# The server's malloc. The C library's has locks that loops and RocksDB's threads share, and each growth of its heaps waits for
# the lock of the address space. Sanitizers bring their own.
MALLOC_release := -lmimalloc
MALLOC_clang   := -lmimalloc
LDLIBS   := -lrocksdb -lssl -lcrypto -lexpat -lisal -lxxhash -luring -ljansson -lstdc++ -lpthread -lm -ldl

SRCS     := $(sort $(shell find src -name '*.c'))
CXXSRCS  := $(sort $(shell find src -name '*.cc'))
MAIN     := src/cmd/main.c
LIB_OBJS := $(patsubst %.c,$(OUT)/obj/%.o,$(filter-out $(MAIN),$(SRCS))) \
            $(patsubst %.cc,$(OUT)/obj/%.o,$(CXXSRCS)) \
            $(patsubst %.S,$(OUT)/obj/%.o,$(sort $(shell find src -name '*.S'))) \
            $(patsubst %,$(OUT)/obj/llhttp/%.o,api http llhttp)
LIB      := $(OUT)/libingot.a
BIN      := $(OUT)/ingot
UNIT_SRCS := $(sort $(shell find tests/unit tests/conformance -name '*_test.c' 2>/dev/null))
UNIT_BINS := $(patsubst tests/%.c,$(OUT)/tests/%,$(UNIT_SRCS))

# One short line a file; `make V=1` shows whole commands.
V ?= 0
Q_0 = @printf '  %-4s %s\n' "$(1)" "$@";
Q_1 =
say = $(Q_$(V))

.PHONY: help deps build run clean unit test test-fast
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) mk/*.mk 2>/dev/null | sort -u | \
	  awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

deps: ## install what the build needs (Debian 12)
	@sh tools/deps.sh build

build: deps ## compile build/ingot
	@$(MAKE) --no-print-directory -j$$(nproc) $(BIN)
	@ln -sfn release/ingot build/ingot

run: build ## install what is missing, build, serve ./data on 127.0.0.1:9000
	@exec build/ingot server --data ./data --listen 127.0.0.1:9000

unit: ## build and run the C unit and conformance tests of one VARIANT
	@$(MAKE) --no-print-directory -j$$(nproc) $(UNIT_BINS) $(BIN)
	@sh tools/run-units.sh $(UNIT_BINS)

clean: ## remove build/
	rm -rf build

$(BIN): $(OUT)/obj/$(MAIN:.c=.o) $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(OPT) -o $@ $^ $(MALLOC_$(VARIANT)) $(LDLIBS)

$(LIB): $(LIB_OBJS)
	@rm -f $@
	@ar rcs $@ $^

$(OUT)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# What a C++ library offers to C++ alone.
$(OUT)/obj/%.o: %.cc Makefile
	@mkdir -p $(@D)
	$(call say,CXX)$(CXX) -Isrc -std=c++17 -Wall -Wextra -Werror -fstack-protector-strong $(OPT) -MMD -MP -c -o $@ $<

$(OUT)/obj/%.o: %.S Makefile
	@mkdir -p $(@D)
	$(call say,AS)$(CC) -c -o $@ $<

# llhttp comes as C source in Debian's node-llhttp; its warnings are its own.
$(OUT)/obj/llhttp/%.o: /usr/share/llhttp/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -isystem /usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1 $(OPT) -w -c -o $@ $<

$(OUT)/tests/%: tests/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,TEST)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(LIB) -lcmocka $(LDLIBS)

# Python of the tests and the tools around them.
VENV   := .venv
PYTHON := $(VENV)/bin/python

-include $(wildcard mk/*.mk)
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
