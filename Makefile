# How to work on this project: `make` lists the verbs. PYTHON=python3.12 (say) selects the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# The environment is made anew when the interpreter or pyproject.toml changes; a file in it says for which it was made.
MADE := $(VENV)/made-$(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
PLOT := $(MADE)-plot
DEV := $(MADE)-dev

# Tests wait for processes more than they compute, so two at a time.
BESIDE := -n 2 --dist worksteal

# What decides, of the package: its own tests reach every line and branch of it.
DECIDES := backoff endpoint/leases/balance endpoint/leases/clocks endpoint/leases/credit functions/registry protocol/call_options protocol/resources serialization/packing session/buffer session/reconnect \
    session/withdrawal session/stream/acknowledgements session/stream/router service/access \
    service/scheduling/dispatch service/scheduling/lifecycle service/scheduling/queues service/tasks/unstored service/tasks/additions service/scheduling/speakers service/store/operations endpoint/pool/scheduling_policy testing/accepted_calls
DECIDING_TESTS := $(foreach one,$(DECIDES),tests/$(dir $(one))test_$(notdir $(one)).py)
comma := ,
space := $(subst ,, )

.DEFAULT_GOAL := help
.PHONY: help sweep test check decisions coverage quick search bench campaign docs release clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

sweep: $(PLOT)  ## the example: fit an epidemic over a 60 x 60 grid, into sweep-results.csv and sweep-results.png
	$(BIN)/compute-executor sweep docs/examples/sir.py:fit --grid beta=1.2:2.2:60 --grid gamma=0.3:0.6:60 \
	    --minimize sum_of_squares --out sweep-results.csv --overwrite --plot sweep-results.png \
	    --contour 1.648x --unit beta=1/day --unit gamma=1/day
	@$(BIN)/python docs/examples/best_fit.py sweep-results.csv

test: check decisions docs  ## everything: checks, tests, documentation, and what judges the project from outside
	$(BIN)/python -m pytest tests $(BESIDE) --durations=20
	$(BIN)/python -m integration.run

check: $(DEV)  ## style, types, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

decisions: $(DEV)  ## the tests of what decides, which must reach all of it
	$(BIN)/python -m coverage run -m pytest -q $(DECIDING_TESTS)
	$(BIN)/python -m coverage report --show-missing --skip-covered --fail-under=100 \
	    --include=$(subst $(space),$(comma),$(DECIDES:%=compute_executor/%.py))

coverage: $(DEV)  ## lines and branches that the tests reach, without what runs in other processes
	$(BIN)/python -m pytest tests $(BESIDE) -q --cov --cov-fail-under=80

quick: $(DEV)  ## the tests that take less than a second each
	$(BIN)/python -m pytest tests $(BESIDE) -m "not slow"

bench: $(DEV)  ## measure beside the peers, in 12 minutes; writes docs/benchmarks.md and docs/benchmarks-stock.md
	$(BIN)/python -m benchmarks --output docs
	$(BIN)/python -m benchmarks.stock --rounds 1 --output docs

campaign: $(DEV)  ## every fault at once, and the account; writes docs/reliability.md. CAMPAIGN="soak --minutes 60" says more
	$(BIN)/python -m integration.campaign $(CAMPAIGN) --output docs

search: $(DEV)  ## the tests by Hypothesis with new examples, which may find what those of every other run did not
	$(BIN)/python -m pytest $$(grep -rl '^@given\|^    @given' tests) $(BESIDE) -q --hypothesis-profile=search

release: $(DEV)  ## build wheel and source distribution into dist/, and try both in bare environments of every Python
	$(BIN)/python -m integration.release

docs: $(DEV)  ## build the documentation into site/, run every example in it and follow its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file .mkdocs.yml --site-dir site
	$(BIN)/python -m pytest tests/test_docs.py --doctest-modules $$(grep -rl '>>>' compute_executor --include='*.py')

clean:  ## forget the environments and what the tools have cached
	rm -rf $(VENV) site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(MADE): pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(PLOT): $(MADE)
	$(PIP) install --editable '.[plot]'
	touch $@

$(DEV): $(MADE)
	$(PIP) install --editable '.[dev]'
	touch $@
