# docs/compatibility/: from the table of operations and what the wire tests showed.

.PHONY: compat
compat: $(BIN) $(VENV)/.done ## run the wire tests and write docs/compatibility/s3.md
	@mkdir -p build/test
	@INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/wire -k "test_s3 or test_hostile" --junitxml=build/test/compat.xml
	@$(PYTHON) tools/compat.py build/test/compat.xml
