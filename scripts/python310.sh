#!/usr/bin/env bash
# Runs the tests of what the worker for Inferentia 1 shares with the other images under its Python, 3.10, with its pinned packages:
# scripts/python310.sh [arguments of pytest]. Makes a virtual environment in var/python310 the first time.
# TORCH=1 installs PyTorch 1.13.1 as well (some 2 GB), and tests the networks with it.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

for python in python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python3.10; do
  "$python" -c 'import ssl, ctypes, sqlite3' 2>/dev/null && break
  python=
done
[[ -n $python ]] || { say "there is no Python 3.10 on this machine: nothing was tested"; exit 0; }

venv=var/python310
if [[ ! -x $venv/bin/pytest || containers/worker-inf1/requirements.txt -nt $venv/bin/pytest ]]; then
  say "installing what the image has for $("$python" -V)"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r containers/worker-inf1/requirements.txt \
    'pytest<9.2' pytest-timeout pytest-xdist 'moto[server]'
fi
if [[ ${TORCH:-} ]]; then
  "$venv/bin/python" -c 'import torch' 2>/dev/null || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==1.13.1 setuptools
fi
# The networks' tests skip where there is no PyTorch; what the image has not (OpenVINO, Airflow, what only servers use) is left out.
[[ $# -gt 0 ]] || set -- tests/containers/test_python310.py tests/media_store --ignore=tests/media_store/test_addresses.py \
  --ignore=tests/media_store/test_credentials.py tests/net/test_{guard,rtsp,urls}.py tests/worker/test_execute.py \
  tests/worker/test_main.py tests/sr_model/test_{tiles,neuron_cores,neuron_operators}.py
PYTHONPATH=$PWD "$venv/bin/python" -m pytest -q "$@"
