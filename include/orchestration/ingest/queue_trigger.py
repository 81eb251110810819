"""Looks whether messages are in the queue that S3 tells of dropped objects, and has them dealt with."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from include.orchestration.ingest.runs import run_state
from include.settings import get_settings

if TYPE_CHECKING:
    from include.media_store.queues import Queue

__all__ = ["QueueTrigger"]

logger = logging.getLogger(__name__)

OVERDUE_SECONDS = 60.0


class QueueTrigger(BaseEventTrigger):  # type: ignore[misc]  # Airflow is untyped here
    """Fires ``{"waiting", "room"}`` while messages wait and there is room for runs, or claims are overdue. It receives none.

    The provider's ``SqsSensorTrigger`` takes messages with it: it deletes them before its event is stored, or, told not to,
    receives them again and again while there is no room, until they are dead letters. Here a message stays where it is until the
    run has dealt with it; an event is no more than a nudge, which may be lost, come twice or be one of many that start one run.
    """

    def __init__(self, *, queue_url: str, poll_seconds: float) -> None:
        super().__init__()
        self.queue_url, self.poll_seconds = queue_url, poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        arguments = {"queue_url": self.queue_url, "poll_seconds": self.poll_seconds}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See :meth:`BaseTrigger.run`; it goes on after an event."""
        queue: Queue | None = None
        overdue = Overdue()
        while True:
            try:
                if queue is None:
                    queue = await asyncio.to_thread(_open, self.queue_url)
                event = await asyncio.to_thread(look, queue, _room, get_settings().ingest_active, overdue)
            except Exception as error:  # the queue or the store is away; they will be back
                logger.warning("The queue was not looked at: %s: %s", type(error).__name__, error)
                event = None
            if event:
                yield TriggerEvent(event)
            await asyncio.sleep(self.poll_seconds)


class Overdue:
    """Tells once a minute whether claims hold places though their runs have ended: nobody else may look after them."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at = float("-inf")

    def __call__(self) -> bool:
        now = self._clock()
        if now - self._asked_at < OVERDUE_SECONDS:
            return False
        self._asked_at = now
        return _is_overdue()


def look(queue: Queue, room: Callable[[], int], active: int, is_overdue: Callable[[], bool]) -> dict[str, int] | None:
    """Return how many messages wait and how many runs have room, where it is worth a run of the dispatcher.

    That is so once half of the places are free, or all that waits has room: each run costs a process and some writes; and where
    claims are overdue.
    """
    waiting, places = queue.waiting(), 0
    # The room is a listing, which costs more than the question before it.
    if waiting and (places := room()) >= min(waiting, max(1, active // 2)):
        return {"waiting": waiting, "room": places}
    return {"waiting": waiting, "room": places} if is_overdue() else None


def _open(url: str) -> Queue:
    from include.media_store.queues import Queue  # noqa: PLC0415  brings boto3

    return Queue(url)


def _is_overdue() -> bool:
    from include.ingest.place import open_ingest  # noqa: PLC0415  brings boto3
    from include.ingest.reconcile import is_overdue  # noqa: PLC0415

    return is_overdue(open_ingest(), run_state)


def _room() -> int:
    from include.ingest.claims import room  # noqa: PLC0415  brings boto3
    from include.ingest.place import open_ingest  # noqa: PLC0415

    return room(open_ingest())
