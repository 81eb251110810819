"""Brings a source to the hub, and again when the source breaks off, until it has ended."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from include.errors import InputNotSupported, InvalidInputData, LimitExceeded, MediaError, OutputNotSupported, ParameterError
from include.ffmpeg_ops import log
from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.live import commands
from include.ffmpeg_ops.live.backoff import Backoff
from include.ffmpeg_ops.live.commands import Opened
from include.ffmpeg_ops.live.hub import Hub
from include.ffmpeg_ops.runner import Command, Stream, stream
from include.settings import Settings

__all__ = ["Broadcast", "Source"]

logger = logging.getLogger(__name__)

_READ_BYTES = 1 << 16
_LOOK_SECONDS = 0.25
# What the encoder still holds is asked for, when it is to end, for no longer than this.
_FLUSH_SECONDS = 3.0
# ffmpeg ends a connection that brings nothing, and is ended itself when it does not.
_PATIENCE_SECONDS = 5.0
_SILENT_SECONDS = 3.0
# Sound of one run may end later than its pictures; the times of the next begin after both.
_GAP_SECONDS = 0.25
_HDR = re.compile(r"\([^()]*\b(smpte2084|arib-std-b67)\b")


@dataclass(frozen=True)
class Source:
    """Where a stream comes from: as it may be shown, and how to open it."""

    url: str
    opened: Callable[[], AbstractContextManager[Opened]]
    is_file: bool = False
    seek: float = 0.0


class Broadcast:
    """One source, encoded once: a process of ffmpeg for every connection, all into one hub.

    ``check`` is called some times a second and ends the broadcast by raising.
    """

    def __init__(
        self, source: Source, encoding: Encoding, hub: Hub, *, flv: bool, check: Callable[[], None], settings: Settings
    ) -> None:
        self._connected = False
        self._heard = 0.0
        self._source = source
        self._encoding = encoding
        self._hub = hub
        self._flv = flv
        self._check = check
        self._settings = settings
        self._backoff = Backoff(settings.live_reconnect_seconds)
        self._begins_at = hub.end

    @property
    def connected(self) -> bool:
        """Whether pictures come."""
        return self._connected and time.monotonic() - self._heard < _SILENT_SECONDS

    def run(self) -> None:
        """Return when the source has ended: a file at its end, a live one when it did not come back in time.

        Raises what ``check`` does, :class:`InvalidInputData` where no picture ever came, not in an earlier attempt either, and
        what no other connection can mend.
        """
        while True:
            error = self._connect()
            if self._source.is_file:
                if error is not None:
                    raise error
                return
            pause = self._backoff.wait()
            if pause is None:
                break
            logger.info("%s: %s Trying again in %.1f s.", self._source.url, error or "The stream ended.", pause)
            self._pause(pause)
        if not self._hub.pictures.total and not self._begins_at:
            seconds = self._settings.live_reconnect_seconds
            detail = error or "It sent nothing."
            raise InvalidInputData(f"The source {self._source.url} brought no video within {seconds:g} seconds: {detail}")
        logger.info("%s did not come back: the stream has ended.", self._source.url)

    def _connect(self) -> MediaError | None:
        """Read the source until it breaks off; return why, or ``None`` where it just ended."""
        try:
            with self._source.opened() as opened, stream(self._command(opened), settings=self._settings) as reading:
                self._read(reading)
        except (InputNotSupported, OutputNotSupported, ParameterError, LimitExceeded):
            raise
        except _Ended as ended:
            raise ended.reason from None
        except MediaError as error:
            return error
        finally:
            self._connected = False
            self._hub.flush()
        return None

    def _command(self, opened: Opened) -> Command:
        again = self._hub.pictures.total > 0 or self._begins_at > 0
        self._hub.restart()
        return commands.ingest(
            opened,
            self._encoding,
            flv=self._flv,
            offset=self._hub.end + (_GAP_SECONDS if again else 0),
            seek=self._source.seek,
            silence=self._settings.stall_seconds,
            pixels=self._settings.max_source_pixels,
            streams=self._settings.max_source_streams,
        )

    def _read(self, reading: Stream) -> None:
        self._heard = time.monotonic()
        is_known = self._encoding.format == "copy"
        while True:
            is_known = is_known or self._is_sdr(reading)
            try:
                self._check()
            except MediaError as error:
                reading.interrupt()
                self._drain(reading)
                raise _Ended(error) from None
            data = reading.read(_READ_BYTES, _LOOK_SECONDS)
            if data:
                self._take(data)
            elif data is not None:
                return
            elif self._heard + self._settings.stall_seconds + _PATIENCE_SECONDS < time.monotonic():
                raise InvalidInputData(f"It sent nothing for {self._settings.stall_seconds:g} seconds.")

    def _is_sdr(self, reading: Stream) -> bool:
        """Tell whether the source is known to be SDR; raises :class:`InputNotSupported` for HDR, which would come out grey."""
        told = log.source_video(reading.log)
        if told is not None and (found := _HDR.search(told)):
            raise InputNotSupported(
                f"The source {self._source.url} is HDR ({found[1]}), which live tasks do not turn into SDR; send SDR, or choose "
                "a profile with the format copy, which passes it on as it is."
            )
        return told is not None

    def _drain(self, reading: Stream) -> None:
        deadline = time.monotonic() + _FLUSH_SECONDS
        while time.monotonic() < deadline:
            try:
                data = reading.read(_READ_BYTES, _LOOK_SECONDS)
            except MediaError as error:
                logger.info("%s: %s", self._source.url, error)
                return
            if data == b"":
                return
            if data:
                self._take(data)

    def _take(self, data: bytes) -> None:
        before = self._hub.pictures.total
        self._hub.push(data)
        self._heard = time.monotonic()
        if self._hub.pictures.total > before:
            self._connected = True
            self._backoff.reset()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, _LOOK_SECONDS))


class _Ended(Exception):
    """``check`` has raised: no reason to connect again."""

    def __init__(self, reason: MediaError) -> None:
        self.reason = reason
