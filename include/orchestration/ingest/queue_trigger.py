"""Looks whether messages are in the queue that S3 tells of dropped objects, and has them dealt with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from include.settings import get_settings

if TYPE_CHECKING:
    from include.media_store.queues import Queue

__all__ = ["QueueTrigger"]

logger = logging.getLogger(__name__)


class QueueTrigger(BaseEventTrigger):  # type: ignore[misc]  # Airflow is untyped here
    """Fires ``{"waiting", "room"}`` while messages wait and there is room for their runs. It receives none.

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
        while True:
            try:
                if queue is None:
                    queue = await asyncio.to_thread(_open, self.queue_url)
                event = await asyncio.to_thread(look, queue, _room, get_settings().ingest_active)
            except Exception as error:  # the queue or the store is away; they will be back
                logger.warning("The queue was not looked at: %s: %s", type(error).__name__, error)
                event = None
            if event:
                yield TriggerEvent(event)
            await asyncio.sleep(self.poll_seconds)


def look(queue: Queue, room: Callable[[], int], active: int) -> dict[str, int] | None:
    """Return how many messages wait and how many runs have room, where it is worth a run of the dispatcher.

    That is so once half of the places are free, or all that waits has room: each run costs a process and some writes.
    """
    waiting = queue.waiting()
    # The room is a listing, which costs more than the question before it.
    if not waiting or (places := room()) < min(waiting, max(1, active // 2)):
        return None
    return {"waiting": waiting, "room": places}


def _open(url: str) -> Queue:
    from include.media_store.queues import Queue  # noqa: PLC0415  brings boto3

    return Queue(url)


def _room() -> int:
    from include.ingest.claims import room  # noqa: PLC0415  brings boto3
    from include.ingest.place import open_ingest  # noqa: PLC0415

    return room(open_ingest())
