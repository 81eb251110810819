"""HTTP that connects to checked addresses alone: the name is resolved here, and the connection made to what was checked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import httpx

from include.net import guard
from include.net.guard import Lookup
from include.settings import Settings

__all__ = ["AsyncGuardedTransport", "GuardedTransport"]

# A pool knows a connection by its address: kept open, one that was proved to be of one name could be used for another.
_LIMITS = httpx.Limits(max_keepalive_connections=0)


class GuardedTransport(httpx.BaseTransport):
    """Sends each request to the first address of its host that takes the connection; all of them are checked before.

    Raises :class:`include.errors.InvalidInputData` where the host cannot be found or may not be reached.
    """

    def __init__(self, settings: Settings, verify: ssl.SSLContext | bool, lookup: Lookup) -> None:
        self._settings = settings
        self._lookup = lookup
        self._transport = httpx.HTTPTransport(verify=verify, limits=_LIMITS)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Connect, send and return the response."""
        host, port = _place(request)
        *others, last = guard.resolve(host, port, self._settings, lookup=self._lookup)
        for address in others:
            try:
                return self._transport.handle_request(_to(address, request))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._transport.handle_request(_to(last, request))

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


class AsyncGuardedTransport(httpx.AsyncBaseTransport):
    """As :class:`GuardedTransport`, in an event loop."""

    def __init__(self, settings: Settings, verify: ssl.SSLContext | bool, lookup: Lookup) -> None:
        self._settings = settings
        self._lookup = lookup
        self._transport = httpx.AsyncHTTPTransport(verify=verify, limits=_LIMITS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Connect, send and return the response."""
        *others, last = await self._addresses(*_place(request))
        for address in others:
            try:
                return await self._transport.handle_async_request(_to(address, request))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._transport.handle_async_request(_to(last, request))

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        # The system's resolver blocks.
        return await asyncio.to_thread(guard.resolve, host, port, self._settings, lookup=self._lookup)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


def _place(request: httpx.Request) -> tuple[str, int]:
    url = request.url
    return url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)


def _to(address: str, request: httpx.Request) -> httpx.Request:
    # The Host header is there already, and the certificate is checked against the name, not the address.
    name = {"sni_hostname": request.url.raw_host.decode("ascii")}
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, **name},
    )
