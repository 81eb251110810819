"""A client of contract 3 for tests: every request signed anew."""

from __future__ import annotations

import hashlib
import itertools
import time
from typing import Any

import httpx
from fastapi.testclient import TestClient

from include.media_api.signing import check_sum

KEYS = {"demo": ("demo-public", "demo-private"), "other": ("other-public", "other-private")}
SIGNING_KEYS = ",".join(f"{client}:{public}:{private}" for client, (public, private) in KEYS.items())
TASKS = "/api/v1/task/transcoding"

_nonces = itertools.count(1)


def headers(client: str = "demo", *, exec_time: float | None = None, nonce: str | None = None, **changes: str) -> dict[str, str]:
    """Return the five headers of one request."""
    return signed(client, *KEYS[client], exec_time=exec_time, nonce=nonce) | changes


def signed(client: str, public: str, private: str, *, exec_time: float | None = None, nonce: str | None = None) -> dict[str, str]:
    """Return the five headers of one request with this pair of keys."""
    nonce = nonce or f"{next(_nonces)}"
    second = str(int(time.time() if exec_time is None else exec_time))
    return {
        "apiPublicKey": public,
        "apiNonce": nonce,
        "apiClientCode": client,
        "apiExecTime": second,
        "apiCheckSum": check_sum(private, nonce, client, second),
    }


class Signed(httpx.Auth):
    """Signs every request of a client."""

    def __init__(self, client: str = "demo") -> None:
        self._client = client

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers.update(headers(self._client))
        yield request


class Caller:
    """Calls the app as one client."""

    def __init__(self, http: TestClient, client: str = "demo") -> None:
        self.http = http
        self.name = client

    def __call__(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self.http.request(method, path, auth=Signed(self.name), **arguments)  # type: ignore[arg-type]

    def create(self, **changes: Any) -> httpx.Response:
        return self("POST", TASKS, json=task(**changes))

    def show(self, task_id: str) -> dict[str, Any]:
        answer = self("GET", f"{TASKS}/{task_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def task(source: str = "s3://media/in/talk.mp4", *targets: str, **changes: Any) -> dict[str, Any]:
    """Return a request."""
    urls = changes.pop("targets", None) or targets or ("s3://media/out/talk.mp4",)
    profile = {"profile_name": "video_mp4_1280x720_1728kbps"}
    return {"source": {"source_url": source}, "targets": [{"target_url": url} for url in urls]} | profile | changes


def run_id(client: str, task_id: str) -> str:
    return f"task-{hashlib.sha256(client.encode()).hexdigest()[:12]}-{task_id}"
