# The two habits: `make demo` and `make test`. Both set up .venv on their own; only Python and pip are needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IN ?=
SIZE ?=
EPOCHS ?=

.PHONY: demo docs test test-machines fuzz fuzz-guided check slow bench speed scale gpu clean

$(VENV)/.ready: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.ready
	$(BIN)/snerv demo $(if $(IN),'$(IN)') $(if $(SIZE),--size $(SIZE)) $(if $(EPOCHS),--epochs $(EPOCHS))

# Tests run side by side: a process a core, eight at most, and a thread a process. More for pytest goes into ARGS, as
# in `make test ARGS='-n 0 tests/model'`.
ARGS ?=
TEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

test: $(VENV)/.ready
	$(TEST) $(ARGS)

# The same tests as other machines would run them: with other instructions, numbers of threads and orders.
test-machines: $(VENV)/.ready
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=2 $(TEST) --randomly-seed=1 $(ARGS)
	ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=1 $(TEST) --randomly-seed=2 --hypothesis-profile=explore $(ARGS)
	ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=4 $(TEST) --randomly-seed=3 $(ARGS)
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest -p no:randomly -p no:xdist $(ARGS)

# Forged files for so many seconds, from a number on; what is found lies in tests/fuzzing/findings.
SECONDS ?= 60
FIRST ?= 0
FUZZ := PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m

fuzz: $(VENV)/.ready
	$(FUZZ) fuzzing --seconds $(SECONDS) --first $(FIRST)

# The same time for atheris, which looks for new ways through the container's reader.
$(VENV)/.fuzz: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	touch $@

fuzz-guided: $(VENV)/.fuzz
	$(FUZZ) fuzzing.guided tests/fuzzing/corpus -max_total_time=$(SECONDS) -artifact_prefix=tests/fuzzing/findings/

slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

# A small real comparison, ten minutes on two cores; what it measured and the report stay out of version control.
BENCH := benchmarks/cache/bench
BENCH_SNERV ?= snerv:preset=fast,recipe=rd

$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.rate_distortion --results $(BENCH) --dataset bunny-small \
	    --codec x264-medium x264-medium-psnr x265-medium x265-medium-psnr $(BENCH_SNERV)
	$(BIN)/python -m benchmarks.report --results $(BENCH) --output $(BENCH)/report

# The documentation as a site, docs/site/index.html; a link that leads nowhere is an error.
$(VENV)/.docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/site

# Today's speed as shares of the matrix rate, beside what is on record.
speed: $(VENV)/.ready
	$(BIN)/python -m benchmarks.speed

# Memory against length, and workers side by side: half an hour.
scale: $(VENV)/.ready
	$(BIN)/python -m benchmarks.scale

# All that only a GPU can tell: its tests, speed and memory, what each precision costs, and the paper's main table.
# Each fit goes on where it was interrupted, and what is on record is not run again.
GPU_EPOCHS ?= 60
gpu: $(VENV)/.bench
	$(BIN)/python -m pytest -m needs_cuda
	$(BIN)/python -m benchmarks.speed --device cuda --full --profile --record
	$(BIN)/python -m benchmarks.rate_distortion --dataset bunny --points 750k --codec \
	    $(foreach precision,float32 tf32 bfloat16,snerv:preset=paper,epochs=$(GPU_EPOCHS),precision=$(precision))
	$(BIN)/python -m benchmarks.paper.reproduce --device cuda --fit b-0.35M b-0.75M b-1.5M b-3M

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Everything that the targets above made but benchmarks/cache, which may hold hours of work.
clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build docs/site demo-out demo-out-[0-9]*
	rm -rf tests/fuzzing/corpus tests/fuzzing/findings
	find snerv_codec bitstream benchmarks tests -name __pycache__ -prune -exec rm -rf {} +
