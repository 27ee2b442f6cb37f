# Two commands are all a newcomer needs: `make demo` runs the main job, `make test` runs every check.
# Each makes .venv by itself from the hashed locks in requirements/. CONTRIBUTING.md says why things are as they are.

.DEFAULT_GOAL := help
SHELL := /bin/sh
.SHELLFLAGS := -eu -c
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:

# The first Python of at least 3.11 on the path; `make PYTHON=...` chooses another one. Only used to make .venv.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python3.14,$(shell \
	$(name) -c 'import sys, ensurepip; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python

# Wheels only: an sdist would be built in an environment whose contents no hash covers.
PIP_LOCKED := $(PY) -m pip --disable-pip-version-check --no-input install --quiet --quiet --require-hashes --only-binary=:all:

# Keyed on contents, not on times: a switch of branches that changes no lock costs nothing.
key = $(shell cat $(1) | cksum | tr ' ' -)
LOCK_STAMP := $(VENV)/.lock-$(call key,requirements/test.txt)
STAMP := $(VENV)/.ready-$(call key,requirements/test.txt pyproject.toml)
FUZZ_STAMP := $(VENV)/.fuzz-$(call key,requirements/fuzz.txt)

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: $(STAMP) ## Make .venv with everything the checks need. The other targets do it by themselves.

$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with its venv module is needed, and none was found." >&2; \
		echo "Install it (Debian: apt install python3 python3-venv) or say make PYTHON=/path/to/python3." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(LOCK_STAMP): | $(PY)
	$(PIP_LOCKED) -r requirements/test.txt
	@rm -f $(VENV)/.lock-* && touch $@

# No isolated build: it would fetch hatchling without a hash; test.txt holds it.
$(STAMP): $(LOCK_STAMP)
	$(PY) -m pip --disable-pip-version-check install --quiet --quiet --no-index --no-build-isolation --no-deps -e .
	@rm -f $(VENV)/.ready-* && touch $@

.PHONY: test
# The order is from quick to slow, so that a slip is seen soon.
test: ## Run every check.
	@$(MAKE) --no-print-directory setup
	@for check in lint types imports unit teeth wheel demo-check; do \
		echo "== $$check"; $(MAKE) --no-print-directory $$check; \
	done

.PHONY: lint types imports unit wheel demo-check
lint: $(STAMP)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check

types: $(STAMP)
	@$(BIN)/mypy

imports: $(STAMP)
	@$(BIN)/lint-imports --no-logo

# Coverage counts what runs in the tests' own process.
unit: $(STAMP)
	@$(PY) -m pytest --quiet --numprocesses=2 --dist=loadfile --cov --cov-report=term

wheel: $(STAMP)
	@$(PY) -m tests.smoke.wheel

demo-check: $(STAMP)
	@CHECK=1 $(PY) -m tests.demo

.PHONY: demo
demo: $(STAMP) ## Run the main job on this machine. FILES="..." posts these files; CHECK=1 prints one line per step.
	@FILES="$(FILES)" CHECK="$(CHECK)" $(PY) -m tests.demo

.PHONY: teeth
teeth: $(STAMP) ## Switch off one security check at a time; its test must fail. ONLY= takes the beginning of a rule's id.
	@$(PY) -m tests.support.teeth $(if $(ONLY),--only $(ONLY))

.PHONY: bench
bench: $(STAMP) ## Measure; standard output holds JSON lines only. ONLY= takes a name or the beginning of one.
	@$(PY) -m bench.run $(if $(ONLY),--only $(ONLY))

.PHONY: soak
soak: $(STAMP) ## The tests that can be larger, large. ONLY= chooses by pytest's -k, RUNS= how often, SEED= the seed.
	@TERTULIA_PROFILE=soak TERTULIA_RUNS="$(RUNS)" TERTULIA_SEED="$(SEED)" $(PY) -m pytest \
		$(if $(ONLY),-k "$(ONLY)") $(if $(SEED),--hypothesis-seed=$(SEED))

FUZZABLE := $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m))
.PHONY: fuzz
fuzz: $(if $(FUZZABLE),$(FUZZ_STAMP),$(STAMP)) ## Fuzz every decoder. SECONDS= for each, ONLY= some, KEEP=1 to keep inputs.
	@$(PY) -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ONLY),--only $(ONLY)) $(if $(KEEP),--keep)

$(FUZZ_STAMP): $(STAMP)
	$(PIP_LOCKED) -r requirements/fuzz.txt
	@rm -f $(VENV)/.fuzz-* && touch $@

.PHONY: lock
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
	--python-version 3.11 $(if $(UPGRADE),--upgrade)
lock: $(STAMP) ## Write the locks anew from pyproject.toml and requirements/*.in. UPGRADE=1 takes the newest versions.
	$(LOCK) pyproject.toml requirements/test.in --extra relay -o requirements/test.txt
	$(LOCK) pyproject.toml -c requirements/test.txt -o requirements/runtime.txt
	$(LOCK) pyproject.toml --extra relay -c requirements/test.txt -o requirements/relay.txt
	$(LOCK) requirements/fuzz.in -c requirements/test.txt -o requirements/fuzz.txt

.PHONY: clean
clean: ## Remove .venv and everything that the checks wrote.
	rm -rf $(VENV) dist build .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find bench client protocol server tests -name __pycache__ -type d -prune -exec rm -rf {} +
