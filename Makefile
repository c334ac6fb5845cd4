# Two commands for a newcomer: `make demo` and `make test`. Everything installs into .venv from requirements.lock.

PYTHON ?= python3
BIN := .venv/bin
TORCH := torch==2.13.0

.PHONY: setup demo test test-long test-both test-platform test-fast check format lint types contracts lock schema clean

setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tunegate needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv .venv
	@# torch first and without a hash: its file differs between the CPU and the CUDA build. The lock then sets the
	@# version of everything else, torch's own requirements included.
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	$(BIN)/tunegate run conf/recipes/demo.yaml

# Two files at a time, with one thread each: two that both take two threads crawl. As they are sorted, the longest begin.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup
	$(PYTEST) -m "not gpu and not platform and not long"

# Every stage killed, and every gate held to its bad recipe.
test-long: setup
	$(PYTEST) -m long

# Both of these in one go, which leaves no core idle at the end of either.
test-both: setup
	$(PYTEST) -m "not gpu and not platform"

# One after the other: they start servers, workers and a browser, and measure how soon something is noticed.
test-platform: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m platform

test-fast: setup
	$(PYTEST) -m "not gpu and not slow and not platform and not long"

check: setup format lint types contracts test-both test-platform

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

# Needs uv. Resolves for every platform; torch and llama-cpp-python stay out (see pyproject.toml).
lock:
	uv pip compile pyproject.toml --extra dev --extra team --extra ray --universal --python-version 3.11 --generate-hashes --quiet \
		--no-emit-package torch --no-emit-package llama-cpp-python \
		--custom-compile-command "make lock" --output-file requirements.lock

schema: setup
	$(BIN)/python -m conf.load > conf/recipe.schema.json

clean:
	rm -rf .venv .tunegate .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
