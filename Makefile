# Each target creates .venv if it is missing. Only Python 3.11+ and make must be installed.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# A file's tests run in order on one worker. The slowest files start first: see tests/conftest.py.
PYTEST := $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# The installation leaves a second description of the package here: Airflow would register its plugin twice.
ONE_PLUGIN := @rm -rf article_classifier.egg-info

.PHONY: help demo test test-all stack-test container-test check docs fix clean

help:
	@echo "make demo        run the whole workflow on real articles in a real Airflow (EXIT=1: stop at the end)"
	@echo "make test        run the tests, without the long ones (ARGS='-k queue': select some)"
	@echo "make test-all    run all tests, also those of the benchmarks"
	@echo "make stack-test  run the services of docker-compose.yml as processes and inject faults: 15 minutes"
	@echo "make container-test  build the images, run the stack in containers and inject faults: 45 minutes"
	@echo "make check       check formatting, lint, types, the direction of imports and the words"
	@echo "make docs        write the generated pages of docs/ again"
	@echo "make fix         format, and fix lint errors"
	@echo "make clean       remove everything generated, also .venv and the demo's data (var/)"

demo: .venv/demo
	@$(BIN)/classifier demo $(if $(EXIT),--exit) $(if $(PORT),--port $(PORT))

test: .venv/test
	$(PYTEST) -m 'not long' $(ARGS)

test-all: .venv/test
	$(PYTEST) $(ARGS)

stack-test: .venv/test
	$(if $(WRITE),CLASSIFIER_TEST_WRITE=1) $(BIN)/pytest tests/stack --verbose $(ARGS)

container-test: .venv/test
	$(if $(WRITE),CLASSIFIER_TEST_WRITE=1) $(BIN)/pytest tests/containers --verbose $(ARGS)

check: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/prose.py

docs: .venv/test
	$(BIN)/python docs/generate.py

fix: .venv/test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build *.egg-info var .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11, 3.12 or 3.13 not found; install one of them or set PYTHON" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing the packages of the demo (minutes, once)"
	$(PIP) --editable '.[airflow]'
	$(ONE_PLUGIN)
	@touch $@

.venv/test: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing the packages of the tests (minutes, once)"
	$(PIP) --editable '.[airflow,benchmarks,celery,signals,test]'
	$(ONE_PLUGIN)
	@touch $@ .venv/demo
