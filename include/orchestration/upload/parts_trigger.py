"""Looks for the parts of one upload until all are there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from include.errors import MediaError, NotFound
from include.orchestration.upload.access import open_store, open_uploads
from include.orchestration.upload.part_events import receiving
from include.settings import Settings, get_settings
from include.uploads.models import UploadReference
from include.uploads.watch import PartsWatch, Sight

__all__ = ["PartsTrigger"]

logger = logging.getLogger(__name__)

# A look costs two requests of some milliseconds each, and one process makes those of all triggers.
SHARE_SECONDS = 0.05
# An event that was lost is made up for by a listing now and then.
LISTING_SECONDS = 60.0


class PartsTrigger(BaseTrigger):  # type: ignore[misc]  # Airflow is untyped here
    """Ends its task by itself when all parts are there; has it fail when none came for too long, or the upload is wanted no more.

    Where S3 tells a queue of new objects (``MEDIA_UPLOAD_QUEUE_URL``), what it tells is noted for all uploads and this looks
    at the notes; else it lists the parts.
    """

    active = 0

    def __init__(self, **reference: str) -> None:
        """Take the fields of an :class:`UploadReference`, which :meth:`serialize` has written."""
        super().__init__()
        self.reference = UploadReference(**reference)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.reference.model_dump()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See :meth:`BaseTrigger.run`."""
        settings = get_settings()
        PartsTrigger.active += 1
        try:
            async with receiving(settings):
                sight = await self.watch(self.make_watch(settings), settings)
        finally:
            PartsTrigger.active -= 1
        # A task that a trigger fails gets its other attempts, which would wait for the same.
        yield TaskSuccessEvent() if sight is Sight.COMPLETE else TriggerEvent("The upload has failed, or is wanted no more.")

    def make_watch(self, settings: Settings) -> PartsWatch:
        """Return what looks."""
        return PartsWatch(open_uploads(), open_store(), self.reference, settings.upload_part_timeout_seconds)

    async def watch(self, watch: PartsWatch, settings: Settings) -> Sight:
        """Return once there is nothing more to wait for."""
        listed_at = float("-inf")
        while True:
            listing = not settings.upload_queue_url or time.monotonic() - listed_at > LISTING_SECONDS
            try:
                sight, upload = await asyncio.to_thread(watch.look, listing=listing)
            except NotFound as error:
                logger.error("%s", error)  # noqa: TRY400
                return Sight.OVER
            except MediaError as error:  # the table or the store is away; they will be back
                logger.warning("%s", error)
            else:
                if sight is not Sight.WAITING:
                    logger.info("Parts: %s, %d of %d", sight.value, len(upload.landed.complete), upload.part_count)
                    return sight
                if listing:
                    listed_at = time.monotonic()
            await asyncio.sleep(max(settings.upload_poll_seconds, SHARE_SECONDS * PartsTrigger.active))
