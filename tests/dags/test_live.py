"""The wiring of the DAG `live`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from include.errors import Cancelled, InternalError, TimedOut
from include.orchestration.live import LiveRetryPolicy
from include.settings import get_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dag():
    return DagBag(ROOT / "dags" / "live.py").dags["live"]


def test_one_task_holds_the_stream_and_the_report_comes_last_whatever_happens(dag) -> None:
    assert dag.get_task("live").downstream_task_ids >= {"report"}
    assert dag.get_task("report").trigger_rule == "all_done"


def test_the_stream_has_slots_of_its_own_and_outlasts_its_deadline(dag) -> None:
    live, settings = dag.get_task("live"), get_settings()
    assert live.pool == "media_live"
    assert settings.pools["media_live"][0] == settings.live_slots
    assert live.execution_timeout > timedelta(seconds=settings.live_seconds)
    assert isinstance(live.retry_policy, LiveRetryPolicy)


@pytest.mark.parametrize(
    ("error", "again"),
    [(TimedOut("late"), False), (InternalError("killed"), True), (Cancelled("with its machine"), True)],
    ids=["deadline", "killed", "stopped with its machine"],
)
def test_an_attempt_is_followed_by_another_unless_the_deadline_has_passed(error: Exception, again: bool) -> None:
    decision = LiveRetryPolicy().evaluate(error, 1, 2)
    assert (decision.action.value == "retry") is again
