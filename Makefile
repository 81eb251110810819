# The one door: every task of this repository is a target here. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
RUN := $(VENV)/bin/python
# Hundreds of short processes are started here; compiling their imports each time would take longer than their work.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup up down status demo test test-s3 test-docker test-py310 images lint lint-310 lint-infra format bench bench-transcode bench-upscale bench-fleet bench-api bench-pages bench-rivals lock clean compose-env

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

demo: setup ## do the main job on real video: VIDEO=path takes yours, KEEP=1 leaves the stack running, COMPOSE=.env uses that one
	@$(RUN) -m scripts.demo $(if $(VIDEO),--video "$(VIDEO)") $(if $(KEEP),--keep) $(if $(COMPOSE),--compose "$(COMPOSE)")

# One of three mostly waits for the stack that its tests share, whose tasks have this niceness: the others' encoders must not outdo it.
test: setup ## run all tests (ARGS=… goes to pytest)
	@nice -n 10 $(RUN) -m pytest --numprocesses 3 --dist loadgroup $(ARGS)

test-s3: setup ## run the storage tests against a real S3 server (Ceph RGW from Debian packages)
	@bash scripts/ceph_s3.sh up && trap 'bash scripts/ceph_s3.sh down' EXIT && \
	REELFLOW_TEST_S3=http://127.0.0.1:7480 REELFLOW_TEST_S3_KEY=MEDIAKEY REELFLOW_TEST_S3_SECRET=MEDIASECRET \
	  $(RUN) -m pytest tests/media_store tests/uploads tests/worker $(ARGS)

images: ## build our container images (IMAGES="worker-cpu airflow" only those; IMAGE_PREFIX, IMAGE_TAG name them)
	@bash scripts/images.sh $(IMAGES)

test-docker: setup ## build what images are missing (STAND_INS=1: base images, too) and run the tests that need a Docker engine
	@bash scripts/images.sh --missing $(IMAGES)
	@REELFLOW_TEST_DOCKER=1 $(RUN) -m pytest -m docker --timeout 900 $(ARGS)

test-py310: setup ## run the tests of what the Inferentia 1 image shares under Python 3.10 (TORCH=1: with PyTorch 1.13.1)
	@bash scripts/python310.sh $(ARGS)

lint: setup lint-infra ## ruff, mypy, import rules, CloudFormation
	@ruff check . && ruff format --check . && mypy && $(MAKE) --no-print-directory lint-310 && lint-imports --no-cache

lint-310: setup # what the Inferentia 1 image shares uses nothing that Python 3.10 lacks
	@mypy --python-version 3.10 --no-warn-return-any --no-warn-unused-ignores --cache-dir .mypy_cache/python310 \
	  include/errors.py include/settings.py include/net include/media_store include/ffmpeg_ops include/sr_model include/worker

lint-infra: setup ## check the CloudFormation templates
	@cfn-lint

format: setup ## let ruff rewrite
	@ruff check --fix . ; ruff format .

bench: bench-transcode bench-upscale ## compare with what one would run instead, side by side (see the two below)

bench-transcode: setup ## the workflow beside plain ffmpeg (BENCH_SECONDS=300 PRESETS="medium veryfast" VIDEO=path)
	@$(RUN) -m scripts.bench $(if $(BENCH_SECONDS),--seconds $(BENCH_SECONDS)) $(if $(PRESETS),--presets $(PRESETS)) $(if $(VIDEO),--video "$(VIDEO)")

bench-upscale: setup ## super-resolution beside ffmpeg's lanczos with the same encoder
	@$(RUN) -m include.sr_model bench

bench-rivals: setup ## our networks beside FSRCNN in OpenCV and the network of realesr-animevideov3 (installs onnx and OpenCV into .venv)
	@$(RUN) -m pip install --quiet --disable-pip-version-check onnx==1.23.2 opencv-python-headless==5.0.0.93
	@$(RUN) -m scripts.rivals

bench-api: setup ## the running stack's API under 50 clients that create and poll tasks (ARGS="--clients 20 --seconds 30")
	@$(RUN) -m scripts.load $(ARGS)

bench-pages: setup ## what polls of the media pages take beside 5,000 runs and one of 200 units (ARGS="--viewers 5")
	@$(RUN) -m scripts.pages $(ARGS)

bench-fleet: setup ## what scheduling costs: a fleet whose workers sleep, with 1, 2 and 4 slots, and 200 units beside a second run
	@$(RUN) -m scripts.fleet $(ARGS)

lock: setup ## compile every requirements….txt, those of images too, from its .in file
	@for name in requirements requirements-dev; do \
	  uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header $(UPGRADE) $$name.in -o $$name.txt; done
	@for image in airflow worker-cpu worker-cuda worker-inf1 worker-inf2; do \
	  python=3.11; [[ $$image != worker-inf1 ]] || python=3.10; \
	  uv pip compile --quiet --python-platform x86_64-manylinux_2_28 --python-version $$python --no-emit-index-url --no-header $(UPGRADE) \
	    containers/$$image/requirements.in -o containers/$$image/requirements.txt; done

compose-env: ## make .env for docker-compose.yaml, with random secrets; one that is there keeps its values (docs/compose.md)
	@$(PYTHON) -m include.compose.env

clean: ## remove the virtual environment and all state (stop the stack first: make down)
	@if [ -x $(RUN) ]; then $(RUN) -m include.embedded down >/dev/null || true; fi
	rm -rf $(VENV) var
