"""Sends a file as an upload: parts in parallel, straight to S3; what was sent is not sent again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import tenacity

from include.errors import Cancelled, InvalidInputData, MediaError, NotFound, ObjectExists, ParameterError, StorageError
from include.uploads.api_client import UploadApi
from include.uploads.file_range import FileRange
from include.uploads.progress_bar import ProgressBar
from include.uploads.writers import CredentialWriter, UrlWriter, Writer

__all__ = ["Sender", "follow"]

logger = logging.getLogger(__name__)

_ATTEMPTS = 8
_ROUNDS = 5
# Parts are looked for every two seconds by default, and once a minute where the event of a queue was lost.
_NOTICE_SECONDS = 75.0
# AWS refuses requests whose clock is off by a quarter of an hour.
_MOST_SKEW = 600.0
_OVER = ("complete", "failed")
_FINAL = (Cancelled, InvalidInputData, NotFound, ObjectExists, ParameterError)


@dataclass(frozen=True)
class _Stamp:
    """Which version of the file is being sent."""

    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> _Stamp:
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)


class Sender:
    """Sends one file to one atom.

    :param body: further fields of the API: ``destinations``, ``title``, …
    :param mode: ``urls`` fetches a URL for each part, ``sts`` writes with temporary credentials.

    The id of the upload is kept in a small file beside the sent one until all of it has arrived: sending the same file again
    with the same ``body`` goes on with the same upload.
    """

    def __init__(
        self,
        api: UploadApi,
        path: Path,
        atom_id: str,
        body: Mapping[str, Any],
        *,
        mode: Literal["urls", "sts"] = "urls",
        parallel: int = 4,
        digest: bool = True,
        screen: TextIO = sys.stderr,
        first_wait: float = 1.0,
    ) -> None:
        self._api, self._path, self._atom_id, self._body = api, path, atom_id, dict(body)
        self._mode, self._parallel, self._digest, self._screen = mode, parallel, digest, screen
        self._first_wait = first_wait
        self._stop = threading.Event()
        self._stamp = _Stamp.of(path)
        self._note = path.with_name(f".{path.name}.{atom_id}.upload.json")

    def stop(self) -> None:
        """Stop soon: parts that are being sent are dropped, those that were sent stay."""
        self._stop.set()

    def send(self) -> dict[str, Any]:
        """Send what is missing and return the upload once all of it has arrived.

        Raises ``InvalidInputData`` where the file changes meanwhile or the upload fails, ``Cancelled`` after :meth:`stop`, and
        what the API refuses.
        """
        upload = self._known() or self._create()
        writer = self._writer(upload)
        for _ in range(_ROUNDS):
            missing = [n for n, part in enumerate(upload["parts"]) if not part["complete"]]
            if missing:
                self._send_parts(upload, missing, writer)
            upload = self._noticed(upload)
            if all(part["complete"] for part in upload["parts"]):
                # Where it could not be kept it cannot be removed; one that stays names an upload that lacks nothing.
                with suppress(OSError):
                    self._note.unlink(missing_ok=True)
                return upload
        raise StorageError(f"Upload {upload['id']} still lacks parts after {_ROUNDS} attempts; run the command again.")

    # -- which upload

    def _known(self) -> dict[str, Any] | None:
        """Return the upload that was begun before, where it still waits for parts of this very file and was to be the same."""
        try:
            note = json.loads(self._note.read_text())
            if note != self._note_of(note["id"]):
                return None
            upload = self._api.read(self._atom_id, note["id"])
        except (OSError, ValueError, KeyError, TypeError, NotFound):
            return None
        return None if _has_failed(upload) else upload

    def _create(self) -> dict[str, Any]:
        # Linux takes any bytes for a name, JSON does not.
        filename = os.fsencode(self._path.name).decode(errors="replace")
        body = {"filename": filename, "size": self._stamp.size, **self._body}
        if self._digest:
            body["sha256"] = self._sha256()
        upload = self._api.create(self._atom_id, body)
        try:
            self._note.write_text(json.dumps(self._note_of(upload["id"])))
        except OSError as error:
            logger.warning("The upload's id cannot be kept beside the file (%s), so it cannot be resumed.", error.strerror)
        return upload

    def _note_of(self, upload_id: str) -> dict[str, Any]:
        return {"id": upload_id, "size": self._stamp.size, "changed": self._stamp.changed, "body": self._body}

    def _sha256(self) -> str:
        digest = hashlib.sha256()
        with (
            ProgressBar("Reading", self._stamp.size, self._screen) as bar,
            FileRange(self._path, 0, self._stamp.size, bar.add) as file,
        ):
            for _ in file.blocks(digest):
                self._check()
        return digest.hexdigest()

    # -- parts

    def _writer(self, upload: Mapping[str, Any]) -> Writer:
        if self._mode == "sts" and abs(self._api.skew) < _MOST_SKEW:
            return CredentialWriter(self._api, self._atom_id, upload)
        if self._mode == "sts":
            logger.warning("This clock is off by %.0f s, which AWS refuses: parts go to URLs instead.", self._api.skew)
        return UrlWriter(self._api, self._atom_id, upload["id"])

    def _send_parts(self, upload: Mapping[str, Any], missing: Sequence[int], writer: Writer) -> None:
        parts = upload["parts"]
        left = sum(parts[n]["end"] - parts[n]["start"] for n in missing)
        with (
            ProgressBar("Sending", self._stamp.size, self._screen, self._stamp.size - left) as bar,
            ThreadPoolExecutor(self._parallel, thread_name_prefix="part") as pool,
        ):
            futures = [pool.submit(self._send_part, n, parts[n], writer, bar) for n in missing]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                # Of Ctrl-C, too: threads that send would go on to the end of their parts.
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _send_part(self, n: int, part: Mapping[str, Any], writer: Writer, bar: ProgressBar) -> None:
        sent = 0

        def count(more: int) -> None:
            nonlocal sent
            self._check()
            sent += more
            bar.add(more)

        def attempt() -> None:
            nonlocal sent
            self._check()
            with FileRange(self._path, part["start"], part["end"], count) as body:
                try:
                    writer.put(n, body)
                except BaseException:
                    bar.add(-sent)
                    sent = 0
                    # The SDK wraps what the file's reader has raised.
                    self._check()
                    raise

        tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, MediaError) and not isinstance(error, _FINAL)),
            wait=tenacity.wait_random_exponential(multiplier=self._first_wait, max=30),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(_ATTEMPTS), tenacity.stop_when_event_set(self._stop)),
            sleep=tenacity.sleep_using_event(self._stop),
            before_sleep=lambda state: logger.info("%s", state.outcome and state.outcome.exception()),
            reraise=True,
        )(attempt)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Cancelled("Sending was stopped; run the command again to go on.")
        if _Stamp.of(self._path) != self._stamp:
            raise InvalidInputData(f"{self._path.name} has changed while it was sent; run the command again to send it anew.")

    def _noticed(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Return the upload once the workflow has noticed all parts, or says that some are wrong, or that takes too long.

        ``sent`` is what it was before: an error that was known then is of what was there before, unless it stays.
        """
        deadline = time.monotonic() + _NOTICE_SECONDS
        pause = 0.2
        while True:
            self._check()
            upload = self._api.read(self._atom_id, sent["id"])
            if _has_failed(upload):
                at = upload["destinations"][0]
                raise InvalidInputData(f"The upload failed: {at.get('error') or at['type']}.")
            pairs = zip(upload["parts"], sent["parts"], strict=True)
            told = all(part["complete"] or part.get("error") not in (None, old.get("error")) for part, old in pairs)
            if told or time.monotonic() > deadline:
                return upload
            self._stop.wait(pause)
            pause = min(2.0, pause * 1.5)


def _has_failed(upload: Mapping[str, Any]) -> bool:
    """Tell whether there is nothing left to send it for: what one destination does not take, another may."""
    return all(at["status"] == "failed" for at in upload["destinations"])


def follow(api: UploadApi, atom_id: str, upload_id: str, tell: Callable[[str], None], pause: float = 2.0) -> dict[str, Any]:
    """Wait until all destinations are complete or one has failed; ``tell`` hears what changes. Returns the upload."""
    told: dict[str, str] = {}
    while True:
        upload = api.read(atom_id, upload_id)
        for at in upload["destinations"]:
            said = f"{at['type']}: {at['status']} {at['progress']:g}% {at.get('error') or at.get('details') or ''}".rstrip()
            if told.get(at["type"]) != said:
                told[at["type"]] = said
                tell(said)
        if all(at["status"] in _OVER for at in upload["destinations"]):
            return upload
        time.sleep(pause)
