# `make demo` and `make test` need Python 3.11 or newer and make; everything else they set up themselves in .venv.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
FUZZ_SECONDS ?= 300

.PHONY: demo test test-slow fuzz lint format types layers clean

demo: .venv/ready  ## Search for the best classifier of scikit-learn's handwritten digits.
	$(BIN)/tune-cli run search_spaces/digits.yaml

test: lint types layers  ## Everything that every change must pass.
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: .venv/ready  ## Whole studies, killed drivers, servers that go down: minutes.
	$(BIN)/pytest -n 2 --dist loadfile -m slow

fuzz: .venv/ready  ## Thousands of study files that nobody would write: a quarter of an hour.
	TUNE_FUZZ_EXAMPLES=3000 nice -n 10 $(BIN)/pytest tests/fuzz --timeout 3600
	nice -n 10 $(BIN)/python benchmarks/hostile_files.py
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[fuzz]' || echo 'atheris does not install here'
	! $(BIN)/python -c 'import atheris' || nice -n 10 $(BIN)/python -m tests.fuzz.with_atheris --seconds $(FUZZ_SECONDS)

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
