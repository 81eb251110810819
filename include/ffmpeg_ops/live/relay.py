"""Sends a stream to one live target, and again when the target breaks off."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from include.errors import Cancelled, MediaError, OutputNotSupported, ParameterError
from include.ffmpeg_ops.feed import Feed, feed
from include.ffmpeg_ops.live import commands
from include.ffmpeg_ops.live.backoff import Backoff
from include.ffmpeg_ops.live.commands import Opened
from include.ffmpeg_ops.live.outlet import Outlet
from include.ffmpeg_ops.live.target import Target
from include.ffmpeg_ops.live.transport import Piece
from include.ffmpeg_ops.runner import Command, Progress
from include.settings import Settings

__all__ = ["Relay"]

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_SILENT_SECONDS = 3.0


class Relay(Target):
    """A process of ffmpeg for every connection to the target; it copies, and gives its protocol's container.

    A target that is lost is sought for ``MEDIA_LIVE_RECONNECT_SECONDS``. With the event ``abort`` it ends at once.
    """

    def __init__(
        self,
        url: str,
        opened: Callable[[], AbstractContextManager[Opened]],
        outlet: Outlet,
        *,
        abort: threading.Event,
        settings: Settings,
    ) -> None:
        super().__init__(url, outlet)
        self._opened = opened
        self._abort = abort
        self._settings = settings
        self._backoff = Backoff(settings.live_reconnect_seconds)
        self._earlier = self._muxed = self._written = self._lost = 0
        self._wrote_at = 0.0

    @property
    def frames(self) -> int:
        """Pictures that were muxed for the target."""
        return self._earlier + self._muxed

    @property
    def dropped(self) -> int:
        """Pictures that the target did not get, those on the way when a connection broke among them."""
        return self.outlet.dropped + self._lost

    def work(self) -> None:
        """Send until there is nothing more to send."""
        first = self._next()
        self._backoff.reset()
        while first is not None:
            try:
                first = self._connect(first)
            except (Cancelled, OutputNotSupported, ParameterError):
                raise
            except MediaError as error:
                pause = self._backoff.wait()
                if pause is None or self.outlet.closed:
                    raise
                self.state = "retrying"
                logger.warning("%s: %s Trying again in %.1f s.", self.url, error.message, pause)
                self.outlet.wait(pause)
                self.outlet.rejoin()
                if (first := self._next()) is None:
                    # The stream has ended while the target was away.
                    raise

    def _connect(self, first: Piece) -> Piece | None:
        """Send from a keyframe on; return the one that needs another connection, or ``None`` at the end."""
        try:
            with self._opened() as target, self._feeding(commands.relay(target)) as feeding:
                self.connections += 1
                piece: Piece | None = first
                # The head of FLV tells of streams and picture format, once.
                while piece is not None and not piece.differs_from(first):
                    self._write(feeding, piece)
                    piece = self._next(feeding)
                if piece is None:
                    self._take_leave(feeding)
                else:
                    feeding.finish(self._settings.stall_seconds)
                return piece
        finally:
            self._earlier += self._muxed
            self._lost += max(0, self._written - self._muxed)
            self._muxed = self._written = 0

    def _take_leave(self, feeding: Feed) -> None:
        """Tell the target of the end; it may have hung up since the stream fell silent, before that was known to be the end."""
        try:
            feeding.finish(self._settings.stall_seconds)
        except Cancelled:
            raise
        except MediaError as error:
            # The last picture is held back until something follows it.
            is_all_there = self._written - self._muxed <= 1
            if not is_all_there or time.monotonic() - self._wrote_at < _SILENT_SECONDS:
                raise
            logger.info("%s hung up on a stream that had fallen silent: %s", self.url, error.message)

    def _feeding(self, command: Command) -> AbstractContextManager[Feed]:
        return feed(command, on_progress=self._on_progress, cancelled=self._abort, settings=self._settings)

    def _write(self, feeding: Feed, piece: Piece) -> None:
        data = piece.opening if piece.joint else piece.data
        # Also where it does not get there: then it is lost.
        self._written += piece.picture
        feeding.write(data, self._settings.stall_seconds)
        self._wrote_at = time.monotonic()
        self._sent.add(len(data))

    def _next(self, feeding: Feed | None = None) -> Piece | None:
        while not self.outlet.drained:
            if self._abort.is_set():
                raise Cancelled("The relay was stopped.")
            if feeding is not None:
                feeding.check()
            if (piece := self.outlet.get(_LOOK_SECONDS)) is not None:
                return piece
        return None

    def _on_progress(self, progress: Progress) -> None:
        if progress.frames > self._muxed:
            self._muxed = progress.frames
            self.state = "sending"
            self._backoff.reset()
