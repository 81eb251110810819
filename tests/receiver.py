"""A server that takes webhooks and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

__all__ = ["WHSEC", "Received", "Receiver", "receiver"]

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Received:
    """One request, its signature not yet looked at."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The event; raises where its signature is wrong."""
        return dict(Webhook(WHSEC).verify(self.body, self.headers))


@dataclass
class Receiver:
    url: str
    answers: Sequence[int] = (204,)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    received: list[Received] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [one.event["type"] for one in self.received]

    def answer(self) -> int:
        return self.answers[min(len(self.received), len(self.answers)) - 1]


@contextmanager
def receiver(answers: Sequence[int] = (204,), headers: dict[str, str] | None = None, body: bytes = b"") -> Iterator[Receiver]:
    """Serve on loopback; the last of ``answers`` goes on for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken = Received(
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers["content-length"])),
            )
            ours.received.append(taken)
            self.send_response(ours.answer())
            for name, value in ours.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(ours.body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ours = Receiver(f"http://127.0.0.1:{server.server_port}/hook?token=a-secret-token", answers, headers or {}, body)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield ours
    finally:
        server.shutdown()
        server.server_close()
