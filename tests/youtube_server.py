"""A server that speaks YouTube's upload protocol as its public description says, for tests.

``python -m tests.youtube_server PORT FOLDER`` serves Google's token endpoint, resumable sessions (chunks in multiples of 256 KiB
but for the last, one writer at a time, bytes kept below FOLDER) and ``videos.list``. What is to go wrong is told to
``/control/faults``, what has happened is read from ``/control/state``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

GRAIN = 256 * 2**10
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")
CLIENT = {"client_id": "test-client", "client_secret": "test-client-secret", "refresh_token": "test-refresh-token"}

# The steps that videos.list tells of, one a call; the last one stays.
PROCESSED = [
    {"status": {"uploadStatus": "uploaded"}, "processingDetails": {"processingStatus": "processing"}},
    {
        "status": {"uploadStatus": "uploaded"},
        "processingDetails": {
            "processingStatus": "processing",
            "processingProgress": {"partsTotal": "4", "partsProcessed": "1", "timeLeftMs": "3000"},
        },
    },
    {"status": {"uploadStatus": "processed"}, "processingDetails": {"processingStatus": "succeeded"}},
]


@dataclass
class Session:
    """One resumable session and, once it is complete, its video."""

    id: str
    path: Path
    total: int
    resource: dict[str, Any]
    channel: str = ""
    offset: int = 0
    writing: bool = False
    video_id: str = ""
    sha256: str = ""
    listed: int = 0


@dataclass
class Server:
    """What the server knows."""

    folder: Path
    tokens: set[str] = field(default_factory=set)
    sessions: dict[str, Session] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    processing: list[dict[str, Any]] = field(default_factory=lambda: list(PROCESSED))
    token_seconds: int = 3599

    def fault(self, where: str) -> dict[str, Any] | None:
        """Return the next fault that was ordered for this place; it is used up by that."""
        for fault in self.faults:
            if fault["where"] == where:
                if fault.get("after", 0) > 0:
                    fault["after"] -= 1
                    return None
                fault["times"] = fault.get("times", 1) - 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    # -- OAuth

    async def token(self, request: web.Request) -> web.Response:
        """Exchange the refresh token for an access token (RFC 6749 section 6)."""
        form = await request.post()
        if fault := self.fault("token"):
            return web.json_response({"error": fault["reason"], "error_description": "as ordered"}, status=fault["status"])
        if form.get("grant_type") != "refresh_token":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT["client_id"], CLIENT["client_secret"]):
            return web.json_response({"error": "invalid_client"}, status=401)
        if form.get("refresh_token") != CLIENT["refresh_token"]:
            return web.json_response({"error": "invalid_grant", "error_description": "Bad Request"}, status=400)
        token = "ya29." + secrets.token_urlsafe(24)
        self.tokens.add(token)
        return web.json_response({"access_token": token, "expires_in": self.token_seconds, "token_type": "Bearer"})

    def authorised(self, request: web.Request) -> bool:
        """Tell whether the request bears a token of ours."""
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens

    # -- resumable upload

    async def start(self, request: web.Request) -> web.Response:
        """Begin a session."""
        resource = await request.json()
        if fault := self.fault("start"):
            return _fault(fault, request)
        if not self.authorised(request):
            return _error(401, "authError")
        if request.query.get("uploadType") != "resumable" or "snippet" not in request.query.get("part", ""):
            return _error(400, "badRequest")
        snippet = resource.get("snippet", {})
        title = snippet.get("title", "")
        if not title or len(title) > 100 or set(title) & set("<>"):
            return _error(400, "invalidTitle")
        if len(snippet.get("description", "").encode()) > 5000:
            return _error(400, "invalidDescription")
        total = int(request.headers["X-Upload-Content-Length"])
        session_id = secrets.token_urlsafe(16)
        session = Session(
            session_id, self.folder / session_id, total, resource, request.query.get("onBehalfOfContentOwnerChannel", "")
        )
        session.path.touch()
        self.sessions[session_id] = session
        where = request.url.with_query(uploadType="resumable", upload_id=session_id)
        return web.Response(status=200, headers={"Location": str(where)})

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Take bytes of a session, or tell how many it has."""
        fault = self.fault("put")
        if fault and fault["kind"] == "status":
            return _fault(fault, request)
        session = self.sessions.get(request.query.get("upload_id", ""))
        if fault and fault["kind"] == "expire" and session:
            del self.sessions[session.id]
            session = None
        if session is None:
            return web.Response(status=404)
        if not self.authorised(request):
            return _error(401, "authError")
        match = CONTENT_RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if match is None or int(match[3]) != session.total:
            return self._violation(400, f"Content-Range {request.headers.get('Content-Range')!r}")
        if match[1] is None:
            return self._where(session)
        if session.writing:
            return self._violation(409, "a second writer")
        session.writing = True
        try:
            return await self._take(request, session, int(match[1]), int(match[2]), fault)
        finally:
            session.writing = False

    async def _take(
        self, request: web.Request, session: Session, first: int, last: int, fault: dict[str, Any] | None
    ) -> web.StreamResponse:
        length = last + 1 - first
        if first != session.offset:
            return self._violation(400, f"bytes from {first}, not from {session.offset}")
        if last >= session.total or request.content_length != length:
            return self._violation(400, f"bytes {first}-{last} of {session.total}, length {request.content_length}")
        if length % GRAIN and last + 1 != session.total:
            return self._violation(400, f"{length} bytes are no multiple of {GRAIN}")
        # What breaks off in the middle keeps whole grains only.
        keep = fault.get("keep", length // 2) // GRAIN * GRAIN if fault and fault["kind"] in ("short", "reset") else length
        taken = 0
        with session.path.open("r+b") as file:
            file.seek(first)
            try:
                async for data in request.content.iter_chunked(2**16):
                    if taken < keep:
                        file.write(data[: keep - taken])
                    taken += len(data)
                    if fault and fault["kind"] == "slow":
                        await asyncio.sleep(fault.get("seconds", 0.01))
                    if fault and fault["kind"] == "reset" and taken >= keep:
                        break
            except (OSError, web.RequestPayloadError):
                pass
        session.offset = first + (min(taken, keep) if taken == length and keep == length else min(taken, keep) // GRAIN * GRAIN)
        self._note(request, f"{first}-{last}", session.offset)
        if fault and fault["kind"] == "reset":
            if request.transport:
                request.transport.abort()
            return web.Response()
        if fault and fault["kind"] == "lost":
            # Everything was taken, but the answer does not arrive.
            self._completed(session)
            if request.transport:
                request.transport.abort()
            return web.Response()
        return self._where(session)

    def _where(self, session: Session) -> web.Response:
        if session.offset == session.total:
            self._completed(session)
            resource = {"kind": "youtube#video", "id": session.video_id, **session.resource}
            return web.json_response(resource, status=201)
        known = {"Range": f"bytes=0-{session.offset - 1}"} if session.offset else {}
        return web.Response(status=308, reason="Resume Incomplete", headers=known)

    def _completed(self, session: Session) -> None:
        if session.offset == session.total and not session.video_id:
            session.video_id = secrets.token_urlsafe(8)[:11]

    # -- videos.list

    async def videos(self, request: web.Request) -> web.Response:
        """Tell how far the processing of a video is."""
        if fault := self.fault("list"):
            return _fault(fault, request)
        if not self.authorised(request):
            return _error(401, "authError")
        found = [session for session in self.sessions.values() if session.video_id == request.query.get("id")]
        items = []
        for session in found:
            step = self.processing[min(session.listed, len(self.processing) - 1)]
            session.listed += 1
            items.append({"kind": "youtube#video", "id": session.video_id, **step})
        return web.json_response({"kind": "youtube#videoListResponse", "items": items})

    # -- for tests

    async def control(self, request: web.Request) -> web.Response:
        """Change faults, the steps of processing, or the life of tokens."""
        wanted = await request.json()
        self.faults = wanted.get("faults", self.faults)
        self.processing = wanted.get("processing", self.processing)
        self.token_seconds = wanted.get("token_seconds", self.token_seconds)
        if wanted.get("forget_tokens"):
            self.tokens.clear()
        return web.json_response({})

    async def state(self, request: web.Request) -> web.Response:
        """Tell what there is."""
        sessions = [await asyncio.to_thread(_described, session) for session in list(self.sessions.values())]
        return web.json_response(
            {
                "sessions": sessions,
                "videos": [session for session in sessions if session["video_id"]],
                "requests": self.requests,
                "violations": self.violations,
                "tokens": len(self.tokens),
                "faults": self.faults,
            }
        )

    def _note(self, request: web.Request, sent: str, offset: int) -> None:
        self.requests.append({"sent": sent, "offset": offset, "session": request.query.get("upload_id"), "at": time.time()})

    def _violation(self, status: int, what: str) -> web.Response:
        self.violations.append(what)
        return _error(status, "invalidRequest" if status == 400 else "conflict")


def _described(session: Session) -> dict[str, Any]:
    if session.video_id and not session.sha256:
        with session.path.open("rb") as file:
            session.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "id": session.id, "video_id": session.video_id, "offset": session.offset, "total": session.total,
        "sha256": session.sha256, "path": str(session.path), "resource": session.resource, "channel": session.channel,
    }  # fmt: skip


def _fault(fault: dict[str, Any], request: web.Request) -> web.Response:
    if fault.get("kind") == "reset" and request.transport:
        request.transport.abort()
    return _error(fault.get("status", 500), fault.get("reason", "backendError"), fault.get("headers"))


def _error(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    details = [{"domain": "youtube.quota" if "uota" in reason else "global", "reason": reason, "message": f"as {reason}"}]
    error = {"code": status, "message": f"The request has a problem: {reason}.", "errors": details}
    return web.json_response({"error": error}, status=status, headers=headers)


def serve(port: int, folder: Path) -> None:
    """Serve until the process is ended."""
    server = Server(folder)
    # Chunks are streamed, so their size has no bound here.
    app = web.Application(client_max_size=2**20)
    app.router.add_post("/token", server.token)
    app.router.add_post("/upload/youtube/v3/videos", server.start)
    app.router.add_put("/upload/youtube/v3/videos", server.put)
    app.router.add_get("/youtube/v3/videos", server.videos)
    app.router.add_post("/control", server.control)
    app.router.add_get("/control/state", server.state)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


@dataclass(frozen=True)
class YouTube:
    """A running server, as tests see it."""

    url: str

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection that reaches it, in the JSON form of ``AIRFLOW_CONN_…``."""
        extra = {"refresh_token": CLIENT["refresh_token"], "token_url": f"{self.url}/token"}
        return {
            "conn_type": "http", "login": CLIENT["client_id"], "password": CLIENT["client_secret"], "extra": json.dumps(extra),
        }  # fmt: skip

    def control(self, **wanted: Any) -> None:
        """Order ``faults``, steps of ``processing``, ``token_seconds`` or ``forget_tokens``."""
        httpx.post(f"{self.url}/control", json=wanted, trust_env=False).raise_for_status()

    def state(self) -> dict[str, Any]:
        """Return ``sessions``, ``videos``, ``requests`` and ``violations``."""
        return httpx.get(f"{self.url}/control/state", trust_env=False, timeout=60).raise_for_status().json()


@contextmanager
def youtube_server(folder: Path, port: int = 0) -> Iterator[YouTube]:
    """Run the server in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.youtube_server", str(port), str(folder)]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=Path(__file__).parent.parent)
    try:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                break
            assert child.poll() is None, "the YouTube server has ended"
            assert time.monotonic() < deadline, "the YouTube server does not answer"
            time.sleep(0.05)
        yield YouTube(f"http://127.0.0.1:{port}")
    finally:
        child.terminate()
        child.wait(20)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
