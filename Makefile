# What a person types here. Every command first makes .venv, or renews it when the pinned versions have changed.

PYTHON ?= python3
BIN := .venv/bin
RUNS := .venv/installed-server
TESTS := .venv/installed-dev
PLOTS := .venv/installed-bench
ARRAYS := .venv/installed-numpy
MODEL := .venv-search/installed
FULL := src/tidyllm/core/* src/tidyllm/dialect.py src/tidyllm/dialects/* src/tidyllm/provider.py src/tidyllm/providers/*
# Newer versions of pip take the build's pins from PIP_BUILD_CONSTRAINT, older ones from PIP_CONSTRAINT.
PINNED := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt
BENCHMARKS := imports http_client simulated_model two_workers dispatch kept_busy overload memory validation list fairness rows rows_memory jobs nearest others
KILLS ?= 300
SEED ?= 1
comma := ,
space := $(subst ,, )

.DEFAULT_GOAL := help
.PHONY: help demo example-search test check chaos bench docs format clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(RUNS) ## Send 575 real texts through a batch server and a simulated model, all on this machine
	@$(BIN)/python examples/demo.py

example-search: $(ARRAYS) $(MODEL) ## Search Python's documentation with a real model, which takes 1.5 GB or more to install
	@$(BIN)/python -m examples.search

test: $(TESTS) ## Run the tests
	@$(BIN)/pytest

check: $(TESTS) ## All that must hold: format, lint, types, tests, coverage, documents
	@echo "format" && $(BIN)/ruff format --check --quiet
	@echo "lint" && $(BIN)/ruff check --quiet
	@echo "types" && $(BIN)/mypy --no-error-summary
	@echo "documents" && $(BIN)/python -m scripts.write_docs --check
	@echo "tests" && $(BIN)/coverage erase && $(BIN)/coverage run -m pytest
	@echo "coverage" && $(BIN)/coverage combine --quiet && rm -f .coverage.*
	@$(BIN)/coverage report --fail-under=95
	@$(BIN)/coverage report --fail-under=100 --include='$(subst $(space),$(comma),$(FULL))'

chaos: $(TESTS) ## Kill a server KILLS=300 times while it is used, in ways that SEED=1 decides, and see what it kept
	@$(BIN)/python -m tests.crash.chaos --kills $(KILLS) --seed $(SEED)

bench: $(PLOTS) ## Measure speed, for about 20 minutes; prints figures and how they compare with the bars
	@missed=; for name in $(BENCHMARKS); do echo "$$name" && $(BIN)/python -m benchmarks.$$name || missed="$$missed $$name"; done; \
	  test -z "$$missed" || { echo "Bars were missed, or it failed:$$missed" >&2; exit 1; }

docs: $(TESTS) ## Rewrite the generated parts of the documents
	@$(BIN)/python -m scripts.write_docs

format: $(TESTS) ## Format the code and mend what lint can mend
	@$(BIN)/ruff format && $(BIN)/ruff check --fix

clean: ## Remove .venv and everything else that was made here
	@rm -rf .venv .venv-search build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MODEL): examples/search/requirements.txt
	@echo "Installing the model and torch into .venv-search; this can take some minutes."
	@$(PYTHON) -m venv --clear .venv-search
	@.venv-search/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(RUNS): EXTRAS := server
$(TESTS): EXTRAS := server,dev
$(PLOTS): EXTRAS := server,dev,bench
$(ARRAYS): EXTRAS := numpy
$(RUNS) $(TESTS) $(PLOTS) $(ARRAYS): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tidyllm needs Python 3.11 or newer, and $(PYTHON) is not. With another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Installing into .venv; the first time takes about a minute."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(PINNED) $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@
