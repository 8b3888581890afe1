# `make demo` and `make test` do all set-up that they need; `make setup` alone only makes .venv.
# PYTHON=… chooses the interpreter (3.11 or newer); PIP_ARGS=… is handed to every pip install.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS)
PYTEST := $(BIN)/python -m pytest

.PHONY: setup peers demo docs test test-slow test-julia test-newest lint format bench-smoke train-smoke improve-smoke wheel clean help

help:
	@echo "make setup | peers | demo | docs | test | test-slow | test-julia | test-newest | lint | format | bench-smoke | train-smoke | improve-smoke | wheel | clean"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@if [ ! -x $(BIN)/python ]; then \
		[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer must be installed; none was found."; exit 1; }; \
		$(PYTHON) -m venv $(VENV) || { echo "The interpreter's venv module must work (Debian: python3-venv)."; exit 1; }; \
	fi
	@echo "Setting up $(VENV), once; this downloads PyTorch and takes some minutes."
	$(PIP) -c constraints.txt torch
	$(PIP) -c constraints.txt -e ".[dev]"
	@touch $@

# Other people's methods for `bench run`; rils-rols is compiled, and says nothing of what it needs for that.  What does
# not install is named, and keeps no other from being installed.
peers: $(READY)
	$(PIP) -c constraints.txt pybind11 setuptools wheel
	@for peer in gplearn pyoperon psrn rils-rols; do \
		$(PIP) -c constraints.txt --no-build-isolation $$peer || missing="$$missing $$peer"; \
	done; \
	[ -z "$$missing" ] || { echo "Not installed:$$missing"; exit 1; }

demo: $(READY)
	$(BIN)/pysr-neural demo $(ARGS)

# The site, strictly: a warning, a page outside the navigation or a broken link ends it.  Needs no Julia.
docs: $(READY)
	$(PIP) -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs outputs/docs
	@echo "Open outputs/docs/index.html"

# Two processes at the same time, for two cores: Julia's tests beside the others.
test: $(READY)
	$(BIN)/python -m tests.parts $(ARGS)

test-slow: $(READY)
	$(PYTEST) -m "slow and not julia" $(ARGS)
	$(PYTEST) -m "julia and slow" $(ARGS)

# Fails, instead of skipping, where Julia is missing.
test-julia: $(READY)
	PYSR_NEURAL_REQUIRE=julia $(PYTEST) -m "julia and not slow and not gpu" $(ARGS)

# The tests with the newest releases, in an environment of their own, beside the pinned one.  torch alone is pinned:
# another version may bring gigabytes of CUDA; NEWEST_TORCH=torch takes the newest of it as well.
NEWEST := .venv-newest
NEWEST_TORCH ?= $(shell grep '^torch==' constraints.txt)

test-newest:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer must be installed; none was found."; exit 1; }
	[ -x $(NEWEST)/bin/python ] || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --disable-pip-version-check -q --upgrade --upgrade-strategy eager $(PIP_ARGS) \
		"$(NEWEST_TORCH)" -e ".[dev]"
	$(NEWEST)/bin/python -m pip list --disable-pip-version-check
	$(NEWEST)/bin/python -m tests.parts $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-smoke: $(READY)
	$(BIN)/pysr-neural bench proposals --smoke --json
	$(BIN)/pysr-neural bench recovery --problems 4 --draws 32 --json
	rm -rf outputs/bench-smoke
	$(BIN)/pysr-neural bench run --suite nguyen --every 5 --methods basicsr neuralsr direct --budget 3s \
		--out outputs/bench-smoke
	$(BIN)/pysr-neural bench report outputs/bench-smoke

# Problems, traces, examples, training, evaluation, use in both engines; under five minutes on two cores.
train-smoke: $(READY)
	rm -rf outputs/train-smoke
	$(BIN)/python -m pysr_neural_training.smoke --out outputs/train-smoke

# All of it once, with tiny settings.
improve-smoke: $(READY)
	rm -rf outputs/improve-smoke
	for method in dagger expert-iteration rl; do \
		$(BIN)/pysr-neural improve $$method --smoke --out outputs/improve-smoke/$$method || exit 1; \
	done
	for method in dagger expert gradient; do \
		$(BIN)/pysr-neural improve policy --method $$method --rounds 1 --searches 6 --evaluations 100 --held-out 6 \
			--held-out-seeds 1 --steps 10 --out outputs/improve-smoke/policy-$$method || exit 1; \
	done
	$(BIN)/pysr-neural interpret outputs/improve-smoke/policy-dagger/round-001/policy.safetensors --problems 3 \
		--beside outputs/improve-smoke/policy-dagger/round-000/policy.safetensors --out outputs/improve-smoke/decisions
	$(BIN)/pysr-neural bench improved --seeds 1 --generations 5 \
		--checkpoint outputs/improve-smoke/expert-iteration/model --out outputs/improve-smoke/improved.jsonl
	$(BIN)/pysr-neural interpret outputs/improve-smoke/expert-iteration/model --problems 3 --generations 10 --json

wheel: $(READY)
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(NEWEST) outputs docs/made dist build
