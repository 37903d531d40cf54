# The two habits: `make demo` and `make test`. Both set up .venv on their own; only Python and pip are needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IN ?=
SIZE ?=
EPOCHS ?=

.PHONY: demo test check slow bench clean

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

# A small real comparison, ten minutes on two cores; what it measured and the report stay out of version control.
BENCH := benchmarks/cache/bench
BENCH_SNERV ?= snerv:epochs=50

$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.rate_distortion --results $(BENCH) --dataset bunny-small \
	    --codec x264-medium x264-medium-psnr x265-medium x265-medium-psnr $(BENCH_SNERV)
	$(BIN)/python -m benchmarks.report --results $(BENCH)

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Everything that the targets above made but benchmarks/cache, which may hold hours of work.
clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build demo-out
	find snerv_codec bitstream benchmarks tests -name __pycache__ -prune -exec rm -rf {} +
