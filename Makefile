# Each target makes its own .venv if it is missing. Python 3.11 to 3.13 and make are all that must be installed.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test stack-test check docs fix clean

help:
	@echo "make demo        the whole workflow on real articles in a real Airflow (EXIT=1: stop at the end)"
	@echo "make test        every test (ARGS='-k queue' to choose)"
	@echo "make stack-test  the services of docker-compose.yml as processes, and faults: 15 minutes"
	@echo "make check       formatting, lint, types, the direction of imports and the words"
	@echo "make docs        write the generated pages of docs/ again"
	@echo "make fix         format, and fix what can be fixed automatically"
	@echo "make clean       remove all that was built, the virtual environment and the demo's data (var/) too"

demo: .venv/demo
	@$(BIN)/classifier demo $(if $(EXIT),--exit) $(if $(PORT),--port $(PORT))

test: .venv/test
	$(BIN)/pytest --numprocesses auto --dist loadfile $(ARGS)

stack-test: .venv/test
	$(if $(WRITE),CLASSIFIER_TEST_WRITE=1) $(BIN)/pytest tests/stack --verbose $(ARGS)

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
	@test -n "$(PYTHON)" || { echo "error: Python 3.11, 3.12 or 3.13 not found; install one of them" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing what the demo needs (minutes, once)"
	$(PIP) --editable '.[airflow]'
	@touch $@

.venv/test: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing what the tests need (minutes, once)"
	$(PIP) --editable '.[airflow,benchmarks,celery,signals,test]'
	@touch $@ .venv/demo
