"""What the relay of an upload must not forget, and who may write to its session: one attribute of the upload's item."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from include.errors import MediaError, NotFound, StorageError
from include.media_store.uploads_table import UploadsTable
from include.uploads.models import Document, UploadReference

__all__ = ["LeaseTaken", "Ledger", "RelayNote", "chained", "read_note"]

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
_ATTRIBUTE = "relay"
_ATTEMPTS = 5


class LeaseTaken(MediaError):
    """Another process relays this upload, or has taken over; ``until`` is when its lease ends, epoch seconds."""

    code = "LeaseTaken"
    retryable = True
    http_status = 409

    def __init__(self, message: str, until: float = 0.0) -> None:
        super().__init__(message)
        self.until = until


class RelayNote(Document):
    """How far the relay has come, as of its last note: YouTube may have some bytes more of the same part, never less."""

    owner: str = Field("", description="Process that has the lease.")
    until: float = Field(0.0, description="When the lease ends, epoch seconds.")
    session: str = Field("", description="URI of YouTube's session: a secret.")
    offset: int = Field(0, description="Bytes that the session has.")
    tags: str = Field("", description="Digest of the ETags of the parts that were sent whole; see `chained`.")
    tag: str = Field("", description="ETag of the part of which some bytes were sent.")
    ending: bool = Field(False, description="The last bytes were sent: there may be a video of which nothing is known.")
    video_id: str = ""


def chained(before: str, tag: str) -> str:
    """Return the digest of a series of ETags from that of all but the last one, and the last one."""
    return hashlib.sha256(f"{before}\n{tag}".encode()).hexdigest()


def read_note(table: UploadsTable, reference: UploadReference) -> RelayNote:
    """Return what is known of a relay; ``NotFound`` where there is no such upload."""
    return _parsed(_text(table, reference))


class Ledger:
    """The note of one relay, in the hands of one ``owner``.

    Every write replaces exactly what this owner wrote last: who has lost the lease, if only by standing still for too long,
    finds that out with the next one (``LeaseTaken``).
    """

    def __init__(
        self,
        table: UploadsTable,
        reference: UploadReference,
        owner: str,
        *,
        seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table, self._reference, self._owner = table, reference, owner
        self._seconds, self._clock = seconds, clock
        self._lock = threading.Lock()
        self._text: str | None = None
        self.note = RelayNote()

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Have the lease inside; ``LeaseTaken`` where somebody else has it."""
        self._take()
        over = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(over,), name="lease", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            over.set()
            renewing.join()
            try:
                self.keep(owner="", until=0.0)
            except (LeaseTaken, StorageError) as error:
                logger.info("The lease was not given back and ends by itself: %s", error.message)

    def keep(self, **changes: Any) -> None:
        """Write what has changed and renew the lease; ``LeaseTaken`` where it is another's."""
        with self._lock:
            until = {"until": self._clock() + self._seconds} | changes
            self._write(self.note.model_copy(update=until), f"Another process relays upload {self._reference.upload_id} now.")

    def _take(self) -> None:
        for _ in range(_ATTEMPTS):
            self._text = _text(self._table, self._reference)
            found = _parsed(self._text)
            now = self._clock()
            if found.owner not in ("", self._owner) and found.until > now:
                raise LeaseTaken(f"Another process relays upload {self._reference.upload_id} to YouTube.", found.until)
            # Not ours before it is written: what another has sent is none of what this one tells.
            mine = found.model_copy(update={"owner": self._owner, "until": now + self._seconds})
            try:
                self._write(mine, "")
            except LeaseTaken:
                continue
            return
        raise StorageError(f"Too many processes want to relay upload {self._reference.upload_id}; try again.")

    def _write(self, note: RelayNote, refused: str) -> None:
        text = note.model_dump_json(exclude_defaults=True)
        reference = self._reference
        for _ in range(_ATTEMPTS):
            if self._table.replace(reference.atom_id, reference.upload_id, _ATTRIBUTE, old=self._text, new=text):
                self._text, self.note = text, note
                return
            stored = _text(self._table, reference)
            if _parsed(stored).owner != self._owner:
                break
            # A write of ours whose answer was lost.
            self._text = stored
        raise LeaseTaken(refused)

    def _renew(self, over: threading.Event) -> None:
        while not over.wait(self._seconds / 4):
            try:
                self.keep()
            except LeaseTaken:
                return
            except StorageError as error:
                logger.info("The lease could not be renewed: %s", error.message)


def _text(table: UploadsTable, reference: UploadReference) -> str | None:
    found = table.get(reference.atom_id, reference.upload_id)
    if found is None:
        raise NotFound(f"There is no upload {reference.upload_id} of the atom {reference.atom_id}.")
    return found.get(_ATTRIBUTE)


def _parsed(text: str | None) -> RelayNote:
    return RelayNote() if text is None else RelayNote.model_validate_json(text)
