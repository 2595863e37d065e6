# `make demo` and `make test` are all a newcomer needs; each sets up what it needs by itself.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
export PATH := $(CURDIR)/.cache/debian/usr/bin:$(PATH)
# Some tests mount a small file system; without root they do it in a user namespace of their own.
IN_NAMESPACE := $(shell test "$$(id -u)" = 0 || echo unshare --map-root-user --mount)

# Most tests wait for processes: three at a time keep two cores busy. A file keeps to one worker, for its fixtures are
# dear; tests/conftest.py says which go first. Those marked `alone` run after them, by themselves: they compare rates
# over seconds, which browsers and compilers would disturb, and do little but wait, so two files of them go side by side.
# Exit code 5 is pytest's for a choice that has none of either.
BY_FILE := --dist loadfile --no-loadscope-reorder

# Real engines get a network of their own, for some listen on every address, and end with the tests that started them.
ENGINES := vllm dynamo sglang
IN_OWN_NETWORK := unshare $(if $(IN_NAMESPACE),--map-root-user) --net --pid --fork --kill-child --mount-proc

.PHONY: help demo top boards boards-check boards-render live-page arm64-check test test-engines test-incidents run-setup test-setup lint docs docs-check wheel-check unit spread alone fix goldens bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: run-setup  ## a simulated rack of 18 GB300 trays, watched by 19 real daemons; DEMO="--help" for more
	$(BIN)/rackwatt demo $(DEMO)

top: run-setup  ## the rack in this terminal, beside a running demo; TOP="--help" for more
	@scripts/setup.sh top
	$(BIN)/rackwatt top $(TOP)

test:  ## everything that CI runs; says at the end what took how long
	@MAKE="$(MAKE)" scripts/phases.sh test-setup "lint docs-check wheel-check" spread alone

run-setup:
	@scripts/setup.sh run

test-setup:
	@scripts/setup.sh test

lint: test-setup  ## format, ruff, mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: test-setup  ## write the generated pages of docs/
	$(BIN)/python docs/generate.py

docs-check: test-setup
	$(BIN)/python docs/generate.py --check

wheel-check: test-setup  ## build the wheel, install it in a clean environment, run it there
	scripts/wheel_check.sh

unit: spread alone  ## the tests only; PYTEST="-k name" to choose

spread: test-setup
	$(IN_NAMESPACE) $(BIN)/python -m pytest -n 3 $(BY_FILE) -m "not alone" $(PYTEST) || [ $$? = 5 ]

alone: test-setup
	$(IN_NAMESPACE) $(BIN)/python -m pytest -n 2 $(BY_FILE) -m alone $(PYTEST) || [ $$? = 5 ]

test-engines: test-setup  ## real engines on this CPU, watched: 6 GB once, 15 minutes; ENGINES="vllm" to choose
	scripts/engines.sh $(ENGINES)
	$(IN_OWN_NETWORK) $(BIN)/python -m pytest $(ENGINES:%=tests/engines_real/test_%.py) $(PYTEST)

test-incidents: test-setup  ## what a real engine's speed decides of incidents; on a machine that does nothing else
	$(IN_NAMESPACE) $(BIN)/python -m pytest tests/incidents_real/test_llamacpp.py $(PYTEST)

fix: test-setup  ## format and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

goldens: test-setup  ## write golden files anew; read the diff
	RACKWATT_UPDATE_GOLDENS=1 $(BIN)/python -m pytest -q tests/collectors tests/exporters tests/dashboards/test_alerts.py \
		tests/test_shapes.py

boards: test-setup  ## write Grafana's boards from their code (dashboards/grafana)
	$(BIN)/python -m dashboards.grafana.boards

boards-check: test-setup  ## the boards against the types of @grafana/schema; needs npm and node
	npm install --loglevel error --prefix .cache/grafana-schema --no-save --no-package-lock --legacy-peer-deps \
		@grafana/schema@12.4.10 typescript@5.9.3
	$(BIN)/python scripts/boards_check.py

boards-render: test-setup  ## pictures of the boards by Grafana's UI libraries, over a rack: 700 MB once, ten minutes
	PYTHONPATH=tests $(BIN)/python tests/grafana_render/render.py $(RENDER)

live-page: test-setup  ## the README's picture of the live page: three minutes of the demo
	$(BIN)/python scripts/live_page.py

arm64-check: test-setup  ## every dependency has a wheel for arm64 (Grace); asks the package index, half a minute
	$(BIN)/python scripts/arm64_check.py

bench: test-setup  ## every figure that we claim, beside its peer
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH)

clean:  ## remove what the targets made
	rm -rf .venv .cache dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
