# Programs that measure one module each; the figures in docs/decisions/ name their target.

BENCH_DIR ?= build/bench

.PHONY: profiles bench-hash bench-send bench-peers bench-extents bench-auth bench-object bench-commit bench-scale bench-overwrite

$(OUT)/bench/%: bench/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(LIB) $(LDLIBS)

bench-extents: $(OUT)/bench/extent_bench ## measure extents in BENCH_DIR (build/bench)
	@mkdir -p $(BENCH_DIR)
	@$< $(BENCH_DIR)

bench-auth: $(OUT)/bench/auth_bench ## measure what checking a signature costs
	@$<

bench-hash: $(OUT)/bench/hash_bench ## measure digests and checksums
	@$<

bench-send: $(OUT)/bench/send_bench ## compare ways to send what lies in the page cache
	@mkdir -p $(BENCH_DIR)
	@$< $(BENCH_DIR)

bench-object: $(OUT)/bench/object_bench ## measure the object layer over the store in memory
	@$<

bench-commit: $(OUT)/bench/commit_bench ## measure durable commits in BENCH_DIR (build/bench)
	@mkdir -p $(BENCH_DIR)
	@$< $(BENCH_DIR)

bench-peers: $(BIN) $(VENV)/.done ## Ingot beside its peers: MINIO=, RUSTFS=, WEED=, NGINX= are paths of binaries
	@BENCH_DIR=$(BENCH_DIR) MINIO=$(MINIO) RUSTFS=$(RUSTFS) WEED=$(WEED) NGINX=$(NGINX) $(PYTHON) bench/peers.py

bench-scale: $(BIN) $(VENV)/.done ## SCALE_OBJECTS (10,000,000) objects beside 10,000: what each operation costs, restart, deleting half
	@SCALE_DIR=$${SCALE_DIR:-$(BENCH_DIR)} $(PYTHON) bench/scale.py

bench-overwrite: $(BIN) $(VENV)/.done ## GET alone, beside PUTs of new keys and beside heavy overwriting
	@OVERWRITE_DIR=$${OVERWRITE_DIR:-$(BENCH_DIR)} $(PYTHON) bench/overwrite.py

profiles: $(BIN) $(VENV)/.done ## flame graphs in docs/decisions/0012-speed/ (PROFILES=get-4KiB,list PROFILE_SECONDS=10; needs perf)
	@$(PYTHON) bench/flame.py
