# Everything a developer or CI runs; `make` alone lists it. Needs Python 3.11 or newer and a C++20 compiler; brings the rest itself.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# cmake and ninja of the environment go before those of the machine, so that everybody builds with the same ones.
export PATH := $(abspath $(BIN)):$(PATH)
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUNS ?= 500
SECONDS ?= 60
BENCH := build/benchmarks
BENCH_PIP := $(BENCH)/bin/python -m pip --disable-pip-version-check install --quiet
NATIVE := $(shell find native -type f 2> /dev/null)

.PHONY: help demo test lint types native sanitize fuzz corruption crash frameworks notebooks bench format upgrade clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/installed ## a real model: compress, verify, restore, compare, and what it saved
	@echo "== demo"
	$(BIN)/python -m benchmarks.demo

test: $(VENV)/installed ## everything: lint, types, native tests, pytest
	@$(MAKE) lint types native
	@echo "== pytest"
	$(BIN)/python -m pytest

lint: $(VENV)/tools ## ruff, clang-format and the layers of the house
	@echo "== lint"
	$(BIN)/ruff check
	find native -name '*.cc' -o -name '*.h' | xargs $(BIN)/clang-format --dry-run -Werror
	$(BIN)/ruff format --check
	$(BIN)/python tools/check_layers.py

types: $(VENV)/installed ## mypy --strict over the whole package
	@echo "== types"
	$(BIN)/python tools/check_types.py

native: $(VENV)/tools ## build the C++ core without Python and run its own tests
	@echo "== native"
	cmake -S native -B build/native -G Ninja -DCMAKE_BUILD_TYPE=Release --log-level=WARNING
	cmake --build build/native
	ctest --test-dir build/native --output-on-failure --no-tests=error

fuzz: $(VENV)/fuzzer ## fuzz what reads files, each target for SECONDS=60, the core under sanitizers; needs clang
	@echo "== fuzz"
	$(BUILD_FUZZERS)
	$(BIN)/python tools/fuzz.py --seconds $(SECONDS)

# TSan wants memory where it expects it: without random addresses, where the machine lets us.
sanitize: $(VENV)/tools ## native tests and fuzz replays under ASan and UBSan, threads under TSan; needs clang
	@echo "== sanitize"
	$(BUILD_FUZZERS)
	ctest --test-dir build/fuzz/native --output-on-failure --no-tests=error --parallel 2
	cmake -S native -B build/sanitize/thread -G Ninja -DCMAKE_BUILD_TYPE=Release -DPENNYWEIGHT_SANITIZE=thread --log-level=WARNING
	cmake --build build/sanitize/thread --target test_threads
	$$(setarch -R true 2> /dev/null && echo setarch -R) build/sanitize/thread/tests/test_threads

define BUILD_FUZZERS
@command -v clang++ > /dev/null || { echo "clang++ with libFuzzer is missing (Debian: clang and libclang-rt-dev)"; exit 1; }
cmake -S native -B build/fuzz/native -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=clang++ -DPENNYWEIGHT_FUZZ=ON \
  -DPENNYWEIGHT_SANITIZE=address,undefined --log-level=WARNING
cmake --build build/fuzz/native
endef

corruption: $(VENV)/installed ## spoil golden containers, half a million times; says what was found (about an hour)
	@echo "== corruption"
	$(BIN)/python tests/corruption.py

crash: $(VENV)/installed ## lose power, fail the disk, and kill RUNS=500 runs; says what was found
	@echo "== crash"
	PENNYWEIGHT_CRASH_RUNS=$(RUNS) $(BIN)/python -m pytest --capture=no tests/crash

frameworks: $(VENV)/frameworks ## torch, to read what was restored, and model-signing: tests do without

notebooks: $(VENV)/installed ## run the notebooks and keep their outputs
	@echo "== notebooks"
	$(BIN)/python notebooks/execute.py notebooks/*.ipynb

bench: $(BENCH)/peers ## measure against the peers, in an environment of its own (about 45 minutes)
	@echo "== bench"
	$(BENCH_PIP) --config-settings=build-dir=build/benchmarks-core .
	$(BENCH)/bin/python -m benchmarks.run $(BENCH_OPTIONS)

format: $(VENV)/tools ## let ruff and clang-format lay out the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	find native -name '*.cc' -o -name '*.h' | xargs $(BIN)/clang-format -i

upgrade: $(VENV)/installed $(VENV)/frameworks $(VENV)/fuzzer ## move the pinned tools to their newest versions
	$(PIP) install --quiet --upgrade pip
	$(PIP) install --quiet --upgrade --upgrade-strategy eager --group dev --group frameworks --group fuzz --editable . --no-build-isolation
	{ head -2 constraints-dev.txt; $(PIP) freeze --all --exclude-editable --exclude setuptools | sed 's/+cpu$$//'; } > build/constraints-dev.txt
	mv build/constraints-dev.txt constraints-dev.txt

clean: ## remove everything that make made
	rm -rf build $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The tools, without the package: enough for lint, types and native.
$(VENV)/tools: pyproject.toml constraints-dev.txt
	@echo "== environment: $(VENV) with pinned tools"
	@$(PYTHON) -c 'import sys; sys.exit("$(PYTHON) is older than 3.11: make PYTHON=... names another" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints-dev.txt --upgrade pip
	$(PIP) install --quiet --constraint constraints-dev.txt --group dev
	@touch $@

# Not among the tools: where pip finds no build of torch for the CPU it brings gigabytes.
$(VENV)/frameworks: $(VENV)/tools
	@echo "== frameworks: torch, model-signing"
	$(PIP) install --quiet --constraint constraints-dev.txt --group frameworks
	@touch $@

# Its targets are Python, and need the package.
$(VENV)/fuzzer: $(VENV)/installed
	@echo "== fuzzer: atheris"
	$(PIP) install --quiet --constraint constraints-dev.txt --group fuzz
	@touch $@

# An editable install takes Python edits live; the core and the presets are built in, so a change of them installs again.
$(VENV)/installed: $(VENV)/tools $(NATIVE) $(wildcard configs/*.toml)
	@echo "== package: building the native core"
	$(PIP) install --quiet --constraint constraints-dev.txt --no-build-isolation --editable .
	@touch $@

# torch first: a peer would pull a far larger build of it. A peer that cannot be installed becomes a row that says so.
$(BENCH)/peers: benchmarks/requirements.txt
	@echo "== environment: $(BENCH) with the peers"
	$(PYTHON) -m venv --clear $(BENCH)
	$(BENCH_PIP) torch==2.13.0 || echo "torch cannot be installed: the rows that need it will say so"
	grep -v '^#' $< | while read -r peer; do $(BENCH_PIP) "$$peer" || echo "$$peer cannot be installed: its rows will say so"; done
	@touch $@
