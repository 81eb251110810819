"""The DAG of the queue: it has a watcher where there is a queue, and one run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.simple import AssetTriggeredTimetable

from include.orchestration.ingest.queue_trigger import QueueTrigger
from include.settings import get_settings

FILE = Path(__file__).parents[2] / "dags/ingest_queue.py"


@pytest.fixture
def parsed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[DAG]:
    monkeypatch.setenv("MEDIA_INGEST_QUEUE_URL", request.param)
    get_settings.cache_clear()
    yield DagBag(FILE).dags["ingest_queue"]
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.mark.parametrize("parsed", ["https://sqs.example/1/ingest"], indirect=True)
def test_with_a_queue_a_watcher_of_messages_starts_it(parsed: DAG) -> None:
    asset = parsed.schedule
    (watcher,) = asset.watchers
    assert isinstance(watcher.trigger, QueueTrigger)
    assert watcher.trigger.queue_url == "https://sqs.example/1/ingest"
    stored = DagSerialization.from_dict(DagSerialization.to_dict(parsed))
    assert isinstance(stored.timetable, AssetTriggeredTimetable)
    # Events that come meanwhile are one run afterwards.
    assert stored.max_active_runs == 1


@pytest.mark.parametrize("parsed", [""], indirect=True)
def test_without_a_queue_nothing_starts_it(parsed: DAG) -> None:
    assert parsed.schedule is None
