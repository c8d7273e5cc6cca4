# make demo: the main job. make test-quick: no Ray, no browser, under two minutes. make test: everything.
# make check: lint, types and the direction of imports.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest
# Two processes; the tests of one file stay in one of them, for they share fixtures.
PARALLEL := $(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-quick check format clean

demo: $(READY)
	$(BIN)/medlabel run tasks/phantom-demo.yaml --seeds 5 --ceiling-seeds 1 --out runs/demo

test: check
	$(PARALLEL)

test-quick: $(READY)
	$(PARALLEL) -m 'not ray and not browser and not slow'

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv runs

# torch is asked for first and by its exact version, so that a CPU build at hand is taken.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("medlabel needs Python 3.11 or newer; run make PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $@
