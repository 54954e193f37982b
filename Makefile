# SPDX-License-Identifier: GPL-2.0-or-later

# $(call quoted,TEXT): TEXT is one word for the shell
quoted = '$(subst ','\'',$1)'

# The build folder: the one that ./configure was told, or its default
BUILD := $(CURDIR)/build
-include config.mk

# make BASE=10.2 ...: with another base, which has a build folder of its own
BASE :=
ifneq ($(BASE),)
BUILD := $(CURDIR)/build-$(notdir $(BASE:/=))
endif

# The recipes use these paths without quotes
refused := $(shell scripts/build/plain-path $(call quoted,$(CURDIR)) \
    $(call quoted,BASE=$(BASE)) $(call quoted,BUILD=$(BUILD)))
ifneq ($(.SHELLSTATUS),0)
$(error $(or $(refused),run make in the folder of this tree))
endif

# A folder of the same name elsewhere is another base
origin := $(filter /%,$(shell cat $(BUILD)/base.origin 2>/dev/null))
ifneq ($(and $(realpath $(BASE)),$(origin)),)
ifneq ($(realpath $(BASE)),$(realpath $(origin)))
$(error BASE=$(BASE): $(BUILD) is of $(origin): rename one of the two)
endif
endif

# make run: GPUs, nodes of each GPU, partitions of its memory (one in a node), the
# guest's kernel (own, other or new: see tests/guest/build-guest), further
# arguments of QEMU
GPUS := 1
NODES :=
PARTITIONS :=
KERNEL := own
QEMU_ARGS :=

# make check: one suite of the tests; empty: all
SUITE :=

# make fuzz: how many random machines, from which seed
N := 10000
SEED :=

# make deb: arm64, for that from another machine; empty: for the machine's own
ARCH :=
ifneq ($(filter-out arm64,$(ARCH)),)
$(error ARCH=$(ARCH): the only one that can be given is arm64)
endif

# make series: where the folders of patches are written to
OUT = $(BUILD)/series

# make check-series: what the folder of one series begins with, such as c; empty:
# all.  LAST=1: compile only after the last patch of each
SERIES :=
LAST :=

# make install, make uninstall: below which folder; empty: that of ./configure
PREFIX :=

GUEST := $(BUILD)/guest
RUN_GUEST := $(GUEST)$(patsubst %,-%,$(filter-out own,$(KERNEL)))

.PHONY: all run check fuzz bench docs deb install uninstall series \
    check-series check-regress check-targets clean distclean help

# More than one of the scripts brings the base in step with this tree
.NOTPARALLEL:

all: $(BUILD)/build.ninja
	@scripts/build/build-qemu $(BUILD)

$(BUILD)/build.ninja:
	@./configure --build=$(BUILD) $(if $(BASE),--base=$(BASE))

run: all
	@$(if $(filter new,$(KERNEL)),scripts/build/host-packages $(BUILD) kernel)
	@tests/guest/build-guest $(RUN_GUEST) $(BUILD)/cache arm64 $(KERNEL)
	@tests/guest/run.py --qemu $(BUILD)/qemu-system-aarch64 \
	    --guest $(RUN_GUEST) --out $(BUILD)/run --gpus $(GPUS) \
	    $(if $(filter new,$(KERNEL)),--gpu-mb 4096) \
	    $(if $(NODES),--nodes $(NODES)) \
	    $(if $(PARTITIONS),--partitions $(PARTITIONS)) -- $(QEMU_ARGS)

check: $(BUILD)/build.ninja
	@scripts/build/host-packages $(BUILD) docs tests kernel bench
	@scripts/test/run-tests $(BUILD) $(SUITE)

fuzz: all
	@scripts/build/build-qemu $(BUILD) others
	@tests/fuzz/fuzz.py --qemu $(BUILD)/qemu-system-aarch64 \
	    --pc-qemu $(BUILD)/qemu-system-x86_64 --count $(N) \
	    --jobs $$(nproc) $(if $(SEED),--seed $(SEED))

bench: all
	@scripts/build/host-packages $(BUILD) bench
	@tests/guest/build-guest $(GUEST) $(BUILD)/cache
	@tests/bench/bench.py --qemu $(BUILD)/qemu-system-aarch64 \
	    --guest $(GUEST) --out $(BUILD)/bench

docs: $(BUILD)/build.ninja
	@scripts/build/host-packages $(BUILD) docs
	@scripts/build/build-docs $(BUILD)

install: all docs
	@tests/guest/build-guest $(GUEST) $(BUILD)/cache
	@scripts/package/install-qemu $(BUILD) $(GUEST) $(call quoted,$(PREFIX))

deb: docs
	@tests/guest/build-guest $(GUEST) $(BUILD)/cache
	@scripts/package/build-deb $(BUILD) $(GUEST) $(ARCH)

uninstall:
	@scripts/package/uninstall-qemu $(BUILD) $(call quoted,$(PREFIX))

series: $(BUILD)/build.ninja
	@scripts/base/apply-tree $(BUILD)
	@scripts/series/make-series $(BUILD) $(call quoted,$(OUT))

check-series: series
	@scripts/build/host-packages $(BUILD) tests
	@tests/guest/build-guest $(GUEST) $(BUILD)/cache
	@scripts/series/check-series $(BUILD) $(call quoted,$(OUT)) \
	    $(call quoted,$(SERIES)) $(if $(LAST),last)

check-regress: all
	@scripts/build/host-packages $(BUILD) tests
	@tests/guest/build-guest $(GUEST) $(BUILD)/cache
	@scripts/test/check-regress $(BUILD) $(GUEST)

check-targets: $(BUILD)/build.ninja
	@scripts/test/check-targets $(BUILD)

clean:
	@scripts/build/clean $(BUILD)

distclean:
	@scripts/build/clean $(BUILD) all

help:
	@echo "make                build $(BUILD)/qemu-system-aarch64"
	@echo "make run            boot a guest that onlines GPU memory in its nodes"
	@echo "                    (GPUS=1; of each GPU: NODES=8, PARTITIONS=8;"
	@echo "                    KERNEL=new: with 64 KiB pages, for 128 nodes;"
	@echo "                    QEMU_ARGS='...')"
	@echo "make check          run all tests, or those of a SUITE"
	@echo "make fuzz           run random machines (N=10000, SEED=random)"
	@echo "make bench          measure what the tables cost, beside other objects"
	@echo "make docs           make QEMU's documents, with ours, and the guide"
	@echo "make deb            write a Debian package, $(BUILD)/qemu-gpu-mem_*.deb"
	@echo "                    (ARCH=arm64: for Debian 13 on arm64, from any machine,"
	@echo "                    in $(BUILD)/arm64)"
	@echo "make install        install QEMU, its firmware and its documents"
	@echo "                    (PREFIX=/usr/local, DESTDIR=...)"
	@echo "make uninstall      remove what was installed (PREFIX, DESTDIR as then)"
	@echo "make series         write the patch series (OUT=$(BUILD)/series)"
	@echo "make check-series   apply, compile and test them patch by patch, or only"
	@echo "                    SERIES=c; LAST=1: compile only the last patch of each"
	@echo "make check-regress  run QEMU's own qtests without this tree and with it"
	@echo "make check-targets  compile all boards by gcc and by clang"
	@echo "make clean          remove what was built, keep what was fetched"
	@echo "make distclean      remove the build folder"
	@echo "BASE=10.2 with any of these takes another QEMU, in build-10.2."
	@echo "./configure --help tells what can be chosen before."
