"""HTTP with addresses that clients name: guarded clients, and the download of a source."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from include.errors import InvalidInputData
from include.net.guard import Lookup, look_up
from include.net.transfer import Downloaded, Lost, Origin, Transfer
from include.net.transport import AsyncGuardedTransport, GuardedTransport
from include.net.urls import MediaUrl
from include.settings import Settings

__all__ = ["Downloaded", "Origin", "async_http_client", "download", "http_client", "look_at"]

# Seconds between attempts; one that brought this many bytes does not count.
PAUSES = (1.0, 3.0, 9.0)
WORTHWHILE = 2**20

Answer = TypeVar("Answer")


def http_client(
    settings: Settings, *, verify: ssl.SSLContext | bool = True, lookup: Lookup = look_up, **httpx_arguments: Any
) -> httpx.Client:
    """Return a client that connects only to checked addresses; it follows no redirect, no proxy and no ``.netrc``."""
    return httpx.Client(
        transport=GuardedTransport(settings, verify, lookup), trust_env=False, **_timeouts(settings) | httpx_arguments
    )


def async_http_client(
    settings: Settings, *, verify: ssl.SSLContext | bool = True, lookup: Lookup = look_up, **httpx_arguments: Any
) -> httpx.AsyncClient:
    """Return the like of :func:`http_client` for an event loop."""
    return httpx.AsyncClient(
        transport=AsyncGuardedTransport(settings, verify, lookup), trust_env=False, **_timeouts(settings) | httpx_arguments
    )


def _timeouts(settings: Settings) -> dict[str, Any]:
    return {"timeout": httpx.Timeout(settings.stall_seconds, connect=settings.connect_seconds)}


def look_at(
    url: MediaUrl,
    *,
    settings: Settings,
    check: Callable[[], None],
    lookup: Lookup = look_up,
    pauses: Sequence[float] = PAUSES,
) -> Origin:
    """Return what the server says of the file, without fetching it; raises what :func:`download` raises."""
    with http_client(settings, lookup=lookup) as client:
        return _attempts(Transfer(client, url, settings).look, lambda: 0, check, pauses)


def download(
    url: MediaUrl,
    path: Path,
    *,
    settings: Settings,
    check: Callable[[], None],
    on_bytes: Callable[[int], None],
    lookup: Lookup = look_up,
    pauses: Sequence[float] = PAUSES,
) -> Downloaded:
    """Fetch the file at ``url`` to ``path``, in one request where the server keeps on sending, resumed where it does not.

    ``check`` is called often, and ends the download by raising; ``on_bytes`` is told how many bytes have come, less what must
    come again; ``pauses`` (s) are between attempts. Redirects are followed, each checked as the first address was. Raises
    :class:`InvalidInputData` for what cannot be reached or does not come to its end, :class:`InputNotSupported` for what is
    compressed or redirects to another protocol, and :class:`LimitExceeded` beyond ``MEDIA_MAX_SOURCE_BYTES``.
    """
    with http_client(settings, lookup=lookup) as client, path.open("wb") as file:
        transfer = Transfer(client, url, settings)
        return _attempts(lambda: transfer.fetch(file, check, on_bytes), file.tell, check, pauses)


def _attempts(
    attempt: Callable[[], Answer], progress: Callable[[], int], check: Callable[[], None], pauses: Sequence[float]
) -> Answer:
    failures = 0
    while True:
        before = progress()
        try:
            return attempt()
        except Lost as lost:
            failures = 1 if progress() - before >= WORTHWHILE else failures + 1
            if failures > len(pauses):
                raise InvalidInputData(f"{lost} Check the address and try again.") from lost
        until = time.monotonic() + pauses[failures - 1]
        while time.monotonic() < until:
            check()
            time.sleep(0.1)
