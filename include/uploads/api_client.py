"""The uploads' API as its clients call it."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import tenacity

from include.errors import AccessDenied, InternalError, MediaError, NotFound, ObjectExists, ParameterError

__all__ = ["UploadApi"]

_ERRORS: dict[int, type[MediaError]] = {401: AccessDenied, 403: AccessDenied, 404: NotFound, 409: ObjectExists}


class UploadApi:
    """Calls the API at ``url`` with a client's key; may be used by several threads.

    ``skew`` is by how many seconds the server's clock is ahead of ours, as its last answer told. Methods raise
    ``ParameterError``, ``AccessDenied``, ``NotFound`` and ``ObjectExists`` (the upload has ended) with the server's own
    message, and ``InternalError`` where the server does not answer.
    """

    def __init__(self, url: str, key: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"x-api-key": key}, timeout=httpx.Timeout(60.0, connect=10.0), transport=transport
        )
        self.skew = 0.0

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def now(self) -> float:
        """Return the server's time, epoch seconds."""
        return time.time() + self.skew

    def create(self, atom_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an upload and return it, with ``credentials``."""
        return self._answer(self._request("POST", _path(atom_id), json=body))

    def read(self, atom_id: str, upload_id: str) -> dict[str, Any]:
        """Return an upload."""
        return self._again(lambda: self._answer(self._request("GET", _path(atom_id, upload_id))))

    def part_url(self, atom_id: str, upload_id: str, n: int) -> str:
        """Return a fresh URL for part ``n``: a secret."""
        path = f"{_path(atom_id, upload_id)}/parts/{n}/url"
        return str(self._again(lambda: self._answer(self._request("GET", path)))["url"])

    def credentials(self, atom_id: str, upload_id: str) -> dict[str, Any]:
        """Return fresh credentials for all parts: secrets."""
        path = f"{_path(atom_id, upload_id)}/credentials"
        answer: dict[str, Any] = self._again(lambda: self._answer(self._request("POST", path, json={})))["credentials"]
        return answer

    @staticmethod
    def _again(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Call until the server answers: it may just have been restarted."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(InternalError),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=15),
            stop=tenacity.stop_after_delay(120),
            reraise=True,
        )
        return retrying(call)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise InternalError(f"{self._http.base_url} does not answer ({type(error).__name__}).") from error
        if told := response.headers.get("Date"):
            self.skew = parsedate_to_datetime(told).timestamp() - time.time()
        return response

    def _answer(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError:
            document = {}
        if response.is_success and isinstance(document, dict):
            return document
        said = document.get("message") or document.get("error") if isinstance(document, dict) else None
        message = str(said or f"{self._http.base_url} answers {response.status_code}.")
        if response.status_code in _ERRORS:
            raise _ERRORS[response.status_code](message)
        raise (ParameterError if response.is_client_error else InternalError)(message)


def _path(atom_id: str, upload_id: str = "") -> str:
    path = f"/api2/atom/{quote(atom_id, safe='')}/uploads"
    return f"{path}/{quote(upload_id, safe='')}" if upload_id else path
