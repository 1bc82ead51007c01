# One command per task. Each first makes what it needs: Debian packages where it may, and the environment in .venv.

PYTHON := .venv/bin/python
BOOTSTRAP := deploy/bootstrap.sh deploy/constraints.txt pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo demo-recalibration test test-slow soak pictures bench science lint clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: .venv/ready-for-demo  ## watch mammograms go to the node and come back from a PACS as reports; leaves build/demo/index.html
	@$(PYTHON) -m dosremc_node demo

demo-recalibration: .venv/ready-for-test  ## watch a new scanner being taken in and recalibrated, some 15 minutes; leaves build/demo-recalibration/index.html
	@$(PYTHON) -m dosremc_node demo-recalibration

test: .venv/ready-for-test  ## everything but the tests marked slow or soak
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -m "not slow and not soak and not alone" -n 2 --dist worksteal
	@$(PYTHON) -m pytest -m "alone and not slow and not soak"

test-slow: .venv/ready-for-test  ## the tests marked slow
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -m slow -n 2 --dist worksteal

pictures: .venv/ready-for-test  ## the README's pictures anew: what OHIF shows of a positive study; leaves deploy/pictures
	@$(PYTHON) -m pytest -q tests/system/test_system_viewer.py
	@PYTHONPATH=tests $(PYTHON) -m harness.pictures

soak: .venv/ready-for-test  ## two hundred kills, thousands of attacks and probes: an hour
	@$(PYTHON) -m pytest -m soak --timeout 1800

bench: .venv/ready-for-test  ## how long everything takes on this machine, which should be quiet: some 15 minutes; leaves build/bench/*.json
	@PYTHONPATH=tests $(PYTHON) -m bench

science: .venv/ready-for-test  ## every method on simulated vendors, one to two hours on two cores (SCIENCE="--preset quick": minutes); leaves build/science
	@$(PYTHON) -m dosremc_node science $(SCIENCE)

lint: .venv/ready-for-test  ## rules, format, types, and who may import whom
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

clean:  ## remove what the other commands made, save the environment
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/ready-for-demo: $(BOOTSTRAP)
	@deploy/bootstrap.sh demo
	@touch $@

.venv/ready-for-test: $(BOOTSTRAP)
	@deploy/bootstrap.sh test
	@touch .venv/ready-for-demo $@
