"""The pages on a port of their own: our files behind our door, data that a test sets, and a page around them as Airflow's is."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.requests import HTTPConnection

import include.media_pages
from include.media_pages.login import DAGS, Person
from include.media_pages.models import Job, JobDetail, Viewer
from include.media_pages.security import DoorMiddleware, content_security_policy
from tests.servers import free_port

__all__ = ["Site", "serve"]

STATIC = Path(include.media_pages.__file__).parent / "static"
UPLOADER = STATIC.parents[1] / "uploads" / "browser" / "uploader.js"
Answer = Callable[[Request], Any]


@dataclass
class Site:
    """What the pages are told; tests change it while pages look."""

    url: str
    jobs: list[Job] = field(default_factory=list)
    details: dict[tuple[str, str], JobDetail] = field(default_factory=dict)
    forms: dict[str, Any] = field(default_factory=dict)
    viewer: Viewer = field(default_factory=lambda: Viewer(user="admin", can_start=True, can_change=True))
    signed_in: bool = True
    most_read: int = 10_000
    """How many jobs are looked through for a page at most; where few are wanted, it is short, or even empty."""
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    def reset(self) -> None:
        """Forget what the last test has set."""
        self.__dict__.update(Site(self.url).__dict__)

    def answer(self, method: str, path: str, answer: Answer) -> None:
        """Let ``answer(request)`` answer a path below the mount, e.g. ``/data/jobs``: a model, JSON, or a response.

        ``JSONResponse({"message": …}, 500)`` is a failure; ``path`` may end in ``*``.
        """
        self.answers[method, path] = answer

    def fail(self, method: str, path: str, status: int = 500, message: str = "It has failed.") -> None:
        """Let a path fail from now on; :meth:`mend` ends that."""
        self.answer(method, path, lambda _: JSONResponse({"message": message}, status))

    def mend(self) -> None:
        """Let all paths answer as usual again."""
        self.answers.clear()

    def change(self, run_id: str, **fields: Any) -> None:
        """Change a job, as time would."""
        self.jobs = [job.model_copy(update=fields) if job.run_id == run_id else job for job in self.jobs]

    def find(self, run_id: str) -> Job:
        """Return a job."""
        return next(job for job in self.jobs if job.run_id == run_id)


class _Login:
    """Everybody is the viewer, unless the test has signed them out."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def person(self, _: HTTPConnection) -> Person | None:
        rights = frozenset((dag, right) for dag in DAGS for right in ("read", "start", "change"))
        return Person(self._site.viewer.user, rights, "") if self._site.signed_in else None

    def address(self, back: str) -> str:
        return f"/auth/login?next={back}"


def _app(site: Site, places: tuple[str, ...]) -> FastAPI:
    media = FastAPI(docs_url=None, openapi_url=None)

    @media.middleware("http")
    async def set_by_the_test(request: Request, call_next: Any) -> Response:
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        site.calls.append((request.method, f"{path}?{request.url.query}" if request.url.query else path))
        if request.method == "POST" and "json" in request.headers.get("content-type", ""):
            site.bodies.append(await request.json())
        for (method, pattern), answer in list(site.answers.items()):
            if method == request.method and (path == pattern or (pattern.endswith("*") and path.startswith(pattern[:-1]))):
                # In a thread: an answer may wait for something.
                said = await asyncio.to_thread(answer, request)
                return (
                    said
                    if isinstance(said, Response)
                    else JSONResponse(said if isinstance(said, dict | list) else said.model_dump(mode="json"))
                )
        return await call_next(request)

    @media.get("/data/me")
    def me() -> Viewer:
        return site.viewer

    @media.get("/data/jobs")
    def jobs(request: Request) -> JSONResponse:
        return JSONResponse(_page(site.jobs, request.query_params, site.most_read))

    @media.get("/data/jobs/{dag_id}/{run_id}")
    def detail(dag_id: str, run_id: str) -> Any:
        return site.details.get((dag_id, run_id)) or JSONResponse({"message": "no such job"}, 404)

    @media.post("/data/jobs/{dag_id}/{run_id}/{action}", status_code=202)
    def act(dag_id: str, run_id: str, action: str) -> Job:
        stopped = action == "stop"
        site.change(run_id, state="cancelled" if stopped else "queued", can_stop=not stopped, can_retry=stopped, error=None)
        return site.find(run_id)

    @media.get("/data/forms")
    def forms() -> dict[str, Any]:
        return site.forms

    for path, name in {"/": "jobs", "/jobs/{dag_id}/{run_id}": "job", "/upload": "upload", "/new": "new"}.items():
        media.add_api_route(path, lambda name=name: FileResponse(STATIC / f"{name}.html"), methods=["GET"])
    media.add_api_route("/static/js/upload/uploader.js", lambda: FileResponse(UPLOADER), methods=["GET"])
    media.mount("/static", StaticFiles(directory=STATIC))

    app = FastAPI()
    app.mount("/media", DoorMiddleware(media, _Login(site), content_security_policy((site.url, *places))))
    app.add_api_route("/media", lambda: RedirectResponse("/media/"), methods=["GET"])
    # Airflow: any of its pages has its router; a view shows the page that `show` names.
    for path in ("/plugin/{rest:path}", "/dags/{rest:path}", "/auth/login"):
        app.add_api_route(path, _around, methods=["GET"])
    return app


_AROUND = """<!doctype html><html lang="en" class="light"><title>Airflow</title><link rel="icon" href="data:,">
<style>body { margin: 0 } iframe { border: 0; width: 100vw; height: 100vh; display: block }</style>
<script>
  document.documentElement.className = localStorage.getItem("theme") || "light";
  addEventListener("popstate", () => { window.routed = location.pathname; });
</script>"""


def _around(show: str = "") -> HTMLResponse:
    sandbox = "allow-scripts allow-same-origin allow-forms allow-downloads"
    return HTMLResponse(_AROUND + (f'<iframe title="view" src="{escape(show)}" sandbox="{sandbox}"></iframe>' if show else ""))


def _page(jobs: list[Job], wanted: Any, most_read: int) -> dict[str, Any]:
    start, limit = int(wanted.get("cursor") or 0), int(wanted.get("limit") or 25)
    rows: list[dict[str, Any]] = []
    end = start
    while end < min(start + most_read, len(jobs)) and len(rows) < limit:
        if _is_wanted(jobs[end], wanted):
            rows.append(jobs[end].model_dump(mode="json"))
        end += 1
    more = end - start == most_read or any(_is_wanted(job, wanted) for job in jobs[end:])
    return {"jobs": rows, "next": str(end) if more and end < len(jobs) else None}


def _is_wanted(job: Job, wanted: Any) -> bool:
    states, kinds = wanted.getlist("state"), wanted.getlist("kind")
    text = (wanted.get("q") or "").lower()
    return (
        (not states or job.state in states)
        and (not kinds or job.kind in kinds)
        and wanted.get("client", "") in ("", job.client)
        and wanted.get("provider", "") in ("", job.content_provider)
        and text in f"{job.title} {job.destination} {job.run_id}".lower()
    )


@contextmanager
def serve(*places: str) -> Iterator[Site]:
    """Serve a site on a free port of loopback; its pages may speak to the servers ``places``, too."""
    port = free_port()
    site = Site(f"http://127.0.0.1:{port}")
    server = uvicorn.Server(
        uvicorn.Config(_app(site, places), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive(), "the server has ended"
        assert time.monotonic() < deadline, "the pages are not served"
        time.sleep(0.02)
    try:
        yield site
    finally:
        server.should_exit = True
        thread.join(20)
