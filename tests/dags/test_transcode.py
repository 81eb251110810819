"""The wiring of the DAG `transcode`."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

from include.orchestration.retry import MediaRetryPolicy
from include.settings import get_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dag():
    return DagBag(ROOT / "dags" / "transcode.py").dags["transcode"]


def test_units_follow_each_other_and_the_report_comes_last_whatever_happens(dag) -> None:
    order = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    webhooks = {"webhooks": {"told"}, "told": set()}
    assert order == {"plan": {"encode"}, "encode": {"finish"}, "finish": {"report", "webhooks"}, "report": set()} | webhooks
    assert dag.get_task("report").trigger_rule == "all_done"
    assert {dag.get_task(name).trigger_rule for name in ("plan", "finish")} == {"all_success"}


def test_the_fan_out_is_bounded_by_the_pool_and_per_run_and_each_unit_bears_its_label(dag) -> None:
    encode = dag.get_task("encode")
    assert encode.pool == "media_units"
    assert encode.max_active_tis_per_dagrun == get_settings().pool_slots
    assert "label" in encode.map_index_template


def test_units_have_the_attempts_deadline_and_policy_of_the_settings(dag) -> None:
    settings = get_settings()
    encode = dag.get_task("encode").unmap({"unit": {}})
    for task in (dag.get_task("plan"), encode, dag.get_task("finish")):
        assert task.retries == settings.unit_attempts - 1
        assert task.execution_timeout.total_seconds() == settings.unit_timeout_seconds
        assert isinstance(task.retry_policy, MediaRetryPolicy)


def test_later_tasks_go_first_so_that_runs_are_finished_before_new_ones_are_begun(dag) -> None:
    again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    rules = [type(again.get_task(name).weight_rule).__name__ for name in ("plan", "encode", "finish", "report")]
    assert set(rules) == {"_UpstreamPriorityWeightStrategy"}
