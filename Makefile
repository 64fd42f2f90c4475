# Two commands do all the set-up: `make demo` and `make test`. `make test-all` repeats what tests
# marked `exhaustive` repeat; CONTRIBUTING.md says which those are.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Bytecode is made by the first import of what is imported, a small part of all.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
OUT ?= build/demo
PYTEST ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 1)

.PHONY: demo test test-all lint lock clean

demo: $(VENV)/.demo
	$(BIN)/convexon demo --out $(OUT)

test: TIER := -m 'not exhaustive'

test test-all: $(VENV)/.test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(TIER) $(PYTEST)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "convexon needs Python 3.11 or newer, not %d.%d: set PYTHON" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

# requirements.lock constrains both: what is installed is always what was tested.
$(VENV)/.demo: $(BIN)/python requirements.lock pyproject.toml
	$(PIP) --constraint requirements.lock --editable .
	touch $@

$(VENV)/.test: $(BIN)/python requirements.lock pyproject.toml
	$(PIP) --constraint requirements.lock --editable '.[torch,nir,boards,cluster,test,dev]'
	touch $@ $(VENV)/.demo

# Resolve anew; the lock names versions only, so that any registry serves it.
lock: $(BIN)/python
	$(PIP) pip-tools
	$(BIN)/pip-compile --quiet --all-extras --strip-extras --upgrade --resolver=backtracking \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
	  --output-file=requirements.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
