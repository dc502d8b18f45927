PYTHON ?= python3
BIN := .venv/bin
COVERAGE :=  # percent of the code that `make test` must cover; measured only if given
CORE = $(shell $(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')  # the fastest

.PHONY: demo test test-slow test-gpu test-lowest test-newest format lint types docs speed install

demo: install  ## Run the main job on generated data.
	$(BIN)/albench run --strategy star --dataset phantom --set protocol.rounds=2

test: install  ## The default tests; with COVERAGE=97, as in .ci/run, they fail if they cover less of the code.
	$(if $(COVERAGE),COVERAGE_CORE=$(CORE)) $(BIN)/pytest -n auto $(if $(COVERAGE),--cov --cov-report=term --cov-fail-under=$(COVERAGE))

test-slow: install  ## Tests that take minutes or make fresh environments.
	$(BIN)/pytest -n auto -m slow

test-gpu: install  ## Tests on a GPU. Without one it is simulated, which needs a C++ compiler.
	PYTHONPATH=tests $(BIN)/pytest -n auto -p support.simulated_gpu -m gpu

test-lowest:  ## The default tests and those of the wheel with the lowest dependencies, on PYTHON=python3.10 for example.
	$(call test_with,.venv-lowest,--constraint constraints-lowest.txt)

test-newest:  ## The same with the newest dependencies.
	$(call test_with,.venv-newest,)

define test_with
$(PYTHON) -m venv --clear $(1)
$(1)/bin/pip install --quiet --disable-pip-version-check --prefer-binary $(2) --editable '.[dev]'
$(1)/bin/pytest -n auto
$(1)/bin/pytest -n auto -m slow tests/test_packaging.py
endef

format: install  ## Sort imports, fix what can be fixed, and format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

docs: install  ## The site of the manual in site/, which opens from disk. A broken link or an undocumented public name fails.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

speed: install  ## How fast albench is, as ratios, first on a GPU if there is one; the record goes to benchmarks/speed/records.
	$(BIN)/python -m albench.benchmarks.speed

install: .venv/installed

.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	touch $@
