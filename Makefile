# Two commands do everything: `make demo` and `make test`. They need Python >= 3.11 and nothing else.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
LOCKED := pyproject.toml uv.lock scripts/setup
# Two of anything: that is what the smallest machine we test on has.
PYTEST_ARGS ?= -n 2 --dist loadfile

.PHONY: help demo test lint smells docs bench-short clean

help: ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: .make/run ## install into .venv and run the whole story in under a minute
	@$(BIN)/jittrust demo

test: .make/dev .make/npm .make/claude ## install what the tests need; lint, types, tests
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: .make/dev ## ruff, formatting, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@NO_COLOR=1 $(BIN)/lint-imports --no-logo

smells: .make/dev ## long functions, many arguments, long files: reported, never failing
	@$(BIN)/ruff check src --select C901,PLR0904,PLR0911,PLR0912,PLR0913,PLR0915 --ignore-noqa --exit-zero --output-format concise
	@find src -name '*.py' -exec wc -l {} + | awk '$$2 != "total" && $$1 > 400 {print $$2 ": " $$1 " lines"}'

bench-short: .make/bench ## latency and throughput of a call: direct, through jittrust, through another proxy
	@$(BIN)/python -m bench gateway --json --seconds 1 --rounds 1

docs: .make/dev ## rewrite the pages that are made from the code
	@$(BIN)/python scripts/docs.py

clean: ## remove the environment and everything that was made
	@rm -rf .venv .make .tests dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.make/run .make/dev .make/bench: .make/%: $(LOCKED)
	@mkdir -p .make
	@scripts/setup $*
	@touch $@

.make/npm: tests/npm/package.json tests/npm/package-lock.json scripts/setup | .make/dev
	@scripts/setup npm
	@touch $@

# Made anew the next time where it could not be had; the test then says so.
.make/claude: tests/claude/requirements.txt scripts/setup | .make/dev
	@if scripts/setup claude; then touch $@; fi
