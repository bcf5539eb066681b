# Both targets do all their own set-up: Python >= 3.10, venv and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test browser-test check fuzz mutate coverage docs clean

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/latent-tracer demo --output demo-output

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .typecheck && ln -sfn .. .typecheck/latent_tracer
	cd .typecheck && ../$(BIN)/mypy --config-file ../pyproject.toml -p latent_tracer.core -p latent_tracer.cli -p latent_tracer.corpus -p latent_tracer.nodes

test: check
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# How much of the core the tests without ComfyUI run; fails below 95 %.
coverage: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --ignore tests/comfyui --cov latent_tracer.core --cov-report term:skip-covered --cov-fail-under 95

# A real ComfyUI in a real Chromium: minutes, and screenshots to look at.
browser-test: $(VENV)/.installed
	$(BIN)/python -m pytest tests/comfyui/browser -m browser

# Files of every kind, changed at random: ten minutes, MINUTES=60 for an hour. It goes on where the last run ended; what
# failed is kept in tests/fuzz_seeds, the sums in benchmarks/results/fuzz.md.
MINUTES := 10
fuzz: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fuzz.py --minutes $(MINUTES)

# Do the tests notice when a line is changed? About an hour; survivors in benchmarks/results/mutation.md.
mutate: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[mutate]'
	OMP_NUM_THREADS=1 $(BIN)/python tools/mutate.py

# The pages, in build/site. Their sources are laid out in build/docs as they lie here, so that one link works in both
# places; API pages are read from the sources, nothing is imported. A broken link fails.
docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	mkdir -p .typecheck && ln -sfn .. .typecheck/latent_tracer
	rm -rf build/docs && mkdir -p build/docs/web
	cd build/docs && ln -s ../../README.md ../../CONTRIBUTING.md ../../CHANGELOG.md ../../CITATION.cff ../../LICENSE ../../docs ../../benchmarks .
	ln -s ../../../web/docs build/docs/web/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) .typecheck .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
