# Two commands on a fresh clone: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/sh
PY := .venv/bin/python
export PYTHON TORCH_INDEX

.PHONY: help setup demo demo-vision test quick lint wheel docs format clean distclean
.NOTPARALLEL:

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile
	@echo "PYTHON=python3.12 picks the interpreter; TORCH_INDEX=URL takes torch and torchvision from that index;"
	@echo "ARGS='-k calibration' goes to pytest."

setup: ## Make .venv and install the package with its tools (quick when that is done)
	@sh scripts/setup.sh

demo: setup ## Train vanilla, mixup and logitmix on built-in data and set them side by side
	.venv/bin/logitmix demo

demo-vision: setup ## Train one small network on handwritten digits in six ways and set them side by side
	.venv/bin/logitmix demo-vision

# One thread a worker: two workers fill the two cores that the suite is measured on. A file stays with one worker, which
# trains and builds once what its tests share; files are dealt in the order of tests/conftest.py, the long ones first.
test: lint ## Check style and types, then run the tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# What trains nothing and starts no other process: the mathematics, the parts, the house.
QUICK = tests/test_*.py tests/builtin tests/data tests/docs/test_pages.py tests/evaluation tests/house tests/models \
	tests/steps tests/text tests/vision/mixers tests/vision/test_*.py

quick: setup ## Test the mathematics, the parts and the house, in a minute and a half
	$(PY) -m ruff check .
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile -m "not slow" $(QUICK) $(ARGS)

lint: setup ## Check style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(PY) -m pyright --pythonpath $(PY)

wheel: setup ## Build the wheel and try it in an empty environment
	sh scripts/check_wheel.sh

docs: setup ## Build the site of docs/ into build/docs; a warning is an error
	$(PY) -m sphinx -q -W --keep-going -b html -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

format: setup ## Mend what ruff can mend
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean: ## Remove caches and builds; keep .venv and the runs
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean ## Remove .venv too
	rm -rf .venv
