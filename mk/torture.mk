# Long runs of the harnesses that `make test` runs short. Each prints its figures and fails on the first lie.

.PHONY: torture torture-rot

torture: torture-rot ## the long run of every harness: hours

ROT_REGION ?= 256
torture-rot: $(OUT)/tests/unit/store/rot_test ## damage one byte in each ROT_REGION (256) bytes of every file of a store
	@INGOT_ROT_REGION=$(ROT_REGION) $<
