"""The cluster policy: tasks of runs that dropped objects start come after all others."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from include.ingest.models import INGEST_CLIENT

ROOT = Path(__file__).parents[2]
IN_AIRFLOW = """
import json, sys
import airflow.settings as settings
from types import SimpleNamespace
tasks = [SimpleNamespace(priority_weight=3) for _ in range(3)]
for task, run in zip(tasks, [SimpleNamespace(conf={"client": "ingest"}), SimpleNamespace(conf={"client": "ours"}), None]):
    settings.task_instance_mutation_hook(task, dag_run=run)
print(json.dumps([[task.priority_weight for task in tasks], settings.task_instance_mutation_hook.is_noop]))
"""


@pytest.fixture(scope="module")
def policy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("local_settings", ROOT / "plugins/airflow_local_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weight(policy: ModuleType, run: object, before: int | None = 4, times: int = 1) -> int | None:
    task = SimpleNamespace(priority_weight=before)
    for _ in range(times):
        policy.task_instance_mutation_hook(task, run)
    return task.priority_weight


def test_a_run_of_a_dropped_object_comes_after_every_other_and_keeps_its_own_order(policy: ModuleType) -> None:
    run = SimpleNamespace(conf={"client": INGEST_CLIENT})
    assert weight(policy, run, before=300) < 0  # type: ignore[operator]
    assert weight(policy, run, before=4) < weight(policy, run, before=5)  # type: ignore[operator]


def test_it_is_lowered_once(policy: ModuleType) -> None:
    run = SimpleNamespace(conf={"client": INGEST_CLIENT})
    assert weight(policy, run, times=3) == weight(policy, run)


@pytest.mark.parametrize("conf", [None, {}, {"client": "ours"}, {"client": None}, {"client": ["ingest"]}, "ingest"])
def test_other_runs_are_left_alone(policy: ModuleType, conf: object) -> None:
    assert weight(policy, SimpleNamespace(conf=conf)) == 4
    assert weight(policy, None) == 4


def test_a_task_without_a_weight_is_left_alone(policy: ModuleType) -> None:
    assert weight(policy, SimpleNamespace(conf={"client": INGEST_CLIENT}), before=None) is None


def test_airflow_finds_it(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "AIRFLOW_HOME": str(tmp_path)}
    environment |= {"AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"), "AIRFLOW__CORE__UNIT_TEST_MODE": "True"}
    done = subprocess.run(
        [sys.executable, "-c", IN_AIRFLOW], check=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    weights, is_noop = json.loads(done.stdout.splitlines()[-1])
    assert weights == [3 - 1000, 3, 3]
    assert is_noop is False
