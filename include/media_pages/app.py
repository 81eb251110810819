"""The app that serves the media pages under `/media`: documents, assets, and the data that they poll."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from include.media_api.app import create_app
from include.media_api.auth import TrustedClientMiddleware
from include.media_api.errors import CatchAllMiddleware, add_error_handlers
from include.media_api.services import Services
from include.media_api.submit import RunStarter
from include.media_api.upload_service import UploadService
from include.media_api.uploads_app import create_uploads_app
from include.media_pages import data
from include.media_pages.actions import Actions
from include.media_pages.detail import Details
from include.media_pages.jobs import Jobs
from include.media_pages.login import Login
from include.media_pages.security import DoorMiddleware, StartersMiddleware, content_security_policy
from include.media_store.addresses import origins

__all__ = ["create_pages_app"]

STATIC = Path(__file__).parent / "static"
# The reference uploader is part of the uploads' room; pages import it from beside their own modules.
UPLOADER = Path(__file__).parent.parent / "uploads" / "browser" / "uploader.js"
PAGES = {"/": "jobs.html", "/jobs/{dag_id}/{run_id}": "job.html", "/upload": "upload.html", "/new": "new.html"}
# The DAGs of the contracts' paths, by their first names.
_TRANSCODES = ("transcode", "video_transcode")
_UPSCALES = ("super_resolution",)
PROD = {
    "": _UPSCALES,
    "superResolution": _UPSCALES,
    "videoTranscode": _TRANSCODES,
    **dict.fromkeys(("docs", "openapi.json"), _TRANSCODES),
}
API2 = dict.fromkeys(("atom", "docs", "openapi.json"), ("upload",))


def create_pages_app(services: Services, uploads: UploadService, login: Login, runs: RunStarter | None = None) -> FastAPI:
    """Return the app; to be mounted at `/media`. Every path of it, assets too, wants the login of Airflow.

    Where other apps start the same runs, ``runs`` is theirs, too.
    """
    runs = runs or RunStarter(services.gateway)
    app = FastAPI(title="Reelflow pages", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.services = services
    app.state.jobs = Jobs(services, uploads)
    app.state.details = Details(services, uploads)
    app.state.actions = Actions(services, uploads, app.state.jobs, runs)
    add_error_handlers(app)
    app.include_router(data.router)
    for path, name in PAGES.items():
        app.add_api_route(path, partial(_document, name), methods=["GET"], response_class=FileResponse)
    trusted = partial(TrustedClientMiddleware, client=services.settings.pages_client)
    prod = create_app(services.settings, services.store, services.gateway, runs=runs, authenticate=trusted)
    app.mount("/prod", StartersMiddleware(prod, PROD))
    app.mount("/api2", StartersMiddleware(create_uploads_app(uploads, authenticate=trusted), API2, writing="/url"))
    app.add_api_route("/static/js/upload/uploader.js", _uploader, methods=["GET"], response_class=FileResponse)
    app.mount("/static", _Assets(directory=STATIC))
    # The last one added is the outermost.
    app.add_middleware(CatchAllMiddleware)
    app.add_middleware(DoorMiddleware, login=login, policy=content_security_policy(origins(services.settings)))
    return app


class _Assets(StaticFiles):
    """Files that a browser may keep, if it asks each time whether they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "private, no-cache"
        return response


async def _document(name: str) -> FileResponse:
    return FileResponse(STATIC / name, media_type="text/html; charset=utf-8")


async def _uploader() -> FileResponse:
    return FileResponse(UPLOADER, media_type="text/javascript; charset=utf-8", headers={"cache-control": "private, no-cache"})
