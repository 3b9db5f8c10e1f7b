# make demo    install, run the demonstration, say where its report is
# make demo-images   the same for images: config/examples/images.yaml
# make demo-eeg      the same for EEG: config/examples/eeg.yaml
# make test    install with the tools for development, run the tests
# make test-slurm   the workflow on a SLURM of one node: root, and Debian's packages of SLURM
# make lint    formatting, types, import contract, workflow
# make clean   remove what these made (results/demo, results/images, results/eeg too)
#
# PIP_ARGS reaches every pip install. On Linux without a GPU this saves some gigabytes:
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
CORES ?= 2
PIP_ARGS ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
REPORT := $(CURDIR)/results/demo/report/index.html
IMAGES_REPORT := $(CURDIR)/results/images/report/index.html
EEG_REPORT := $(CURDIR)/results/eeg/report/index.html
export PATH := $(BIN):$(PATH)
INSTALLED := pyproject.toml constraints.txt

.DELETE_ON_ERROR:
.PHONY: demo demo-images demo-eeg test test-slurm lint format schema clean help

demo: $(VENV)/demo.stamp
	snakemake --cores $(CORES)
	@echo
	@echo "The report of the demonstration:"
	@echo "  $(REPORT)"
	@echo "  file://$(REPORT)"

demo-images: $(VENV)/demo.stamp
	snakemake --cores $(CORES) --configfile config/examples/images.yaml
	@echo
	@echo "The report of the demonstration with images:"
	@echo "  $(IMAGES_REPORT)"
	@echo "  file://$(IMAGES_REPORT)"

demo-eeg: $(VENV)/demo.stamp
	snakemake --cores $(CORES) --configfile config/examples/eeg.yaml
	@echo
	@echo "The report of the demonstration with EEG:"
	@echo "  $(EEG_REPORT)"
	@echo "  file://$(EEG_REPORT)"

test: $(VENV)/dev.stamp
	python -m pytest $(PYTEST_ARGS)

test-slurm: $(VENV)/slurm.stamp
	python tests/slurm/run.py

lint: $(VENV)/dev.stamp
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check --line-length 110 Snakefile workflow/rules
	python workflow/lint.py
	hadolint workflow/containers/Dockerfile
	neuroalign schema --check workflow/schemas/config.schema.json

format: $(VENV)/dev.stamp
	ruff check --fix .
	ruff format .
	snakefmt --line-length 110 Snakefile workflow/rules

schema: $(VENV)/dev.stamp
	neuroalign schema > workflow/schemas/config.schema.json

clean:
	rm -rf $(VENV) results/demo results/images results/eeg build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -10

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "neuroalign needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(INSTALLED) | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/dev.stamp: $(INSTALLED) | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[demo,dev]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/slurm.stamp: $(INSTALLED) | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[demo,slurm]'
	@touch $@
