"""One read for all who look at the same: many open browsers cost hardly more than one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, Generic, TypeVar, cast

from cachetools import TTLCache

__all__ = ["Shared"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_NOTHING: Final[Any] = object()


class Shared(Generic[Key, Value]):
    """Keeps what was read for ``seconds``; who asks while a read is on its way waits for that one.

    An answer is at most so much older than its question. Errors are those who wait's, and are not kept.
    """

    def __init__(self, seconds: float, most: int = 256, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept: TTLCache[Key, Value] = TTLCache(most, ttl=seconds, timer=clock)
        self._reading: dict[Key, asyncio.Task[Value]] = {}

    async def __call__(self, key: Key, read: Callable[[], Awaitable[Value]]) -> Value:
        """Return what ``read`` has said of ``key`` a moment ago, or says now."""
        # One look: between two the time might pass at which it is forgotten.
        kept = self._kept.get(key, _NOTHING)
        if kept is not _NOTHING:
            return cast("Value", kept)
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._read(key, read))
        # One who goes away must not take the others' answer along.
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Let nobody see what was read before now."""
        self._kept.clear()
        self._reading.clear()

    async def _read(self, key: Key, read: Callable[[], Awaitable[Value]]) -> Value:
        me = asyncio.current_task()
        try:
            value = await read()
            # Where it was forgotten meanwhile, others have begun to read anew.
            if self._reading.get(key) is me:
                self._kept[key] = value
            return value
        finally:
            if self._reading.get(key) is me:
                del self._reading[key]
