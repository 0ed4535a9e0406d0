# The two commands of the README are `make run` and `make test`; both start from nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test parts lint check soak bench schemas lock clean

run: $(VENV)/.run
	$(BIN)/hansard serve

test: parts
	$(BIN)/pytest --durations=15

# The servers that the tests run.
parts: $(VENV)/.dev
	$(BIN)/python -m tests.servers.parts

lint: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m workers.tools.schemas --check

check: lint test

# All rounds of the fault tests, instead of one, and every inbox of the corpus.
soak: parts
	HANSARD_TEST_ROUNDS=20 $(BIN)/pytest tests/faults tests/system/test_import_corpus.py

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks all --spawn

schemas: $(VENV)/.dev
	$(BIN)/python -m workers.tools.schemas

lock: $(VENV)/.dev
	$(BIN)/uv pip compile pyproject.toml $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev -c requirements.lock $(LOCK) -o requirements-dev.lock

LOCK := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --quiet --upgrade

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Hansard needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/.dev: $(BIN)/python requirements-dev.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build dist *.egg-info
