# The whole server in simulation under power cuts (tests/sim). One failing seed is one command to run again.

SIM_CRASHES := $(or $(INGOT_SIM_CRASHES),100000)
SIM_FROM    := $(or $(INGOT_SIM_FROM),1)
SIM_BIN     := $(OUT)/tests/sim/torture

.PHONY: torture-sim

$(SIM_BIN): $(wildcard tests/sim/*.c) $(wildcard tests/sim/*.h) $(LIB)
	@mkdir -p $(@D)
	$(call say,TEST)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) -o $@ $(filter %.c,$^) $(LIB) $(LDLIBS)

torture-sim: $(SIM_BIN) ## INGOT_SIM_CRASHES=100000 power cuts of the whole server in simulation
	@$(SIM_BIN) --cuts $(SIM_CRASHES) --from $(SIM_FROM)

# Each of tests/mutants/*.patch is a bug and names the test that must find it; tests/mutants/README.md says how to add one.
.PHONY: mutants torture-mutants

mutants: ## plant classic bugs one at a time; each must be caught (M= selects by name)
	@python3 tools/mutants.py $(M)

torture-mutants: mutants

torture: torture-sim torture-mutants
