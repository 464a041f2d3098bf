# Every target works in a fresh clone: it makes .venv first, and again whenever requirements.txt has changed.
PYTHON ?= python3.11
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

TOWN := data/town
TOWN_SIZE := small
INDEX := $(TOWN)/index/val.parquet
DEMO := outputs/demo
OPENVINO := .openvino
JOBS := 2
DEMO_CONFIG := configs/town/maptr_lss-pillars_60x30_town.py

export PYTHONUNBUFFERED := 1
# Large arrays come from huge pages and stay with the process: a tenth off a training step on CPUs.
export GLIBC_TUNABLES := glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184

.PHONY: help install openvino demo test lint format bench lock
.DELETE_ON_ERROR:

help:
	@echo "make demo    grow the town, train, score, export to ONNX, report: $(DEMO)/report.html"
	@echo "make test    run the tests, JOBS=2 processes of them"
	@echo "make lint    ruff: rules and format (make format mends)"
	@echo "make bench   time maps, ops and evaluation on this machine"
	@echo "make openvino   an ONNX Runtime with OpenVINO in $(OPENVINO), for PYTHONPATH (docs/DEPLOY.md)"
	@echo "make lock    write requirements.txt anew from .venv"

install: $(INSTALLED)

$(INSTALLED): requirements.txt setup.cfg pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check --no-deps -r requirements.txt
	$(PY) -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The package has onnxruntime's own name: it stays out of .venv, and comes first on the path where it is wanted.
openvino: $(OPENVINO)/onnxruntime

$(OPENVINO)/onnxruntime: | $(INSTALLED)
	$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --target $(OPENVINO) onnxruntime-openvino==1.24.1

# The demo. Each step is skipped when its result is newer than what it was made from; training resumes when killed.
demo: $(DEMO)/report.html $(DEMO)/model.onnx
	@echo; grep -E '"[a-z]+/(m?AP|AP_[a-z_]+)":' $(DEMO)/metrics.json || true
	@ls -l $(DEMO)/metrics.json $(DEMO)/predictions.json $(DEMO)/model.onnx $(DEMO)/report.html $(DEMO)/checkpoint.pth

# Grows a town only where the one of this version and size does not stand already.
$(TOWN)/town.json: mapstack/datasets/town/build.py | $(INSTALLED)
	$(PY) tools/make_town.py $(TOWN) --size $(TOWN_SIZE)

$(INDEX): $(TOWN)/town.json
	$(PY) tools/prepare_nuscenes.py --root $(TOWN)/nuscenes --split-file $(TOWN)/splits/train.txt $(TOWN)/splits/val.txt --out $(@D)

# Data or config are new: what an earlier run trained on others is no start for this one.
$(DEMO)/train/started: $(INDEX) $(DEMO_CONFIG)
	rm -rf $(@D) && mkdir -p $(@D) && touch $@

$(DEMO)/checkpoint.pth: $(DEMO)/train/started
	$(PY) tools/train.py $(DEMO_CONFIG) --work-dir $(DEMO)/train --resume
	cp "$$(ls -v $(DEMO)/train/iter_*.pth | tail -n 1)" $@

$(DEMO)/metrics.json: $(DEMO)/checkpoint.pth
	$(PY) tools/test.py $(DEMO_CONFIG) $< --out $(DEMO)

$(DEMO)/model.onnx: $(DEMO)/checkpoint.pth
	$(PY) tools/export_onnx.py $(DEMO_CONFIG) $< --out $@

$(DEMO)/report.html: $(DEMO)/metrics.json
	$(PY) tools/report.py $(DEMO_CONFIG) $(DEMO) --out $@

# Test files are shared out among processes, each on one thread.
test: $(INSTALLED)
	@$(MAKE) --no-print-directory openvino || echo "no onnxruntime-openvino: its test skips"
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadscope

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(INSTALLED)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(INSTALLED)
	for tool in tools/benchmark_*.py; do echo "== $$tool"; $(PY) $$tool || exit 1; done

# The comment at the head of requirements.txt stays; mapstack itself is not in it.
lock: $(INSTALLED)
	{ grep '^#' requirements.txt; $(PY) -m pip freeze --all --exclude-editable --exclude pip; } > requirements.new
	mv requirements.new requirements.txt
	touch $(INSTALLED)
