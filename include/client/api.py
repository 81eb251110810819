"""The calls of contract 3."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from include.client.signing import Key, SignedRequests
from include.errors import TimedOut

__all__ = ["OVER", "ApiError", "Client"]

Document = dict[str, Any]

OVER = frozenset({"SUCCESS", "FAILED", "CANCELLED"})
# Answers that say nothing of the task: whoever waits for it asks again.
_PASSING = frozenset({429, 500, 502, 503, 504})


class ApiError(Exception):
    """The server has refused a request: ``status`` of HTTP, ``code`` for programs, ``message`` for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code, self.message = status, code, message


class Client:
    """Creates and follows tasks; every call raises :class:`ApiError` or ``httpx.HTTPError``.

    :param url: of the server, without path: ``http://127.0.0.1:8080``.
    :param version: the number in the path; the server takes any.
    :param transport: instead of the network.
    """

    def __init__(
        self, url: str, key: Key, *, version: int = 1, timeout: float = 60.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v{version}",
            auth=SignedRequests(key),
            timeout=timeout,
            transport=transport,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- tasks

    def create(
        self, source_url: str, targets: Sequence[str], *, profile_name: str | None = None, callback_url: str | None = None
    ) -> str:
        """Create a task and return its id; the same request again is the same task."""
        body: Document = {"source": {"source_url": source_url}, "targets": [{"target_url": target} for target in targets]}
        body |= {"profile_name": profile_name} if profile_name is not None else {}
        body |= {"callback_url": callback_url} if callback_url is not None else {}
        return str(self._call("POST", "/task/transcoding", json=body)["task_id"])

    def query(self, task_id: str) -> Document:
        """Return what has become of a task."""
        return self._call("GET", f"/task/transcoding/{quote(task_id, safe='')}")

    def wait(
        self,
        task_id: str,
        *,
        timeout: float | None = None,
        poll: float = 2.0,
        on_status: Callable[[Document], None] = lambda status: None,
    ) -> Document:
        """Return the task once it is over; raises :class:`~include.errors.TimedOut` after ``timeout`` seconds.

        A server that is restarting is asked again. ``on_status`` gets each answer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                status = self.query(task_id)
            except (ApiError, httpx.TransportError) as error:
                if isinstance(error, ApiError) and error.status not in _PASSING:
                    raise
            else:
                on_status(status)
                if status["task_status"] in OVER:
                    return status
            if deadline is not None and time.monotonic() + poll > deadline:
                raise TimedOut(f"Task {task_id} is not over after {timeout:g} s.")
            time.sleep(poll)

    def delete(self, task_id: str) -> Document:
        """Stop a task that waits or runs; return it."""
        return self._call("DELETE", f"/task/transcoding/{quote(task_id, safe='')}")

    def tasks(self, *, status: str | None = None, page: int = 100) -> Iterator[Document]:
        """Yield the client's tasks, newest first, asking for more as they are wanted."""
        query: Document = {"limit": page} | ({"status": status} if status else {})
        while True:
            found = self._call("GET", "/task/transcoding", params=query)
            yield from found["tasks"]
            if "cursor" not in found:
                return
            query["cursor"] = found["cursor"]

    # -- profiles

    def profiles(self) -> list[Document]:
        """Return the profiles that everybody has, and the client's own."""
        return list(self._call("GET", "/profiles")["profiles"])

    def profile(self, name: str) -> Document:
        """Return a profile."""
        return self._call("GET", f"/profile/{quote(name, safe='')}")

    def create_profile(self, profile: Document) -> Document:
        """Make a profile of the client's own: ``{"profile_name", "encodings": [...]}``."""
        return self._call("POST", "/profile", json=profile)

    def delete_profile(self, name: str) -> Document:
        """Delete a profile of the client's own."""
        return self._call("DELETE", f"/profile/{quote(name, safe='')}")

    def _call(self, method: str, path: str, **arguments: Any) -> Document:
        answer = self._http.request(method, path, **arguments)
        try:
            document = answer.json()
        except ValueError:
            document = None
        if answer.is_success and isinstance(document, dict):
            return document
        # Whatever stands before the server (a proxy) answers in its own way.
        told = document if isinstance(document, dict) else {}
        raise ApiError(answer.status_code, str(told.get("code", "Unknown")), str(told.get("message", answer.reason_phrase)))
