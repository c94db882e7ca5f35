# make sweep   set up, and run the quickstart sweep
# make test    set up with the test extras, and run all tests
# make check   lint, types and import contracts
# make image   the container image infomax-tune, with docker, podman or buildah (docs/containers.md)
# Setting up needs Python >= 3.10 (PYTHON=python3.12 make ... to choose one) and a package index; it is done again
# only when pyproject.toml or constraints.txt changed. Python compiles a module when it is first imported (--no-compile): to
# compile all 24,000 would take a minute or two, and a sweep imports a tenth of them.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CLUSTER := $(VENV)/cluster

.PHONY: sweep test check image clean
.DELETE_ON_ERROR:

sweep: $(VENV)/.installed
	$(BIN)/infomax-tune sweep quickstart

# A file a process. Each sweep starts a Ray of its own, so that two do not meet; more than four at a time would ask for
# more memory than machines with many cores have.
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 10 $(PYTEST_ARGS)

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Without CUDA; with it: IMAGE_ARGS='--build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130'
# docker is there when its engine answers; its client alone is on many machines.
image:
	@if docker version >/dev/null 2>&1; then build='docker build'; \
	elif command -v podman >/dev/null; then build='podman build'; \
	elif command -v buildah >/dev/null; then build='buildah build'; \
	else echo "make image needs docker with a running engine, podman or buildah." >&2; exit 1; fi; \
	set -x; $$build --file docker/Dockerfile --tag infomax-tune $(IMAGE_ARGS) .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "infomax-tune needs Python >= 3.10; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12" >&2; exit 1; }
	@# Debian's python3 comes without the venv module's pip: virtualenv, from pip, brings its own
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV) && $(PYTHON) -m pip install --user virtualenv && $(PYTHON) -m virtualenv $(VENV); }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV): some minutes, PyTorch alone is about 5 GB."
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV), with what the tests need: some minutes, PyTorch alone is about 5 GB."
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[test]'
	@# The packages of Ray's dashboard, which the tests of docker/ need: apart from the others, which they borrow, because
	@# with them there every Ray that a test starts would start the dashboard's servers too.
	$(BIN)/python -m venv --without-pip $(CLUSTER)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >$$(echo $(CLUSTER)/lib/python3*/site-packages)/borrowed.pth
	$(BIN)/python -m pip --python $(CLUSTER)/bin/python install --quiet --no-compile --constraint constraints.txt 'ray[default]'
	@touch $@ $(VENV)/.installed

clean: # the environment; results stay
	rm -rf $(VENV)
