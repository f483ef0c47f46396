# The project in five words: `make demo`, `make test`, `make ui`. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
export DO_NOT_TRACK := true
export KEDRO_DISABLE_TELEMETRY := 1
# Threads that wait for others soon sleep, so that a busy machine is not slowed down by threads that spin (src/ssl_pipelines/artifacts/cores.py).
ifeq ($(OMP_WAIT_POLICY)$(GOMP_SPINCOUNT)$(KMP_BLOCKTIME),)
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 1000
endif
# Without bytecode every start compiles 5,000 modules anew: ten seconds.
export PYTHONDONTWRITEBYTECODE :=
MODEL ?= models:/encoder@champion
BUDGET ?= cpu
WORKERS ?= auto
# Prints the URI of the MLflow store, escaped, whatever the project's folder is called.
STORE = MLFLOW_LOGGING_LEVEL=ERROR MLFLOW_DISABLE_TELEMETRY=true $(BIN)/python -m ssl_pipelines.orchestration.mlflow.tracking_store
# A virtual environment holds its own path: in a project that was moved or copied it is built anew.
ifeq ($(BIN),$(VENV)/bin)
MOVED := $(shell test ! -s $(BIN)/.ready || test "$$(cat $(BIN)/.ready)" = "$$(cd $(BIN) && pwd -P)" || echo --clear)
endif

.PHONY: help setup demo test test-slow test-gpu lint types contracts bench bench-full bench-gpu leaderboard docs docs-serve ui serve dvc-yaml lock clean moved

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

$(BIN)/.ready: requirements.lock pyproject.toml $(if $(MOVED),moved)
	@$(PYTHON) -c 'import sys; sys.exit("needs python 3.11 or newer, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "building $(VENV) from requirements.lock (once; a few minutes)"
	@$(PYTHON) -m venv $(MOVED) $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@(cd $(BIN) && pwd -P) > $@

moved:

setup: $(BIN)/.ready  ## build .venv from the lock

demo: setup  ## the whole road on 5,000 real digits, from ingest to report
	@$(BIN)/kedro run

test: setup lint types contracts  ## lint, types, import contracts, tests on all cores (WORKERS=2: on two)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-slow: setup  ## the tests that take minutes
	@$(BIN)/python -m pytest -m slow

test-gpu: setup  ## the tests that need an accelerator
	@$(BIN)/python -m pytest -m gpu

lint: setup
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check . && echo "ruff: ok"

types: setup
	@$(BIN)/mypy

contracts: setup
	@$(BIN)/lint-imports --no-cache | tail -n 3

ui: setup  ## the MLflow UI on 127.0.0.1 (PORT=5000)
	@store="$$($(STORE))" && exec env MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --host 127.0.0.1 --port $(or $(PORT),5000) --backend-store-uri "$$store"

serve: setup  ## a model over REST on 127.0.0.1 (PORT=5001, MODEL=models:/encoder@champion); docs/serving.md
	@store="$$($(STORE))" && model="$$($(STORE) '$(MODEL)')" && exec env MLFLOW_TRACKING_URI="$$store" MLFLOW_DISABLE_TELEMETRY=true MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false PATH="$$(cd $(BIN) && pwd):$$PATH" $(BIN)/mlflow models serve --model-uri "$$model" --env-manager local --host 127.0.0.1 --port $(or $(PORT),5001)

$(BIN)/.bench: $(BIN)/.ready benchmarks/requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r benchmarks/requirements.lock
	@touch $@

bench: $(BIN)/.bench  ## speed against its peers, the quick form; writes docs/performance.md
	@$(BIN)/python -m benchmarks

bench-full: $(BIN)/.bench  ## the same at the sizes that the bars are stated for
	@$(BIN)/python -m benchmarks --full

bench-gpu: setup  ## what a GPU reaches; writes benchmarks/results/<device>.json
	@$(BIN)/python -m benchmarks.accelerator

leaderboard: setup  ## every method at one fixed budget (DATA=<CIFAR-10 in Parquet>, METHODS=a,b, BUDGET=cpu or gpu)
	@test -n "$(DATA)" || { echo "DATA=<folder of CIFAR-10 in Parquet files> is to be given"; exit 2; }
	@$(BIN)/kedro leaderboard --budget $(BUDGET) --data "$(DATA)" $(if $(METHODS),--methods $(METHODS))

docs: setup  ## the documentation, into site/ (no network)
	@NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict --quiet && echo "site/index.html"

docs-serve: setup  ## the documentation on 127.0.0.1:8000, made anew as it is written
	@NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:8000

dvc-yaml: setup  ## write dvc.yaml anew from the pipelines
	@$(BIN)/python -m ssl_pipelines.orchestration.freshness.dvc

lock: setup  ## resolve requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --extra pipelines --group dev pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --constraint requirements.lock --group bench pyproject.toml -o benchmarks/requirements.lock

clean:  ## remove what runs have made (not .venv, not data/01_raw)
	@rm -rf data/0[2-9]_* data/1[0-9]_* logs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
