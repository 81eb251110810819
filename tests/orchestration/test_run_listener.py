"""Runs are counted by kind and end, in whatever process Airflow tells of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.listeners.spec import dagrun
from airflow.sdk._shared.listeners.listener import ListenerManager

from include.orchestration import metrics, run_listener
from include.orchestration.deadlines import RunCreated
from plugins.media_plugin import MediaPlugin

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
BY_HAND = "Dag Run's state was manually set to `failed`."


def run(dag_id: str = "transcode", **changes: Any) -> Any:
    times = {"queued_at": NOW, "start_date": NOW + timedelta(seconds=4), "end_date": NOW + timedelta(seconds=64)}
    return SimpleNamespace(**({"dag_id": dag_id, "conf": {}} | times | changes))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(metrics, "record_run_start", lambda *args: found.append(("start", *args)))
    monkeypatch.setattr(metrics, "record_run_end", lambda *args: found.append(("end", *args)))
    return found


def test_a_run_that_begins_tells_how_long_it_was_queued(sent: list[tuple[Any, ...]]) -> None:
    run_listener.on_dag_run_running(run(), "started")
    assert sent == [("start", "transcode", 4.0)]


def test_a_run_that_ends_tells_how_and_how_long_it_was_at_work(sent: list[tuple[Any, ...]]) -> None:
    run_listener.on_dag_run_success(run("super_resolution"), "success")
    run_listener.on_dag_run_failed(run("live"), "task_failure")
    run_listener.on_dag_run_failed(run("upload"), BY_HAND)
    assert [one[1:] for one in sent] == [
        ("super_resolution", "done", 60.0),
        ("task", "failed", 60.0),
        ("upload", "stopped", 60.0),
    ]


def test_a_task_is_one_in_whatever_dag_and_a_run_that_never_began_took_no_time(sent: list[tuple[Any, ...]]) -> None:
    run_listener.on_dag_run_failed(run(conf={"task_id": "1"}, start_date=None), BY_HAND)
    assert sent == [("end", "task", "stopped", None)]


def test_runs_of_others_are_not_counted_and_odd_ones_stop_nothing(sent: list[tuple[Any, ...]]) -> None:
    run_listener.on_dag_run_success(run("somebody_elses"), "")
    run_listener.on_dag_run_success(run(conf=3), "")
    assert sent == []


def test_the_plugin_makes_listener_and_deadlines_known_to_airflow() -> None:
    assert MediaPlugin.listeners == [run_listener]
    assert MediaPlugin.deadline_references == [RunCreated]
    manager = ListenerManager()
    manager.add_hookspecs(dagrun)
    # Refuses functions whose arguments are not those of the specification.
    manager.add_listener(run_listener)
    assert manager.has_listeners
