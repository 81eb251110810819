"""Puts the media APIs into Airflow's API server."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from include.orchestration import run_listener
from include.orchestration.deadlines import RunCreated


class _LazyApps:
    """ASGI apps that are made with the server's first request: every Airflow process imports plugins, only one serves them."""

    def __init__(self) -> None:
        self._apps: dict[str, Any] = {}
        self._making = asyncio.Lock()
        self._begun: asyncio.Task[None] | None = None

    async def __call__(self, name: str, scope: Any, receive: Any, send: Any) -> None:
        if not self._apps:
            await self._make()
        await self._apps[name](scope, receive, send)

    def begin(self) -> None:
        """Make them in the background: tasks that an earlier server has promised wait for nobody to ask for anything."""
        if not self._apps and (self._begun is None or self._begun.done()):
            self._begun = asyncio.create_task(self._make())

    async def _make(self) -> None:
        async with self._making:
            if not self._apps:
                # In a thread: its imports would hold up the server's other requests.
                apps = await asyncio.to_thread(_make_apps)
                apps["tasks"].state.services.starts.look_after_others()
                self._apps = apps


_apps = _LazyApps()


async def _uploads(scope: Any, receive: Any, send: Any) -> None:
    await _apps("uploads", scope, receive, send)


async def _mounted(scope: Any, receive: Any, send: Any) -> None:
    await _apps("mounted", scope, receive, send)


async def _pages(scope: Any, receive: Any, send: Any) -> None:
    await _apps("pages", scope, receive, send)


class _Paths:
    """Sends to the media APIs what a mount cannot, and lets those who change something in SQLite take turns.

    A mount never matches its bare prefix `/prod`: clients of contract 2 post there and follow no redirect. (To `/media` browsers
    are sent, which do.) And contract 3's paths are beside Airflow's own under `/api/v2`.
    """

    # Here and not imported: Airflow's processes that import plugins need not import the APIs.
    _tasks = re.compile(r"/api/v[0-9]+/(task/transcoding|profiles|profile)(/.*)?", re.DOTALL)

    _reading = frozenset({"GET", "HEAD", "OPTIONS"})

    def __init__(self, app: Any) -> None:
        self._app = app
        self._writer: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _apps.begin()
        # Airflow may be served below a path of its own ([api] base_url).
        root = scope.get("root_path", "")
        path = scope["path"].removeprefix(root)
        if self._tasks.fullmatch(path):
            await _apps("tasks", scope, receive, send)
        elif path == "/media":
            headers = [(b"location", b"media/"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 307, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        elif path.startswith(("/api/v2/", "/ui/")) and scope["method"] not in self._reading:
            self._writer = self._writer or self._make_writer()
            await self._writer(scope, receive, send)
        else:
            if path == "/prod":
                scope = {**scope, "path": f"{scope['path']}/", "raw_path": f"{scope['path']}/".encode()}
            await self._app(scope, receive, send)

    def _make_writer(self) -> Any:
        """Return what answers requests that change something: where that locks the database, each waits for its turn."""
        from airflow.settings import get_engine  # noqa: PLC0415

        from include.media_api.own_loop import OneWriter  # noqa: PLC0415

        return OneWriter(self._app) if get_engine().dialect.name == "sqlite" else self._app


def _make_apps() -> dict[str, Any]:
    from include.media_api.airflow_gateway import InProcessGateway  # noqa: PLC0415
    from include.media_api.app import create_app  # noqa: PLC0415
    from include.media_api.services import Services  # noqa: PLC0415
    from include.media_api.submit import RunStarter  # noqa: PLC0415
    from include.media_api.task_app import create_task_app  # noqa: PLC0415
    from include.media_api.upload_service import make_upload_service  # noqa: PLC0415
    from include.media_api.uploads_app import create_uploads_app  # noqa: PLC0415
    from include.media_pages.app import create_pages_app  # noqa: PLC0415
    from include.media_pages.login import AirflowLogin  # noqa: PLC0415
    from include.media_store.objects import S3ObjectStore  # noqa: PLC0415
    from include.media_store.tables import DynamoTables  # noqa: PLC0415
    from include.settings import get_settings  # noqa: PLC0415

    settings = get_settings()
    # One gateway: SQLite's one writer is that of both apps.
    store, gateway = S3ObjectStore(settings), InProcessGateway(settings.airflow_user)
    uploads = make_upload_service(settings, store, gateway)
    runs = RunStarter(gateway)
    apps = {
        "mounted": create_app(settings, store, gateway, runs=runs),
        "tasks": create_task_app(settings, store, gateway, DynamoTables(settings)),
        "uploads": create_uploads_app(uploads),
        "pages": create_pages_app(Services(settings, store, gateway), uploads, AirflowLogin(), runs),
    }
    # What is imported stays. Looked through again at each full collection, it would make all wait for most of a second.
    gc.collect()
    gc.freeze()
    return apps


_MEDIA = f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}/media"
# Airflow shows the icon to those who are logged in, and the pages serve it to no one else.
_LOOK = {"name": "Media", "icon": f"{_MEDIA}/static/media.svg", "icon_dark_mode": f"{_MEDIA}/static/media.svg"}


class MediaPlugin(AirflowPlugin):
    """Serves the contracts under `/prod`, `/api2` and `/api/v<digits>`, the media pages under `/media`; counts runs."""

    name = "media"
    fastapi_apps = [  # noqa: RUF012
        {"app": _mounted, "url_prefix": "/prod", "name": "media"},
        {"app": _uploads, "url_prefix": "/api2", "name": "uploads"},
        {"app": _pages, "url_prefix": "/media", "name": "media pages"},
    ]
    fastapi_root_middlewares = [{"middleware": _Paths, "args": [], "kwargs": {}, "name": "media, beside the mount"}]  # noqa: RUF012
    listeners = [run_listener]  # noqa: RUF012
    deadline_references = [RunCreated]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {"destination": "nav", "url_route": "media", "href": f"{_MEDIA}/", **_LOOK},
        {"destination": "dag_run", "url_route": "media-job", "href": f"{_MEDIA}/jobs/{{DAG_ID}}/{{RUN_ID}}", **_LOOK},
    ]
