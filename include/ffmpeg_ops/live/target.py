"""What all targets of a live task have in common."""

from __future__ import annotations

import logging
import threading
from typing import Any, Literal

from include.errors import InternalError, MediaError, TargetFailed
from include.ffmpeg_ops.live.meter import Meter
from include.ffmpeg_ops.live.outlet import Outlet

__all__ = ["State", "Target"]

logger = logging.getLogger(__name__)

State = Literal["sending", "retrying", "failed", "done"]


class Target(threading.Thread):
    """The thread that takes a stream from an outlet to one place; ``url`` is shown, and holds no secret.

    It ends by itself when the outlet is drained, ``done``, or ``failed`` with an ``error``. Neither holds up other targets.
    """

    def __init__(self, url: str, outlet: Outlet) -> None:
        super().__init__(name=f"target {url}", daemon=True)
        self.url = url
        self.outlet = outlet
        # Nothing was sent yet.
        self.state: State = "retrying"
        self.error: MediaError | None = None
        self.connections = 0
        self._sent = Meter()

    @property
    def frames(self) -> int:
        """Pictures that the target got."""
        raise NotImplementedError

    @property
    def dropped(self) -> int:
        """Pictures that the target did not get."""
        return self.outlet.dropped

    def work(self) -> None:
        """Take everything from the outlet; raises what cannot be mended."""
        raise NotImplementedError

    def run(self) -> None:
        """Work, and tell by the state how it ended; never raises."""
        try:
            self.work()
            self.state = "done"
        except Exception as error:
            if not isinstance(error, MediaError):
                logger.exception("target %s", self.url)
            reason = error.message if isinstance(error, MediaError) else InternalError.code
            self.error = TargetFailed(f"The target {self.url} failed: {reason}")
            self.state = "failed"
            logger.warning("%s", self.error.message)
            # Nobody takes what would be kept for it.
            self.outlet.close()

    def status(self) -> dict[str, Any]:
        """Return how it stands, as progress events have it."""
        return {
            "url": self.url,
            "state": self.state,
            "frames": self.frames,
            "dropped": self.dropped,
            "bit_rate": round(self._sent.rate * 8),
            "reconnects": max(0, self.connections - 1),
        }
