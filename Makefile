# Retrostep. `make help` lists what there is.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
STUBS   := build/micropython-stubs/.ready
K       ?=
WALK    ?=
PORT    ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONHASHSEED := 0

.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(READY) $(STUBS)  ## make the virtual environment with every pinned package

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "found $$($(PYTHON) --version), expected Python 3.11 or newer: set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "no virtual environment could be made: on Debian, apt-get install python3-venv"; exit 1; }
	@echo "installing the pinned packages into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet "pip==26.3"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[board,parquet]' --group dev
	@touch $@

# The MicroPython stubs bring modules named like real packages (requests, typing ...), so they get a folder of
# their own that only pyright looks into.
$(STUBS): constraints.txt
	@rm -rf $(dir $(STUBS))
	@$(BIN)/python -m pip install --quiet --target $(dir $(STUBS)) "micropython-esp32-stubs==1.29.0.post1"
	@touch $@

$(STUBS): | $(READY)

.PHONY: demo
demo: $(READY)  ## the whole chain on the virtual board (WALK=FILE: a recording)
	@$(BIN)/retrostep demo $(if $(WALK),--walk "$(WALK)")

# What some tests need beside Python: a broker, a browser and an instruction counter. As root on Debian they are
# installed.
.PHONY: packages
packages:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; missing=""; \
	command -v mosquitto >/dev/null || missing="mosquitto"; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| missing="$$missing chromium"; \
	command -v valgrind >/dev/null || missing="$$missing valgrind"; \
	if [ -n "$$missing" ]; then \
		echo "installing what tests need:$$missing ..."; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update >/dev/null 2>&1 \
			&& DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null 2>&1; \
		then echo "installed"; \
		else echo "could not be installed; on Debian: sudo apt-get install $$missing. Their tests fail or are skipped."; \
		fi; \
	fi

.PHONY: test
test: $(READY) packages $(if $(K),,lint)  ## lint and all tests; K=words picks tests
	$(BIN)/python -m pytest -n 2 $(if $(K),--dist worksteal -k "$(K)",--dist loadfile)

.PHONY: lint
lint: $(READY) $(STUBS)  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/pyright --project pyright-device.json

.PHONY: format
format: $(READY)  ## let ruff format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(READY) packages  ## figures, one a line: name, value, unit, limit
	@$(BIN)/python -m retrostep.bench

.PHONY: baseline
baseline: $(READY) packages  ## keep the figures of `make bench` to compare later ones with
	@$(BIN)/python -m retrostep.bench --write-baseline

.PHONY: performance
performance: $(READY) packages  ## speed and memory, written to docs/performance.md
	@$(BIN)/python -m retrostep.bench --write-page docs/performance.md

.PHONY: package
package: $(READY)  ## write package.json (for mip) anew from the device's files
	@$(BIN)/python -m retrostep.mip_package

.PHONY: evaluate
evaluate: $(READY)  ## accuracy on ../shared/data/recordings: docs/accuracy.md
	@$(BIN)/retrostep evaluate ../shared/data/recordings --markdown docs/accuracy.md

.PHONY: flash
flash: $(READY)  ## copy what changed to the device at PORT=... and restart it
	@test -n "$(PORT)" || { echo "no PORT given: make flash PORT=/dev/ttyACM0 (retrostep ports lists them)"; exit 2; }
	@$(BIN)/retrostep flash --port "$(PORT)"

.PHONY: repl
repl: $(READY)  ## the device's REPL at PORT=... (Ctrl-] leaves it)
	@test -n "$(PORT)" || { echo "no PORT given: make repl PORT=/dev/ttyACM0 (retrostep ports lists them)"; exit 2; }
	@$(BIN)/mpremote connect "$(PORT)" repl

.PHONY: logs
logs: $(READY)  ## copy step log and crash log at PORT=... into build/logs
	@test -n "$(PORT)" || { echo "no PORT given: make logs PORT=/dev/ttyACM0 (retrostep ports lists them)"; exit 2; }
	@mkdir -p build/logs
	@$(BIN)/mpremote connect "$(PORT)" cp -r :/log build/logs/
	@$(BIN)/mpremote connect "$(PORT)" resume cp :/crash.log build/logs/ 2>/dev/null || echo "no crash log on the device"
	@$(BIN)/mpremote connect "$(PORT)" resume reset
	@$(BIN)/retrostep log check build/logs/log

.PHONY: erase
erase: $(READY)  ## remove EVERYTHING at PORT=..., the step log too (CONFIRM=yes)
	@test -n "$(PORT)" || { echo "no PORT given: make erase PORT=/dev/ttyACM0 CONFIRM=yes"; exit 2; }
	@test "$(CONFIRM)" = yes || { echo "this removes the step log, too: sync first, then add CONFIRM=yes"; exit 2; }
	@$(BIN)/mpremote connect "$(PORT)" rm -r :/
	@$(BIN)/mpremote connect "$(PORT)" reset

.PHONY: clean
clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
