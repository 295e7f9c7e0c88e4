# Everything a developer runs. A fresh machine needs Python 3.10+, git and make; the tools come
# from the `dev` extra in pyproject.toml, into .venv.

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
PYZ := udp-chat.pyz

.PHONY: test lint coverage check pyz clean

# Under coverage, so that `make check` need not run them a second time. Many tests mostly wait, so
# three files at a time; then, one by one, those whose findings rest on when things happen.
test: $(INSTALLED)
	$(PYTHON) -m coverage erase
	$(PYTHON) -m coverage run -m pytest -n 3 --dist loadfile -m "not alone"
	$(PYTHON) -m coverage run -m pytest -m alone

lint: $(INSTALLED)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

# Of the newest `make test`. What the chat's promise rests on is covered entirely.
coverage: $(INSTALLED)
	$(PYTHON) -m coverage combine --quiet
	$(PYTHON) -m coverage report --fail-under=95
	$(PYTHON) -m coverage report --fail-under=100 --include='udp_chat/protocol/*'

check: lint test
	$(MAKE) coverage

# One file that runs as client or, as `udp-chat.pyz server`, as server, wherever Python is.
pyz:
	rm -rf build/pyz && mkdir -p build/pyz
	cp -R udp_chat build/pyz/
	find build/pyz -name __pycache__ -type d -prune -exec rm -rf {} +
	python3 -m zipapp build/pyz -o $(PYZ) -p '/usr/bin/env python3' -c -m udp_chat.app.one_file:main

clean:
	rm -rf $(PYZ) $(VENV) build *.egg-info .coverage .coverage.* .hypothesis .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is newer than pyproject.toml where what that asks for is installed.
$(INSTALLED): pyproject.toml
	test -x $(PYTHON) && $(PYTHON) -m pip --version >/dev/null || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
