PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RELAY := gate/mitosis_gate/relay/_compiled.abi3.so
export PYTHONPATH :=

.PHONY: help
help: ## Say what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/.ready: requirements/dev.lock pyproject.toml scripts/setup.py
	$(PYTHON) scripts/setup.py
	@touch $@

$(RELAY): $(wildcard gate/mitosis_gate/relay/*.[ch]) scripts/compiled_part.py $(BIN)/.ready
	@$(BIN)/python scripts/compiled_part.py

.PHONY: setup
setup: $(BIN)/.ready $(RELAY) ## Make the Python environment from the lock files

.PHONY: machine
machine: setup ## Install what this machine lacks, or say what it lacks
	@$(BIN)/python -m mitosis_local prerequisites
	@test -e $(RELAY) || $(BIN)/python scripts/compiled_part.py

.PHONY: demo
demo: setup ## From nothing to a sharded database on a local Kubernetes; leaves it running
	@$(BIN)/python -m mitosis_local.demo

.PHONY: down
down: setup ## Take the local Kubernetes down, with everything in it
	@$(BIN)/python -m mitosis_local down

.PHONY: test
test: machine ## Every check and test, cheap ones first
	$(MAKE) check
	$(MAKE) test-unit
	$(MAKE) test-mysql
	$(MAKE) test-e2e

.PHONY: check
check: setup ## Style, types, import layers, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/lock.py --check
	$(BIN)/python scripts/generate.py --check

.PHONY: test-unit
test-unit: setup ## Tests that need neither MySQL nor a cluster
	$(BIN)/pytest -q

.PHONY: test-mysql
test-mysql: machine ## Tests with real mysqld processes
	$(BIN)/pytest -q --with-mysql -m mysql

.PHONY: test-e2e
test-e2e: machine ## Tests on the local Kubernetes; starts it when it is not there
	$(BIN)/pytest -q --with-cluster -m e2e

.PHONY: generate
generate: setup ## Write the chart's CRDs, docs/crds.md and manifests/install.yaml anew
	$(BIN)/python scripts/generate.py

.PHONY: images
images: setup ## Build the container images that changed
	@$(BIN)/python -m mitosis_local images

.PHONY: bench
bench: setup ## Measure; each benchmark prints one line of JSON last
	@set -e; for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark; done

.PHONY: lock
lock: setup ## Write the lock files anew from pyproject.toml
	$(BIN)/python scripts/lock.py
