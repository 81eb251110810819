"""Takes S3's events about parts from their queue, once for all triggers of this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from include.orchestration.upload.access import open_store, open_uploads
from include.settings import Settings
from include.uploads.watch import note_object

if TYPE_CHECKING:
    from include.media_store.object_events import ObjectEvents, ObjectMessage

__all__ = ["receiving"]

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0


class _Receiver:
    """The task that receives, while anybody wants it."""

    def __init__(self) -> None:
        self.wanted = 0
        self.task: asyncio.Task[None] | None = None


_receiver = _Receiver()


@asynccontextmanager
async def receiving(settings: Settings) -> AsyncIterator[None]:
    """See that events are received as long as the context lasts; without a queue nothing happens."""
    if not settings.upload_queue_url:
        yield
        return
    _receiver.wanted += 1
    if _receiver.task is None or _receiver.task.done():
        _receiver.task = asyncio.create_task(_receive(settings.upload_queue_url))
    try:
        yield
    finally:
        _receiver.wanted -= 1
        if not _receiver.wanted and _receiver.task is not None:
            # Forgotten first: who comes while it ends needs another one.
            task, _receiver.task = _receiver.task, None
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _receive(queue_url: str) -> None:
    from include.media_store.object_events import ObjectEvents  # noqa: PLC0415  brings boto3

    events: ObjectEvents | None = None
    while True:
        try:
            if events is None:
                events = await asyncio.to_thread(ObjectEvents, queue_url)
            messages = await asyncio.to_thread(events.receive)
            await asyncio.gather(*(asyncio.to_thread(_note, events, message) for message in messages))
        except Exception as error:  # whatever it is, others wait for the next events; what was not deleted comes again
            logger.warning("Events of parts were not received: %s: %s", type(error).__name__, error)
            await asyncio.sleep(PAUSE_SECONDS)


def _note(events: ObjectEvents, message: ObjectMessage) -> None:
    for key in message.keys:
        note_object(open_uploads(), open_store(), key)
    events.delete(message)
