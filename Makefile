# Everything happens in .venv, made by the system's python3 (3.11 or newer) with pip alone.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
TESTS ?= tests

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One file for every interpreter: its markers pick JAX 0.10.1 for Python 3.11 and the newest for later ones.
PINNED := constraints/pinned.txt

.PHONY: demo test lint docs lock clean help

help:
	@echo "make demo   set up $(VENV) and run the main job (jaxaimc evaluate)"
	@echo "make test   set up $(VENV) and run the fast tests"
	@echo "make lint   ruff and pyright"
	@echo "make docs   build/docs: the site, without network; warnings are errors"
	@echo "make lock   resolve $(PINNED) anew"
	@echo "make clean  remove $(VENV) and caches"

demo: $(VENV)/.app
	$(BIN)/jaxaimc evaluate

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" --dist worksteal --durations=20 $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -q -j auto -b html docs build/docs
	@echo "The site: build/docs/index.html"

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed, but $(PYTHON) is `$(PYTHON) --version`; name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.app: $(VENV)/.python pyproject.toml $(PINNED)
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --constraint $(PINNED) --upgrade pip hatchling editables
	@$(PIP) install --constraint $(PINNED) --no-build-isolation --editable '.[app,models]'
	@touch $@

$(VENV)/.dev: $(VENV)/.app
	@$(PIP) install --constraint $(PINNED) --no-build-isolation --editable '.[app,models,cluster]' --group dev
	@touch $@

$(VENV)/.docs: $(VENV)/.app
	@$(PIP) install --constraint $(PINNED) --group docs
	@touch $@

lock: $(VENV)/.dev
	@$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --extra app --extra models --extra cluster --group dev --group docs --group build --upgrade --universal \
		--python-version 3.11 --no-header --no-annotate --no-emit-index-url --quiet --output-file $(PINNED)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build/docs docs/_generated
