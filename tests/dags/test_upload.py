"""The wiring of the DAG `upload`."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dag():
    return DagBag(ROOT / "dags" / "upload.py").dags["upload"]


def test_the_relay_does_not_wait_for_the_parts_and_the_parts_stay_until_both_have_read_them(dag) -> None:
    order = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    assert order == {
        "begin": {"await_parts", "relay"},
        "await_parts": {"join"},
        "join": {"transcode", "clean"},
        "transcode": {"report"},
        "relay": {"processing", "clean"},
        "processing": {"report"},
        "clean": {"report"},
        "report": set(),
    }
    rules = {name for name in order if dag.get_task(name).trigger_rule == "all_done"}
    assert rules == {"clean", "report"}


def test_many_uploads_wait_side_by_side(dag) -> None:
    assert dag.max_active_runs >= 500


def test_the_form_names_the_upload(dag) -> None:
    assert set(dag.params) == {"atom_id", "upload_id", "client", "filename"}
