# The README's two commands, and `parity`: every case of the folder STYLEGAN_SWAP_GOLDEN (recorded outputs of
# official code) against ours. Each creates .venv and installs what it needs; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-exhaustive parity cuda docs clean

demo: $(VENV)/installed
	$(BIN)/stylegan-swap demo --output runs/demo

# face-alignment depends on opencv-python, whose windows need libGL; it unpacks over opencv-python-headless.
# Installed last, the headless build runs on any machine.
INSTALL = $(PYTHON) -m venv $(VENV) && \
	$(BIN)/pip install --disable-pip-version-check --quiet --editable $(1) && \
	$(BIN)/pip install --disable-pip-version-check --quiet --force-reinstall --no-deps opencv-python-headless

# Small networks gain nothing from threads of their own. Three processes for two cores: many tests wait for others.
test: $(VENV)/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal

# What `make test` leaves out for its length: full-size training steps, kills of whole trainings, all tutorials.
test-exhaustive: $(VENV)/test-installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m exhaustive -n 2 --dist worksteal

parity: $(VENV)/test-installed
	OMP_NUM_THREADS=1 $(BIN)/python tests/parity.py -n 2 --dist worksteal

# What `make test` leaves out: the CUDA kernels through nvcc for every architecture, and on a GPU where there is one.
cuda: $(VENV)/test-installed
	$(BIN)/pytest tests/cuda_ops -m "nvcc or gpu"

# The documentation as a site: build/site/index.html. `$(BIN)/mkdocs serve` shows it while pages are written.
docs: $(VENV)/test-installed
	$(BIN)/mkdocs build --strict

$(VENV)/installed: setup.cfg setup.py pyproject.toml
	$(call INSTALL,.)
	touch $@

$(VENV)/test-installed: setup.cfg setup.py pyproject.toml
	$(call INSTALL,'.[test]')
	touch $(VENV)/installed $@

clean:
	rm -rf $(VENV) build dist *.egg-info
