"""Every error as JSON in the contracts' own shape, ``{"message": …}``."""

from __future__ import annotations

import logging
import uuid

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.errors import MediaError, ParameterError

__all__ = ["CatchAllMiddleware", "add_error_handlers", "parameter_error", "validation_message"]

log = logging.getLogger(__name__)


class CatchAllMiddleware:
    """Answers 500 as JSON to whatever was not foreseen; the root app's handlers do not apply to a mounted app."""

    def __init__(self, app: ASGIApp, code: str | None = None) -> None:
        """Wrap ``app``; ``code`` is in the answers of a contract whose errors have one."""
        self._app = app
        self._code = {"code": code} if code else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app; log an unexpected exception under an id that the answer names."""
        started = False

        async def watching_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watching_send)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            request_id = uuid.uuid4().hex
            log.exception("Request %s failed: %s %s", request_id, scope["method"], scope["path"])
            text = f"Internal error; please try again, and if it stays, report it with request id {request_id}."
            await JSONResponse(self._code | {"message": text}, status_code=500)(scope, receive, send)


def add_error_handlers(app: FastAPI) -> None:
    """Answer the errors of :mod:`include.errors`, of validation and of routing in the contracts' shape."""

    @app.exception_handler(MediaError)
    async def media_error(request: Request, error: MediaError) -> JSONResponse:
        if error.http_status >= 500:
            log.error("%s %s: %s: %s", request.method, request.url.path, error.code, error.message, exc_info=error)
        return JSONResponse({"message": error.message}, status_code=error.http_status)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"message": validation_message(error)}, status_code=400)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"message": error.detail}, status_code=error.status_code, headers=error.headers)


def parameter_error(error: ValidationError) -> ParameterError:
    """Return ``error`` as the 400 that names each wrong field; what was sent is not repeated."""
    return ParameterError(validation_message(error))


def validation_message(error: ValidationError | RequestValidationError) -> str:
    """Return a sentence for each wrong field; what was sent is not repeated."""
    return "; ".join(_sentence(item["type"], item["loc"], item["msg"]) for item in error.errors())


def _sentence(kind: str, location: tuple[int | str, ...], message: str) -> str:
    field = ".".join(str(part) for part in location if part not in {"body", "query", "path"})
    if kind == "missing":
        return f"{field}: is required"
    text = message.removeprefix("Value error, ")
    return f"{field}: {text}" if field else f"The body must be a JSON object: {text}"
