"""Progress events: at most two a second, however often work reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Progress"]

_INTERVAL_SECONDS = 0.5

# Where in a unit each phase begins and ends, of the whole; roughly as long as they take. Their order is that of every kind of
# unit.
_SPANS = {
    "fetch": (0.0, 0.02),
    "encode": (0.02, 0.94),
    "upscale": (0.02, 0.96),
    "probe": (0.02, 0.3),
    "split": (0.3, 0.9),
    "splice": (0.02, 0.3),
    "merge": (0.3, 0.6),
    "compare": (0.6, 0.65),
    "package": (0.02, 0.4),
    "verify": (0.94, 0.96),
    "quality": (0.96, 0.98),
    "upload": (0.98, 1.0),
    "live": (0.0, 0.98),
}


class Progress:
    """Turns reports from any thread into events ``{"event": "progress", "phase", "done", "total", "unit", "fraction", "fps"?}``.

    ``done`` of ``total`` counts within the phase; ``fraction`` is that of the whole unit, 0 to 1, and never goes back.
    """

    def __init__(self, emit: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._emit = emit
        self._clock = clock
        self._lock = threading.Lock()
        self._last = float("-inf")
        self._event: dict[str, Any] = {}
        self._fraction = 0.0

    def begin(self, phase: str, total: float, unit: str) -> None:
        """Start a phase of which ``total`` units of work are to be done (0: unknown)."""
        with self._lock:
            self._event = {"event": "progress", "phase": phase, "done": 0, "total": total, "unit": unit}
            self._tell()

    def update(self, done: float, fps: float | None = None, **details: Any) -> None:
        """Say how much is done; ``details`` are told as they are."""
        with self._lock:
            self._event.update(details)
            self._event["done"] = done
            if fps is not None:
                self._event["fps"] = round(fps, 1)
            self._tell()

    def advance(self, more: float) -> None:
        """Say how much more is done."""
        with self._lock:
            self._event["done"] += more
            self._tell()

    def _tell(self) -> None:
        start, end = _SPANS.get(self._event["phase"], (0.0, 0.0))
        within = self._event["done"] / self._event["total"] if self._event["total"] else 0.0
        self._fraction = max(self._fraction, start + (end - start) * min(within, 1.0))
        now = self._clock()
        if now - self._last >= _INTERVAL_SECONDS:
            self._last = now
            self._emit(self._event | {"fraction": round(self._fraction, 4)})
