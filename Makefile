# The two commands a newcomer needs: `make demo` and `make test`. Both set up everything they need in .venv first.
PYTHON ?= python3
PYTEST_ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PEERS := $(VENV)/peers
PIPELINES := $(VENV)/peers-predict

# A virtual screen with OpenGL. Wayland is taken out of Qt's sight, so that its windows really go there.
ON_X := env -u WAYLAND_DISPLAY QT_QPA_PLATFORM=xcb
SCREEN := $(ON_X) xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX"
LARGE_SCREEN := $(subst 1600x1000,2000x1300,$(SCREEN))
HAS_DISPLAY := $(DISPLAY)$(WAYLAND_DISPLAY)
ifeq ($(shell uname -s),Darwin)
HAS_DISPLAY := macOS
ON_X :=
SCREEN :=
LARGE_SCREEN :=
endif

.PHONY: help demo test lint bench bench-correction bench-io bench-mil bench-cohort bench-predict bench-saving bench-training bench-window screenshots reproduce accuracy bundled-model clean system-packages

help:
	@echo "make demo           open the sample slide and predict (without a display: picture and files in demo-output/)"
	@echo "make test           every test, the window's included, and the linters"
	@echo "make lint           the linters alone: ruff, mypy, import-linter"
	@echo "make bench          measure speed"
	@echo "make bench-io       measure how slides are read and shown, beside other readers (about half an hour; writes docs/speed-io.md)"
	@echo "make bench-mil      measure what the MIL methods cost, beside the plain form of their equations (about half an hour; writes docs/methods-cost.md)"
	@echo "make bench-predict  measure how slides become features, beside other pipelines (about a quarter of an hour; writes docs/speed-predict.md)"
	@echo "make bench-saving   measure what zooming and stored features save, and memory on a huge slide (writes docs/speed-predict-zoom.md)"
	@echo "make bench-cohort   measure many slides on one and two workers, and kill them (about ten minutes; writes docs/results/cohort.md)"
	@echo "make bench-correction  correct models that look at ink by four regions on two slides (about half an hour; writes docs/results/correction.md)"
	@echo "make bench-training measure whether training waits for its loader (writes docs/results/training-loader.md)"
	@echo "make bench-window   measure overlays beside plain napari, and what keeps the window from answering (writes docs/speed-window.md, -blocks.md)"
	@echo "make screenshots    pictures of every dock in both themes and two sizes, into build/screenshots and docs/images"
	@echo "make reproduce      train on real images and compare with the papers (hours without a GPU; writes docs/results; stops and goes on)"
	@echo "make accuracy       measure the bundled model on generated slides it never saw"
	@echo "make bundled-model  train the bundled encoder and model again"
	@echo "make clean          remove .venv and everything that was built"

demo: $(STAMP)
ifeq ($(HAS_DISPLAY),)
	$(SCREEN) $(VENV)/bin/napari-wsimil demo --headless --out demo-output
else
	$(VENV)/bin/napari-wsimil demo
endif

# Two processes, each with a virtual screen of its own; threads that wait for work let the other process have the core. The files
# come in the order of tests/conftest.py, and each stays in one process, as its tests share what they make.
test: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE $(ON_X) $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(STAMP)
	$(PY) -m pytest -q tests/test_lint.py

bench: $(STAMP)
	$(PY) benchmarks/speed.py

bench-io: $(PEERS)/.installed
	PYTHONPATH=$(PEERS) $(SCREEN) $(PY) benchmarks/io_all.py --out docs/speed-io.md

bench-mil: $(STAMP)
	$(PY) benchmarks/mil_heads.py --out docs/methods-cost.md

bench-predict: $(PIPELINES)/.installed
	PYTHONPATH=$(PIPELINES) $(PY) benchmarks/predict.py --out docs/speed-predict.md
	$(SCREEN) $(PY) benchmarks/first_pixels.py --out docs/speed-predict-window.md

bench-saving: $(STAMP)
	$(PY) benchmarks/savings.py --out docs/speed-predict-zoom.md

bench-cohort: $(STAMP)
	$(PY) benchmarks/cohort.py --out docs/results/cohort.md

bench-correction: $(STAMP)
	$(PY) benchmarks/correction.py

bench-training: $(STAMP)
	$(PY) benchmarks/training_loader.py --out docs/results/training-loader.md

bench-window: $(STAMP)
	$(SCREEN) $(PY) benchmarks/overlays.py --out docs/speed-window.md
	$(SCREEN) $(PY) benchmarks/gui_blocks.py --out docs/speed-blocks.md

screenshots: $(STAMP)
	$(LARGE_SCREEN) $(PY) scripts/screenshots.py --docs

reproduce: $(PEERS)/.installed
	PYTHONPATH=$(PEERS) $(PY) benchmarks/reproduce_weno.py --data cifar --out docs/results
	PYTHONPATH=$(PEERS) $(PY) benchmarks/reproduce_weno.py --data crc --out docs/results --seeds 0 1 2 3 4
	PYTHONPATH=$(PEERS) $(PY) benchmarks/reproduce_weno.py --data crc --out docs/results --seeds 0 1 2 3 4 --epochs 30 --teachers abmil --ratios .1 .2
	PYTHONPATH=$(PEERS) $(PY) benchmarks/reproduce_mosaics.py --out docs/results

accuracy: $(STAMP)
	$(PY) benchmarks/bundled_model.py

bundled-model: $(STAMP)
	$(PY) -m napari_wsimil.training.bundled

clean:
	rm -rf $(VENV) build dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Instant when nothing is missing; the screen's libraries may have gone since .venv was made, so it is asked every time.
system-packages:
	@PYTHON="$(PYTHON)" scripts/system-packages $(if $(filter demo,$(MAKECMDGOALS)),$(HAS_DISPLAY),$(filter macOS,$(HAS_DISPLAY)))

# pip of Debian 12 does not know dependency groups, hence the upgrade first. An interrupted installation leaves no stamp.
$(STAMP): pyproject.toml constraints.txt scripts/system-packages | system-packages
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group test --group lint
	touch $@

# In a folder of their own: a plugin among them would read slides in the tests too.
$(PEERS)/.installed: $(STAMP)
	$(PY) -m pip install --quiet --upgrade --no-deps --constraint constraints.txt --target $(PEERS) --group bench
	touch $@

$(PIPELINES)/.installed: $(STAMP)
	$(PY) -m pip install --quiet --upgrade --no-deps --constraint constraints.txt --target $(PIPELINES) --group bench-predict
	touch $@
