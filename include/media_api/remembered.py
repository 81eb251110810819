"""What was read from S3 a moment ago, so that clients who poll do not have it read again at each look."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Generic, TypeVar

from cachetools import TTLCache

__all__ = ["Remembered"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Values for some seconds, the newest ``size`` of them; safe for several threads, which cachetools' own caches are not."""

    def __init__(self, size: int, seconds: float) -> None:
        self._values: TTLCache[Key, Value] = TTLCache(size, ttl=seconds)
        self._lock = threading.Lock()

    def of(self, keys: Collection[Key]) -> dict[Key, Value]:
        """Return what is known."""
        found: dict[Key, Value] = {}
        with self._lock:
            for key in keys:
                # One may come to its end between a question whether it is there and the look at it.
                with suppress(KeyError):
                    found[key] = self._values[key]
        return found

    def keep(self, key: Key, value: Value) -> None:
        """Remember a value."""
        with self._lock:
            self._values[key] = value

    def get(self, key: Key, read: Callable[[], Value | None]) -> Value | None:
        """Return what is known, or else what ``read`` returns; nothing is not remembered."""
        known = self.of([key])
        if key in known:
            return known[key]
        value = read()
        if value is not None:
            self.keep(key, value)
        return value
