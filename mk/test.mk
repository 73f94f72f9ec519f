# Tests. `make test` runs everything and ends with one line "N passed, N failed"; `make test-fast` is for every change.

.PHONY: fresh deps-test venv wire clients crash faults figures agree tidy docs format

deps-test: ## install what the tests need
	@sh tools/deps.sh test

venv: $(VENV)/.done

$(VENV)/.done: tests/requirements.txt
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@

wire: $(BIN) $(VENV)/.done ## run the wire tests against one VARIANT (T= selects tests)
	@INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/wire $(T)

clients: $(BIN) $(VENV)/.done ## whole clients: SDKs, restic, rclone, s3cmd, awscli (T= selects tests)
	@INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/clients $(T)

crash: $(BIN) $(VENV)/.done ## kill -9 under load (long: make torture-kill)
	@INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/crash -s $(T)

faults: $(BIN) $(OUT)/tests/faults/iofault.so $(VENV)/.done ## a file system that fails on demand (T= selects tests)
	@INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/faults -s $(T)

fresh: ## as root: make run and make test-fast on a new, empty Debian 12 (SUITES= runs others)
	@sh tools/fresh.sh $(SUITES)

test: deps-test $(VENV)/.done ## everything: ends with "N passed, N failed"
	@python3 tools/run-tests.py all

test-fast: deps-test $(VENV)/.done ## for every change: build, format, unit tests, the short wire tests
	@python3 tools/run-tests.py fast

docs: $(BIN) ## write the pages that come from tables
	@$(BIN) config --markdown > docs/settings.md

format: ## clang-format everything
	@clang-format -i $$(find src tests -name '*.[ch]')

# A file is looked at again when it, a header or the choice of checks changed.
HEADERS := $(shell find src -name '*.h' -o -name '*.def')
tidy: $(patsubst %.c,build/tidy/%.ok,$(SRCS)) ## clang-tidy, the checks of .clang-tidy

build/tidy/%.ok: %.c $(HEADERS) .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- -std=c17 $(CPPFLAGS) 2>/dev/null
	@touch $@

figures: $(BIN) $(VENV)/.done ## the server's figures: operations a second, CPU an operation, memory, start
	@$(PYTHON) bench/figures.py

agree: $(BIN) $(VENV)/.done ## does ingot bench agree with wrk over presigned URLs?
	@$(PYTHON) bench/agree.py

# Preloaded into a server under test: fails its file calls on demand (tests/faults/README.md).
$(OUT)/tests/faults/iofault.so: tests/faults/iofault.c
	@mkdir -p $(@D)
	$(call say,TEST)$(CC_$(VARIANT)) -std=c17 -D_GNU_SOURCE -include src/base/banned.h -Wall -Wextra -Wshadow -Werror \
	  -O2 -g -fPIC -shared -fvisibility=hidden -o $@ $< -ldl
