"""Contract 3's error codes: which of them a failed task has, and what else the API answers when it refuses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from include.errors import InputError, MediaError, OutputNotSupported, RequestError, error_from_document
from include.media_api.errors import validation_message

__all__ = ["Refusal", "TaskError", "add_error_handlers", "refused_profile", "task_error"]

log = logging.getLogger(__name__)


Code = Literal[
    "ParameterError", "InternalError", "InputNotSupported", "OutputNotSupported", "InvalidInputData", "TimeOut", "Unknown"
]


class TaskError(BaseModel):
    """Why a task has failed."""

    code: Code = Field(description="What went wrong, for programs.", examples=["InvalidInputData"])
    message: str = Field(
        description="The code's own sentence, then what was wrong with this task.",
        examples=["The input data is invalid. Please check your input data. The source has no video stream."],
    )
    message_zh: str = Field(description="The code's own sentence in Chinese.", examples=["任务超时"])
    retryable: bool = Field(description="Whether the same request may succeed when it is sent again.", examples=[False])


@dataclass(frozen=True)
class _Entry:
    message: str
    chinese: str


_TABLE: dict[Code, _Entry] = {
    "ParameterError": _Entry("The input parameter is invalid. Please check it.", "输入参数错误，请检查输入参数"),
    "InternalError": _Entry("Internal error happened.", "内部错误"),
    "InputNotSupported": _Entry("The input format is not supported.", "输入的数据格式不支持"),
    "OutputNotSupported": _Entry("The output format is not supported.", "输出的数据格式不支持"),
    "InvalidInputData": _Entry(
        "The input data is invalid. Please check your input data.", "无效的输入数据，请检查您的输入视频是否是有效"
    ),
    "TimeOut": _Entry("Task time out.", "任务超时"),
    "Unknown": _Entry("Unknown error.", "未知错误"),
}
# Ours that the contract does not have. A target that was lost is none of its six, so it is the seventh.
_CODES: dict[str, Code] = {code: code for code in get_args(Code)} | {
    "InvalidRequest": "ParameterError",
    "NotFound": "InvalidInputData",
    "LimitExceeded": "InvalidInputData",
    "Forbidden": "InternalError",
    "VerificationFailed": "InternalError",
    "StorageDenied": "InternalError",
    "StorageError": "InternalError",
    "ObjectExists": "InternalError",
    "TargetFailed": "Unknown",
    "Cancelled": "Unknown",
    "Conflict": "Unknown",
}


def task_error(document: Mapping[str, Any] | None) -> TaskError:
    """Return the contract's error for what a job's documents hold (``MediaError.to_document()``), or for nothing at all."""
    error = error_from_document(dict(document)) if document else MediaError("No reason was recorded; send the request again.")
    code = _CODES[error.code]
    entry = _TABLE[code]
    return TaskError(
        code=code,
        message=f"{entry.message} {error.message}".rstrip(),
        message_zh=entry.chinese,
        retryable=error.retryable,
    )


class Refusal(HTTPException):
    """A request that is not done, in the contract's shape."""

    def __init__(self, status_code: int, code: str, message: str) -> None:
        super().__init__(status_code, message)
        self.code = code


def refused_profile(error: MediaError) -> Refusal:
    """Return the 400 for a profile that goes with none of what is asked, or with no ffmpeg here."""
    return Refusal(400, error.code if isinstance(error, OutputNotSupported) else "ParameterError", error.message)


_CODES_BY_STATUS = {404: "NotFound", 405: "MethodNotAllowed", 413: "RequestTooLarge"}


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error as ``{"code", "message"}``."""

    @app.exception_handler(MediaError)
    async def media_error(request: Request, error: MediaError) -> JSONResponse:
        if isinstance(error, RequestError):
            status, code = 400, "InvalidParameterException"
        elif isinstance(error, InputError):
            status, code = 400, error.code
        else:
            status, code = max(500, error.http_status), "InternalError"
        if status >= 500:
            log.error("%s %s: %s: %s", request.method, request.url.path, error.code, error.message, exc_info=error)
        return _answer(status, code, error.message)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(400, "InvalidParameterException", validation_message(error))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        code = error.code if isinstance(error, Refusal) else _CODES_BY_STATUS.get(error.status_code, "InvalidParameterException")
        return _answer(error.status_code, code, error.detail, error.headers)


def _answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"code": code, "message": message}, status_code=status, headers=headers)
