"""Who is calling contract 3: requests signed with a pair of keys, each signature good for one request.

``apiCheckSum`` covers four headers only. ``apiSignature`` also covers method, path, query and body; see docs/api.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.errors import AccessDenied, MediaError
from include.media_api.services import MAX_BODY_BYTES
from include.media_store.tables import Tables
from include.settings import Settings, SigningKey

__all__ = ["HEADERS", "SIGNATURE", "SignedClient", "SigningMiddleware", "check_sum", "signature"]

HEADERS = ("apiPublicKey", "apiNonce", "apiClientCode", "apiExecTime")
CHECK_SUM = "apiCheckSum"
SIGNATURE = "apiSignature"
REFUSAL = {"code": "AuthFailed", "message": "The signature of the request is missing, wrong, too old or was used before."}

_PRINTABLE = re.compile(r"[!-~]{1,200}", re.ASCII)
_NONCE = re.compile(r"[0-9]{1,64}")
# No zeros before the number: else what is signed could be cut into nonce, client and time in two ways.
_TIME = re.compile(r"[1-9][0-9]{0,11}")
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def check_sum(private_key: str, nonce: str, client: str, exec_time: str) -> str:
    """Return ``apiCheckSum``: SHA-1, in hex, of the plain concatenation."""
    # The contract's own algorithm; what it lacks is what `signature` is for.
    return hashlib.sha1(f"{private_key}{nonce}{client}{exec_time}".encode()).hexdigest()  # noqa: S324


def signature(private_key: str, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> str:
    """Return ``apiSignature``: HMAC-SHA256, in hex, over seven lines.

    Method, request target (path and query as sent), SHA-256 of the body in hex, and the values of :data:`HEADERS` in order,
    joined by line feeds.
    """
    lines = [method, target, hashlib.sha256(body).hexdigest(), *(headers[name] for name in HEADERS)]
    return hmac.new(private_key.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()


class SigningMiddleware:
    """Answers 401, always with the same body, to a request that is not signed as it must be, before its body is understood."""

    def __init__(self, app: ASGIApp, settings: Settings, tables: Tables, clock: Callable[[], float] = time.time) -> None:
        self._app = app
        self._keys = {(key.public_key, key.client): key for key in settings.signing_keys}
        self._window = settings.signing_seconds
        self._strict = settings.signing_strict
        self._tables = tables
        self._clock = clock
        # Compared with where there is no such key, so that it takes as long to refuse.
        self._nobody = SigningKey(client="nobody", public_key="none", private_key=secrets.token_hex(16))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with ``request.state.client`` set, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope)
        key = self._key_of(given)
        signed = given.getlist(SIGNATURE)
        if key is None or len(signed) > 1 or (self._strict and not signed):
            await _refuse(scope, receive, send)
            return
        if signed:
            body = await _read(receive)
            if body is None:
                text = f"The body is larger than {MAX_BODY_BYTES} bytes."
                await JSONResponse({"code": "RequestTooLarge", "message": text}, status_code=413)(scope, receive, send)
                return
            if not _is_signed(signed[0], key, scope, body, given):
                await _refuse(scope, receive, send)
                return
            receive = _again(body, receive)
        try:
            # A nonce counts only once the rest is right: else anybody could use up those of others.
            is_new = await run_sync(self._claim, key, given["apiNonce"], int(given["apiExecTime"]))
        except MediaError as error:
            document = {"code": "InternalError", "message": error.message}
            await JSONResponse(document, status_code=error.http_status)(scope, receive, send)
            return
        if not is_new:
            await _refuse(scope, receive, send)
            return
        # A mounted app shares the root app's state dictionary, which other requests see: replace, never update.
        scope["state"] = {**scope.get("state", {}), "client": key.client}
        await self._app(scope, receive, send)

    def _key_of(self, given: Headers) -> SigningKey | None:
        """Return the key whose holder has made ``apiCheckSum`` just now, or ``None``."""
        values = {name: _only(given.getlist(name)) for name in (*HEADERS, CHECK_SUM)}
        public, nonce, client, exec_time = (values[name] for name in HEADERS)
        found = self._keys.get((public, client))
        expected = check_sum((found or self._nobody).private_key.get_secret_value(), nonce, client, exec_time)
        is_right = hmac.compare_digest(expected.encode(), values[CHECK_SUM].lower().encode())
        is_formed = all(
            pattern.fullmatch(value)
            for pattern, value in (
                (_PRINTABLE, public), (_PRINTABLE, client), (_NONCE, nonce), (_TIME, exec_time), (_SHA1, values[CHECK_SUM])
            )
        )  # fmt: skip
        is_fresh = is_formed and abs(int(exec_time) - self._clock()) <= self._window
        return found if found and is_right and is_fresh else None

    def _claim(self, key: SigningKey, nonce: str, exec_time: int) -> bool:
        # Until no request of this time, and none that is signed now, can be accepted any more.
        expires_at = max(exec_time, int(self._clock())) + self._window + 1
        return self._tables.claim_nonce(f"{key.client}:{key.public_key}", nonce, expires_at)


def signed_client(request: Request) -> str:
    """Return the calling client; the second lock behind :class:`SigningMiddleware`."""
    client = getattr(request.state, "client", None)
    if not isinstance(client, str):
        raise AccessDenied(REFUSAL["message"])
    return client


SignedClient = Annotated[str, Depends(signed_client)]


def _only(values: Iterable[str]) -> str:
    """Return the one value; none, several, and what is no ASCII, are as good as an empty one."""
    found = list(values)
    return found[0] if len(found) == 1 and found[0].isascii() else ""


def _is_signed(given: str, key: SigningKey, scope: Scope, body: bytes, headers: Headers) -> bool:
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string", b"")
    target = (path + (b"?" + query if query else b"")).decode("latin-1")
    values = {name: headers[name] for name in HEADERS}
    expected = signature(key.private_key.get_secret_value(), scope["method"], target, body, values)
    return bool(_SHA256.fullmatch(given)) and hmac.compare_digest(expected, given.lower())


async def _read(receive: Receive) -> bytes | None:
    """Return the body, or ``None`` for one that is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives the body which was read once more, and then what the server has to say."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(REFUSAL, status_code=401)(scope, receive, send)
