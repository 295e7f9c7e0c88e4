# Everything a developer runs. A fresh machine needs Python 3.10+, git and make; the tools come
# from the `dev` extra in pyproject.toml, into .venv.

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
PYZ := udp-chat.pyz
PACKED := build/pyz

# Tests mostly wait for processes and timers, so four at a time keep two cores busy. Those marked
# `alone` measure when things happen; they run one by one.
AT_ONCE := -n 4 --dist worksteal
QUICK := -m "not alone and not slow" --hypothesis-profile=quick

# The tests start hundreds of Pythons, which start in a third of the time where each finds the modules
# compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test check lint covered slow coverage test-all-pythons pyz clean

# No coverage, a quarter of the examples of each property, and neither the tests that run alone nor
# the few that take seconds.
test: $(INSTALLED)
	$(PYTHON) -m pytest $(AT_ONCE) $(QUICK)

# Every test, those that are not slow with coverage, and what ruff and mypy say.
check: lint covered slow coverage

lint: $(INSTALLED)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

# The properties with few examples, too: under coverage they would take the longest. Plain `pytest`
# has them in full.
covered: $(INSTALLED)
	$(PYTHON) -m coverage erase
	$(PYTHON) -m coverage run -m pytest $(AT_ONCE) $(QUICK)
	$(PYTHON) -m coverage run -m pytest -m alone

# Sums over many random conversations, which coverage would make four times as slow, and what waits.
slow: $(INSTALLED)
	$(PYTHON) -m pytest $(AT_ONCE) -m slow

# The chat's promise rests on udp_chat/protocol, so the tests cover all of it.
coverage: $(INSTALLED)
	$(PYTHON) -m coverage combine --quiet
	$(PYTHON) -m coverage report --fail-under=95
	$(PYTHON) -m coverage report --fail-under=100 --include='udp_chat/protocol/*'

# On each CPython from 3.10 that pyenv or PATH has, in .venv-3.x.
test-all-pythons:
	python3 -m tests.all_pythons $(AT_ONCE) $(QUICK)

# One file that runs as client or, as `udp-chat.pyz server`, as server, wherever Python is.
pyz:
	rm -rf $(PACKED) && mkdir -p $(PACKED)
	cp -R udp_chat $(PACKED)/
	find $(PACKED) -name __pycache__ -type d -prune -exec rm -rf {} +
	python3 -m zipapp $(PACKED) -o $(PYZ) -p '/usr/bin/env python3' -c -m udp_chat.app.one_file:main

clean:
	rm -rf $(PYZ) .venv .venv-3.* build *.egg-info .coverage .coverage.* .hypothesis .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is newer than pyproject.toml where what that asks for is installed.
$(INSTALLED): pyproject.toml
	test -x $(PYTHON) && $(PYTHON) -m pip --version >/dev/null || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
