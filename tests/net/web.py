"""Servers for the tests of the network: one that answers as it is told, and one that must never be asked."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Answer", "Trap", "Web", "trap", "web"]

Answer = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """A request, and the means to answer it well or badly."""

    protocol_version = "HTTP/1.1"
    server: Web

    def do_GET(self) -> None:
        """Answer as the path's function does."""
        self.server.requests.append(self)
        self.close_connection = True
        self.server.answers[self.path.partition("?")[0]](self)

    def reply(self, status: int, body: bytes = b"", **headers: str | None) -> None:
        """Send a whole answer; an underscore in a header's name stands for a dash, and None leaves it out."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), "Connection": "close", **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Web(ThreadingHTTPServer):
    """An HTTP server on 127.0.0.1 whose ``answers`` are functions by path."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.answers: dict[str, Answer] = {}
        self.requests: list[Exchange] = []
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves early is no error here."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the address of ``path``."""
        return f"http://{host}:{self.server_port}{path}"


@contextmanager
def web(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Run a server."""
    server = Web(tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Trap:
    """Listens, over TCP and UDP, at an address of this machine that is not allowed; ``caught`` counts who came."""

    def __init__(self, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        self._tcp = socket.socket(family, socket.SOCK_STREAM)
        self._tcp.bind((host, 0))
        self._tcp.listen()
        self.port: int = self._tcp.getsockname()[1]
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._udp.bind((host, self.port))
        self._tcp.setblocking(False)
        self._udp.setblocking(False)

    @property
    def caught(self) -> int:
        """How many connections and datagrams have come since it was last asked."""
        found = 0
        for wait in (self._tcp.accept, lambda: self._udp.recv(2048)):
            try:
                while True:
                    wait()
                    found += 1
            except BlockingIOError:
                pass
        return found

    def close(self) -> None:
        """Listen no more."""
        self._tcp.close()
        self._udp.close()


@contextmanager
def trap(host: str = "127.0.0.2") -> Iterator[Trap]:
    """Listen at ``host``; at the end it must have caught nobody."""
    listening = Trap(host)
    try:
        yield listening
        assert listening.caught == 0, f"somebody has connected to {host}"
    finally:
        listening.close()
