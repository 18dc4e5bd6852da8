# make lab     JupyterLab, open at the first notebook    make lab LAB_ARGS="--port=9999"    with arguments of its own
# make service FOLDER=shop    nominations over HTTP, on 127.0.0.1
# make clean   remove the environment and all caches
#- BEGIN TEACHERS
# make test    every test, notebooks included
# make book    the course as a website, in build/book
# make exercises    the exercises as students get them, in notebooks/exercises/release
# make student-bundle    the course as students get it, without solutions, in build/student
# make teacher    add nbgrader, Sphinx, pytest and ruff to the environment, as each of these commands does by itself
# make lint    what ruff has to say       make format   let ruff put it right
# make outputs NOTEBOOKS="notebooks/02_two_towers.ipynb"    run notebooks and keep what comes out
# make bench   the towers beside public libraries, for hours; makes an environment for each of these in build/peers
# make lock    solve requirements.lock anew from pyproject.toml (needs uv)
#- END TEACHERS
#
# Another Python than python3: make lab PYTHON=python3.12 (after make clean, if there is an environment already).

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
FIRST := notebooks/00_start_here.ipynb

# PyTorch and Faiss bring an OpenMP runtime each; without this their idle threads spin against each other.
export OMP_WAIT_POLICY := PASSIVE

# The lock as bounds: only what is asked for is installed.
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c .venv/wheels.txt

define CHECK_PYTHON
import platform, sys
if sys.version_info < (3, 10):
    sys.exit("Python %s is too old, the course needs 3.10 or newer. Name one: make PYTHON=python3.12" % platform.python_version())
if sys.platform == "darwin" and platform.machine() == "x86_64":
    sys.exit("This Python is for Intel Macs, and PyTorch has no wheel for them. Use conda: conda env create -f environment.yml")
endef
export CHECK_PYTHON

.PHONY: help lab service clean

help:
	@sed -n '1,/^$$/{s/^# //p;s/^#$$//p;}' Makefile

# What a learner needs, in the lock's versions, and no tool of a teacher.
# What the lock has for Linux alone is TorchRec and what it needs, without fbgemm-gpu, which would bring CUDA.
# The last line marks the environment as whole: an interrupted installation starts over.
$(READY): requirements.lock
	@command -v "$(PYTHON)" > /dev/null || { echo "There is no $(PYTHON) here. Install Python 3.10 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c "$$CHECK_PYTHON"
	"$(PYTHON)" -m venv --clear .venv
	grep -v '^hnswlib==' requirements.lock | grep -v "sys_platform == 'linux'$$" > .venv/wheels.txt
	grep "sys_platform == 'linux'$$" requirements.lock > .venv/torchrec.txt
	@echo "Compiling hnswlib beside the installation of the rest, which takes a minute or more ..."
	@$(BIN)/python -m pip wheel --disable-pip-version-check --no-deps -w .venv/compiled "$$(grep '^hnswlib==' requirements.lock)" > .venv/hnswlib.log 2>&1 & \
	{ $(PIP) setuptools && $(PIP) --no-build-isolation -e ".[service,redis]"; } || exit 1; \
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --only-binary :all: -r .venv/torchrec.txt > .venv/torchrec.log 2>&1 || \
		echo "TorchRec could not be installed (see .venv/torchrec.log), and all but ShardedTables works without it."; \
	wait $$! && $(BIN)/python -m pip install --disable-pip-version-check --no-deps .venv/compiled/*.whl || \
		echo "hnswlib could not be compiled (see .venv/hnswlib.log), and all but HnswlibIndex works without it: for that, install a C++ compiler, then run 'make clean lab'."
	@touch $@

# jupyter/ has the settings for learners: no news, no tools of teachers, 127.0.0.1 alone, one address in the terminal.
lab: export JUPYTER_CONFIG_PATH := $(CURDIR)/jupyter$(if $(JUPYTER_CONFIG_PATH),:$(JUPYTER_CONFIG_PATH))
lab: $(READY)
	@set --; \
	if [ "$$(id -u)" -eq 0 ]; then set -- "$$@" --allow-root; fi; \
	if [ "$$(uname)" != Darwin ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]; then set -- "$$@" --no-browser; fi; \
	exec $(BIN)/python -m jupyterlab --LabApp.default_url=/lab/tree/$(FIRST) "$$@" $(LAB_ARGS)

service: $(READY)
	$(BIN)/python -m course_lib.service $(FOLDER) $(SERVICE_ARGS)

clean:
	rm -rf .venv .pytest_cache .ruff_cache build *.egg-info
	find . -name .git -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

# BEGIN TEACHERS
TEACHER := .venv/.teacher
.PHONY: teacher test book exercises student-bundle lint format outputs bench lock

teacher: $(TEACHER)

$(TEACHER): $(READY)
	$(PIP) --no-build-isolation -e ".[test,classroom,hub,book]"
	@touch $@

# Three tests at a time on two cores: threads of their own would only wait for each other.
test: export OMP_NUM_THREADS := 1
test: lint
	$(BIN)/python -m pytest --nbval -n 3 --dist loadscope --no-loadscope-reorder tests notebooks

book: $(TEACHER)
	rm -rf build/book
	$(BIN)/python -m sphinx -q -E -W --keep-going -c book -d build/book-cache . build/book
	@echo "Open build/book/index.html"

exercises: $(TEACHER)
	cd notebooks/exercises && ../../$(BIN)/nbgrader generate_assignment '*'

student-bundle: $(TEACHER)
	$(BIN)/python notebooks/exercises/student_bundle.py

lint: $(TEACHER)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(TEACHER)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

outputs: $(TEACHER)
	$(BIN)/python tests/refresh_outputs.py $(NOTEBOOKS)

# Each library in an environment of its own; one that can't be installed has a row that says so.
PEERS := $(patsubst tests/benchmarks/peers/%.txt,build/peers/%/.ready,$(wildcard tests/benchmarks/peers/*.txt))

build/peers/%/.ready: tests/benchmarks/peers/%.txt
	@mkdir -p build/peers
	@{ "$(PYTHON)" -m venv --clear build/peers/$* && \
		build/peers/$*/bin/python -m pip install --disable-pip-version-check -r $<; } > build/peers/$*.log 2>&1 && touch $@ || \
		{ echo "$* could not be installed, see build/peers/$*.log"; rm -rf build/peers/$*; }

bench: $(TEACHER) $(PEERS)
	$(BIN)/python tests/benchmarks/mutants.py
	$(BIN)/python tests/benchmarks/bad_input.py
	$(BIN)/python tests/benchmarks/speed.py
	$(BIN)/python tests/benchmarks/growth.py
	$(BIN)/python tests/benchmarks/lists.py
	$(BIN)/python tests/benchmarks/service.py
	$(BIN)/python tests/benchmarks/class_of_30.py
	$(BIN)/python tests/benchmarks/side_by_side.py --log online_retail $(BENCH_ARGS)
	$(BIN)/python tests/benchmarks/side_by_side.py --log movie_tweetings $(BENCH_ARGS)
	$(BIN)/python tests/benchmarks/freshness.py --log online_retail
	$(BIN)/python tests/benchmarks/freshness.py --log movie_tweetings

# What PyTorch's Linux wheel asks for (CUDA) is left to pip, so that a CPU build stays small.
# Versions in the present lock are kept where they still fit; remove the lock first to have the newest.
lock:
	@command -v uv > /dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	echo 'torch==2.13.0' | uv pip compile --quiet --universal --python-version 3.10 --extra hnswlib --extra redis --extra service --extra torchrec --extra test --extra classroom --extra hub --extra book --no-annotate --no-header \
		--output-file requirements.lock pyproject.toml -
	@{ echo '# Every package of the course, exactly, for Python 3.10 to 3.13 on Linux, macOS and Windows.'; \
	   echo '# Made by "make lock" from pyproject.toml. Do not edit.'; \
	   grep -Ev '^(#|nvidia-|cuda-|triton==|fbgemm-gpu==)' requirements.lock; } > requirements.tmp
	@mv requirements.tmp requirements.lock
# END TEACHERS
