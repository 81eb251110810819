"""Puts the media APIs into Airflow's API server."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class _LazyApp:
    """An ASGI app that is made when it is first called: every Airflow process imports plugins, only one serves them."""

    def __init__(self) -> None:
        self._app: Any = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            async with self._making:
                if self._app is None:
                    # In a thread: its imports would hold up the server's other requests.
                    self._app = await asyncio.to_thread(_make_app)
        await self._app(scope, receive, send)


class _BarePrefix:
    """Answers `/prod` itself, which a mount never matches: clients of contract 2 post there and follow no redirect."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/prod":
            scope = {**scope, "path": "/prod/", "raw_path": b"/prod/"}
        await self._app(scope, receive, send)


def _make_app() -> Any:
    from include.media_api.airflow_gateway import InProcessGateway  # noqa: PLC0415
    from include.media_api.app import create_app  # noqa: PLC0415
    from include.media_store.objects import S3ObjectStore  # noqa: PLC0415
    from include.settings import get_settings  # noqa: PLC0415

    settings = get_settings()
    return create_app(settings, S3ObjectStore(settings), InProcessGateway(settings.airflow_user))


class MediaPlugin(AirflowPlugin):
    """Serves the contracts under `/prod`."""

    name = "media"
    fastapi_apps = [{"app": _LazyApp(), "url_prefix": "/prod", "name": "media"}]  # noqa: RUF012
    fastapi_root_middlewares = [{"middleware": _BarePrefix, "args": [], "kwargs": {}, "name": "media, without a slash"}]  # noqa: RUF012
