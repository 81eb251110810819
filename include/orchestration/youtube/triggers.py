"""What uploads wait for on their way to YouTube, in Airflow's triggerer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.errors import MediaError, NotFound, StorageError
from include.orchestration.upload.access import open_uploads
from include.orchestration.youtube.connection import async_youtube_account
from include.settings import get_settings
from include.uploads.models import UploadReference
from include.uploads.youtube.errors import YouTubeQuotaExceeded, YouTubeUnavailable
from include.uploads.youtube.oauth import Account
from include.uploads.youtube.processing import Processing, async_youtube_client, look

if TYPE_CHECKING:
    from include.uploads.models import Upload
    from include.uploads.registry import Uploads

__all__ = ["ProcessingTrigger", "RelayTrigger"]

logger = logging.getLogger(__name__)

# A look costs one unit of the project's quota, of which a day has 10,000 by default.
LONGEST_LOOK_SECONDS = 60.0
QUOTA_SECONDS = 900.0
# YouTube's list may not have a video yet that was just taken.
MISSING_SECONDS = 300.0


class _UploadTrigger(BaseTrigger):  # type: ignore[misc]  # Airflow is untyped here
    """A trigger of one upload, which its arguments name."""

    def __init__(self, *, atom_id: str, upload_id: str, client: str, filename: str = "", **arguments: Any) -> None:
        super().__init__()
        self.reference = UploadReference(atom_id=atom_id, upload_id=upload_id, client=client, filename=filename)
        self.arguments = self.reference.model_dump() | arguments

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        return f"{type(self).__module__}.{type(self).__qualname__}", dict(self.arguments)

    async def uploads(self) -> Uploads:
        """Return the uploads of this process."""
        return await asyncio.to_thread(open_uploads)

    async def read(self) -> Upload | None:
        """Return the upload as it is now, or nothing where the table does not answer for the moment."""
        try:
            return await asyncio.to_thread((await self.uploads()).read, self.reference.atom_id, self.reference.upload_id)
        except StorageError as error:
            logger.info("%s It is asked again.", error.message)
            return None


class RelayTrigger(_UploadTrigger):
    """Fires when the relay can go on: part ``awaits`` has landed (or the parts are joined, -1), or the upload has ended.

    Without ``awaits`` it only waits until ``not_before`` (epoch seconds). Fires ``{"late": true}`` when no part has come
    for ``patience`` seconds, nor since ``since``: a workflow whose other tasks were killed must not wait for them for ever.
    """

    active = 0

    def __init__(
        self,
        *,
        since: float,
        patience: float,
        awaits: int | None = None,
        not_before: float = 0.0,
        poll_seconds: float = 2.0,
        **where: Any,
    ) -> None:
        times: dict[str, Any] = {"since": since, "patience": patience, "not_before": not_before, "poll_seconds": poll_seconds}
        super().__init__(**where, awaits=awaits, **times)
        self.awaits, self.since, self.patience = awaits, since, patience
        self.not_before, self.poll_seconds = not_before, poll_seconds

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See :meth:`BaseTrigger.run`."""
        RelayTrigger.active += 1
        late, since = False, self.since
        try:
            await asyncio.sleep(max(0.0, self.not_before - time.time()))
            while self.awaits is not None:
                try:
                    upload = await self.read()
                except NotFound:
                    break
                if upload is not None:
                    if upload.is_over or upload.joined.done or self.awaits in upload.landed.complete:
                        break
                    since = max(since, upload.landed.changed_at)
                if late := time.time() > since + self.patience:
                    break
                # Of many that wait each looks less often: the table and this process are one for all.
                await asyncio.sleep(self.poll_seconds * max(1.0, RelayTrigger.active / 20))
        finally:
            RelayTrigger.active -= 1
        yield TriggerEvent({"late": late})


class ProcessingTrigger(_UploadTrigger):
    """Follows YouTube's processing and fires ``{"state": "complete" | "failed", "details", "error"?}`` at its end.

    :param deadline: when it is given up, epoch seconds.
    """

    def __init__(self, *, video_id: str, channel: str, deadline: float, poll_seconds: float = 2.0, **where: Any) -> None:
        super().__init__(**where, video_id=video_id, channel=channel, deadline=deadline, poll_seconds=poll_seconds)
        self.video_id, self.channel, self.deadline, self.poll_seconds = video_id, channel, deadline, poll_seconds

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See :meth:`BaseTrigger.run`."""
        try:
            found = await self.follow()
        except MediaError as error:
            yield TriggerEvent({"state": "failed", "details": error.message, "error": error.to_document()})
        else:
            yield TriggerEvent({"state": found.state, "details": found.details})

    async def follow(self) -> Processing:
        """Return the end of the processing."""
        settings = get_settings()
        account: Account = await async_youtube_account(settings, self.channel)
        wait, missing_until = self.poll_seconds, time.monotonic() + MISSING_SECONDS
        async with async_youtube_client(account, settings.youtube_url) as client:
            while time.time() < self.deadline:
                try:
                    found = await look(client, self.video_id)
                    if found.state == "processing":
                        await self._tell(found)
                    elif not found.missing or time.monotonic() > missing_until:
                        return found
                except YouTubeUnavailable as error:
                    logger.info("%s It is asked again.", error.message)
                    wait = max(wait, error.after)
                except YouTubeQuotaExceeded as error:
                    # The video is there: only the asking has to wait.
                    logger.warning("%s It is asked again in %g s.", error.message, QUOTA_SECONDS)
                    wait = QUOTA_SECONDS
                await asyncio.sleep(wait)
                wait = min(LONGEST_LOOK_SECONDS, wait * 1.5)
        return Processing("failed", details="YouTube has not finished processing the video in time; it may do so yet.")

    async def _tell(self, found: Processing) -> None:
        uploads = await self.uploads()
        try:
            await asyncio.to_thread(
                uploads.set_destination, self.reference.atom_id, self.reference.upload_id, "youtube",
                status="transcoding", progress=found.progress, details=f"{found.details} https://youtu.be/{self.video_id}",
            )  # fmt: skip
        except StorageError as error:  # the next one tells it
            logger.info("Progress could not be noted: %s", error.message)
