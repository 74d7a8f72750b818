# socksgw: `make help` tells what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Test processes at once; most of them wait most of the time.
JOBS ?= 4
ARGS ?=
# A number: tell which lines ran, too, and fail where it is less than so many percent of
# them. Where Python is older than 3.12 it costs a third of the time.
COVERAGE ?=
CORE = $(shell $(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')
# Compiled modules are kept, whatever the environment says: the tests start some
# hundred interpreters, and each would compile all of them again.
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(if $(COVERAGE),COVERAGE_CORE=$(CORE)) $(BIN)/$(if $(COVERAGE),coverage run,python) -m pytest

.PHONY: help run test test-kernel lint man dist deb image bench clean
.DEFAULT_GOAL := help

help:  ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  The manual: .venv/bin/socksgw help'
	@echo '  ARGS="…" is handed on: make run ARGS="--config etc/socksgw.toml", make test ARGS="-k wire"'

# The plug-in directory twisted/plugins is found through sys.path, hence the
# compat mode of the editable install.
$(BIN)/twistd: setup.cfg pyproject.toml
	@test -w . || { echo "This directory is read-only, and .venv and var belong in it: copy it, and run make in the copy."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "socksgw needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --retries 1 --config-settings editable_mode=compat --editable . \
		|| { echo "pip could not install what socksgw needs (above). Without a network, name a folder that holds the packages and setuptools: make run PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER (on a machine that has one, in a copy of this directory: pip download -d FOLDER . setuptools)"; exit 1; }
	@$(BIN)/twistd --help >/dev/null
	@touch $@

$(VENV)/tested: $(BIN)/twistd
	$(BIN)/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[test]'
	@$(BIN)/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[test-gssapi]' 2>$(VENV)/gssapi.log \
		|| { echo "gssapi cannot be built (it wants a compiler and MIT's headers, Debian's libkrb5-dev): tests with a real Kerberos are left out"; test "$$CI" != true; }
	@touch $@

$(VENV)/linted: $(VENV)/tested
	$(BIN)/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[lint]'
	@touch $@

# A SIGHUP ends Python until the gateway can catch it. Blocked (coreutils 8.31), it waits.
UNHURT = $(shell env --block-signal=HUP true 2>/dev/null && echo env --block-signal=HUP)

# With the C library's allocator, memory that a crowd of clients needed returns to the
# system when it has gone; Python's keeps a part (socksgw help operations).
run: $(BIN)/twistd  ## install into .venv and start the gateway here
	PYTHONMALLOC=malloc $(UNHURT) $(BIN)/twistd --nodaemon --pidfile= socksgw $(ARGS)

test: $(VENV)/tested  ## run every test
	$(if $(COVERAGE),$(BIN)/coverage erase)
	$(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not alone" $(ARGS) || test $$? = 5 \
		|| { echo "What failed beside others has to pass by itself:"; \
		$(PYTEST) --last-failed --last-failed-no-failures none -m "not alone" $(ARGS); }
	$(PYTEST) -m alone $(ARGS) || test $$? = 5 \
		|| { echo "What failed may have been held up by the machine: it has to pass once more:"; \
		$(PYTEST) --last-failed --last-failed-no-failures none -m alone $(ARGS); }
	@$(if $(COVERAGE),$(BIN)/coverage combine --quiet)
	$(if $(COVERAGE),$(BIN)/coverage report --fail-under=$(COVERAGE))

# Debian: qemu-system-x86 busybox-static cpio kmod iproute2 nftables. The kernel is
# downloaded once.
test-kernel: $(VENV)/tested  ## what needs another kernel, in a virtual machine (as root)
	$(BIN)/python -m tests.kernel.machine

lint: $(VENV)/linted  ## style, types, and the import contracts between folders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/towncrier build --draft --version next >/dev/null

man: $(BIN)/twistd  ## make the man pages, in build/man
	@$(BIN)/python -c 'import docutils' 2>/dev/null \
		|| $(BIN)/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[man]'
	$(BIN)/python -m socksgw.console.man build/man
	@echo "Read them with: man -l build/man/socksgw.1 build/man/socksgw.toml.5"

dist: $(VENV)/tested  ## make wheel and source distribution, in dist
	@git describe --always --dirty --abbrev=12 --exclude='*' | sed 's/-dirty/, changed/' >socksgw/commit.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check build
	@$(BIN)/python -m build --quiet --no-isolation --outdir dist; status=$$?; rm -f socksgw/commit.txt; exit $$status

# For which Debian; and what tells packages of one version apart.
SUITE ?= $(shell . /etc/os-release && echo $$VERSION_CODENAME)
REVISION ?= 1

deb: dist  ## make a Debian package for this Debian, or SUITE, in dist
	@command -v mmdebstrap >/dev/null || { echo "make deb needs mmdebstrap: apt install mmdebstrap"; exit 1; }
	etc/packaging/deb "$$(ls -t dist/socksgw-*.tar.gz | head -n 1)" $(SUITE) $(REVISION) dist

image: deb  ## make an image for containers of the same, dist/socksgw-image.tar
	etc/packaging/image "$$(ls -t dist/socksgw_*.deb | head -n 1)" $(SUITE) dist/socksgw-image.tar

# make bench ARGS=--quick runs each part for some seconds only.
QUICK := $(filter --quick,$(ARGS))

bench: $(VENV)/tested  ## measure against Dante, HAProxy and others, side by side (as root)
	$(BIN)/python tests/bench/run.py $(ARGS)
	$(BIN)/python tests/bench/names.py $(QUICK)
	$(BIN)/python tests/bench/tls.py $(QUICK)
	@echo "SOCKD=…/sbin/sockd names a Dante with GSSAPI (.ci/dante builds one):"
	$(BIN)/python tests/bench/protected.py $(if $(SOCKD),--dante $(SOCKD)) $(QUICK)
	$(BIN)/python tests/bench/policy.py $(QUICK)
	$(BIN)/python tests/bench/pauses.py $(QUICK)
	$(BIN)/python tests/bench/reading.py $(QUICK)
	$(BIN)/python tests/bench/inspection.py $(QUICK)
	$(BIN)/python tests/bench/sinks.py $(QUICK)
	$(BIN)/python tests/bench/workers.py $(QUICK)
	$(BIN)/python tests/bench/deaths.py $(QUICK)
	$(BIN)/python tests/bench/turns.py $(QUICK)
	$(BIN)/python tests/bench/restarts.py $(QUICK)
	$(BIN)/python tests/bench/restarts.py --workers 2 $(QUICK)
	$(BIN)/python tests/bench/trips.py $(QUICK)
	$(BIN)/python tests/bench/cluster.py $(QUICK)

clean:  ## remove what make made
	rm -rf $(VENV) .venv-floors .venv-newest .floors build *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
