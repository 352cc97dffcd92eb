# `make help` lists what there is.  Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Ray wants an older cloudpickle than the other launchers do.
RAY_VENV := .venv-ray
# The matrices of the tests and of Table 1 are small, where one BLAS thread is fastest.
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup table1 table1-method1 table2 systems regimes tensors ranks test test-fast test-slurm test-ray test-dask lint format bench bench-collect chaos fuzz peers clean

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 18

setup: $(VENV)/.dev ## set up .venv with what the program and its tests need

table1: $(VENV)/.core ## run Table 1 (27 cells, 10 trials) and all layers' errors by cost, print the tables, draw the figures
	$(BIN)/nnmf-run experiment=table1
	$(BIN)/nnmf-run experiment=table1_layers
	$(BIN)/nnmf-run experiment=table1_layers_costs
	$(BIN)/nnmf-collect outputs/table1
	$(BIN)/nnmf-collect outputs/table1_layers

table1-method1: $(VENV)/.core ## the same table as the slides' algorithms read: Method 1, random start
	$(BIN)/nnmf-run experiment=table1_method1
	$(BIN)/nnmf-collect outputs/table1_method1

# Options of a file with labels in two levels, of which the second is scored; by default those of newsgroups_200.mat.
ifdef DATA
OPTIONS ?= dataset.x=X_subsampled 'dataset.labels=[sub_cats,super_cats]' dataset.known=known60 \
  dataset.orientation=features_by_samples
endif

table2: $(VENV)/$(if $(DATA),.core,.text) ## run Table 2 on newsgroups, or on a file: make table2 DATA=my.npz OPTIONS='dataset.x=X ...'
	$(BIN)/nnmf-run experiment=table2 $(if $(DATA),name=table2_data dataset=file 'dataset.path="$(DATA)"') $(OPTIONS)
	$(BIN)/nnmf-run experiment=table2_multilevel $(if $(DATA),name=table2_data dataset=file 'dataset.path="$(DATA)"') $(OPTIONS)
	$(BIN)/nnmf-collect outputs/table2$(if $(DATA),_data)

systems: $(VENV)/.core ## compare all methods on the toy data: table and figures
	$(BIN)/nnmf-run experiment=systems
	$(BIN)/nnmf-run experiment=systems_one_layer
	$(BIN)/nnmf-collect outputs/systems

regimes: $(VENV)/.core ## map where which method wins on planted hierarchies: reduced grid, table and heatmaps
	$(BIN)/nnmf-run experiment=regimes_small
	$(BIN)/nnmf-run experiment=regimes_small_overlap
	$(BIN)/nnmf-run experiment=regimes_small_ranks
	$(BIN)/nnmf-collect outputs/regimes_small

tensors: $(VENV)/.core ## compare hierarchies of CP models of a tensor (60 runs): errors of all levels beside published ones, figures
	$(BIN)/nnmf-run experiment=tensors
	$(BIN)/nnmf-run experiment=tensors_exact_codes
	$(BIN)/nnmf-run experiment=tensors_matrices
	$(BIN)/nnmf-collect outputs/tensors

ranks: $(VENV)/.core ## choose the ranks of a planted hierarchy (370 fits): table, ranks.json, figure of all criteria
	$(BIN)/nnmf-rank dataset=planted dataset.noise=1 ranks=2..20

# Without bytecode each of their processes would compile the package again.
test test-fast: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.dev ## run all tests
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/.dev ## run all tests but those that take long
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-slurm: $(VENV)/.slurm ## test sweeps through a real Slurm of one node (installs Debian's packages as root)
	$(BIN)/python -m pytest tests/cluster/test_slurm.py

test-ray: ## test sweeps through a real Ray on this machine (in .venv-ray, several hundred MB)
	@$(MAKE) --silent VENV=$(RAY_VENV) $(RAY_VENV)/.ray
	$(RAY_VENV)/bin/python -m pytest tests/cluster/test_ray.py

test-dask: $(VENV)/.dev ## test fits that a real Dask on this machine shares out, and kill its processes
	$(BIN)/python -m pytest tests/cluster/test_dask.py

lint: $(VENV)/.dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## measure speed; `make peers` first to compare with other packages
	$(BIN)/python -m tests.benchmarks

bench-collect: $(VENV)/.dev ## collect 100,000 invented runs; fails above a minute or a GB (2 GB of disk for the while)
	$(BIN)/python -m tests.benchmarks.collecting

chaos: $(VENV)/.dev ## kill runs, sweeps and collections 200 times (make chaos KILLS=20): nothing lost, doubled, damaged or left over
	$(BIN)/python -m tests.benchmarks.chaos $(KILLS)

# How long to try.
SECONDS ?= 600

fuzz: $(VENV)/.dev ## read damaged files, records and models and senseless command lines: make fuzz SECONDS=3600
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

peers: $(VENV)/.dev ## install the packages that `make bench` compares with (several hundred MB)
	$(BIN)/pip install --quiet '.[peers]'
	$(BIN)/pip install --quiet --no-deps NeuralNMF==1.0.0 ssnmf==1.0.3
	$(BIN)/pip install --quiet --no-deps --editable .

clean: ## remove .venv and caches; outputs stay
	rm -rf $(VENV) $(RAY_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

$(VENV)/.core: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.text: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[text]'
	@touch $@ $(VENV)/.core

$(VENV)/.dev: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[dev,text,images,bio,parquet,zarr,dask,report,optuna,mlflow,tensorboard]'
	@touch $@ $(VENV)/.core $(VENV)/.text

$(VENV)/.slurm: $(VENV)/.dev
	$(BIN)/pip install --quiet --editable '.[slurm]'
	@touch $@

$(VENV)/.ray: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[ray]' 'pytest>=8'
	@touch $@

# Debian and Ubuntu ship venv in a package of its own; without it the first attempt leaves half a folder.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "$(PYTHON) is `$(PYTHON) -V 2>&1`; expected Python 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
	  as_root=`[ "$$(id -u)" = 0 ] || command -v sudo`; \
	  echo "installing python3-venv, which $(PYTHON) lacks"; \
	  $$as_root apt-get update -qq && $$as_root apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); } || { \
	  rm -rf $(VENV); echo "$(PYTHON) cannot make virtual environments. Install its venv module, then run make again."; exit 1; }
