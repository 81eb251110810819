"""The attempts to get one file over HTTP: redirects, ranges, sizes and speed, each held to its limit."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import httpx

from include.errors import InputNotSupported, InvalidInputData, LimitExceeded, ParameterError
from include.net.punctual import punctual
from include.net.urls import MediaUrl, parse_source
from include.settings import Settings

__all__ = ["Downloaded", "Lost", "Origin", "Transfer"]

# Who sends slower than this, in bytes a second, is no better than one who has stopped.
SLOWEST = 16 * 1024
_RETRIED = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Origin:
    """What a server says of a file: bytes (None: it does not say), ETag and time of change as it writes them, or empty."""

    size: int | None
    etag: str
    last_modified: str

    @property
    def condition(self) -> str:
        """What tells this version from others (If-Range, RFC 9110, 13.1.5); empty where nothing does."""
        return self.last_modified if self.etag.startswith("W/") else self.etag or self.last_modified


@dataclass(frozen=True)
class Downloaded:
    """A file that has been downloaded whole; ETag and time of change as the server writes them, or empty."""

    size: int
    etag: str
    last_modified: str


class Lost(Exception):
    """The connection, or what came through it, is of no use; another attempt may do better."""


class Transfer:
    """The attempts to get one file, and which version of it they are about."""

    def __init__(self, client: httpx.Client, url: MediaUrl, settings: Settings) -> None:
        self._client = client
        self._url = url
        self._settings = settings
        self._origin: Origin | None = None

    def look(self) -> Origin:
        """Ask, and leave before the content."""
        with self._response({}) as response:
            return self._origin_of(response)

    def fetch(self, file: BinaryIO, check: Callable[[], None], on_bytes: Callable[[int], None]) -> Downloaded:
        """Write the content to ``file``, or what is missing of it there."""
        condition = self._origin.condition if self._origin else ""
        start = file.tell() if condition else 0
        with self._response({"Range": f"bytes={start}-", "If-Range": condition} if start else {}) as response:
            if response.status_code == httpx.codes.PARTIAL_CONTENT:
                self._check_part(response, start)
            else:
                start = 0
                self._origin = self._origin_of(response)
            origin = self._origin
            assert origin is not None  # noqa: S101 - a part is of a file that was looked at
            on_bytes(start - file.tell())
            file.seek(start)
            file.truncate()
            for data in self._paced(response, check):
                file.write(data)
                on_bytes(len(data))
                self._check_size(file.tell())
        if origin.size is not None and file.tell() != origin.size:
            raise Lost(f"The source {self._url.redacted} ended after {file.tell()} of its {origin.size} bytes.")
        return Downloaded(file.tell(), origin.etag, origin.last_modified)

    def _paced(self, response: httpx.Response, check: Callable[[], None]) -> Iterator[bytes]:
        stall = self._settings.stall_seconds
        since, count = time.monotonic(), 0
        for data in response.iter_raw():
            check()
            yield data
            count += len(data)
            if time.monotonic() - since > stall:
                if count < SLOWEST * stall:
                    raise Lost(f"The source {self._url.redacted} sent no more than {count} bytes in {stall:g} s.")
                since, count = time.monotonic(), 0

    @contextmanager
    def _response(self, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Yield the answer at the end of all redirects, whole or a part, before its content."""
        try:
            response = self._follow(headers)
            try:
                yield response
            finally:
                response.close()
        except httpx.HTTPError as error:
            # Messages of the network's layers may hold addresses.
            raise Lost(f"The source {self._url.redacted} cannot be fetched ({type(error).__name__}).") from error
        except UnicodeError as error:
            # httpx decodes what follows xn-- in a host.
            raise InvalidInputData(
                f"The source {self._url.redacted} has, or redirects to, a host whose xn--… is no international name."
            ) from error

    def _follow(self, headers: dict[str, str]) -> httpx.Response:
        url = self._url
        for _ in range(self._settings.max_redirects + 1):
            # What is compressed may be a thousand times as large as what comes through the line.
            headers = {"Accept-Encoding": "identity", **headers}
            # Twice as long as silence is borne, which has an error of its own.
            with punctual(2 * self._settings.stall_seconds) as extensions:
                request = self._client.build_request("GET", _httpx_url(url), headers=headers, extensions=extensions)
                response = self._client.send(request, stream=True)
            if not response.has_redirect_location:
                return self._usable(response, part="Range" in headers)
            response.close()
            url = self._next(response)
        raise InvalidInputData(
            f"The source {self._url.redacted} redirects more than {self._settings.max_redirects} times (MEDIA_MAX_REDIRECTS)."
        )

    def _next(self, response: httpx.Response) -> MediaUrl:
        try:
            target = response.request.url.join(response.headers["Location"]).copy_with(fragment=None)
            url = parse_source(str(target))
        except (ParameterError, httpx.InvalidURL, UnicodeError):
            raise InvalidInputData(f"The source {self._url.redacted} redirects to what is no usable address.") from None
        except InputNotSupported:
            url = None
        if url is None or url.kind != "http":
            raise InputNotSupported(f"The source {self._url.redacted} redirects to another protocol than HTTP.")
        return url

    def _usable(self, response: httpx.Response, part: bool) -> httpx.Response:
        status = response.status_code
        if status == httpx.codes.OK or (part and status == httpx.codes.PARTIAL_CONTENT):
            if (encoding := response.headers.get("Content-Encoding", "identity").strip().lower()) not in ("", "identity"):
                response.close()
                raise InputNotSupported(
                    f"The source {self._url.redacted} is sent compressed ({encoding[:20]!a}), though it was asked for as it is."
                )
            return response
        response.close()
        told = f"The server of the source {self._url.redacted} answered {status}."
        if status in _RETRIED:
            raise Lost(told)
        if part:
            # No ranges (416 among others): from the start, then.
            self._origin = None
            raise Lost(told)
        raise InvalidInputData(f"{told} Check the address and its credentials.")

    def _origin_of(self, response: httpx.Response) -> Origin:
        # httpx and h11 hold the server to its length, and to there being one.
        told = response.headers.get("Content-Length", "")
        origin = Origin(int(told) if told.isdigit() else None, _text(response, "ETag"), _text(response, "Last-Modified"))
        self._check_size(origin.size or 0)
        return origin

    def _check_part(self, response: httpx.Response, start: int) -> None:
        assert self._origin is not None  # noqa: S101 - only then a part is asked for
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        size = int(told[2]) if told and told[2] != "*" else self._origin.size
        if told is None or int(told[1]) != start or size != self._origin.size or _text(response, "ETag") != self._origin.etag:
            self._origin = None
            raise Lost(f"The source {self._url.redacted} has changed while it was fetched.")

    def _check_size(self, size: int) -> None:
        limit = self._settings.max_source_bytes
        if size > limit:
            raise LimitExceeded(f"The source {self._url.redacted} has more than {limit} bytes (MEDIA_MAX_SOURCE_BYTES).")


def _text(response: httpx.Response, header: str) -> str:
    return str(response.headers.get(header, ""))


def _httpx_url(url: MediaUrl) -> httpx.URL:
    # Of its parts, not of its text: so there is nothing that could be read in another way.
    raw_path = f"{url.path or '/'}{'?' + url.query if url.query else ''}".encode("ascii")
    return httpx.URL(scheme=url.scheme, host=url.host, port=url.port, userinfo=url.userinfo.encode("ascii"), raw_path=raw_path)
