# Everything about making an environment and running what stands in it. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
# Container images often forbid Python to keep what it compiles; every start would then compile all it imports again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
# With an NVIDIA GPU the CUDA builds, else the CPU builds.
LOCK ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo locks/nvidia.txt || echo locks/cpu.txt)
# The Pythons that the lock was resolved for: first the one that the suite runs on, then the newest first.
PYTHONS := $(shell sed -n 's/^\# Python: //p' $(LOCK))
# Whether $$1 runs and is Python $$2. A file of that name may be a shim that only says that it is not installed.
IS := is() { "$$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$2')" >/dev/null 2>&1; }
ifndef PYTHON
PYTHON := $(shell $(IS); for version in $(PYTHONS); do for name in python$$version python3; do \
	if is $$name $$version; then command -v $$name; exit; fi; done; done)
endif
# Where torch's CPU builds are, when pip's own sources do not hold them.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

TORCH := $(shell grep '^torch==' $(LOCK))
INSTALLED := $(VENV)/.installed-$(shell cat $(LOCK) pyproject.toml | cksum | tr ' ' -)
TESTS_INSTALLED := $(VENV)/.tests-$(shell cat $(LOCK) locks/dev.txt pyproject.toml | cksum | tr ' ' -)
# --no-deps: the locks are complete, and what they leave out must stay out (see their first lines).
# --no-compile: what is imported compiles itself, once; compiling everything takes longer than fetching it.
INSTALL := -m pip --disable-pip-version-check install --no-deps --no-compile
PIP := $(BIN)/python $(INSTALL)
# Turns pip's hundreds of lines into one that counts, and lets errors through.
COUNT = 2> >(grep -v '^WARNING: Location' >&2) | awk -v total="$$(grep -c == $(1))" -v live="$$([ -t 1 ] && echo 1)" \
	'/^(Collecting|Processing|Requirement already)/ {n++; if (live) printf "\r  %d of %d packages", n, total; fflush()} \
	/^Installing/ {printf "%s  installing them\n", live ? "\n" : ""; fflush(); said = 1} END {if (live && !said) print ""}'
PYTEST := $(BIN)/python -m pytest
# One process of tests a core, at most one for each 8 GiB: one may run a vLLM (4 GB) and a training at once.
WORKERS ?= $(shell awk -v cores="$$(nproc)" '/^MemTotal/ {n = int($$2 / 2^23); if (n > cores) n = cores; \
	print n < 1 ? 1 : n}' /proc/meminfo)
# The tests of one file stay together and in order, so that they share what their fixtures started.
PARALLEL = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
TIMED = start=$$SECONDS; trap 'echo "wall time: $$((SECONDS - start)) s"' EXIT;
# Another trainer's release, for the one study that ours is compared with; its own environment, for that study alone.
TRL_PPO := artifacts/trl-ppo
TRL_PPO_INSTALLED := $(TRL_PPO)/.installed-$(shell cksum < locks/trl-ppo.txt | tr ' ' -)

.PHONY: help run install test test-fast test-long check docs bench study model clean test-set-up python packages test-packages

help:  ## list the targets
	@grep -E '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## (.*)/  make \1\t\2/' | expand -t 20

run: install  ## start everything: vLLM, the app and the worker, and print one address
	@exec $(BIN)/alignloop up

install: $(INSTALLED)  ## make the environment in .venv and stop there

test: test-set-up  ## the whole test suite but the minutes-long part; makes its own set-up
	@$(TIMED) $(PYTEST) -m "not long" $(PARALLEL)

test-fast: test-set-up  ## only the tests that start nothing heavy
	@$(TIMED) $(PYTEST) -m "not slow and not long" $(PARALLEL)

test-long: test-set-up  ## the studies over many seeds; takes hours
	@$(PYTEST) -m long --timeout 0

check: $(TESTS_INSTALLED)  ## lint, format, types, import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(PYTEST) tests/test_arrows.py

docs: $(INSTALLED)  ## the documentation as a site in site/, its generated parts first; warnings are errors
	@$(PIP) -q -r locks/docs.txt
	@$(BIN)/python -m docs.generate --write
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(TESTS_INSTALLED)  ## measure this machine: training, serving, the door, swaps, the store
	@mkdir -p artifacts/bench; for file in tests/bench/[a-z]*.py; do \
	  name=$$(basename $$file .py); $(BIN)/python -m tests.bench.$$name --json artifacts/bench/$$name.json; done

study: $(TESTS_INSTALLED) $(if $(filter ppo_against_trl,$(NAME)),$(TRL_PPO_INSTALLED))  ## a long measurement, resumed where it stopped: NAME=rounds, ARGS="--annotator warm"
	@[ -n "$(NAME)" ] && grep -qs '__main__' tests/long/$(NAME).py || { \
	  echo "There is no study called '$(NAME)'; name one: make study NAME=rounds" >&2; exit 2; }
	@$(BIN)/python -m tests.long.$(NAME) $(ARGS)

model: $(INSTALLED)  ## rebuild the embedded model from data/recipe
	@$(BIN)/python -m data.recipe.build

clean:  ## remove the environment and what tools leave behind; never .alignloop
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist artifacts site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment ----------------------------------------------------------------------------------

python:
	@$(IS); for version in $(PYTHONS); do if is "$(PYTHON)" $$version; then exit; fi; done; \
	  echo "alignloop needs one of Python $(PYTHONS), and $(or $(PYTHON:%=%),none of them) $(if $(PYTHON),is not one that runs,runs here); install one, or name it: make run PYTHON=/path/to/python$(firstword $(PYTHONS))" >&2; exit 1
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(call apt,python3-venv); \
	  else echo "Python cannot make environments here; install that part first: sudo apt-get install python3-venv" >&2; exit 1; fi; }

apt = echo "Installing $(1) with apt"; { apt-get -qq update && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(1) >/dev/null; }

# vLLM's CPU build is linked against libnuma and brings none.
packages:
	@[ "$(LOCK)" != locks/cpu.txt ] || $(PYTHON) -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(call apt,libnuma1); \
	  else echo "vLLM needs the library libnuma; install it first: sudo apt-get install libnuma1" >&2; exit 1; fi; }

$(INSTALLED): | python packages
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  echo "Making an environment in $(VENV)"; rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo "Fetching $(TORCH)"
	@$(PIP) -q $(TORCH) 2>$(VENV)/torch.log || { \
	  echo "  not in pip's own sources; fetching it from $(TORCH_CPU_INDEX)"; $(PIP) -q --index-url $(TORCH_CPU_INDEX) $(TORCH); }
	@echo "Fetching the rest of $(LOCK)"
	@$(PIP) -r $(LOCK) $(call COUNT,$(LOCK))
	@$(PIP) -q --no-build-isolation --editable .
	@echo "Compiling the pages, so that their first start is as quick as any"
	@$(BIN)/python -c 'import feedback_app.api.app, feedback_app.processes.run, feedback_app.ui.pages'
	@rm -f $(VENV)/.installed-* && touch $@

$(TESTS_INSTALLED): $(INSTALLED)
	@echo "Fetching what tests need"
	@$(PIP) -r locks/dev.txt $(call COUNT,locks/dev.txt)
	@rm -f $(VENV)/.tests-* && touch $@

$(TRL_PPO_INSTALLED): | python
	@echo "Making an environment in $(TRL_PPO)"
	@rm -rf $(TRL_PPO) && mkdir -p artifacts && $(PYTHON) -m venv $(TRL_PPO)
	@$(TRL_PPO)/bin/python $(INSTALL) -q $$(grep '^torch==' locks/trl-ppo.txt) 2>$(TRL_PPO)/torch.log || \
	  $(TRL_PPO)/bin/python $(INSTALL) -q --index-url $(TORCH_CPU_INDEX) $$(grep '^torch==' locks/trl-ppo.txt)
	@$(TRL_PPO)/bin/python $(INSTALL) -r locks/trl-ppo.txt $(call COUNT,locks/trl-ppo.txt)
	@touch $@

# A browser and a database server: Debian's own packages, through apt when root.
test-packages:
	@missing=""; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing="$$missing chromium"; \
	command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	[ -z "$$missing" ] || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(call apt,$$missing); \
	  else echo "The tests need a browser and a database server, chromium and postgresql; install them first: sudo apt-get install chromium postgresql" >&2; exit 1; fi; }

test-set-up: $(TESTS_INSTALLED) test-packages
