PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-gpu lint types speed install

demo: install  ## Run the main job on generated data.
	$(BIN)/albench run --strategy star --dataset phantom

test: install  ## The default tests.
	$(BIN)/pytest -n auto

test-slow: install  ## Tests that take minutes or make fresh environments.
	$(BIN)/pytest -m slow

test-gpu: install  ## Tests on a GPU. Where there is none it is pretended, for which it takes a C++ compiler.
	PYTHONPATH=tests $(BIN)/pytest -n auto -p support.pretended_gpu -m gpu

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

speed: install  ## How fast albench is, as ratios; the record goes to benchmarks/speed/records.
	$(BIN)/python -m albench.benchmarks.speed

install: .venv/installed

.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
