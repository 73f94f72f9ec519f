# Tests. `make test` runs everything and ends with one line "N passed, N failed"; `make test-fast` is for every change.

VENV   := .venv
PYTHON := $(VENV)/bin/python

.PHONY: deps-test venv wire clients crash

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

crash: $(BIN) $(VENV)/.done ## kill -9 under load (INGOT_CRASH_ROUNDS=1000 for the long run)
	@INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/crash -s $(T)
