# `make run` and `make test` each work as the first command on a fresh clone.
# Nothing is needed but Python (3.11 or newer), make and git.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OFFICIAL := --results leaderboard/results
INSTALL := $(PYTHON) scripts/install.py $(VENV)
PYTEST := $(BIN)/pytest -q --numprocesses auto --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-nightly docs lint format leaderboard site check-leaderboard audit official clean

help: ## Show what there is to make
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

$(BIN)/bench: pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (once) ..."
	@$(INSTALL) -e '.[pictures]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@echo "Installing what the tests need (once) ..."
	@$(INSTALL) -e '.[dev]'
	@touch $(BIN)/bench $@

run: $(BIN)/bench ## Train mlp-64 with ten seeds, score it, show where it stands
	$(BIN)/bench run --model mlp-64 --seeds 0-9 \
	  $(if $(wildcard leaderboard/results),--against leaderboard/results)

test: lint ## Lint, check types, run the tests (a few minutes)
	$(PYTEST) -m "not slow and not nightly"

test-slow: $(VENV)/.dev ## Run one test of each kind that is slow by nature: clean environments, kills, full disks
	$(PYTEST) -m "slow and not nightly"

test-nightly: $(VENV)/.dev ## Run all tests, those that run nightly too (an hour)
	$(PYTEST) --hypothesis-profile nightly

docs: $(VENV)/.dev ## Build the documentation as a site, build/docs/index.html; fail at a link that leads nowhere
	$(BIN)/sphinx-build -q -W --keep-going docs build/docs

lint: $(VENV)/.dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

leaderboard: $(BIN)/bench ## Write the leaderboard, its page, and the published table beside ours, from the records
	$(BIN)/bench leaderboard --site $(OFFICIAL)
	$(BIN)/bench reproduce joiret2023 --no-run --out docs/joiret2023.md $(OFFICIAL)

site: $(BIN)/bench ## Write the leaderboard as a page, leaderboard/site/index.html
	$(BIN)/bench site $(OFFICIAL)

check-leaderboard: $(BIN)/bench ## Fail where either is not what the records give
	$(BIN)/bench leaderboard --site --check $(OFFICIAL)
	$(BIN)/bench reproduce joiret2023 --check --out docs/joiret2023.md $(OFFICIAL)

audit: $(BIN)/bench ## Run three committed records again and compare; SEED=1: the same three each time
	$(BIN)/bench audit --sample 3 --data usage $(OFFICIAL) $(if $(SEED),--seed $(SEED))

official: $(BIN)/bench ## Make every official row: DATA=path/to/human_cds.fa.gz adds the real ORFs
	$(BIN)/bench run --exclusive --suite official $(OFFICIAL)
	$(if $(DATA),$(BIN)/bench run --exclusive --suite official $(OFFICIAL) --data $(DATA))
	$(BIN)/bench run --exclusive --suite supervised $(OFFICIAL)
	$(BIN)/bench leaderboard $(OFFICIAL)

clean: ## Remove the virtual environment and what was built
	rm -rf $(VENV) build dist runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
