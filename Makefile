# demo   set everything up and render the quickstart on a local, real ComfyUI
# test   set everything up and run every check: format, lint, types, tests (also on the real ComfyUI)
# bench  measure speed and memory; prints, never fails
# clean  remove what these made in the checkout

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test bench clean engine

demo: $(INSTALLED)
	$(BIN)/comfy-runner run quickstart --server local
	$(BIN)/comfy-runner local stop

test: $(INSTALLED) engine
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

bench: $(INSTALLED) engine
	$(BIN)/python -m benchmarks.start_up
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.never_waits
	$(BIN)/python -m benchmarks.planning

# Before the tests, so that none of them has to wait for a download.
engine: $(INSTALLED)
	$(BIN)/comfy-runner local setup

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "comfy_runner needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
