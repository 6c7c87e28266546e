# Two commands do all the set-up: `make demo` and `make test`.
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif

# Fewer page faults on large activations: training on CPU is 20 to 40 % faster with these.
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := 8000000000
export MALLOC_TOP_PAD_ := 268435456

.PHONY: demo test test-fast check docs format lock clean

demo: .venv/ready ## train a small RIM on synthetic faces, measure it, leave a report with pictures
	$(BIN)/rim-train experiment=demo

# Test files run side by side, one on each of up to eight cores, hence a single thread for each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations=15

test: .venv/ready ## everything
	$(PYTEST)

test-fast: .venv/ready ## without the tests marked slow
	$(PYTEST) -m "not slow"

check: .venv/ready ## lint, format and types
	$(BIN)/ruff check src tests benchmarks docs notebooks
	$(BIN)/ruff format --check src tests benchmarks notebooks docs/*.py
	$(BIN)/mypy

docs: .venv/ready ## the documentation as a site, in outputs/site; new notebooks are executed, which takes minutes
	$(BIN)/python docs/configuration.py
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs outputs/site
	@echo "The documentation is outputs/site/index.html"

format: .venv/ready
	$(BIN)/ruff check --fix src tests benchmarks docs notebooks
	$(BIN)/ruff format src tests benchmarks notebooks docs/*.py

lock: .venv/ready ## the newest versions that fit together, for every system and Python, into constraints.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --no-annotate --no-header --upgrade --quiet \
		--output-file constraints.txt pyproject.toml

clean:
	rm -rf .venv outputs multirun prepared

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	$(BIN)/uv pip install --python $(BIN)/python --no-deps facenet-pytorch==2.6.0 # it pins an old torch, and works with this one
	touch $@
