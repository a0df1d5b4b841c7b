# Two commands on a fresh machine:  make repro   make test
# Each target first sets up .venv from requirements.lock, where it is missing or the lock has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# PYTHON is looked for outside .venv, which may be broken.
HOST_PATH := $(subst $(CURDIR)/$(BIN):,,$(PATH))
export PATH := $(CURDIR)/$(BIN):$(HOST_PATH)
# A .venv whose interpreter is gone is not ready, whatever its mark says.
$(shell test -x $(BIN)/python || rm -f $(READY) 2>/dev/null)
# Everything lands in the clone.
export DVC_NO_ANALYTICS := 1
export PYTHONDONTWRITEBYTECODE :=
# Commands import the code that lies here.
export PYTHONSAFEPATH :=

.DEFAULT_GOAL := help
.PHONY: help setup repro test test-all check format ui readme lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## make .venv from requirements.lock

$(READY): requirements.lock pyproject.toml
	@PATH="$(HOST_PATH)" sh workflow/venv "$(PYTHON)" $(VENV)
	@test -L $(VENV) || $(BIN)/python -m workflow.install
	@touch $@

repro: $(READY) ## train, measure and report what params.yaml asks for
	@$(BIN)/python -m workflow.unlock
	@$(BIN)/python -m workflow.around before
	@$(BIN)/python -m dvc repro
	@$(BIN)/python -m workflow.around after
	@$(BIN)/python -m sagan where

test: $(READY) ## the test-suite
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile -m "not exhaustive"

test-all: $(READY) ## the test-suite and the half hour of faults, experiments, Slurm and servers
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: $(READY) ## format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/python -m mypy

format: $(READY) ## mend format and lint
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

ui: $(READY) ## open MLflow on this machine (PORT=5001 for another port)
	@$(BIN)/python -m sagan ui $(if $(PORT),--port $(PORT))

readme: $(READY) ## render the table of README.md and reports/README.md from the reports
	@$(BIN)/python -c "from sagan.report import *; from sagan.store.paths import Paths; render_index(Paths()); render_front(Paths())"

lock: $(READY) ## resolve requirements.lock anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate \
	    --extra dev --quiet pyproject.toml --output-file requirements.lock

clean: ## remove .venv (results stay)
	@rm -rf $(VENV)
