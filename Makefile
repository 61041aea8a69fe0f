# make sweep   a first table and a first picture
# make test    linter, type checker and tests
# make gpu-program   every engine compiled for an H100, without one
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHON ?= python3
EXPERIMENT ?= order_to_chaos
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help sweep test test-slow test-cluster test-browser test-kill benchmark performance gpu-program clean

help:
	@grep -E '^# make' Makefile

# Each of these files says that an installation is there; it is made again when what is to be installed has changed.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/installed-tests: .venv/installed
	$(INSTALL) --editable '.[dev]'
	touch $@

sweep: .venv/installed
	@run=$$($(BIN)/python -m sweeps.run experiment=$(EXPERIMENT) | tail -n 1)
	picture=$$($(BIN)/python -m analysis.phase_diagram "$$run" | tail -n 1)
	echo "table:   $$run/cells"
	echo "picture: $$picture"

test: .venv/installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/pytest

# The checks that take minutes: the Monte Carlo, the article's networks at full length, memory.
test-slow: .venv/installed-tests
	$(BIN)/pytest -m slow

# On a Slurm of one node that is installed and started for it: as root, on Debian.
test-cluster: .venv/installed-tests
	$(BIN)/pytest -m slurm tests/cluster

# The explorer in Debian's chromium (apt-get install chromium).
test-browser: .venv/installed-tests
	$(BIN)/pytest -m browser tests/browser

# A sweep killed a hundred times.
test-kill: .venv/installed-tests
	$(BIN)/pytest -m kill tests/test_kill.py

# Network-steps per second beside the rivals.
benchmark: .venv/installed-tests
	$(BIN)/python -m benchmarks.throughput

# The same kept as tables, with the data and figures of docs/performance.md; half an hour on a machine left alone.
performance: .venv/installed-tests
	$(BIN)/python -m benchmarks.throughput --write benchmarks/results/throughput.csv | tee benchmarks/results/throughput.txt
	$(BIN)/python -m benchmarks.scaling --write benchmarks/results/scaling.csv
	$(BIN)/python -m benchmarks.figures

# Every engine compiled for an H100 on a machine without a GPU, into docs/gpu_program.md. An environment of its own, of
# 1.3 GB: JAX's plugin for NVIDIA, of the version of jax, and NVIDIA's ptxas.
JAX := $(shell sed -n 's/^jax==//p' constraints.txt)

.venv-gpu/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . \
	    jax-cuda13-plugin==$(JAX) jax-cuda13-pjrt==$(JAX) 'nvidia-cuda-nvcc==13.0.*'
	touch $@

gpu-program: .venv-gpu/installed
	@PATH="$$(dirname "$$(find "$$PWD/.venv-gpu" -name ptxas | head -n 1)"):$$PATH"
	.venv-gpu/bin/python -m benchmarks.gpu_program

clean:
	rm -rf .venv .venv-gpu
