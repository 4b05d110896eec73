# Hanse. `make demo` runs the main job, `make test` the tests; both set everything up first.
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# Everything but the trainer (torch's types) and the service (Django's).
TYPED := contracts files workloads machines programme rules client tickets planning schedulers reporting agent cli
# Rooms whose tests start many processes, or share a cluster: one test at a time. The others run two files at once.
ALONE := cli client crash docs federation schedulers slurm stories training
# Rooms that are looked at on PostgreSQL, too.
STORED := service client compliance notices monitoring awarding/test_whole_or_not.py review/test_whole_or_not.py
ARGS ?=

.PHONY: help setup setup-dev demo test lint audit docs bench schemas reference clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup:  ## .venv with what the demo and the service need
	@tools/setup run

setup-dev:  ## .venv with what tests, docs and linters need too
	@tools/setup dev

demo: setup  ## the main job: apply, plan, launch, train, report
	@$(BIN)/hanse demo $(ARGS)

test: setup-dev  ## all tests; those of missing system packages say so and are skipped
	$(PYTEST) -n 2 --dist loadfile $(addprefix --ignore=tests/,$(ALONE)) $(ARGS)
	$(PYTEST) $(addprefix tests/,$(ALONE)) $(ARGS)
	HANSE_TEST_DATABASE=postgres $(PYTEST) -m "not slurm and not torch and not browser" $(addprefix tests/,$(STORED)) $(ARGS)

lint: setup-dev  ## ruff, mypy, import floors, migrations, bandit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(addprefix src/hanse/,$(TYPED))
	$(BIN)/lint-imports
	$(BIN)/hanse manage makemigrations --check --dry-run
	$(BIN)/bandit -q -r src -c pyproject.toml

docs: setup-dev  ## the documentation, into site/
	$(BIN)/mkdocs build --strict --quiet

bench: setup-dev  ## what is too slow for tests; its figures go into benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.run

audit: setup-dev  ## known faults of what is installed; needs the internet
	$(BIN)/pip install -q pip-audit && $(BIN)/pip-audit --strict --path $(VENV)/lib/python3*/site-packages

schemas: setup-dev  ## freeze the contracts' JSON Schemas, after a change you decided on
	$(BIN)/python tools/freeze_schemas.py

reference:  ## the pages of docs/reference/ that follow from the code
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/rules_page.py

clean:  ## everything made here
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
