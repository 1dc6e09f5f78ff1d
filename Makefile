# Each target works alone as the first command after a clone: it makes .venv, installs and compiles what is missing.
# Needs Python 3.11 or later, gcc and make; another Python than python3: make PYTHON=python3.12 demo

PYTHON ?= python3
BIN := .venv/bin
ROOMS := core dispatcher fastpath gateway ledger senders tidings tests $(wildcard bench) setup.py
BUILT_FROM := pyproject.toml setup.py $(wildcard proto/tidings/v1/*.proto fastpath/*.pyx fastpath/*.pxd)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo up test lint chaos flood bench load build lock clean
.DELETE_ON_ERROR:

help: ## Show this
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.ready ## Start everything, send one notification per provider, show what became of them, stop
	@$(BIN)/tidings demo $(ARGS)

up: .venv/.ready ## Start everything and stay up until Ctrl-C
	@$(BIN)/tidings up $(ARGS)

test: .venv/.ready ## Run all tests; some of them: make test ARGS="tests/unit -k router"
	$(BIN)/pytest -n 2 $(ARGS)

lint: .venv/.ready ## Run all linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(ROOMS)
	cd proto && ../$(BIN)/buf lint
	@! git ls-files -- '*_pb2*' 2>/dev/null | grep . || { echo 'Generated stubs must not be committed (the lines above)'; exit 1; }

N ?= 20000
chaos: .venv/.ready ## Kill, pause and starve everything while N notifications flow, then reconcile: make chaos N=20000 SEED=7
	@$(BIN)/python -m tests.chaos --count $(N) $(if $(SEED),--seed $(SEED)) $(ARGS)

flood: .venv/.ready ## Offer ten times what can be delivered for a minute: sums, memory, critical p99: make flood ARGS="--seconds 20"
	@$(BIN)/python -m tests.flood $(ARGS)

bench: .venv/.ready ## Run the benchmarks, bench/README.md; one of them, small: make bench ARGS="priority --quick"
	$(BIN)/python -m bench $(ARGS)

LOAD ?= --headless --only-summary -u 20 -r 10 -t 1m
load: .venv/.ready .venv/load/.installed ## Let Locust send to a running `make up`; with its web page: make load LOAD=
	PYTHONPATH=.:$(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
	  .venv/load/bin/locust -f bench/locustfile.py $(LOAD) $(ARGS)

build: ## Make the stubs and native modules again
	@rm -f .venv/.ready
	@$(MAKE) --no-print-directory .venv/.ready

lock: .venv/.installed ## Write requirements.lock anew from pyproject.toml
	$(BIN)/pip install -q uv
	@echo '# Made by `make lock` from pyproject.toml, for every platform; no edits by hand.' > requirements.lock
	$(BIN)/uv pip compile -q --universal --upgrade --python-version 3.11 --all-extras --no-header --no-annotate pyproject.toml >> requirements.lock

clean: ## Remove everything that the build and the tools made
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/acceptance/node/node_modules
	rm -f tidings/v1/*_pb2* fastpath/*.c fastpath/*.so fastpath/*.html
	find $(filter-out setup.py,$(ROOMS)) -name __pycache__ -prune -exec rm -rf {} +

.venv/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'tidings needs Python 3.11 or later; name one: make PYTHON=/path/to/python3.12'; exit 1; }
	@echo 'Installing into .venv (the first time takes a minute) ...'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --no-deps --no-compile -r requirements.lock
	@touch $@

.venv/load/.installed: bench/requirements-locust.txt .venv/.installed
	@$(BIN)/python -m venv .venv/load
	@.venv/load/bin/pip install -qq -r bench/requirements-locust.txt
	@touch $@

.venv/.ready: .venv/.installed $(BUILT_FROM)
	@echo 'Building stubs and native modules ...'
	@$(BIN)/pip install -qq --no-deps --no-build-isolation -e .
	@touch $@
