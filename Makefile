# The verbs. Each prepares what it needs; none needs another to have run before.
.DEFAULT_GOAL := help
.PHONY: help up down demo-alert alert-config test-notification rules slo dashboards test check format bench trial rules-cost docs clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

help:  ## Show this list.
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z -]+):.*## (.*)/  make \1\t\2/' | expand -t 26

# One environment, in steps: what runs, the demo, what tests and checks them. Each is made again when
# what goes into it has changed. GNOMON_DEMO=off leaves out the demo and the packages that it
# needs, which are most of all.
$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Preparing $(VENV), once …"
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) -e '.[exporter,stack,console]'
	@# pip does not compile what it installs from a checkout; compiling at run time takes memory.
	@$(BIN)/python -m compileall -q exporter instrumentation console demo grafana stack
	@touch $@

$(VENV)/with-demo: $(VENV)/installed
	@echo "Adding the demo to $(VENV), once …"
	@$(INSTALL) -e '.[exporter,stack,console,demo]'
	@touch $@

$(VENV)/tested: $(VENV)/with-demo
	@echo "Adding what the tests and checks need to $(VENV), once …"
	@$(INSTALL) -e '.[exporter,stack,console,demo,dev]'
	@touch $@

up: $(VENV)/installed $(if $(filter off OFF Off,$(GNOMON_DEMO)),,$(VENV)/with-demo)  ## Run the stack on this machine until Ctrl-C; prepares all it needs.
	@$(BIN)/gnomon up

demo-alert: $(VENV)/installed  ## Beside a running stack: one alert's way from this host to a receiver.
	@$(BIN)/gnomon demo-alert

alert-config: $(VENV)/installed  ## Put into force who is told of alerts (alerting.yml).
	@$(BIN)/gnomon alert-config

test-notification: $(VENV)/installed  ## Send one message: RECEIVER=slack, email, critical, …
	@$(BIN)/gnomon test-notification "$(RECEIVER)"

down:  ## Stop the stack that runs in this checkout.
	@test ! -x $(BIN)/gnomon || $(BIN)/gnomon down

test: $(VENV)/tested  ## Run the tests against the real servers that are installed.
	@# Most of them wait for servers, so three at a time suit two processors.
	$(BIN)/pytest -n 3

check: $(VENV)/tested  ## Formatting, lint and types, as CI checks them.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/mypy tests/typing

BENCHES := scrape_cost all_collectors request_overhead usage_cost functions queries console

bench: $(VENV)/tested  ## What it all costs, beside node_exporter (Debian: prometheus-node-exporter) and others.
	@# All are shown; it fails if one is over its budget.
	@status=0; for bench in $(BENCHES); do \
	  PYTHONPATH=tests $(BIN)/python bench/$$bench.py || status=1; \
	done; exit $$status

trial: $(VENV)/with-demo  ## 20 minutes without a false alarm, then each fault named in time; 90 minutes.
	@$(BIN)/python bench/trial.py

rules-cost: $(VENV)/tested  ## What the rules cost with 100 hosts and 50 services; six minutes.
	@PYTHONPATH=tests $(BIN)/python bench/rules_cost.py

bench-suites: $(VENV)/tested  ## Starlette's and FastAPI's own tests, with the library around every application.
	@$(BIN)/python bench/suites.py

dashboards: $(VENV)/installed  ## Make grafana/dashboards/ from its builders and thresholds.yml.
	@$(BIN)/gnomon dashboards

rules slo: $(VENV)/installed  ## Make the rules that come from prometheus/thresholds.yml and prometheus/slo/.
	@$(BIN)/gnomon rules

docs: $(VENV)/tested  ## Write docs/metrics.md from the collectors.
	PYTHONPATH=tests:tests/exporter $(BIN)/python tests/exporter/metrics_page.py

format: $(VENV)/tested  ## Format the code and mend what lint can mend.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:  ## Remove the environment and all caches (the stack's data under .stack/ stays).
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
