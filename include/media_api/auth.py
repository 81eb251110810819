"""Who is calling: keys of the clients, checked before anything else of a request is looked at."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from include.errors import AccessDenied

__all__ = ["ApiKeyMiddleware", "Authenticate", "Client", "ClientKeys", "TrustedClientMiddleware", "require_client"]

HEADER = "x-api-key"
_scheme = APIKeyHeader(name=HEADER, auto_error=False, description="The key that was given to the client.")


class ClientKeys:
    """The clients and their keys."""

    def __init__(self, keys: Mapping[str, SecretStr]) -> None:
        self._digests = {client: _digest(key.get_secret_value()) for client, key in keys.items()}
        if len(set(self._digests.values())) < len(self._digests):
            raise ValueError("MEDIA_API_KEYS: two clients have the same key; every client needs a key of its own")

    def client_of(self, key: str) -> str | None:
        """Return the client that ``key`` belongs to; takes the same time for every wrong key."""
        digest, found = _digest(key), None
        for client, expected in self._digests.items():
            if hmac.compare_digest(digest, expected):
                found = client
        return found


class ApiKeyMiddleware:
    """Answers 403 to every request without a valid key, also where there is no such path or method.

    A dependency alone would come too late: FastAPI routes and reads the body first.
    """

    def __init__(self, app: ASGIApp, keys: ClientKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with ``request.state.client`` set, or refuse it."""
        if scope["type"] == "http":
            given = Headers(scope=scope).getlist(HEADER)
            client = self._keys.client_of(given[0]) if len(given) == 1 else None
            if client is None:
                await JSONResponse({"message": "Forbidden"}, status_code=403)(scope, receive, send)
                return
            # A mounted app shares the root app's state dictionary, which other requests see: replace, never update.
            scope["state"] = {**scope.get("state", {}), "client": client}
        await self._app(scope, receive, send)


class TrustedClientMiddleware:
    """For an app behind one that has looked who asks: every request is of one client."""

    def __init__(self, app: ASGIApp, client: str) -> None:
        self._app = app
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with ``request.state.client`` set."""
        await self._app({**scope, "state": {**scope.get("state", {}), "client": self._client}}, receive, send)


Authenticate = Callable[[ASGIApp], ASGIApp]
"""What sets ``request.state.client`` of an app's requests, or refuses them."""


def require_client(request: Request, _key: Annotated[str | None, Security(_scheme)]) -> str:
    """Return the calling client; the second lock behind :class:`ApiKeyMiddleware`, and the scheme in the OpenAPI page."""
    client = getattr(request.state, "client", None)
    if not isinstance(client, str):
        raise AccessDenied("Forbidden")
    return client


Client = Annotated[str, Security(require_client)]


def _digest(key: str) -> bytes:
    # Equal lengths, so that comparing tells nothing of a key's length.
    return hashlib.sha256(key.encode()).digest()
