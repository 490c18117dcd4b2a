# One command each. `make help` lists them.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
NODE_STAMP := node_modules/.installed

.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "needs Python 3.11 or newer: try make PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

setup: $(STAMP)  ## make .venv with everything in it

$(NODE_STAMP): package.json package-lock.json
	npm ci --silent
	@touch $(NODE_STAMP)

demo: $(STAMP)  ## train, score and look at a small attention model (about three minutes)
	$(BIN)/regard demo --overwrite

test: $(STAMP)  ## the tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

QUICK := not browser and not slow
ARRAYS := tests/attention tests/decoding --ignore tests/attention/kernels

shapes: $(STAMP)  ## the tests of arrays, with the shapes in every signature checked (part of python313)
	OMP_NUM_THREADS=1 PYTHONPATH=tests/plugins $(BIN)/pytest -n 2 -p checked_shapes $(ARRAYS)

fuzz: $(STAMP)  ## the tests of properties on new random examples, many more of them
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m hypothesis --hypothesis-profile fuzz

coverage: $(STAMP)  ## the tests, and the share of lines that they reach
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --cov --cov-report=term-missing:skip-covered

oldest:  ## the tests with the oldest version allowed of every dependency, but for slow ones of our own code
	@# Old parts beside new ones are full of deprecations; `make test` makes them errors where all is new.
	@.ci/tests-with python3.11 constraints-oldest.txt -m "$(QUICK) or dependency" \
		-W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning -W ignore::FutureWarning

python313:  ## the tests on Python 3.13, but for slow ones; those of arrays with the shapes in every signature checked
	@.ci/tests-with python3.13 constraints.txt -m "$(QUICK)" \
		--ignore tests/decoding --ignore-glob '*/tests/attention/test_*.py'
	@PYTHONPATH=tests/plugins .ci/tests-with python3.13 constraints.txt -m "$(QUICK)" -p checked_shapes $(ARRAYS)

keras:  ## the tests of the Keras layers on JAX and TensorFlow, in an environment of their own
	@PYTHON=$(PYTHON) .ci/keras

check: $(STAMP)  ## lint, types, import contract; the JavaScript too, where there is npm
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	@# The package is looked for on Python's path, where the checkout comes first; every public name must be typed.
	PYTHONPATH=src:$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))") \
		$(BIN)/pyright --verifytypes regard --ignoreexternal > .verify-types || { cat .verify-types; exit 1; }
	@grep "completeness score" .verify-types && rm .verify-types
	$(BIN)/lint-imports
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory javascript; \
		else echo "JavaScript is not checked: npm is not installed (on Debian: apt-get install nodejs npm)"; fi

javascript: $(NODE_STAMP)  ## check the JavaScript of the pages (part of check)
	npm run --silent check

bundle: $(NODE_STAMP)  ## link the modules of the page again after a change of its JavaScript
	npm run --silent bundle

bench: $(STAMP)  ## the speed claims, as ratios
	$(BIN)/python -m benchmarks

docs: $(STAMP)  ## the site, in docs/_build/html: pages, reference, search
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	$(BIN)/python .ci/site.py docs/_build/html

site: docs  ## the site at http://127.0.0.1:8000
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory docs/_build/html

lessons: $(STAMP)  ## the notebooks and pictures of the course, made again from its pages
	$(BIN)/python .ci/lessons.py --pictures

package: $(STAMP)  ## build what a release uploads, and try it in an environment without extras
	.ci/package

clean:  ## remove what the other commands made
	rm -rf .venv .venv-* node_modules build dist docs/_build demo-run .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help setup demo test fuzz coverage shapes oldest python313 keras check javascript bundle bench docs lessons site package clean
