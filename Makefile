# Everything but `make` itself and Python 3.11 or newer is set up by the targets in .venv.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
FUZZ_SECONDS ?= 300

.PHONY: help demo test coverage test-slow test-newest fuzz lint format types layers audit lock schema hooks clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/ready  ## Search for the best classifier of scikit-learn's handwritten digits.
	$(BIN)/tune-cli run search_spaces/digits.yaml

test: lint types layers  ## Everything that every change must pass.
	$(BIN)/pytest -n 2 -m "not slow" $(COVERAGE)

# Apart from `test`, since measuring takes half as long again.
coverage: COVERAGE := --cov --cov-report=term:skip-covered
coverage: test  ## The same, and fail where the tests run less of the code than pyproject.toml demands.

test-slow: .venv/ready  ## Whole studies, killed drivers, servers that go down: minutes.
	$(BIN)/pytest -n 2 --dist loadfile -m slow

test-newest:  ## The fast tests with the newest releases of all dependencies, in .venv-newest.
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable '.[dev]'
	.venv-newest/bin/python -m pip freeze | grep -iE '^(ray|optuna|mlflow|torch)=='
	.venv-newest/bin/python -m pytest -n 2 -m "not slow"

fuzz: .venv/ready  ## Thousands of study files that nobody would write: a quarter of an hour.
	TUNE_FUZZ_EXAMPLES=3000 nice -n 10 $(BIN)/pytest tests/fuzz --timeout 3600
	nice -n 10 $(BIN)/python benchmarks/hostile_files.py
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[fuzz]' || echo 'atheris does not install here'
	! $(BIN)/python -c 'import atheris' || nice -n 10 $(BIN)/python -m tests.fuzz.with_atheris --seconds $(FUZZ_SECONDS)

lint: .venv/ready  ## Check style and formatting.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/ready  ## Fix style and formatting.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/ready  ## Check types, strictly.
	$(BIN)/mypy

layers: .venv/ready  ## Check that imports run downwards.
	$(BIN)/lint-imports

audit: .venv/ready  ## Ask for known vulnerabilities of the pinned packages.
	$(BIN)/python .ci/audit.py requirements.txt

# The second command fails where Python 3.12 needs other packages than 3.11: then one file no longer serves both.
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --extra build --constraint constraints.txt \
	--python-platform x86_64-manylinux_2_28 --generate-hashes --only-binary :all: --emit-build-options \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock"

lock: .venv/ready  ## Write requirements.txt: the versions of constraints.txt with the hashes of their wheels.
	$(LOCK) --python-version 3.11 --output-file requirements.txt
	$(LOCK) --python-version 3.12 --constraint requirements.txt | diff requirements.txt -

schema: .venv/ready  ## Write the JSON schema by which editors complete and check study files.
	$(BIN)/tune-cli zoo schema > search_spaces/study.schema.json.new
	mv search_spaces/study.schema.json.new search_spaces/study.schema.json

hooks: .venv/ready  ## Let git check style and types before each commit.
	$(BIN)/pre-commit install

# One install of everything, so that torch and torchvision are chosen together.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, this is {sys.version}")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:  ## Remove everything that the targets made.
	rm -rf .venv .venv-newest build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
