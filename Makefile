# Two commands on a fresh machine:  make repro   make test
# Each target first sets up .venv from requirements.lock, where it is missing or the lock has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Everything lands in the clone.
export DVC_NO_ANALYTICS := 1
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup repro test test-all check format ui plan lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## make .venv from requirements.lock

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "make: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) (torch among them: some minutes, some GB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

repro: $(READY) ## train, measure and report what params.yaml asks for
	@$(BIN)/python -m workflow.unlock
	@$(BIN)/python -m workflow.originals
	@$(BIN)/dvc repro
	@$(BIN)/python -m sagan where

test: $(READY) ## the test-suite
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile -m "not exhaustive"

test-all: $(READY) ## the test-suite and the half hour of faults, experiments, Slurm and servers
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: $(READY) ## linters: format and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(READY) ## mend format and lint
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

plan: $(READY) ## every run with its key and state
	@$(BIN)/python -m sagan plan

ui: $(READY) ## open MLflow on this machine
	@$(BIN)/python -m sagan ui

lock: $(READY) ## resolve requirements.lock anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate \
	    --extra dev --quiet pyproject.toml --output-file requirements.lock

clean: ## remove .venv (results stay)
	@rm -rf $(VENV)
