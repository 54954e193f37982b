# SPDX-License-Identifier: GPL-2.0-or-later

# The build folder: the one that ./configure was told, or its default
BUILD := $(CURDIR)/build
-include config.mk

# make run: how many GPUs, how many nodes each, what QEMU is given besides
GPUS := 1
NODES :=
QEMU_ARGS :=

# make fuzz: how many random machines, from which seed
N := 10000
SEED :=

GUEST := $(BUILD)/guest

.PHONY: all run check fuzz install clean distclean help

all: $(BUILD)/build.ninja
	@scripts/build-qemu $(BUILD)

$(BUILD)/build.ninja:
	@./configure --build=$(BUILD)

run: all
	@tests/guest/build-guest $(GUEST) $(BUILD)/cache
	@tests/guest/run.py --qemu $(BUILD)/qemu-system-aarch64 \
	    --guest $(GUEST) --out $(BUILD)/run --gpus $(GPUS) \
	    $(if $(NODES),--nodes $(NODES)) -- $(QEMU_ARGS)

check: $(BUILD)/build.ninja
	@scripts/run-tests $(BUILD)

fuzz: all
	@tests/fuzz/fuzz.py --qemu $(BUILD)/qemu-system-aarch64 --count $(N) \
	    --jobs $$(nproc) $(if $(SEED),--seed $(SEED))

install: all
	@scripts/install-qemu $(BUILD)

clean:
	rm -rf $(BUILD)/guest $(BUILD)/guest-test $(BUILD)/run $(BUILD)/log
	[ ! -d $(BUILD)/qemu ] || ninja -C $(BUILD)/qemu -t clean

distclean:
	[ ! -e $(BUILD)/.nvidia-gpu-mem-acpi ] || rm -rf $(BUILD)
	rm -f config.mk

help:
	@echo "make            build $(BUILD)/qemu-system-aarch64"
	@echo "make run        boot a guest that onlines GPU memory in its nodes"
	@echo "                (GPUS=2, NODES=7, QEMU_ARGS='...')"
	@echo "make check      run all tests"
	@echo "make fuzz       run random machines (N=10000, SEED=random)"
	@echo "make install    install QEMU below the prefix (DESTDIR=...)"
	@echo "make clean      remove what was built, keep what was fetched"
	@echo "make distclean  remove the build folder"
	@echo "./configure --help tells what can be chosen before."
