# Two commands on a fresh machine: `make demo` and `make test`. Each target sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= auto
SECONDS ?= 300
DATA ?= $(CARTO_AUDIT_DATA)
BIN := $(VENV)/bin
BENCHES := $(patsubst bench/%/run.py,bench.%.run,$(sort $(wildcard bench/*/run.py)))
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-long test-integrations lint format bench bench-detection fuzz pictures sbom wheel clean

demo: $(VENV)/.installed  ## audit a vendor batch with planted risks, end to end
	$(BIN)/carto-audit demo --out demo

test: $(VENV)/.dev  ## the test suite, on every core
	$(BIN)/python -m pytest -m "not long and not integration" --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal

test-long: $(VENV)/.dev  ## the tests that take long, each more than half a minute
	$(BIN)/python -m pytest -m "long and not integration" --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal

test-integrations: $(VENV)/.integrations  ## remote deliveries against servers on loopback, and Ray on this machine
	$(BIN)/python -m pytest tests/integrations

lint: $(VENV)/.dev  ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev  ## every benchmark prints its figures; DATA is the folder that bench/README.md describes
	for script in $(BENCHES); do $(BIN)/python -m $$script $(if $(DATA),--data "$(DATA)") || exit 1; done

bench-detection: $(VENV)/.dev  ## does the audit see what leaks? A reduced table in under 20 minutes on 2 cores
	$(BIN)/python -m bench.detection.run --quick $(if $(DATA),--data "$(DATA)")

fuzz: $(VENV)/.fuzz  ## damaged files of every kind, so many SECONDS of each
	$(BIN)/python -m tests.fuzz.run all --seconds $(SECONDS)

pictures: $(VENV)/.dev  ## the pictures of the README, of the demo that `make demo` left; needs Chromium
	$(BIN)/python docs/pictures.py demo/vendor_batch-audit

sbom: $(VENV)/.installed  ## sbom.json: what is installed, as CycloneDX 1.6
	$(PYTHON) -m venv $(VENV)/sbom
	$(VENV)/sbom/bin/python -m pip install --quiet --disable-pip-version-check "cyclonedx-bom>=7,<8"
	$(VENV)/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON --output-file sbom.json $(BIN)/python

docs/commands.md: $(VENV)/.installed carto_audit/cli/*.py  ## the reference of commands, made of their own help
	$(BIN)/python -m carto_audit.cli.reference $@

docs/architecture.md: docs/architecture.py $(shell find carto_audit -name "*.py")  ## the page of wings and modules, made of their own first lines
	$(PYTHON) docs/architecture.py $@

wheel: $(VENV)/.installed
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis sbom.json

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(INSTALL) --editable '.[dev]'
	touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	$(INSTALL) --editable '.[fuzz]'
	touch $@

$(VENV)/.integrations: $(VENV)/.dev
	$(INSTALL) --editable '.[integrations,ray]'
	touch $@
