# demo      set everything up and render the quickstart on a local, real ComfyUI
# quick     what one runs while working: format, lint, types, and the tests that need no ComfyUI, no browser and no minutes
# test      set everything up and run every check: the same, and all other tests, also on the real ComfyUI
# truth     what ComfyUI's own front end makes of some hundred workflows, kept in the cache: once per machine, some minutes
# docs      the manual as a web site, build/manual: strict, without a network
# coverage  the quick tests, and which lines and branches of the package they leave out
# sbom      what an installation consists of, and under which licences, as CycloneDX: build/sbom.json
# bench     measure speed and memory; prints, never fails
# clean     remove what these made in the checkout

PYTHON ?= python3
BIN := .venv/bin

# Otherwise each of some thousand processes that tests start would compile the package again.
export PYTHONDONTWRITEBYTECODE :=

INSTALLED := .venv/.installed

.PHONY: demo quick test truth docs sbom coverage bench clean engine browser lint types following typing seeing one-half other-half real harm slow

demo: $(INSTALLED)
	$(BIN)/comfy-runner run quickstart --server local
	$(BIN)/comfy-runner local stop

# Which test is what: tests/themes.py, and the markers of pyproject.toml. Of hostile input there are thousands, which take a minute.
NEEDS_NOTHING := not real and not browser and not slow and not kill and not hostile
# Two processes that know nothing of each other, since a third one that hands tests out to them, each of which has collected all, takes
# a part of both cores. Each has about half of the work: what follows jobs and what people see; and all the rest. While one is working,
# the first half is three: it waits for servers and commands half of its time.
FOLLOWING := tests/engine tests/running
TYPING := tests/cli
SEEING := tests/api tests/report
ONE_HALF := $(FOLLOWING) $(TYPING) $(SEEING)
REST := $(addprefix --ignore=,$(ONE_HALF))
# Random values are tried a quarter as often while one is working: tests/example_counts.py.
FEWER := --hypothesis-profile=quick

quick: $(INSTALLED) lint
	$(MAKE) --no-print-directory --jobs=5 types following typing seeing other-half EXAMPLES=$(FEWER)

following: $(INSTALLED)
	$(call quietly,$(BIN)/pytest $(EXAMPLES) -m "$(NEEDS_NOTHING)" $(FOLLOWING))

typing: $(INSTALLED)
	$(call quietly,$(BIN)/pytest $(EXAMPLES) -m "$(NEEDS_NOTHING)" $(TYPING))

seeing: $(INSTALLED)
	$(call quietly,$(BIN)/pytest $(EXAMPLES) -m "$(NEEDS_NOTHING)" $(SEEING))

one-half: $(INSTALLED)
	$(call quietly,$(BIN)/pytest $(EXAMPLES) -m "$(NEEDS_NOTHING)" $(ONE_HALF))

other-half: $(INSTALLED)
	$(BIN)/pytest $(EXAMPLES) -m "$(NEEDS_NOTHING)" $(REST) $(addprefix --ignore=,$(COUNTED))

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

test: $(INSTALLED) engine browser lint
	-@$(MAKE) --no-print-directory truth
	$(MAKE) --no-print-directory --keep-going --jobs=4 one-half other-half real slow harm

# Four lanes at the same time: each waits for servers and browsers a part of its time, in which two cores serve another one. The
# fifth begins when the first of them ends, also where that has failed: all that is wrong is told at once. That with a real ComfyUI
# is two processes, with servers of their own, and that with long waits, which has most to do, is three. What lanes print is not
# mixed: all but one do so at their end. Folders that count what they tried over all their tests (tests/hostile, tests/kill) are run
# whole, by one process.
COUNTED := tests/hostile tests/kill
# Whoever has nothing left takes from the others: a long file is not waited for at the end.
IN_TWO := --numprocesses=2 --dist=worksteal
IN_THREE := --numprocesses=3 --dist=worksteal

coverage: $(INSTALLED)
	$(BIN)/pytest $(IN_TWO) --cov --cov-report=term -m "$(NEEDS_NOTHING)" $(addprefix --ignore=,$(COUNTED))

real: $(INSTALLED)
	$(call quietly,$(BIN)/pytest $(IN_TWO) -m "real or browser" $(addprefix --ignore=,$(COUNTED)))

harm: $(INSTALLED)
	$(call quietly,$(BIN)/mypy && $(BIN)/pytest $(COUNTED))

slow: $(INSTALLED)
	$(call quietly,$(BIN)/pytest $(IN_THREE) -m "slow and not real and not browser" $(addprefix --ignore=,$(COUNTED)))

define quietly
@log=$$(mktemp); { $(1); } >$$log 2>&1; code=$$?; echo; cat $$log; rm $$log; exit $$code
endef

# Pages open from disk; the search wants a server: python -m http.server --directory build/manual
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Of an environment of its own: the one here has all that tests need.
sbom: $(INSTALLED)
	$(BIN)/uv venv --quiet --clear build/sbom
	$(BIN)/uv pip install --quiet --python build/sbom '.[report]'
	$(BIN)/uvx --quiet --from 'cyclonedx-bom>=7' cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json build/sbom

bench: $(INSTALLED) engine browser
	$(BIN)/python -m benchmarks.install_sizes
	$(BIN)/python -m benchmarks.start_up
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.never_waits
	$(BIN)/python -m benchmarks.fleet
	$(BIN)/python -m benchmarks.placement
	$(BIN)/python -m benchmarks.planning
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.finding
	$(BIN)/python -m benchmarks.metrics
	$(BIN)/python -m benchmarks.calibration
	$(BIN)/python -m benchmarks.sheet
	$(BIN)/python -m benchmarks.report_page

# Before the tests, so that none of them has to wait for a download.
engine: $(INSTALLED)
	$(BIN)/comfy-runner local setup

# Before the tests, likewise; those that are held against it say so where it is missing.
truth: $(INSTALLED) engine browser
	$(BIN)/python -m tests.truth.make_truth

# The report is tried in a real browser: Debian's is installed where that is possible, otherwise any Chromium on the PATH will do.
browser:
	@for name in chromium chromium-browser google-chrome; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else \
		echo "the tests of the report and of ComfyUI's front end need a Chromium: install chromium, chromium-browser or google-chrome" >&2; exit 1; \
	fi

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "comfy_runner needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
