# Run `make` for the list of targets. All paths are relative, so the folder may be called anything, spaces included.

PYTHON ?= python3
# Options for nox, for example: make test NOXFLAGS='-s tests -- -k retry'
NOXFLAGS ?=
# Options for the demo, for example: make demo DEMOFLAGS='--mode resume'
DEMOFLAGS ?=
# Builds and downloads that all checkouts share: the Collector, Prometheus, environments of tests.
CACHES := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/otel-claude-stream

DEMO := .venv/bin/python
TOOLS := .venv-tools/bin/python
NOX := $(TOOLS) -m nox

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-rest lint types collector bench bench-collector docs dashboards
.PHONY: dashboards-live pictures page release-check clean clean-caches
SHELL := /bin/sh

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 20

demo: .venv/installed ## install into .venv and run the demo: no account, no collector
	@.venv/bin/otel-claude-stream demo $(DEMOFLAGS)

# The checks run in parallel, and nox prints the output of each at its end. The suite uses all processors itself.
test: .venv-tools/installed ## run the checks and the tests that need Python alone
ifdef NOXFLAGS
	@$(NOX) $(NOXFLAGS)
else
	@$(NOX) --parallel 2 --allow-parallel --tags check; code=$$?; \
	    $(NOX) --no-dependencies -s 'tests(newest)' || code=$$?; exit $$code
endif

test-all: .venv-tools/installed ## run everything that CI runs: also oldest versions, Collector, dashboards, proxies
	@$(NOX) --tags test rest $(NOXFLAGS)

test-rest: .venv-tools/installed ## run what test-all adds to test
	@$(NOX) --tags rest $(NOXFLAGS)

lint: .venv-tools/installed ## check style, formatting, spelling and the layers of imports
	@$(NOX) -s lint imports

types: .venv-tools/installed ## check types with mypy and pyright
	@$(NOX) -s types

collector: ## find or build the real Collector, and print its path
	@"$(PYTHON)" collector/build.py

release-check: .venv-tools/installed ## check a release: equal builds, installations, licences; with FINAL=1 all a tag needs
	@$(NOX) -s release-check -- $(if $(FINAL),--final)

bench: .venv-tools/installed ## measure the overhead; with PLOT=1 count instructions and draw them, with PEERS=1 time others
	@$(NOX) -s bench -- $(if $(PLOT),--plot) $(if $(PEERS),--peers)

bench-collector: .venv-tools/installed ## measure the Collector's gateway
	@$(NOX) -s bench-collector

docs: .venv-tools/installed ## build the documentation into build/docs, and generate the JSON Schema
	@$(NOX) -s docs -- generate

dashboards: .venv-tools/installed ## generate the dashboards, the rules and the alerts
	@$(NOX) -s draw

dashboards-live: .venv-tools/installed ## show the dashboards in a browser, with a real Prometheus; needs Node
	@$(NOX) -s dashboards-live

pictures: .venv-tools/installed ## take the pictures of the dashboards for README and runbook; needs Node and Chromium
	@$(NOX) -s draw -- pictures

page: ## build the page of the report from its sources; needs Node
	@cd src/otel_claude_stream/cli/view/web && npm ci --silent --no-audit --no-fund && npm run --silent check && npm run --silent build

clean: ## remove environments, caches and results from this folder
	rm -rf .venv .venv-tools .nox build dist docs/_pages .coverage .coverage.* htmlcov
	rm -rf src/otel_claude_stream/cli/view/web/node_modules
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -d "$(CACHES)" ]; then \
	    echo "make: builds for all checkouts stay in $(CACHES) ($$(du -sh "$(CACHES)" | cut -f1))"; \
	    echo "make: make clean-caches removes them; uv and Go have others (uv cache dir, go env GOCACHE GOMODCACHE)"; \
	fi

clean-caches: clean ## clean, and remove the builds that all checkouts share, so that the next test-all compiles again
	rm -rf "$(CACHES)"

# Create the virtual environment $(1) unless it exists. Debian has ensurepip in a separate package.
define make_venv
	@if ! $(1)/bin/python -m pip --version >/dev/null 2>&1; then \
	    "$(PYTHON)" -c pass >/dev/null 2>&1 || { \
	        echo "make: $(PYTHON) does not run; install Python 3.10 or newer, or choose one: make PYTHON=..." >&2; exit 1; }; \
	    "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	        echo "make: $(PYTHON) is older than 3.10; choose a newer one: make PYTHON=..." >&2; exit 1; }; \
	    if ! "$(PYTHON)" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	        if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	            echo "make: installing python3-venv"; \
	            apt-get update -qq && \
	            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
	        fi; \
	        "$(PYTHON)" -c 'import ensurepip, venv' >/dev/null 2>&1 || { \
	            echo "make: $(PYTHON) cannot create virtual environments; install the package python3-venv" >&2; exit 1; }; \
	    fi; \
	    echo "make: creating $(1)"; \
	    rm -rf $(1) && "$(PYTHON)" -m venv $(1); \
	fi
endef

# An editable installation, so that the demo runs the current sources. A changed pyproject.toml installs it again.
.venv/installed: pyproject.toml
	$(call make_venv,.venv)
	@echo "make: installing otel-claude-stream into .venv"
	@$(DEMO) -m pip install --quiet --disable-pip-version-check -e '.[all,instruments]'
	@touch $@

.venv-tools/installed: pyproject.toml
	$(call make_venv,.venv-tools)
	@echo "make: installing nox into .venv-tools"
	@$(TOOLS) -m pip install --quiet --disable-pip-version-check --upgrade 'nox[uv] >= 2026.8.10'
	@touch $@
