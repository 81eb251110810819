"""One attempt of a live task: source, hub and targets at work, until something ends them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from include.errors import Cancelled, MediaError, TargetFailed, TimedOut
from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.live.broadcast import Broadcast, Source
from include.ffmpeg_ops.live.hub import Hub
from include.ffmpeg_ops.live.target import Target
from include.worker.live_watch import SECONDS, LiveWatch
from include.worker.models import LiveState
from include.worker.workbench import Workbench, now

__all__ = ["LiveSession"]

logger = logging.getLogger(__name__)

# A stopped process has some seconds, in which recordings must be closed, too.
_HURRY_SECONDS = 3.0
# What an earlier attempt has sent after it last wrote down how far it was: times go on behind that.
_UNTOLD_SECONDS = 5 * SECONDS
_STOPPED = "A client has stopped the task."


class LiveSession:
    """Brings ``source`` to ``targets``; ``before`` is where an earlier attempt has left off. ``abort`` ends relays at once."""

    def __init__(
        self,
        workbench: Workbench,
        source: Source,
        encoding: Encoding,
        targets: Sequence[Target],
        before: LiveState | None,
        *,
        flv: bool,
        abort: threading.Event,
    ) -> None:
        self._workbench = workbench
        self._targets = targets
        self._abort = abort
        self._resumes = before is not None
        self._before = before or LiveState(began_at=workbench.started_at)
        settings = workbench.settings
        self._began = self._before.seconds + _UNTOLD_SECONDS if self._before.seconds else 0.0
        self._hub = Hub([target.outlet for target in targets], self._began)
        self._watch = LiveWatch(workbench.job, self.state)
        self._broadcast = Broadcast(source, encoding, self._hub, flv=flv, check=self._check, settings=settings)
        left = (self._before.began_at + timedelta(seconds=settings.live_seconds) - now()).total_seconds()
        self._deadline = time.monotonic() + left

    def state(self) -> LiveState:
        """Return how far the task has come."""
        return LiveState(began_at=self._before.began_at, seconds=self._before.seconds + self._hub.end - self._began)

    def run(self) -> None:
        """Return when the source has ended and every target has everything.

        Raises :class:`TargetFailed` naming those that do not, :class:`Cancelled`, :class:`TimedOut` at the deadline, and what the
        source fails with; recordings are closed then, too, and relays have sent what there was.
        """
        with self._watch:
            if self._watch.stopped.is_set() and not self._resumes:
                # Recordings that are there stay; those of an earlier attempt are to be closed.
                raise Cancelled(_STOPPED)
            self._send()
        if failed := self._failed():
            raise failed

    def _send(self) -> None:
        for target in self._targets:
            target.start()
        hurry = False
        try:
            self._broadcast.run()
        except Cancelled:
            hurry = True
            raise
        finally:
            self._end(hurry)

    def _end(self, hurry: bool) -> None:
        self._hub.close()
        until = time.monotonic() + (_HURRY_SECONDS if hurry else self._workbench.settings.stall_seconds)
        for target in self._targets:
            target.join(max(0.0, until - time.monotonic()))
        self._abort.set()
        for target in self._targets:
            target.join()
        self._workbench.facts |= {
            "seconds": round(self.state().seconds, 3),
            "frames": self._hub.pictures.total,
            "targets": [target.status() for target in self._targets],
        }

    def _check(self) -> None:
        if self._workbench.cancelled.is_set():
            raise Cancelled("The task was stopped.")
        if self._watch.stopped.is_set():
            raise Cancelled(_STOPPED)
        failed = self._failed()
        if time.monotonic() > self._deadline:
            limit = self._workbench.settings.live_seconds
            raise TimedOut(
                f"The task reached its deadline of {limit} seconds (MEDIA_LIVE_SECONDS); what it has recorded is kept."
                + (f" {failed.message}" if failed else "")
            )
        if failed and all(target.error for target in self._targets):
            raise failed
        self._workbench.progress.update(
            round(self.state().seconds, 1),
            fps=self._hub.pictures.rate,
            bit_rate=round(self._hub.bytes.rate * 8),
            source="connected" if self._broadcast.connected else "reconnecting",
            targets=[target.status() for target in self._targets],
        )

    def _failed(self) -> MediaError | None:
        errors = [target.error.message for target in self._targets if target.error]
        return TargetFailed(" ".join(errors)) if errors else None
