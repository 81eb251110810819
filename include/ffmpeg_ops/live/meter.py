"""How much comes in a second, lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Meter"]

_SECONDS = 5.0


class Meter:
    """Sums up what is added, and tells the rate over the last seconds. One thread adds, others may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = 0
        self._clock = clock
        self._recent: deque[tuple[float, int]] = deque(((clock(), 0),))

    def add(self, amount: int) -> None:
        """Add what has come."""
        now = self._clock()
        self.total += amount
        self._recent.append((now, self.total))
        while len(self._recent) > 2 and now - self._recent[1][0] > _SECONDS:
            self._recent.popleft()

    @property
    def rate(self) -> float:
        """What came in a second; 0 where nothing has come for long."""
        then, total = self._recent[0]
        seconds = self._clock() - then
        if seconds > 2 * _SECONDS:
            return 0.0
        return (self.total - total) / max(seconds, 1.0)
