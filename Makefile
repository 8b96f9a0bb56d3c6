# make demo   install undark and show what it does
# make test   install what the tests need and run them all
# make check  what CI runs: lint, types, tests
# make dist   the wheel and the sdist

VENV := .venv
PYTHON := $(VENV)/bin/python
UV := $(VENV)/bin/uv
INSTALL := $(UV) pip install --quiet --python $(PYTHON) --constraint constraints.txt

# Ray starts workers for all CPUs; processes that crash took pytest's own with them
ALONE := tests/test_cluster.py tests/test_raw_worker.py

.PHONY: demo test check lint types dist clean

demo: $(VENV)/core
	$(VENV)/bin/undark demo --overwrite

test: $(VENV)/dev
	$(PYTHON) -m pytest --numprocesses auto --durations 15 $(ALONE:%=--ignore=%)
	$(PYTHON) -m pytest $(ALONE)

check: lint types test

lint: $(VENV)/dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/dev
	$(VENV)/bin/mypy

# A wheel and an sdist, from a copy without old ones; CONTRIBUTING.md has the release
dist: $(VENV)/dev
	rm -rf dist
	$(PYTHON) -m build
	@test -z "$$(find dist -name '*.whl' -size +30000k)" || { echo "the wheel is above 30 MB"; exit 1; }

$(UV):
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet uv

$(VENV)/core: $(UV) pyproject.toml constraints.txt
	$(INSTALL) --editable .
	touch $@

$(VENV)/dev: $(VENV)/core
	$(INSTALL) --editable '.[train,fastai,tune,evaluate,openvino,cluster,export,desk]' --group dev
	touch $@

clean:
	rm -rf $(VENV) demo
