# The commands of this repository. All of them work in .venv, which they make; nothing else on the machine is touched.
#
#   make demo    build the three archives, serve them with a real TorchServe, hold them against their goldens
#   make test    lint, types and every test, those with a real TorchServe included
#   make fuzz    the tests of properties alone, with new examples in each run, fifty times as many
#   make test-compose   the images and the compose stacks, with a real Docker engine
#   make bench   measure side by side with the peers; prints ratios
#   make lint    ruff and mypy alone
#   make package build the source distribution and the wheel, and try the wheel in an environment of its own
#   make lock    resolve ci/locks/*.txt anew from pyproject.toml
#   make format  let ruff mend what it can
#   make picture draw docs/report.svg from a real run
#   make clean   remove what these commands made

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
LOCK := ci/locks/dev.txt
# Any Python from 3.11 on; name another with `make PYTHON=/path/to/python demo`.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
WORKERS ?= 2
TESTS ?= tests
REPORTS := reports

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Bytecode of two checkouts or two users must not meet in one place; nor must a user's own packages get in.
export PYTHONNOUSERSITE := 1

.PHONY: help demo test fuzz test-compose bench lint format lock picture package install clean

help:
	@sed -n 's/^#   //p' Makefile

# --- the environment --------------------------------------------------------------------------------------------------

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is no Python 3.11 or newer." >&2; \
	  echo "fix: install Python 3.11, or name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "error: $(PYTHON) comes without its venv module." >&2; \
	  echo "fix: apt-get install python3-venv (Debian, Ubuntu), or use a Python that has it" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)

# The stamps hold what was installed: a lock that is merely newer on disk (a checkout, a clone) installs nothing.
# torch is the build for CPUs, wherever it is to be had: see ci/torch_index.py.
$(VENV)/.locked: $(LOCK) | $(BIN)/python
	@cmp -s $(LOCK) $@ || { echo "installing $(LOCK) into $(VENV): 640 MB to fetch, a few minutes"; \
	  torch=$$($(BIN)/python ci/torch_index.py $(LOCK)) && $(BIN)/python -m pip install -qq -r $(LOCK) $$torch; }
	@cp $(LOCK) $@

$(VENV)/.editable: pyproject.toml $(VENV)/.locked
	@cmp -s pyproject.toml $@ || $(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@cp pyproject.toml $@

install: $(VENV)/.editable

# --- the commands -----------------------------------------------------------------------------------------------------

demo: install
	$(BIN)/goldmar archive
	$(BIN)/goldmar check --reports $(REPORTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# File by file in the order of the folders: the many quick ones of tests/unit come last and fill the gaps. xdist's own
# order, those with the most tests first, leaves the slow ones for the end, and a worker with nothing to do.
test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/compose $(TESTS)

# What fails is kept in .hypothesis, is tried first in the next run, and belongs into the test as an @example.
fuzz: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m hypothesis --hypothesis-profile fuzz \
	  --ignore tests/compose --ignore tests/e2e $(TESTS)

# Needs Docker, and as root on Debian brings it: ci/with-docker. One test at a time, all of them on the same engine.
test-compose: install
	ci/with-docker $(BIN)/python -m pytest tests/compose

bench: install
	$(BIN)/python -m benchmarks

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

package: install
	PATH="$(CURDIR)/$(BIN):$$PATH" ci/package

picture: install
	$(BIN)/python docs/picture.py

# --- lock files -------------------------------------------------------------------------------------------------------

# Without hashes, and torch without the suffix of its build: which build of torch 2.13.0 a machine gets (CPU, CUDA)
# depends on where it installs from. --no-config and the --no-emit options keep this machine's indexes out of the files.
COMPILE := CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/python -m piptools compile --quiet --no-config --strip-extras \
  --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
  --resolver backtracking $$(sed 's/torch==.*//' $(VENV)/.torch)

lock: install
	mkdir -p ci/locks
	@# Where torch for CPUs is found: a build for CUDA would bring its own packages into the files.
	$(BIN)/python ci/torch_index.py ci/locks/constraints.in >$(VENV)/.torch
	$(COMPILE) --extra serve --extra handlers --extra pytest --extra bisect --extra training --extra bench --extra dev \
	  --constraint ci/locks/constraints.in --output-file ci/locks/dev.txt $(LOCKFLAGS) pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+[a-z0-9.]*/\1/' ci/locks/dev.txt
	$(COMPILE) --extra serve --extra handlers --constraint ci/locks/dev.txt \
	  --output-file ci/locks/serve.txt pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+[a-z0-9.]*/\1/' ci/locks/serve.txt
	$(COMPILE) --constraint ci/locks/dev.txt --output-file ci/locks/base.txt pyproject.toml
	$(COMPILE) --constraint ci/locks/dev.txt --output-file ci/locks/api.txt ci/locks/api.in
	sed -i 's/^\(torch==[0-9.]*\)+[a-z0-9.]*/\1/' ci/locks/api.txt
	@rm -f $(VENV)/.locked

clean:
	rm -rf $(VENV) $(REPORTS) wheelhouse build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache src/*.egg-info
	rm -f model_store/*.mar
