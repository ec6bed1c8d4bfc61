# Two commands do everything on a fresh machine: `make demo` and `make test`. They need Python 3.11+, make and a package registry.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(BIN)/python -m processors.dev.compiled
STAMP := $(VENV)/.installed-dev
DEMO_ARGS ?=
PROMETHEUS ?= http://127.0.0.1:9090
ARGS ?=

.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-18s %s\n", $$1, $$2}'

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Salespulse needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: $(STAMP)  ## the environment, from the lock file

demo: $(STAMP)  ## everything on this machine: broker, Redis, worker, board and a simulated sales team (DEMO_ARGS="--seconds 30")
	@$(BIN)/salespulse demo $(DEMO_ARGS)

compile: $(STAMP)  ## compile the core to machine code: optional, needs a C compiler; `make pure` removes it
	@$(CORE)

pure: $(STAMP)  ## back to the core in pure Python
	@$(CORE) --remove

test: $(STAMP)  ## unit, property and integration tests on the embedded broker and a real Redis server
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not browser" $(ARGS)

test-compiled: compile  ## the core's tests and property tests on the compiled core
	$(BIN)/python -m pytest -n 2 tests/core tests/property tests/agents -m "not slow" $(ARGS)

test-kafka: $(STAMP)  ## the integration tests on Apache Kafka (needs Java 17 and Maven)
	@command -v mvn >/dev/null && command -v java >/dev/null || { echo "make test-kafka needs Java 17 and Maven (mvn) on PATH: install them, or run make test" >&2; exit 1; }
	SALESPULSE_TEST_BROKER=kafka $(BIN)/python -m pytest tests/integration tests/apache_kafka tests/hostile tests/kafka/test_topics.py tests/commands/test_check.py -m "not slow and not browser" $(ARGS)

test-hostile: $(STAMP)  ## a million hostile records through a worker, on the embedded broker and on Apache Kafka (needs Java 17 and Maven)
	SALESPULSE_HOSTILE_RECORDS=1000000 $(BIN)/python -m pytest -n 0 tests/hostile $(ARGS)
	SALESPULSE_TEST_BROKER=kafka SALESPULSE_HOSTILE_RECORDS=1000000 $(BIN)/python -m pytest -n 0 tests/hostile $(ARGS)

test-chaos: $(STAMP)  ## campaigns of faults on three brokers, three workers, Redis, board and notifier (ARGS="--campaigns 20 --seed 1")
	@command -v mvn >/dev/null && command -v java >/dev/null || { echo "make test-chaos needs Java 17 and Maven (mvn) on PATH" >&2; exit 1; }
	$(BIN)/python -m tests.chaos $(ARGS)

test-browser: $(STAMP)  ## the live page in headless Chromium (needs chromium on PATH)
	@command -v chromium >/dev/null || { echo "make test-browser needs chromium on PATH" >&2; exit 1; }
	$(BIN)/python -m pytest tests/browser $(ARGS)

test-long: $(STAMP)  ## the long forms: 20,000 property examples, a simulated month of a million events, many kills
	SALESPULSE_LONG=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not browser" $(ARGS)

check: $(STAMP)  ## formatting, lint, types, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/salespulse schemas --check
	$(BIN)/python -m docs.build --check
	$(BIN)/python -m grafana.build --check

format: $(STAMP)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: $(STAMP)  ## generate schemas/json from the contract
	$(BIN)/salespulse schemas

docs: $(STAMP)  ## generate docs/semantics.md from the rule table and the tests, docs/openapi.json from the API
	$(BIN)/python -m docs.build

dashboards: $(STAMP)  ## generate grafana/dashboards
	$(BIN)/python -m grafana.build

dashboards-preview: $(STAMP) grafana/preview/dist/preview.js  ## pictures of the dashboards from a running Prometheus; a preview, not Grafana (needs Node and chromium)
	$(BIN)/python -m grafana.draw --prometheus $(PROMETHEUS) $(ARGS)

grafana/preview/dist/preview.js: grafana/preview/package-lock.json $(wildcard grafana/preview/src/*)
	@command -v npm >/dev/null || { echo "make dashboards-preview needs Node 20 or newer (npm) on PATH" >&2; exit 1; }
	cd grafana/preview && npm ci --legacy-peer-deps --ignore-scripts --no-audit --no-fund && npm run --silent bundle

slim-lock: $(STAMP)  ## shorten npm's lock of the preview to one line a package
	$(BIN)/python -m docs.compact_json grafana/preview/package-lock.json

bench: $(STAMP)  ## throughput and latency, end to end, beside a naive agent and the ceiling
	@if command -v cc >/dev/null; then $(CORE); else echo "no C compiler: this measures the core in pure Python" >&2; fi
	$(BIN)/python -m benchmarks.throughput $(ARGS)
	$(BIN)/python -m benchmarks.latency $(ARGS)

SBOM := build/sbom
build/sbom/.installed: requirements/sbom.lock
	$(PYTHON) -m venv $(SBOM)
	$(SBOM)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sbom.lock
	@touch $@

sbom: $(SBOM)/.installed  ## build/sbom.cdx.json: third-party contents of the image, with hashes (CycloneDX)
	$(SBOM)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible -o build/sbom.cdx.json requirements/runtime.lock
	@echo "wrote build/sbom.cdx.json"

lock:  ## compile the lock files again (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements/runtime.lock pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra dev -c requirements/runtime.lock -o requirements/dev.lock pyproject.toml
	echo mypy | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements/dev.lock -o requirements/compile.lock -
	echo cyclonedx-bom | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements/sbom.lock -

clean:  ## remove build products
	rm -rf $(VENV) *__mypyc.*.so processors/core/*.so processors/core/*/*.so processors/core/compiled.sha256 build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/apache_kafka/target

.PHONY: help install demo compile pure test test-compiled test-kafka test-hostile test-chaos test-browser test-long check format schemas docs dashboards dashboards-preview slim-lock bench sbom lock clean
