"""Sends an upload to YouTube while it comes: its parts in order, each as soon as it and all before it are there."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import tenacity

from include.errors import Cancelled, InvalidInputData, StorageError
from include.media_store.content_types import content_type_for
from include.uploads.content import UploadContent
from include.uploads.models import Upload, UploadReference
from include.uploads.parts import first_missing
from include.uploads.registry import Uploads
from include.uploads.youtube import resumable
from include.uploads.youtube.errors import SessionExpired, YouTubeRefused, YouTubeUnavailable
from include.uploads.youtube.ledger import Ledger, chained
from include.uploads.youtube.metadata import video_resource
from include.uploads.youtube.oauth import Account

__all__ = ["JOIN", "Relay", "Relayed"]

logger = logging.getLogger(__name__)

# What is held in memory at a time.
CHUNK = 32 * resumable.GRAIN
JOIN = -1
_MOST_SESSIONS = 5
_ATTEMPTS = 5
_LONGEST_WAIT = 30.0
_TELL_SECONDS = 1.0


@dataclass(frozen=True)
class Relayed:
    """How far a relay has come; without a ``video_id`` it waits for part ``awaits``, the join (``JOIN``) or its next turn."""

    offset: int
    video_id: str = ""
    awaits: int | None = None


class Relay:
    """Relays one upload; one thread of one process does at a time, which the ledger's lease sees to."""

    def __init__(
        self,
        reference: UploadReference,
        *,
        uploads: Uploads,
        ledger: Ledger,
        content: UploadContent,
        client: httpx.Client,
        account: Account,
        cancelled: threading.Event | None = None,
        first_wait: float = 1.0,
    ) -> None:
        self._reference, self._uploads, self._ledger, self._content = reference, uploads, ledger, content
        self._client, self._account = client, account
        self._cancelled = cancelled or threading.Event()
        self._first_wait = first_wait
        self._told_at = 0.0
        self._unsure = False
        self._begun = 0
        self._first = 0

    @property
    def sent(self) -> int:
        """Bytes that YouTube has taken since :meth:`relay_available` was called."""
        return max(0, self._ledger.note.offset - self._first)

    def relay_available(self, seconds: float = math.inf) -> Relayed:
        """Send all that is there, for about so many seconds at most, and return how far that went.

        Raises ``LeaseTaken`` while another process is at it, ``YouTubeRefused`` (and its kinds) for what is final,
        ``YouTubeUnavailable`` or ``StorageError`` after some attempts, ``Cancelled`` when asked to, or when the upload has ended.
        """
        with self._ledger.lease():
            self._first = self._ledger.note.offset
            self._unsure = bool(self._ledger.note.session)
            until = time.monotonic() + seconds
            while not self._ledger.note.video_id:
                if time.monotonic() > until:
                    return Relayed(self._ledger.note.offset)
                awaits = self._with_patience(self._step)
                if awaits is not None:
                    return Relayed(self._ledger.note.offset, awaits=awaits)
            return self._tell_video()

    def _step(self) -> int | None:
        """Send one chunk, or return what the next one waits for."""
        upload = self._look()
        if self._unsure:
            self._ask(upload)
        if self._ledger.note.video_id:
            return None
        length, awaits = self._next(upload)
        if not length:
            return awaits
        self._send(upload, length)
        return None

    # -- what comes next

    def _look(self) -> Upload:
        upload = self._uploads.read(self._reference.atom_id, self._reference.upload_id)
        if self._cancelled.is_set():
            raise Cancelled(f"The relay of upload {upload.id} to YouTube was stopped.")
        if upload.is_over:
            raise Cancelled(f"The upload {upload.id} has ended ({upload.outcome.state}), and so does its relay to YouTube.")
        return upload

    def _next(self, upload: Upload) -> tuple[int, int]:
        """Return how many bytes to send next, or 0 and what they wait for."""
        offset = self._ledger.note.offset
        part = upload.part(offset // upload.part_size)
        # Joined parts are deleted, which the tracking of parts may see.
        missing = None if upload.joined.done else first_missing(upload)
        if missing is not None and missing <= part.n:
            return 0, missing
        length = min(CHUNK, part.end - offset)
        if offset + length == upload.size and not upload.joined.done:
            # YouTube makes a video of the last byte: not before it is settled which parts the file has, and that it is right.
            return 0, JOIN
        return length, part.n

    # -- the session

    def _send(self, upload: Upload, length: int) -> None:
        """Send the next bytes and note how far the session is; a session that is of no use any more is given up."""
        ledger = self._ledger
        if not ledger.note.session:
            self._start(upload)
        first, ends = ledger.note.offset, ledger.note.offset + length == upload.size
        try:
            data, tag = self._content.read(upload, first, length, ledger.note.tag)
        except InvalidInputData:
            self._begin_anew("a part was replaced while it was sent")
            return
        # Noted before it is sent: after a crash the session may have these bytes.
        ledger.keep(tag=tag)
        if ends:
            if not self._is_of_the_joined_parts(upload):
                self._begin_anew("a part was replaced after it was sent")
                return
            ledger.keep(ending=True)
        self._unsure = True
        try:
            self._record(upload, resumable.send(self._client, ledger.note.session, data, first=first, total=upload.size))
        except SessionExpired:
            self._expired()
        self._unsure = False

    def _start(self, upload: Upload) -> None:
        if self._begun >= _MOST_SESSIONS:
            raise YouTubeRefused(f"{_MOST_SESSIONS} upload sessions to YouTube came to nothing; the log of the run tells why.")
        session = resumable.start(
            self._client,
            video_resource(upload.title, upload.description, upload.tags, upload.privacy),
            size=upload.size,
            content_type=content_type_for(upload.filename),
            account=self._account,
        )
        self._begun += 1
        self._ledger.keep(session=session)

    def _ask(self, upload: Upload) -> None:
        """Find out what the session has: this process, or one before it, does not know what became of its last request."""
        if not self._ledger.note.session:
            self._unsure = False
            return
        try:
            self._record(upload, resumable.ask(self._client, self._ledger.note.session, upload.size))
        except SessionExpired:
            self._expired()
        self._unsure = False

    def _record(self, upload: Upload, taken: resumable.Taken) -> None:
        note = self._ledger.note
        if taken.video_id:
            self._ledger.keep(offset=upload.size, video_id=taken.video_id)
            return
        if taken.offset < note.offset or (taken.offset % resumable.GRAIN and taken.offset < upload.size):
            self._begin_anew(f"YouTube has {taken.offset} bytes of {note.offset} that it had taken")
            return
        if taken.offset >= upload.size:
            raise YouTubeUnavailable("YouTube has the whole file, but has not made a video of it yet.")
        if taken.offset == note.offset:
            return
        tags, tag = note.tags, note.tag
        if taken.offset >= upload.part(note.offset // upload.part_size).end:
            tags, tag = chained(tags, tag), ""
        self._ledger.keep(offset=taken.offset, tags=tags, tag=tag)
        self._tell_progress(100.0 * taken.offset / upload.size)

    def _expired(self) -> None:
        if self._ledger.note.ending:
            raise YouTubeRefused(
                "YouTube's session ended while the last bytes were sent, so that the video may be there or not: look for it in "
                "the channel before the file is uploaded again."
            )
        self._begin_anew("YouTube's session has expired")

    def _begin_anew(self, reason: str) -> None:
        logger.warning("The upload to YouTube begins again: %s.", reason)
        self._ledger.keep(session="", offset=0, tags="", tag="", ending=False)

    def _is_of_the_joined_parts(self, upload: Upload) -> bool:
        """Tell whether what was sent is what the file was joined of."""
        note = self._ledger.note
        digest = ""
        for tag in self._content.tags(upload)[:-1]:
            digest = chained(digest, tag)
        return digest == note.tags

    # -- patience

    def _with_patience(self, step: Callable[[], int | None]) -> int | None:
        """Call ``step`` until YouTube and the store answer, some times at most."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((YouTubeUnavailable, StorageError)),
            wait=self._wait,
            stop=tenacity.stop_any(tenacity.stop_after_attempt(_ATTEMPTS), tenacity.stop_when_event_set(self._cancelled)),
            sleep=tenacity.sleep_using_event(self._cancelled),
            reraise=True,
        )
        return retrying(step)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.after if isinstance(error, YouTubeUnavailable) else 0.0
        wanted = tenacity.wait_random_exponential(multiplier=self._first_wait, max=_LONGEST_WAIT)(state)
        logger.info("%s It is tried again in %.1f s.", error, max(asked, wanted))
        return min(max(asked, wanted), _LONGEST_WAIT)

    # -- what clients see

    def _tell_progress(self, percent: float) -> None:
        now = time.monotonic()
        if now - self._told_at < _TELL_SECONDS:
            return
        self._told_at = now
        self._uploads.set_destination(
            self._reference.atom_id, self._reference.upload_id, "youtube", status="upload", progress=percent
        )  # fmt: skip

    def _tell_video(self) -> Relayed:
        note = self._ledger.note
        self._uploads.set_destination(
            self._reference.atom_id, self._reference.upload_id, "youtube", status="transcoding",
            details=f"https://youtu.be/{note.video_id}",
        )  # fmt: skip
        return Relayed(note.offset, video_id=note.video_id)
