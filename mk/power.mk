# The store under power cuts (tests/power). Needs libfuse3-dev; where it is missing the test says so.

POWER_SRCS := $(sort $(wildcard tests/power/*.c))
POWER_BIN  := $(OUT)/tests/power/power
POWER_OBJS := $(patsubst tests/%.c,$(OUT)/tests/%.o,$(filter-out tests/power/nosync.c,$(POWER_SRCS)))

.PHONY: power-bins
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
