"""How long to wait before another attempt, and when to give up."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Backoff"]

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 10.0


class Backoff:
    """Counts the attempts of one outage that may last ``limit`` seconds."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Say that all is well: the next failure begins a new outage."""
        self._began = self._clock()
        self._next = FIRST_SECONDS

    def wait(self) -> float | None:
        """Return the seconds to wait before the next attempt, each time twice as many; ``None`` where it is time to give up."""
        left = self._began + self._limit - self._clock()
        if left <= 0:
            return None
        seconds, self._next = self._next, min(2 * self._next, LONGEST_SECONDS)
        return min(seconds, left)
