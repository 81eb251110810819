"""Calls an ASGI app of this process on an event loop of its own.

Airflow writes its audit log synchronously on the event loop (``action_logging``). On the server's loop such a write may wait
for a database lock that another request of the server holds, which cannot let go of it while the loop stands still: both stand
until the database gives up, with SQLite for a minute. On a loop of its own the write waits alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import httpx

__all__ = ["OneWriter", "OwnLoop", "OwnLoopTransport"]

Answer = TypeVar("Answer")
Message = dict[str, Any]


class OwnLoop:
    """An event loop in a thread that ends with the process."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name=name, daemon=True).start()

    async def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run ``work`` there and wait for it on this loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)


class OwnLoopTransport(httpx.AsyncBaseTransport):
    """An httpx transport to the app that ``find_app`` returns."""

    def __init__(self, find_app: Callable[[], Any]) -> None:
        self._find_app = find_app
        self._inner: httpx.ASGITransport | None = None
        self._loop = OwnLoop("airflow-gateway")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request to the other loop and wait; the answer comes whole, so it may be read on any loop."""
        return await self._loop.run(self._handle(request))

    async def aclose(self) -> None:
        """End the loop and its thread."""
        self._loop.stop()

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        if self._inner is None:
            self._inner = httpx.ASGITransport(app=self._find_app(), raise_app_exceptions=False)
        return await self._inner.handle_async_request(request)


class OneWriter:
    """Passes requests to ``app`` one at a time, on a loop of their own: the database has one writer.

    Bodies and answers are kept whole meanwhile, as those of Airflow's changes are small.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._loop = OwnLoop("airflow-writer")
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer an HTTP request."""
        asked: list[Message] = []
        while not asked or asked[-1].get("more_body"):
            asked.append(await receive())
            if asked[-1]["type"] == "http.disconnect":
                return
        for message in await self._loop.run(self._answer(scope, iter(asked))):
            await send(message)

    async def _answer(self, scope: Any, asked: Iterator[Message]) -> list[Message]:
        answered: list[Message] = []

        async def receive() -> Message:
            if message := next(asked, None):
                return message
            # Whether the client is still there cannot be seen from here.
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        async def send(message: Message) -> None:
            answered.append(message)

        async with self._turn:
            await self._app(scope, receive, send)
        return answered
