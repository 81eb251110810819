"""Progress events: at most two a second, however often work reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Progress"]

_INTERVAL_SECONDS = 0.5


class Progress:
    """Turns reports from any thread into events ``{"event": "progress", "phase", "done", "total", "unit", "fps"?}``."""

    def __init__(self, emit: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._emit = emit
        self._clock = clock
        self._lock = threading.Lock()
        self._last = float("-inf")
        self._event: dict[str, Any] = {}

    def begin(self, phase: str, total: float, unit: str) -> None:
        """Start a phase of which ``total`` units of work are to be done (0: unknown)."""
        with self._lock:
            self._event = {"event": "progress", "phase": phase, "done": 0, "total": total, "unit": unit}
            self._tell()

    def update(self, done: float, fps: float | None = None) -> None:
        """Say how much is done."""
        with self._lock:
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
        now = self._clock()
        if now - self._last >= _INTERVAL_SECONDS:
            self._last = now
            self._emit(dict(self._event))
