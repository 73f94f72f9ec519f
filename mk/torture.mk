# Long runs of the harnesses that `make test` runs short. Each prints its figures and fails on the first lie.

.PHONY: torture torture-rot torture-overload torture-faults torture-soak

torture: torture-rot torture-overload torture-faults torture-soak ## the long run of every harness: hours

ROT_REGION ?= 256
ROT_JOBS   ?= 4
torture-rot: $(OUT)/tests/unit/store/rot_test ## damage one byte in each ROT_REGION (256) bytes of every file of a store, ROT_JOBS (4) at a time
	@INGOT_ROT_REGION=$(ROT_REGION) INGOT_ROT_JOBS=$(ROT_JOBS) $<

torture-overload: $(BIN) $(VENV)/.done ## crowds of hostile clients: slow, half-open, large, many; about 10 minutes
	@INGOT_OVERLOAD=long INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/overload -s $(T)

torture-faults: $(BIN) $(OUT)/tests/faults/iofault.so $(VENV)/.done ## every file call of every operation fails once, in every way
	@INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) tests/faults/long.py

SOAK_MINUTES ?= 10
torture-soak: $(BIN) $(VENV)/.done ## does a loop ever block? SOAK_MINUTES (10) of mixed load, half of them on each back-end
	@INGOT_SOAK_MINUTES=$(SOAK_MINUTES) INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/soak -s -o timeout=14400 $(T)
