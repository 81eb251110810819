"""Calls an ASGI app of this process on an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx

__all__ = ["OwnLoopTransport"]


class OwnLoopTransport(httpx.AsyncBaseTransport):
    """An httpx transport to the app that ``find_app`` returns.

    Airflow writes its audit log synchronously on the event loop (``action_logging``). On the server's loop such a write may wait
    for a database lock that another request of the server holds, which cannot let go of it while the loop stands still: both
    stand until the database gives up, with SQLite for a minute. On a loop of its own the write waits alone.
    """

    def __init__(self, find_app: Callable[[], Any]) -> None:
        self._find_app = find_app
        self._inner: httpx.ASGITransport | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="airflow-gateway", daemon=True).start()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request to the other loop and wait; the answer comes whole, so it may be read on any loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._handle(request), self._loop))

    async def aclose(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        if self._inner is None:
            self._inner = httpx.ASGITransport(app=self._find_app(), raise_app_exceptions=False)
        return await self._inner.handle_async_request(request)
