# make run: the page on http://127.0.0.1:7860. make test: checks and all tests. Both install what they need, once.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ROOMS := audit batch capture core explain models robustness samples training ui visualise

.PHONY: run test check chromium docs clean

run: $(VENV)/run.done
	@echo "Thumbscope will be on http://127.0.0.1:7860 in a few seconds; Ctrl+C stops it."
	@$(BIN)/python app.py

test: check chromium
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder -r fER

check: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --severity-level medium --recursive app.py $(ROOMS)

# The tables of README from the registers, and its screenshot from the app.
docs: $(VENV)/dev.done chromium
	$(BIN)/python -m scripts.tables
	$(BIN)/python -m scripts.screenshots

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Thumbscope needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.done: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev.done: requirements.txt requirements-onnx.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/run.done

# The browser of the tests: Debian's package where apt works, else Playwright's own download.
chromium: $(VENV)/dev.done
	@chromium --version >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ]; then as_root=; else as_root="sudo -n"; fi; \
	  $$as_root apt-get update -qq && $$as_root apt-get install -y -qq chromium >/dev/null; \
	} && chromium --version >/dev/null 2>&1 || $(BIN)/playwright install chromium

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
