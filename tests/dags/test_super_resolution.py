"""The wiring of the DAG `super_resolution`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from include.orchestration.retry import MediaRetryPolicy
from include.settings import get_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dag():
    return DagBag(ROOT / "dags" / "super_resolution.py").dags["super_resolution"]


def test_units_follow_each_other_and_the_report_comes_last_whatever_happens(dag) -> None:
    order = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    webhooks = {"webhooks": {"told"}, "told": set()}
    assert order == {"split": {"upscale"}, "upscale": {"merge"}, "merge": {"report", "webhooks"}, "report": set()} | webhooks
    assert dag.get_task("report").trigger_rule == "all_done"
    assert {dag.get_task(name).trigger_rule for name in ("split", "merge")} == {"all_success"}


def test_as_many_segments_as_compute_can_get_ready_beside_them(dag) -> None:
    upscale, settings = dag.get_task("upscale"), get_settings()
    assert upscale.pool == "media_units"
    assert upscale.pool_slots == settings.segment_pool_slots
    assert settings.pool_slots // upscale.pool_slots >= 2 * settings.sr_slots
    assert upscale.max_active_tis_per_dagrun == 2 * settings.sr_slots
    assert "label" in upscale.map_index_template


@pytest.mark.parametrize(("setting", "queue"), [("", "fleet"), ("gpu", "gpu")], ids=["airflows-own", "of-their-own"])
def test_segments_wait_in_the_queue_of_all_tasks_whatever_its_name_unless_they_have_their_own(setting: str, queue: str) -> None:
    code = (
        "from airflow.dag_processing.dagbag import DagBag;"
        "dag = DagBag('dags/super_resolution.py').dags['super_resolution'];"
        "print(dag.get_task('split').queue, dag.get_task('upscale').queue)"
    )
    environment = os.environ | {"AIRFLOW__OPERATORS__DEFAULT_QUEUE": "fleet", "MEDIA_SR_QUEUE": setting, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == f"fleet {queue}"


def test_units_have_the_attempts_deadline_and_policy_of_the_settings(dag) -> None:
    settings = get_settings()
    upscale = dag.get_task("upscale").unmap({"unit": {}})
    for task in (dag.get_task("split"), upscale, dag.get_task("merge")):
        assert task.retries == settings.unit_attempts - 1
        assert task.execution_timeout.total_seconds() == settings.unit_timeout_seconds
        assert isinstance(task.retry_policy, MediaRetryPolicy)


def test_the_form_has_the_fields_of_the_contract_and_their_defaults(dag) -> None:
    values = {name: dag.params.get_param(name).value for name in dag.params}
    contract = {"scale": 2, "task": "inference", "env": "spot", "segment_time": 60}
    assert contract.items() <= values.items()
    assert {"key", "bucket", "model", "ladder"} <= set(values)
