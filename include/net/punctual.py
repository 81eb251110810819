"""How long a server may take to begin its answer: a byte now and then keeps every timeout of a socket from coming."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["punctual"]

_CONNECTED = {"connection.connect_tcp.complete", "connection.start_tls.complete"}


@contextmanager
def punctual(seconds: float) -> Iterator[dict[str, Any]]:
    """Yield extensions for a request to httpx, whose connection is ended ``seconds`` after it was made unless this was left."""
    timers: list[threading.Timer] = []

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event in _CONNECTED:
            timers.append(threading.Timer(seconds, _end, (info["return_value"].get_extra_info("socket"),)))
            timers[-1].start()

    try:
        yield {"trace": trace}
    finally:
        for timer in timers:
            timer.cancel()


def _end(connection: socket.socket) -> None:
    # One that TLS has taken over, or that is closed, is none any more.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
