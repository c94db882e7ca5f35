# make sweep   sets up, and runs the quickstart sweep
# make test    sets up with the test extras, and runs the tests
# make test-all   the same, and those that take minutes each: before a release, and after a change of what they are about
# make quick   the same, without the tests that take seconds each: for a change under way
# make check   checks format, lint, types and import contracts
# make image   builds the container image infomax-tune, with docker, podman or buildah (docs/containers.md)
# make clean   removes the environment, and keeps the results
# Setting up needs Python >= 3.10 (to choose one: PYTHON=python3.12 make ...) and a package index. It is repeated only
# when pyproject.toml or constraints.txt changes.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CLUSTER := $(VENV)/cluster
# each process that a test starts would compile the sources again if none were allowed to keep what it compiled
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
# pip would compile with one core, and what is never or seldom imported too; some files are templates and no Python
COMPILE := @$(BIN)/python -m compileall -q -j 0 -x '/(tests|databricks|debugpy|mlflow|moto|pip|setuptools|sympy)/' $(VENV)/lib $(CLUSTER)/lib >/dev/null 2>&1 || true

.PHONY: sweep test test-all quick check image clean
.DELETE_ON_ERROR:

sweep: $(VENV)/.installed
	$(BIN)/infomax-tune sweep quickstart

# All tests of a file run in one process. Each sweep starts its own Ray, so two do not meet. Three processes: on few cores
# tests wait for each other's Ray, on many cores more could need more memory than there is.
test: $(VENV)/.installed-test
	$(PYTEST) --durations 10 -m 'not long' $(PYTEST_ARGS)

test-all: $(VENV)/.installed-test
	$(PYTEST) --durations 30 $(PYTEST_ARGS)

quick: $(VENV)/.installed-test
	$(PYTEST) --quiet -m 'not slow and not long' $(PYTEST_ARGS)

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Without CUDA. For CUDA: IMAGE_ARGS='--build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130'
# docker counts only if its engine answers: many machines have only its client.
image:
	@if docker version >/dev/null 2>&1; then build='docker build'; \
	elif command -v podman >/dev/null; then build='podman build'; \
	elif command -v buildah >/dev/null; then build='buildah build'; \
	else echo "make image needs docker with a running engine, podman or buildah." >&2; exit 1; fi; \
	set -x; $$build --file docker/Dockerfile --tag infomax-tune $(IMAGE_ARGS) .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "infomax-tune needs Python >= 3.10; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12" >&2; exit 1; }
	@# Debian's python3 has no pip for its venv module; virtualenv brings its own
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV) && $(PYTHON) -m pip install --user virtualenv && $(PYTHON) -m virtualenv $(VENV); }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV). This takes a few minutes: PyTorch alone is about 5 GB."
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable .
	$(COMPILE)
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV), with what the tests need. This takes a few minutes: PyTorch alone is about 5 GB."
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[test]'
	@# The packages of Ray's dashboard, for the tests of docker/. They have a separate environment, which borrows the other
	@# packages. Otherwise, every Ray that a test starts would also start the dashboard's servers.
	$(BIN)/python -m venv --without-pip $(CLUSTER)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >$$(echo $(CLUSTER)/lib/python3*/site-packages)/borrowed.pth
	$(BIN)/python -m pip --python $(CLUSTER)/bin/python install --quiet --no-compile --constraint constraints.txt 'ray[default]'
	$(COMPILE)
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV)
