# Earshot. Every target installs what it needs from requirements.lock into .venv on its first run.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
UV_VERSION := 0.13.9
INSTALLED := .venv/.installed

.PHONY: help install demo test torture compose-test lint bench lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv and install the locked packages

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "error: Python 3.11 is needed. Install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes \
	  -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(INSTALLED) ## steal a speaker-identification model through its own API, and report it
	@$(BIN)/python scripts/demo.py $(DEMO_ARGS)

test: $(INSTALLED) ## run every test
	@$(BIN)/python -m pytest -n auto --dist loadfile

torture: $(INSTALLED) ## the long forms: every kill, every step, the fuzzing, the overload (about an hour)
	@EARSHOT_TORTURE=1 $(BIN)/python -m pytest -n auto --dist loadfile --timeout 3600 \
	  tests/stateful tests/faults tests/hostile tests/unit/victim_service/ledger $(TORTURE_ARGS)

compose-test: $(INSTALLED) ## build the containers and try everything that the README says of them
	@$(BIN)/python -m pytest tests/e2e/test_compose.py -m compose -v -rs $(COMPOSE_ARGS)

lint: $(INSTALLED) ## ruff, mypy strict and import-linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(INSTALLED) ## measure service and training, each figure beside its limit or peer in one run (about 25 minutes)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url \
  --custom-compile-command "make lock" pyproject.toml
# The images install what both sides need in one layer, and their own side's packages in another.
SIDE = $(COMPILE) -c requirements.lock $$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p' \
  shared/requirements.lock)

lock: $(INSTALLED) ## resolve the locks anew from pyproject.toml
	$(COMPILE) --all-extras -o requirements.lock
	$(COMPILE) -c requirements.lock -o shared/requirements.lock
	$(SIDE) --extra victim -o victim_service/requirements.lock
	$(SIDE) --extra attacker -o attacker/requirements.lock

clean: ## remove .venv and the tools' caches, not runs/
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
