# The two habits: `make demo` and `make test`. Both set up .venv on their own; only Python and pip are needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IN ?=
SIZE ?=
EPOCHS ?=

.PHONY: demo test check slow clean

$(VENV)/.ready: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.ready
	$(BIN)/snerv demo $(if $(IN),'$(IN)') $(if $(SIZE),--size $(SIZE)) $(if $(EPOCHS),--epochs $(EPOCHS))

test: $(VENV)/.ready
	$(BIN)/python -m pytest

slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
