# demo   set everything up and render the quickstart on a local, real ComfyUI
# test   set everything up and run every check: format, lint, types, tests (also on the real ComfyUI)
# bench  measure speed and memory; prints, never fails
# clean  remove what these made in the checkout

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test bench clean engine browser pictures runs all-others

demo: $(INSTALLED)
	$(BIN)/comfy-runner run quickstart --server local
	$(BIN)/comfy-runner local stop

test: $(INSTALLED) engine browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(MAKE) --no-print-directory --jobs=3 pictures runs all-others

# At the same time: each lane waits for servers and browsers a part of its time, in which two cores serve another one.
PICTURES := tests/report tests/scheduling tests/running/fleet tests/real
RUNS := tests/running tests/collect tests/control tests/recipe tests/graph tests/templating tests/planning

pictures:
	$(call quietly,$(BIN)/mypy && $(BIN)/pytest $(PICTURES))

runs:
	$(call quietly,$(BIN)/pytest --ignore=tests/running/fleet $(RUNS))

all-others:
	$(BIN)/pytest $(addprefix --ignore=,$(PICTURES) $(RUNS))

# What lanes print is not mixed: all but one do so at their end.
define quietly
@log=$$(mktemp); { $(1); } >$$log 2>&1; code=$$?; echo; cat $$log; rm $$log; exit $$code
endef

bench: $(INSTALLED) engine browser
	$(BIN)/python -m benchmarks.start_up
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.never_waits
	$(BIN)/python -m benchmarks.fleet
	$(BIN)/python -m benchmarks.placement
	$(BIN)/python -m benchmarks.planning
	$(BIN)/python -m benchmarks.metrics
	$(BIN)/python -m benchmarks.sheet
	$(BIN)/python -m benchmarks.report_page

# Before the tests, so that none of them has to wait for a download.
engine: $(INSTALLED)
	$(BIN)/comfy-runner local setup

# The report is tried in a real browser: Debian's is installed where that is possible, otherwise any Chromium on the PATH will do.
browser:
	@for name in chromium chromium-browser google-chrome; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else \
		echo "the tests of the report need a Chromium: install chromium, chromium-browser or google-chrome" >&2; exit 1; \
	fi

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "comfy_runner needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
