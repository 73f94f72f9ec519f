# Crashes: power cuts (tests/power, which needs libfuse3-dev) and kill -9 (tests/crash). The long runs take half an hour and more.

POWER_SRCS := $(sort $(wildcard tests/power/*.c))
POWER_BIN  := $(OUT)/tests/power/power
POWER_OBJS := $(patsubst tests/%.c,$(OUT)/tests/%.o,$(filter-out tests/power/nosync.c,$(POWER_SRCS)))

POWER_STATES ?= 10000
POWER_SEED   ?= 1
KILL_ROUNDS  ?= 1000
LINEAR_ROUNDS ?= 400
TERMINATE_ROUNDS ?= 2000

.PHONY: power-bins torture torture-power torture-kill torture-terminate torture-linear
power-bins: $(BIN) $(POWER_BIN) $(OUT)/tests/power/nosync.so

$(OUT)/tests/power/%.o: tests/power/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) -Itests -isystem /usr/include/fuse3 $(CFLAGS) -MMD -MP -c -o $@ $<

$(POWER_BIN): $(POWER_OBJS) $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(OPT) -o $@ $^ -lfuse3 $(LDLIBS)

# Loaded into a server it leaves out flushes: the mutant that the harness must see.
$(OUT)/tests/power/nosync.so: tests/power/nosync.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC_$(VARIANT)) $(CPPFLAGS) $(CFLAGS) -shared -fPIC -o $@ $< -ldl

torture: torture-power torture-kill torture-terminate torture-linear

torture-power: power-bins $(VENV)/.done ## POWER_STATES (10,000) states that a power cut could leave, on ext4 and xfs
	@POWER_STATES=$(POWER_STATES) POWER_SEED=$(POWER_SEED) INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/power -s $(T)

torture-kill: $(BIN) $(VENV)/.done ## KILL_ROUNDS (1,000) times kill -9 under mixed load
	@INGOT_CRASH_ROUNDS=$(KILL_ROUNDS) INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/crash -s -o timeout=14400 $(T)

torture-terminate: $(BIN) $(VENV)/.done ## TERMINATE_ROUNDS (2,000) times start, one request, SIGTERM
	@INGOT_TERMINATE_ROUNDS=$(TERMINATE_ROUNDS) INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/crash/test_terminate.py -s -o timeout=14400 $(T)

torture-linear: $(BIN) $(VENV)/.done ## histories through LINEAR_ROUNDS (400) crashes, races, listings
	@LINEAR_ROUNDS=$(LINEAR_ROUNDS) INGOT_TEST_VARIANT=$(VARIANT) $(PYTHON) -m pytest tests/linear -s $(T)
