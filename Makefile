# make demo    install, run the demonstration, say where its report is
# make demo-images   the same for images: config/examples/images.yaml
# make demo-eeg      the same for EEG: config/examples/eeg.yaml
# make test    install with the tools for development, run the tests on CORES cores
# make test-slurm   the workflow on a SLURM of one node: root, and Debian's packages of SLURM
# make lint    formatting, types, import contract, workflow
# make lock    write requirements.lock: every dependency with the hashes of its files, but for torch
# make locked  install what the lock holds and nothing else; what comes after it finds that there
# make audit   known weaknesses of what the lock and the constraints hold; asks a service on the internet
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
LOCK := requirements.lock
TORCH := torch triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
  nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
  nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

.DELETE_ON_ERROR:
.PHONY: demo demo-images demo-eeg test test-slurm lint format schema lock locked audit clean help

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
	OMP_NUM_THREADS=1 python -m pytest -n $(CORES) --dist worksteal $(PYTEST_ARGS)

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

# torch is left out with the libraries that only it brings: its builds for a CPU and for each CUDA are other
# files with other hashes, and which one is right depends on the machine.
lock: $(VENV)/release.stamp
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --constraints constraints.txt --extra demo --extra dev --extra slurm \
	  $(addprefix --no-emit-package ,$(TORCH)) --custom-compile-command "make lock" --output-file $(LOCK) pyproject.toml

locked: $(VENV)/locked.stamp

# Strict: a mirror that knows of no advisories would otherwise pass for a clean bill.
audit: $(VENV)/release.stamp
	pip-audit --strict --progress-spinner off --disable-pip --require-hashes --requirement $(LOCK)
	pip-audit --strict --progress-spinner off --disable-pip --no-deps --requirement constraints.txt

clean:
	rm -rf $(VENV) results/demo results/images results/eeg build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -13

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

$(VENV)/locked.stamp: $(LOCK) | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --require-hashes --no-deps -r $(LOCK)
	@touch $@

$(VENV)/release.stamp: $(INSTALLED) | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt pip-audit uv
	@touch $@

$(VENV)/slurm.stamp: $(INSTALLED) | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[demo,slurm]'
	@touch $@
