# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

# Fewer page faults on large activations: training on CPU is 20 to 40 % faster with these.
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := 8000000000
export MALLOC_TOP_PAD_ := 268435456

.PHONY: demo test test-fast check docs format clean

demo: .venv/ready ## train a small RIM on synthetic faces, measure it, leave a report with pictures
	$(BIN)/rim-train experiment=demo

# Test files run side by side, one on each of up to eight cores, hence a single thread for each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

test: .venv/ready ## everything
	$(PYTEST)

test-fast: .venv/ready ## without the tests marked slow
	$(PYTEST) -m "not slow"

check: .venv/ready ## lint, format and types
	$(BIN)/ruff check src tests benchmarks docs notebooks
	$(BIN)/ruff format --check src tests benchmarks notebooks docs/*.py
	$(BIN)/mypy

docs: .venv/ready ## the documentation as a site, in outputs/site
	$(BIN)/python docs/configuration.py
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs outputs/site
	@echo "The documentation is outputs/site/index.html"

format: .venv/ready
	$(BIN)/ruff check --fix src tests benchmarks docs notebooks
	$(BIN)/ruff format src tests benchmarks notebooks docs/*.py

clean:
	rm -rf .venv outputs multirun prepared

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	$(BIN)/uv pip install --python $(BIN)/python --no-deps facenet-pytorch==2.6.0 # works with the current torch and numpy, but pins old ones
	touch $@
