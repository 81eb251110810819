"""Signs requests as contract 3 wants it; `docs/api.md` tells the same in shell."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

__all__ = ["Key", "SignedRequests"]


@dataclass(frozen=True)
class Key:
    """A pair of keys and the code of the client that they belong to."""

    client_code: str
    public_key: str
    private_key: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read ``clientCode:publicKey:privateKey``, as a server's ``MEDIA_SIGNING_KEYS`` has it."""
        parts = text.strip().split(":")
        if len(parts) != 3 or not all(parts):
            raise ValueError("a key is written as clientCode:publicKey:privateKey")
        return cls(*parts)


class SignedRequests(httpx.Auth):
    """Signs each request of an httpx client, with ``apiCheckSum`` and with the stronger ``apiSignature``.

    A nonce is good once, so a request that is to be sent again has to go through here again.
    """

    requires_request_body = True

    def __init__(self, key: Key, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """Add the headers."""
        request.headers.update(self.headers(request.method, request.url.raw_path, request.content))
        yield request

    def headers(self, method: str, target: bytes, body: bytes) -> dict[str, str]:
        """Return the headers of one request; ``target`` is its path and query as sent."""
        nonce, exec_time = str(secrets.randbits(128)), str(int(self._clock()))
        key = self._key
        four = (key.public_key, nonce, key.client_code, exec_time)
        lines = "\n".join((method, target.decode("ascii"), hashlib.sha256(body).hexdigest(), *four))
        return {
            **dict(zip(("apiPublicKey", "apiNonce", "apiClientCode", "apiExecTime"), four, strict=True)),
            # The contract's own; the weakness of SHA-1 is what the second one is for.
            "apiCheckSum": hashlib.sha1(f"{key.private_key}{nonce}{key.client_code}{exec_time}".encode()).hexdigest(),  # noqa: S324
            "apiSignature": hmac.new(key.private_key.encode(), lines.encode(), hashlib.sha256).hexdigest(),
        }
