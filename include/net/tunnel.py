"""A door on the loopback interface to one checked address, for a program that would look up names and certificates itself."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any

from include.errors import MediaError

__all__ = ["Tunnel"]

logger = logging.getLogger(__name__)

_BLOCK = 64 * 1024
# What is still on its way when the program has ended may take this long.
_FLUSH_SECONDS = 2.0

Watch = Callable[[bytes], None]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Tunnel:
    """Lets connections to ``port`` of 127.0.0.1 through to the first of ``addresses`` that takes them, while it is entered.

    :param tls: the context and server name to speak TLS with on the outside.
    :param watch: makes, for each connection, what is shown all that the server sends; it raises what must not go through.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        port: int,
        *,
        connect_seconds: float,
        tls: tuple[ssl.SSLContext, str] | None = None,
        watch: Callable[[], Watch] | None = None,
    ) -> None:
        self.port = 0
        self._outside = addresses, port
        self._connect_seconds = connect_seconds
        self._tls = tls
        self._watch = watch

    def __enter__(self) -> Tunnel:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="tunnel", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self, listener: socket.socket) -> None:
        try:
            self._loop.run_until_complete(self._main(listener))
        finally:
            self._loop.close()

    async def _main(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._serve, sock=listener)
        await self._closing.wait()
        server.close()
        if serving := asyncio.all_tasks() - {asyncio.current_task()}:
            _, late = await asyncio.wait(serving, timeout=_FLUSH_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            outer_reader, outer_writer = await self._connect()
            try:
                watch = self._watch() if self._watch else None
                await _first(_copy(reader, outer_writer), _copy(outer_reader, writer, watch))
            finally:
                await _close(outer_writer)
        except MediaError as error:
            logger.warning("%s", error.message)
        except OSError as error:
            logger.info("A connection through a tunnel has ended: %s", type(error).__name__)
        finally:
            await _close(writer)

    async def _connect(self) -> Streams:
        addresses, port = self._outside
        context, name = self._tls or (None, None)
        lost: OSError = ConnectionError()
        for address in addresses:
            opening = asyncio.open_connection(address, port, ssl=context, server_hostname=name)
            try:
                return await asyncio.wait_for(opening, self._connect_seconds)
            except asyncio.TimeoutError:
                lost = TimeoutError()
            except OSError as error:
                lost = error
        raise lost


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: Watch | None = None) -> None:
    while data := await reader.read(_BLOCK):
        if watch:
            watch(data)
        writer.write(data)
        await writer.drain()


async def _first(*directions: Coroutine[Any, Any, None]) -> None:
    """Run until one direction has ended, or raise what it raised; the other is of no use then."""
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        # A peer may never take the rest, nor say goodbye.
        await asyncio.wait_for(writer.wait_closed(), _FLUSH_SECONDS)
    except (OSError, asyncio.TimeoutError):
        writer.transport.abort()
