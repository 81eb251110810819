"""The app that serves contract 4 under `/api2`."""

from __future__ import annotations

from functools import partial

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from include.media_api import uploads
from include.media_api.app import add_documentation
from include.media_api.auth import ApiKeyMiddleware, Authenticate, ClientKeys, require_client
from include.media_api.errors import CatchAllMiddleware, add_error_handlers
from include.media_api.upload_service import UploadService

__all__ = ["create_uploads_app"]


def create_uploads_app(service: UploadService, *, authenticate: Authenticate | None = None) -> FastAPI:
    """Return the app; to be mounted at `/api2`. Every path of it, the documentation too, wants a client's key.

    ``authenticate`` stands for the keys where somebody else looks who asks.
    """
    app = FastAPI(
        title="Reelflow uploads",
        description="Resumable uploads in parts, straight to S3.",
        dependencies=[Depends(require_client)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.uploads = service
    settings = service.settings
    add_error_handlers(app)
    # The last one added is the outermost: an error can be read by a page, too, and its preflight bears no key.
    app.add_middleware(authenticate or partial(ApiKeyMiddleware, keys=ClientKeys(settings.api_keys)))
    app.add_middleware(CatchAllMiddleware)
    if settings.upload_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.upload_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["x-api-key", "content-type"],
            max_age=3600,
        )
    app.include_router(uploads.router)
    add_documentation(app)
    return app
