"""A bounded queue between two stages that either side can close."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Channel", "Closed"]

T = TypeVar("T")


class Closed(Exception):
    """The channel was closed: the other side needs and gives no more."""


class Channel(Generic[T]):
    """Holds at most ``capacity`` items; :meth:`put` and :meth:`get` wait, and raise :class:`Closed` once it is closed."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Add ``item`` when there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> T:
        """Take the oldest item; raises :class:`TimeoutError` where there is none for ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._items, timeout):
                raise TimeoutError
            if self._closed:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Drop what is in it and let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
