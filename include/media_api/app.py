"""The app that serves the contracts under `/prod`."""

from __future__ import annotations

from functools import partial

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse

from include.media_api import super_resolution, video_transcode
from include.media_api.auth import ApiKeyMiddleware, Authenticate, ClientKeys, require_client
from include.media_api.errors import CatchAllMiddleware, add_error_handlers
from include.media_api.gateway import AirflowGateway
from include.media_api.services import Services
from include.media_api.submit import RunStarter, Submitter
from include.media_store.objects import ObjectStore
from include.settings import Settings

__all__ = ["add_documentation", "create_app"]


def create_app(
    settings: Settings,
    store: ObjectStore,
    gateway: AirflowGateway,
    *,
    runs: RunStarter | None = None,
    authenticate: Authenticate | None = None,
) -> FastAPI:
    """Return the app; to be mounted at `/prod`. Every path of it, the documentation too, wants a client's key.

    Where other apps start the same runs, ``runs`` is theirs, too. ``authenticate`` stands for the keys where somebody else looks
    who asks.
    """
    app = FastAPI(
        title="Reelflow",
        description="Video transcoding and super-resolution on Airflow.",
        dependencies=[Depends(require_client)],
        # FastAPI's own pages take no dependencies.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = Services(settings, store, gateway)
    app.state.runs = runs or RunStarter(gateway)
    app.state.submitter = Submitter(settings, store, gateway, app.state.runs)
    add_error_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(authenticate or partial(ApiKeyMiddleware, keys=ClientKeys(settings.api_keys)))
    app.add_middleware(CatchAllMiddleware)
    app.include_router(video_transcode.router)
    app.include_router(super_resolution.router)
    add_documentation(app)
    return app


def add_documentation(app: FastAPI) -> None:
    """Serve the description of ``app`` and a page made from it, behind the key as all else."""

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(app.openapi() | {"servers": [{"url": request.scope.get("root_path") or "/"}]})

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        # The document is part of the page: the page's own requests would lack the key.
        return get_swagger_ui_html(openapi_url="", title=app.title, swagger_ui_parameters={"spec": app.openapi()})
