# The one door: every task of this repository is a target here. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
RUN := $(VENV)/bin/python
# Hundreds of short processes are started here; compiling their imports each time would take longer than their work.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup up down status demo test test-s3 lint format bench bench-transcode bench-upscale lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## install everything into .venv (and ffmpeg there, if the system has none)

$(VENV)/.ready: requirements.txt requirements-dev.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash scripts/setup.sh

up: setup ## start the stack on this machine and leave it running
	@$(RUN) -m include.embedded up

down: setup ## stop the stack and every process it started
	@$(RUN) -m include.embedded down

status: setup ## show what runs
	@$(RUN) -m include.embedded status

demo: setup ## do the main job on real video: VIDEO=path takes yours, KEEP=1 leaves the stack running
	@$(RUN) -m scripts.demo $(if $(VIDEO),--video "$(VIDEO)") $(if $(KEEP),--keep)

test: setup ## run all tests (ARGS=… goes to pytest)
	@$(RUN) -m pytest --numprocesses 2 --dist loadgroup $(ARGS)

test-s3: setup ## run the storage tests against a real S3 server (Ceph RGW from Debian packages)
	@bash scripts/ceph_s3.sh up && trap 'bash scripts/ceph_s3.sh down' EXIT && \
	REELFLOW_TEST_S3=http://127.0.0.1:7480 REELFLOW_TEST_S3_KEY=MEDIAKEY REELFLOW_TEST_S3_SECRET=MEDIASECRET \
	  $(RUN) -m pytest tests/media_store tests/worker $(ARGS)

lint: setup ## ruff, mypy, import rules
	@ruff check . && ruff format --check . && mypy && lint-imports --no-cache

format: setup ## let ruff rewrite
	@ruff check --fix . ; ruff format .

bench: bench-transcode bench-upscale ## compare with what one would run instead, side by side (see the two below)

bench-transcode: setup ## the workflow beside plain ffmpeg (BENCH_SECONDS=300 PRESETS="medium veryfast" VIDEO=path)
	@$(RUN) -m scripts.bench $(if $(BENCH_SECONDS),--seconds $(BENCH_SECONDS)) $(if $(PRESETS),--presets $(PRESETS)) $(if $(VIDEO),--video "$(VIDEO)")

bench-upscale: setup ## super-resolution beside ffmpeg's lanczos with the same encoder
	@$(RUN) -m include.sr_model bench

lock: setup ## compile requirements.txt and requirements-dev.txt from their .in files
	@for name in requirements requirements-dev; do \
	  uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header $(UPGRADE) $$name.in -o $$name.txt; done

clean: ## remove the virtual environment and all state (stop the stack first: make down)
	@if [ -x $(RUN) ]; then $(RUN) -m include.embedded down >/dev/null || true; fi
	rm -rf $(VENV) var
