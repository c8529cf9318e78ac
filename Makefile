# SPDX-License-Identifier: MIT
# A thin front for meson: `make help` lists what there is.

BUILD ?= build
MESON ?= meson
PREFIX ?= /usr/local
DESTDIR ?=
KERNEL ?=
FUZZ_SECONDS ?= 60
export KERNEL FUZZ_SECONDS

.PHONY: all help demo check-quick check check-full bench fuzz soak install \
	uninstall clean

all: $(BUILD)/build.ninja
	@$(MESON) compile -C $(BUILD)

$(BUILD)/build.ninja:
	@scripts/deps build
	@$(MESON) setup --prefix $(PREFIX) $(BUILD)

help:
	@echo 'make                    build everything in build/'
	@echo 'make demo               a guest without a network talks to this host'
	@echo '     KERNEL=...         6.1, 6.12, a bzImage, a .deb (scripts/guest-kernel -h)'
	@echo 'make check-quick        no guest, no root: builds (a minute or two the first'
	@echo '                       time), then tests for about a minute'
	@echo 'make check              everything, in short form, with one guest kernel'
	@echo 'make check-full         the matrix: guest kernels, compilers, valgrind'
	@echo 'make bench              measure; writes build/bench.json'
	@echo 'make fuzz               FUZZ_SECONDS=60 for each target'
	@echo 'make soak               the tests again and again for SOAK_SECONDS=600'
	@echo 'make install            PREFIX=/usr/local DESTDIR='
	@echo 'make uninstall          what install from this build put there'
	@echo 'make clean              remove build/ and build-*/'
	@echo
	@echo 'demo and check install missing Debian packages, as root or with sudo'
	@echo '(YES=1: without asking; NODEPS=1: not at all).'

demo:
	@MAKE_TARGET=demo scripts/deps demo
	@mkdir -p build-logs
	@$(MAKE) --no-print-directory BUILD=$(BUILD) all \
		>build-logs/demo 2>&1 || { cat build-logs/demo; exit 1; }
	@scripts/demo $(BUILD)

check-quick check check-full:
	@MAKE_TARGET=$@ scripts/check $(@:check-%=%)

bench: all
	@scripts/bench $(BUILD)

fuzz:
	@MAKE_TARGET=fuzz scripts/deps check
	@scripts/fuzz

soak: all
	@scripts/soak $(BUILD)

# Not as root: a build made by an ordinary user is installed by another.
install: all
	@$(MESON) configure $(BUILD) -Dprefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) $(MESON) install -C $(BUILD)

uninstall:
	@ninja -C $(BUILD) uninstall

clean:
	@rm -rf build build-*
