# `make search` and `make test` work on a bare machine with Python 3.10-3.13, its venv and make.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

FAULTS ?= 20
SEED ?= 1

FINISHED := tests/search/test_search.py tests/search/test_gallery.py tests/search/test_val_sets.py tests/search/test_trust.py
.PHONY: search test check-fast test-finished test-searches test-vpr test-parts test-long check fresh test-cluster test-browser test-docs soak simulate bench compare growth lint format lock clean

search: .venv/.ready  ## Find the best loss on MiniCity; ARGS="--trials 24" adds flags.
	$(BIN)/python search/run.py --space losses $(ARGS)

test: lint  ## Format check, lint, types, import rule, tests.
	$(MAKE) --no-print-directory -j4 -Oline test-searches test-finished test-vpr test-parts

check-fast: lint  ## For the edit loop: format check, lint, types, import rule, and the tests that take no seconds; one minute on two quick cores.
	$(BIN)/python -m pytest -m "not search and not long and not slow"

test-finished: .venv/.ready  ## What finished searches leave behind; a search mostly waits, so that this and the next share two cores.
	$(BIN)/python -m pytest -m "search and not long" $(FINISHED)

test-searches: .venv/.ready  ## All other tests that run whole searches.
	$(BIN)/python -m pytest -m "search and not long" $(FINISHED:%=--ignore=%)

# Ray's workers are nice to other programs: beside tests that are not, searches would get what these leave.
test-vpr: .venv/.ready  ## The tests of vpr/.
	nice -n 19 $(BIN)/python -m pytest -m "not search and not long" tests/vpr

test-parts: .venv/.ready  ## All other tests.
	nice -n 19 $(BIN)/python -m pytest -m "not search and not long" --ignore=tests/vpr

test-long: .venv/.ready  ## The searches that take longest: failing workers, the study's list, real photographs; about 8 minutes.
	$(BIN)/python -m pytest -m long

check: test

fresh: .venv/.ready  ## An export in an environment that has none of the search: about 5 minutes and 5 GB below results/fresh.
	$(BIN)/python -m tests.fresh $(ARGS)

test-cluster: .venv/.ready  ## A cluster of three hosts made of this machine, and AWS's calls against a mock; about 8 minutes, as root.
	for need in ip ssh sshd rsync; do command -v $$need /usr/sbin/$$need > /dev/null || missing=1; done; \
	  [ -z "$$missing" ] || { apt-get update -q && apt-get install -qy iproute2 openssh-server openssh-client rsync; }
	touch .venv/.ready
	$(BIN)/python -m pytest tests/cluster

test-docs: .venv/.ready  ## Every command of the pages in docs/, typed; about 5 minutes.
	$(BIN)/python -m pytest tests/pages

test-browser: .venv/.ready  ## The pages in a real browser, with axe-core's rules of accessibility; about 3 minutes. Installs Debian's chromium as root.
	command -v chromium > /dev/null || [ "$$(id -u)" != 0 ] || { apt-get update -q && apt-get install -qy chromium; }
	touch .venv/.ready
	$(BIN)/python -m pytest tests/browser

soak: .venv/.ready  ## A search under FAULTS faults by SEED, against the same search undisturbed; about 20 minutes, as root.
	$(BIN)/python -m tests.soak --faults $(FAULTS) --seed $(SEED) $(ARGS)

simulate: .venv/.ready  ## What a search costs until it holds a good model, on curves with a known best; about 25 minutes.
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.benchmarks.simulation

compare: .venv/.ready  ## A search as people write it today beside ours, three turns each; 20 minutes on a machine that does nothing else.
	$(BIN)/python -m tests.benchmarks.compare $(ARGS)

growth: .venv/.ready  ## What a search of 50, 200 and 1,000 trials costs beside Ray Tune alone; about eleven minutes.
	$(BIN)/python -m tests.benchmarks.growth

bench: .venv/.ready  ## Measure every promise of speed beside its peer; 10 to 33 minutes.
	$(BIN)/python -m tests.benchmarks

lint: .venv/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info < (3, 14) else "error: Python 3.10 to 3.13 is needed; give one with make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps -e .
	touch $@

lock: .venv/.ready  ## Write requirements.lock from pyproject.toml.
	$(BIN)/python -m pip install uv
	$(BIN)/uv pip compile pyproject.toml --extra search --extra dev --extra aws --universal --python-version 3.10 --upgrade \
	  --no-header --no-annotate --no-emit-index-url -o requirements.lock

clean:
	rm -rf .venv build *.egg-info
