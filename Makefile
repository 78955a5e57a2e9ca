# The verbs. Each prepares what it needs; none needs another to have run before.
.DEFAULT_GOAL := help
.PHONY: help up down demo-alert test check format bench docs clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

# One environment for everything; made again when what goes into it has changed.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[exporter,stack,dev]'
	@# What is installed from a checkout is not compiled by pip, and compiling takes memory at run time.
	@$(BIN)/python -m compileall -q exporter instrumentation stack
	@touch $@

up: $(VENV)/installed  ## Run the stack on this machine until Ctrl-C; prepares all it needs.
	@$(BIN)/gnomon up

demo-alert: $(VENV)/installed  ## Beside a running stack: one alert's way from this host to a receiver.
	@$(BIN)/gnomon demo-alert

down:  ## Stop the stack that runs in this checkout.
	@test ! -x $(BIN)/gnomon || $(BIN)/gnomon down

test: $(VENV)/installed  ## Run the tests against the real servers that are installed.
	$(BIN)/pytest

check: $(VENV)/installed  ## Formatting, lint and types, as CI checks them.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(VENV)/installed  ## Format the code and mend what lint can mend.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:  ## Remove the environment and all caches (the stack's data under .stack/ stays).
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
