"""Peers of live streams for tests: a small RTSP server, and a door that speaks TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers import free_port

__all__ = ["RtspServer", "free_port", "rtsp_server", "tls_door"]

_SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 {sender}\r\nt=0 0\r\nm=video {port} RTP/AVP 33\r\na=control:track1\r\n"
)


class RtspServer:
    """Plays a transport stream over RTP in RTSP to whoever asks (RFC 2326, 10.12); ``extra`` is put into every answer's header.

    :param redirect: answer DESCRIBE with 302 to this address.
    """

    def __init__(
        self, file: Path | None, redirect: str | None = None, extra: str = "", sender: str = "0.0.0.0", port: int = 0
    ) -> None:
        self._file = file
        self._redirect = redirect
        self._extra = extra
        self._sdp = _SDP.format(sender=sender, port=port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rb") as reader, suppress(OSError):
                    while self._answer(connection, reader.readline().decode()):
                        fields = {}
                        while (line := reader.readline().decode().strip()) != "":
                            name, _, value = line.partition(":")
                            fields[name.lower()] = value.strip()
                        self._reply(connection, fields)

    def _answer(self, connection: socket.socket, line: str) -> bool:
        self.asked.append(line.strip())
        return bool(line)

    def _reply(self, connection: socket.socket, fields: dict[str, str]) -> None:
        method = self.asked[-1].partition(" ")[0]
        status, headers, body = "200 OK", self._extra, ""
        if method == "DESCRIBE" and self._redirect:
            status, headers = "302 Found", headers + f"Location: {self._redirect}\r\n"
        elif method == "DESCRIBE":
            headers, body = headers + f"Content-Type: application/sdp\r\nContent-Length: {len(self._sdp)}\r\n", self._sdp
        elif method == "SETUP":
            headers += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: {fields['cseq']}\r\n{headers}\r\n{body}".encode())
        if method == "PLAY" and self._file:
            self._play(connection, self._file.read_bytes())
            connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _play(connection: socket.socket, stream: bytes) -> None:
        size = 7 * 188
        for number, start in enumerate(range(0, len(stream), size)):
            packet = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, number * 900, 1) + stream[start : start + size]
            connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)


@contextmanager
def rtsp_server(file: Path | None, **arguments: str | int) -> Iterator[RtspServer]:
    """Run an RTSP server."""
    server = RtspServer(file, **arguments)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.close()


class TlsDoor:
    """Ends TLS and lets the bytes through to ``port``; ``seen`` are those that clients have sent."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._inner = port
        self.seen = bytearray()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._main(context),), daemon=True)
        self._thread.start()

    async def _main(self, context: ssl.SSLContext) -> None:
        await asyncio.start_server(self._serve, sock=self._listener, ssl=context)
        await self._stop.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner)

        async def forth() -> None:
            while data := await reader.read(65536):
                self.seen += data
                inner_writer.write(data)
            inner_writer.close()

        async def back() -> None:
            while data := await inner_reader.read(65536):
                writer.write(data)
            writer.close()

        await asyncio.gather(forth(), back(), return_exceptions=True)

    def close(self) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


@contextmanager
def tls_door(context: ssl.SSLContext, port: int) -> Iterator[TlsDoor]:
    """Open such a door."""
    door = TlsDoor(context, port)
    try:
        yield door
    finally:
        door.close()
