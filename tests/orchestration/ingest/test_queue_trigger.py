"""The trigger that looks at the queue: when it fires, and that nothing ends it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import BaseEventTrigger

from include.orchestration.ingest import queue_trigger
from include.orchestration.ingest.queue_trigger import QueueTrigger, look


class Queue:
    """A queue in which so many messages wait; an exception is raised instead of a number."""

    def __init__(self, *waiting: int | Exception) -> None:
        self.answers = list(waiting)

    def waiting(self) -> int:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("waiting", "room", "fires"),
    [(0, 8, False), (1, 8, True), (1, 1, True), (500, 0, False), (500, 3, False), (500, 4, True), (3, 3, True), (3, 2, False)],
)
def test_it_is_worth_a_run_where_half_of_the_places_are_free_or_all_that_waits_has_room(
    waiting: int, room: int, fires: bool
) -> None:
    event = look(Queue(waiting), lambda: room, 8, lambda: False)  # type: ignore[arg-type]
    assert event == ({"waiting": waiting, "room": room} if fires else None)


def test_a_place_is_enough_where_there_is_but_one() -> None:
    assert look(Queue(500), lambda: 1, 1, lambda: False)  # type: ignore[arg-type]


def test_room_is_not_looked_for_where_nothing_waits() -> None:
    def room() -> int:
        raise AssertionError

    assert look(Queue(0), room, 8, lambda: False) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("waiting", [0, 500])
def test_claims_that_hold_places_though_their_runs_have_ended_are_worth_a_run(waiting: int) -> None:
    assert look(Queue(waiting), lambda: 0, 8, lambda: True) == {"waiting": waiting, "room": 0}  # type: ignore[arg-type]


def test_overdue_claims_are_looked_for_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_trigger, "_is_overdue", lambda: True)
    times = iter([100.0, 159.0, 160.0])
    overdue = queue_trigger.Overdue(clock=lambda: next(times))
    assert [overdue() for _ in range(3)] == [True, False, True]


def test_it_goes_on_after_events_and_after_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(1, RuntimeError("away"), 0, 2)
    opened: list[Any] = [RuntimeError("no queue yet")]

    def open_queue(_url: str) -> Any:
        if opened:
            raise opened.pop()
        return queue

    monkeypatch.setattr(queue_trigger, "_open", open_queue)
    monkeypatch.setattr(queue_trigger, "_room", lambda: 8)
    monkeypatch.setattr(queue_trigger, "_is_overdue", lambda: False)
    monkeypatch.setattr(queue_trigger, "get_settings", lambda: SimpleNamespace(ingest_active=8))

    async def events(count: int) -> list[Any]:
        run = QueueTrigger(queue_url="http://q", poll_seconds=0).run()
        return [(await anext(run)).payload for _ in range(count)]

    assert asyncio.run(events(3)) == [{"waiting": 1, "room": 8}, {"waiting": 2, "room": 8}, {"waiting": 2, "room": 8}]


def test_it_may_start_runs_and_survives_being_stored() -> None:
    trigger = QueueTrigger(queue_url="http://q", poll_seconds=2.5)
    path, arguments = trigger.serialize()
    assert path == "include.orchestration.ingest.queue_trigger.QueueTrigger"
    assert QueueTrigger(**arguments).serialize() == (path, arguments)
    assert isinstance(trigger, BaseEventTrigger)
