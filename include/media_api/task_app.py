"""The app that serves contract 3 under `/api/v<digits>`."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI
from starlette.responses import JSONResponse

from include.media_api import profiles, tasks
from include.media_api.errors import CatchAllMiddleware
from include.media_api.gateway import AirflowGateway
from include.media_api.services import Services
from include.media_api.signing import CHECK_SUM, HEADERS, SIGNATURE, SigningMiddleware, signed_client
from include.media_api.task_errors import add_error_handlers
from include.media_api.task_paths import TASKS, Version
from include.media_store.objects import ObjectStore
from include.media_store.tables import Tables
from include.settings import Settings

__all__ = ["create_task_app", "describe"]

_SCHEMES = {
    "apiPublicKey": "Which pair of keys.",
    "apiNonce": "Random digits, at most 64; each is good for one request.",
    "apiClientCode": "Whose keys.",
    "apiExecTime": "Now, in seconds since 1970 (UTC).",
    CHECK_SUM: "SHA-1, in hex, of private key, nonce, client code and time, joined without anything between.",
    SIGNATURE: "HMAC-SHA256, in hex, with the private key; covers method, path, query and body, too. The server may demand it.",
}


def create_task_app(settings: Settings, store: ObjectStore, gateway: AirflowGateway, tables: Tables) -> FastAPI:
    """Return the app; it has whole paths, so it is mounted nowhere. Every path of it, the description too, wants a signature."""
    app = FastAPI(
        title="Reelflow tasks",
        description="Transcoding tasks: one source, one profile, several targets; files and live streams.",
        dependencies=[Depends(signed_client)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = Services(settings, store, gateway)
    app.state.tables = tables
    add_error_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(SigningMiddleware, settings=settings, tables=tables)
    app.add_middleware(CatchAllMiddleware, code="InternalError")

    # Before the routes: a task's id has digits only.
    @app.get(TASKS + "/openapi.json", include_in_schema=False, dependencies=[Depends(Version)])
    async def openapi() -> JSONResponse:
        return JSONResponse(describe(app))

    app.include_router(tasks.router)
    app.include_router(profiles.router)
    return app


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with how requests are signed."""
    document = app.openapi()
    schemas = document["components"]["schemas"]
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        # FastAPI supposes that it answers wrong parameters itself; and bodies that routes read bring their own definitions.
        operation["responses"].pop("422", None)
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        schemas |= body.pop("$defs", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = {
        name: {"type": "apiKey", "in": "header", "name": name, "description": text} for name, text in _SCHEMES.items()
    }
    # All of one list together, and either list.
    required: dict[str, list[str]] = {name: [] for name in (*HEADERS, CHECK_SUM)}
    document["security"] = [required, required | {SIGNATURE: []}]
    return document
