"""The trigger that looks for dropped objects, and its sensor."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.triggers.base import TaskSkippedEvent, TaskSuccessEvent

from include.errors import InternalError, StorageError
from include.ingest.models import Dropped
from include.ingest.watch import Sight
from include.orchestration.ingest import runs, watch_trigger
from include.orchestration.ingest.sensor import DroppedObjectsSensor
from include.orchestration.ingest.watch_trigger import DroppedTrigger, pause
from include.settings import Settings


async def first_event(trigger: DroppedTrigger) -> Any:
    return await anext(trigger.run())


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The XComs that the trigger has left."""
    found: list[Any] = []

    async def push(self: DroppedTrigger, sight: dict[str, Any]) -> None:
        found.append(sight)

    monkeypatch.setattr(DroppedTrigger, "push", push)
    return found


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What looks find, one after the other; exceptions are raised."""
    found: list[Any] = []

    def look() -> Sight:
        answer = found.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(watch_trigger, "_look", look)
    monkeypatch.setattr(watch_trigger, "pause", lambda settings: 0.0)
    return found


def test_it_ends_its_task_with_what_there_is_to_do_and_outlives_a_store_that_is_away(looks: list[Any], pushed: list[Any]) -> None:
    looks += [Sight(), StorageError("away"), Sight(), Sight((Dropped("media", "incoming/a.mp4", "e1"),), backlog=3)]
    assert isinstance(asyncio.run(first_event(DroppedTrigger())), TaskSuccessEvent)
    assert pushed == [{"dropped": [["media", "incoming/a.mp4", "e1"]], "overdue": False, "backlog": 3}]
    assert looks == []


def test_overdue_claims_alone_are_something_to_do(looks: list[Any], pushed: list[Any]) -> None:
    looks += [Sight(overdue=True)]
    assert isinstance(asyncio.run(first_event(DroppedTrigger())), TaskSuccessEvent)
    assert pushed == [{"dropped": [], "overdue": True, "backlog": None}]


def test_a_day_of_nothing_ends_without_a_worker(looks: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, watch_trigger.LONGEST_SECONDS])
    monkeypatch.setattr(watch_trigger, "time", SimpleNamespace(monotonic=lambda: next(times)))
    looks += [Sight()]
    assert isinstance(asyncio.run(first_event(DroppedTrigger())), TaskSkippedEvent)


def test_it_can_be_made_again_by_another_triggerer() -> None:
    path, arguments = DroppedTrigger().serialize()
    assert path == "include.orchestration.ingest.watch_trigger.DroppedTrigger"
    assert DroppedTrigger(**arguments).serialize() == (path, arguments)


def test_with_a_queue_it_only_sweeps() -> None:
    assert pause(Settings(ingest_poll_seconds=5)) == 5
    assert pause(Settings(ingest_poll_seconds=5, ingest_queue_url="http://queue")) == 60
    assert pause(Settings(ingest_poll_seconds=300, ingest_queue_url="http://queue")) == 300


def test_the_sensor_never_takes_a_worker() -> None:
    sensor = DroppedObjectsSensor(task_id="watch", settings=Settings(bucket="films"))
    assert (sensor.bucket_name, sensor.bucket_key) == ("films", ["incoming/transcode/*", "incoming/super_resolution/*"])
    assert sensor.start_from_trigger
    assert sensor.start_trigger_args.trigger_cls == DroppedTrigger().serialize()[0]
    with pytest.raises(RuntimeError):
        sensor.execute({})


@pytest.mark.parametrize(("status", "expected"), [(404, None), (500, InternalError)])
def test_a_run_that_is_not_there_has_no_state(status: int, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time.comms import ErrorResponse
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def refuse(dag_id: str, run_id: str) -> str:
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status}))

    monkeypatch.setattr(RuntimeTaskInstance, "get_dagrun_state", staticmethod(refuse))
    if expected is None:
        assert runs.run_state("transcode", "transcode__1") is None
    else:
        with pytest.raises(expected):
            runs.run_state("transcode", "transcode__1")
