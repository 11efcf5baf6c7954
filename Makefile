# `make demo` and `make test` need Python 3.11 or newer and make; everything else they set up themselves in .venv.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slow lint format types layers clean

demo: .venv/ready  ## Search for the best classifier of scikit-learn's handwritten digits.
	$(BIN)/tune-cli run search_spaces/digits.yaml

test: lint types layers  ## Everything that every change must pass.
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: .venv/ready  ## Whole studies, killed drivers, servers that go down: minutes.
	$(BIN)/pytest -n 2 --dist loadfile -m slow

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/ready
	$(BIN)/mypy

layers: .venv/ready
	$(BIN)/lint-imports

# One install of everything, so that torch and torchvision are chosen together.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, this is {sys.version}")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
