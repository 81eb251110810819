"""Looks whether the parts of an upload have landed, and for how long none has."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from include.errors import NotFound, TimedOut
from include.media_store.objects import ObjectStore
from include.uploads.join import part_objects
from include.uploads.models import Problem, Upload, UploadReference
from include.uploads.parts import first_missing, landed, landed_one, part_number
from include.uploads.registry import Uploads

__all__ = ["PartsWatch", "Sight", "note_object"]

logger = logging.getLogger(__name__)


class Sight(Enum):
    """What a look has found."""

    WAITING = "waiting"
    COMPLETE = "complete"
    TIMED_OUT = "timed out"
    OVER = "over"  # aborted, or failed elsewhere


@dataclass
class PartsWatch:
    """Waits for the parts of one upload; each look blocks on table and store."""

    uploads: Uploads
    store: ObjectStore
    reference: UploadReference
    timeout: float
    clock: Callable[[], float] = time.time

    def look(self, *, listing: bool = True) -> tuple[Sight, Upload]:
        """Note what has landed and tell what it comes to; without ``listing`` what others have noted is enough but to fail."""
        upload = self.uploads.read(self.reference.atom_id, self.reference.upload_id)
        # One that is complete may be looked at, too: its run was cleared.
        if upload.outcome.state in {"aborted", "failed"}:
            return Sight.OVER, upload
        if upload.joined.done:
            # The parts may be gone by now: somebody has started the run again.
            return Sight.COMPLETE, upload
        if listing:
            upload = self._noted(upload)
        missing = first_missing(upload)
        if missing is None:
            return Sight.COMPLETE, upload
        if self.clock() - max(upload.landed.changed_at, upload.created_at, upload.outcome.at) < self.timeout:
            return Sight.WAITING, upload
        if not listing:
            # What others have noted lacks parts of which the event is late or lost.
            return self.look()
        self._fail(upload, f"Timed out waiting for part {missing}")
        return Sight.TIMED_OUT, upload

    def _noted(self, upload: Upload) -> Upload:
        sizes = {n: ref.size for n, ref in part_objects(self.store, upload).items()}
        if landed(upload, sizes, self.clock()) == upload.landed:
            return upload
        known = upload.landed.complete
        # What an event has told since may be newer than the listing.
        upload = self.uploads.set_landed(
            upload, lambda now: landed(now, sizes, self.clock(), newer=now.landed.complete - known)
        )  # fmt: skip
        logger.info("%d of %d parts are there", len(upload.landed.complete), upload.part_count)
        for error in upload.landed.errors.values():
            logger.warning("%s", error)
        return upload

    def _fail(self, upload: Upload, message: str) -> None:
        if self.uploads.fail(upload.reference, Problem(code=TimedOut.code, message=message)).state != "failed":
            return
        for kind in upload.destinations:
            self.uploads.set_destination(upload.atom_id, upload.id, kind, status="failed", error=message)


def note_object(uploads: Uploads, store: ObjectStore, key: str) -> None:
    """Note how the object of a part is now, whatever an event has said of it; keys of other things are passed over."""
    named = part_number(key)
    if named is None:
        return
    atom_id, upload_id, n = named
    try:
        upload = uploads.read(atom_id, upload_id)
    except NotFound:
        return
    if upload.is_over or upload.joined.done or n >= upload.part_count:
        return
    ref = store.head(upload.bucket, key)
    uploads.set_landed(upload, lambda now: landed_one(now, n, ref.size if ref else None, time.time()))
