# Everything happens in .venv, made by the system's python3 (3.11 or newer) with pip alone.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# JAX stops at 0.10.1 for Python 3.11; newer interpreters get the newest of everything.
CONSTRAINTS = constraints/$(shell $(BIN)/python -c \
	'import sys; print("python-3.11.txt" if sys.version_info < (3, 12) else "python-3.12-and-newer.txt")')

.PHONY: demo test lint lock clean help

help:
	@echo "make demo   set up $(VENV) and run the main job (jaxaimc evaluate)"
	@echo "make test   set up $(VENV) and run the fast tests"
	@echo "make lint   ruff and pyright"
	@echo "make lock   resolve constraints/*.txt anew"
	@echo "make clean  remove $(VENV) and caches"

demo: $(VENV)/.app
	$(BIN)/jaxaimc evaluate

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed, but $(PYTHON) is `$(PYTHON) --version`; name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.app: $(VENV)/.python pyproject.toml $(wildcard constraints/*.txt)
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --constraint $(CONSTRAINTS) --upgrade pip hatchling editables
	@$(PIP) install --constraint $(CONSTRAINTS) --no-build-isolation --editable '.[app,models]'
	@touch $@

$(VENV)/.dev: $(VENV)/.app
	@$(PIP) install --constraint $(CONSTRAINTS) --group dev
	@touch $@

LOCK = $(BIN)/uv pip compile pyproject.toml --extra app --extra models --group dev --group build --upgrade \
	--universal --no-header --no-annotate --no-emit-index-url --quiet

lock: $(VENV)/.dev
	@$(PIP) install uv
	$(LOCK) --python-version 3.11 --output-file constraints/python-3.11.txt
	$(LOCK) --python-version 3.12 --output-file constraints/python-3.12-and-newer.txt

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
