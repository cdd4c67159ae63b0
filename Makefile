# Needs Python 3.10 to 3.13 and make; everything else is installed into $(VENV) by the first target that needs it.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= work_dirs/demo

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))
# Settings of the shell (a Slurm job, another checkout) must not reach what runs here.
RUN := env -u PYTHONPATH -u RANK -u LOCAL_RANK -u WORLD_SIZE -u MASTER_ADDR -u MASTER_PORT MPLBACKEND=Agg

.DEFAULT_GOAL := help
.PHONY: help env demo test lint docs dist constraints clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP)  ## Create $(VENV) with the tested set of packages (PYTHON=python3.12 chooses the Python)

$(STAMP): setup.py requirements/constraints.txt
	@$(PYTHON) -c '$(SUPPORTED)' || { \
	  echo "poa_mm needs Python 3.10 to 3.13, but '$(PYTHON)' is '$$($(PYTHON) --version 2>&1)': choose one with 'make PYTHON=python3.11 ...'." >&2; exit 1; }
	@if [ -x $(BIN)/python ] && ! $(BIN)/python -c '$(SUPPORTED)'; then \
	  echo "$(VENV) holds $$($(BIN)/python --version 2>&1), which poa_mm does not support: remove the folder and try again." >&2; exit 1; fi
	PYTHON="$(PYTHON)" requirements/install.sh $(VENV)
	@touch $@

demo: $(STAMP)  ## Pre-train a small elastic ViT on generated images, extract and compare its sub-networks
	$(RUN) $(BIN)/python tools/train.py configs/poa_demo.py --work-dir $(DEMO) --resume
	$(RUN) $(BIN)/python tools/extract.py "$$(cat $(DEMO)/last_checkpoint)" --subnets named --out $(DEMO)/subnets
	$(RUN) $(BIN)/python tools/knn.py configs/poa_demo.py "$$(cat $(DEMO)/last_checkpoint)" \
	  --subnets all --untrained --thumbnails --out $(DEMO)/knn.json
	$(RUN) $(BIN)/python tools/report.py $(DEMO)/knn.json --out $(DEMO)

test: $(STAMP)  ## Run the tests
	$(RUN) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses=4 --dist loadfile

lint: $(STAMP)  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(STAMP)  ## Build the documentation site into build/docs; warnings are errors
	$(RUN) $(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

dist: $(STAMP)  ## Build the wheel and the source distribution into dist/ and check them
	rm -rf dist
	$(RUN) $(BIN)/python -m build --no-isolation
	$(RUN) $(BIN)/python -m twine check --strict dist/*

constraints:  ## Resolve requirements/constraints.txt again, keeping what still fits (needs uv)
	uv pip compile setup.py --extra openmmlab --extra tensorboard --extra export --extra dev --extra docs --universal \
	  --python-version 3.10 --no-annotate --no-header -o requirements/constraints.txt

clean:  ## Remove the environment, caches and the demo's results
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .ruff_cache *.egg-info
