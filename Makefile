PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install -qq --disable-pip-version-check
# Checks and tests read no .env of a developer.
TEST_ENV := ENV_FILE=tests/test.env DATABASE_URL=sqlite:///:memory:
# Some containers forbid bytecode: then each worker, and each process that a test starts, compiles all modules anew.
export PYTHONDONTWRITEBYTECODE :=
COMPOSE ?= docker compose
DOCKER_SOCKET ?= /var/run/docker.sock

.PHONY: run stack test test-local test-fast test-kubernetes demo lint clean help
.DEFAULT_GOAL := help

help:
	@echo "make run        start the platform here (first start: sets everything up)"
	@echo "make stack      the same as containers, with PostgreSQL, Redis and a registry (docker compose)"
	@echo "make demo       the image pipeline, for two platforms, shown in this terminal"
	@echo "make test       all tests, with the services they need"
	@echo "make test-local the tests that need no service: some minutes"
	@echo "make test-fast  those of them that need no database either: under a minute"
	@echo "make test-kubernetes  the tests on a Kubernetes API server (the first time builds it: 6 to 20 minutes)"
	@echo "make lint       style, types, imports, Django's checks"
	@echo "make clean      remove what can be made again (keeps .env and var/)"

run: $(VENV)/.installed
	@exec $(PY) manage.py up

stack:
	@deploy/compose/secrets.sh
	@DOCKER_SOCKET=$(DOCKER_SOCKET) DOCKER_GID=$$(stat -c %g $(DOCKER_SOCKET)) $(COMPOSE) up -d --build

demo: $(VENV)/.installed-dev
	@$(PY) -m deploy.bench prepare-demo
	@$(PY) -m deploy.bench demo -- $(PY) -m deploy.bench.show

test: $(VENV)/.installed-dev
	@$(PY) -m deploy.bench prepare
	$(PY) -m pytest -m "not kubernetes" -n 4 --dist loadfile --no-loadscope-reorder
	$(PY) -m deploy.bench with postgres redis -- $(PY) -m pytest -m core -n 4 --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/.installed-dev
	$(PY) -m pytest -p no:schemathesis -m "not rows and not real and not slow and not kubernetes" -n 2 --timeout 60

test-local: $(VENV)/.installed-dev
	$(PY) -m pytest -p no:schemathesis -m "not real and not slow and not kubernetes" -n 2 --timeout 60

test-kubernetes: $(VENV)/.installed-dev
	@$(PY) -m deploy.bench prepare
	@$(PY) -m deploy.bench prepare-kubernetes
	$(PY) -m pytest -m kubernetes

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(TEST_ENV) $(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(TEST_ENV) $(PY) manage.py check --deploy --fail-level WARNING
	$(TEST_ENV) $(PY) manage.py makemigrations --check --dry-run

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache static-collected
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "MCP Host needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo "installing requirements"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "installing requirements for development"
	@$(PIP) -r requirements-dev.txt
	@touch $@
