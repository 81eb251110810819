"""The one error tree of Reelflow.

Every failure that a user can see is one of these. Airflow's retry policy reads :attr:`MediaError.retryable`, the APIs read
:attr:`MediaError.http_status`, and work results carry :attr:`MediaError.code`.

    MediaError                      code                    retryable  HTTP
    ├── RequestError                                        no         400
    │   ├── ParameterError          ParameterError          no         400
    │   ├── LimitExceeded           LimitExceeded           no         400
    │   ├── AccessDenied            Forbidden               no         403
    │   └── NotFound                NotFound                no         404
    ├── InputError                                          no         422
    │   ├── InputNotSupported       InputNotSupported       no         415
    │   ├── OutputNotSupported      OutputNotSupported      no         422
    │   └── InvalidInputData        InvalidInputData        no         422
    ├── InternalError               InternalError           yes        500
    │   ├── VerificationFailed      VerificationFailed      yes        500
    │   └── StorageError            StorageError            yes        503
    ├── StorageDenied               StorageDenied           no         503
    ├── Conflict                    Conflict                no         409
    ├── ObjectExists                ObjectExists            no         409
    ├── TargetFailed                TargetFailed            no         502
    ├── TimedOut                    TimeOut                 yes        504
    └── Cancelled                   Cancelled               no         409
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AccessDenied",
    "Cancelled",
    "Conflict",
    "InputError",
    "InputNotSupported",
    "InternalError",
    "InvalidInputData",
    "LimitExceeded",
    "MediaError",
    "NotFound",
    "ObjectExists",
    "OutputNotSupported",
    "ParameterError",
    "RequestError",
    "StorageDenied",
    "StorageError",
    "TargetFailed",
    "TimedOut",
    "VerificationFailed",
    "error_from_document",
]


class MediaError(Exception):
    """Base of all errors that Reelflow raises on purpose.

    The message is one English sentence (or two) that says what is wrong, where, and what to do. It is shown to clients,
    so it never holds a secret, a path of the server or a stack trace.
    """

    code: ClassVar[str] = "Unknown"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form kept in work results: ``{"code", "message", "retryable"}``."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable}


class RequestError(MediaError):
    """The request itself is wrong; the same request will fail again."""

    code = "InvalidRequest"
    http_status = 400


class ParameterError(RequestError):
    """A field has a wrong value, or fields cannot go together."""

    code = "ParameterError"


class LimitExceeded(RequestError):
    """A configured limit (files, bytes, pixels, duration) is exceeded; the message names the limit and its setting."""

    code = "LimitExceeded"


class AccessDenied(RequestError):
    """The caller is unknown, or may not see this."""

    code = "Forbidden"
    http_status = 403


class NotFound(RequestError):
    """A bucket, object or run does not exist."""

    code = "NotFound"
    http_status = 404


class InputError(MediaError):
    """The media cannot be processed; retrying does not help."""

    code = "InvalidInputData"
    http_status = 422


class InputNotSupported(InputError):
    """A container, codec, channel layout or protocol that we do not read."""

    code = "InputNotSupported"
    http_status = 415


class OutputNotSupported(InputError):
    """An output that the profile or this ffmpeg cannot write."""

    code = "OutputNotSupported"


class InvalidInputData(InputError):
    """Truncated, corrupt, empty or without video."""

    code = "InvalidInputData"


class InternalError(MediaError):
    """Our fault, or the machine's; another attempt may succeed."""

    code = "InternalError"
    retryable = True


class VerificationFailed(InternalError):
    """An output is not what the plan promised; nothing of it is published."""

    code = "VerificationFailed"


class StorageError(InternalError):
    """The object store or a table did not answer, or answered nonsense."""

    code = "StorageError"
    http_status = 503


class StorageDenied(MediaError):
    """The object store refuses our own credentials: the caller, who was let in, can do nothing about it."""

    code = "StorageDenied"
    http_status = 503


class Conflict(MediaError):
    """What is there is in a state in which this cannot be done."""

    code = "Conflict"
    http_status = 409


class ObjectExists(MediaError):
    """A conditional write found that the object is there already."""

    code = "ObjectExists"
    http_status = 409


class TargetFailed(MediaError):
    """A target of a live task took no data for too long, or broke off and could not be reached again; the message names it."""

    code = "TargetFailed"
    http_status = 502


class TimedOut(MediaError):
    """A process or a unit ran past its deadline."""

    code = "TimeOut"
    retryable = True
    http_status = 504


class Cancelled(MediaError):
    """A user or the scheduler stopped the work."""

    code = "Cancelled"
    http_status = 409


def _leaves(cls: type[MediaError]) -> dict[str, type[MediaError]]:
    # Depth first, children after parents: a leaf's class wins over its base where both use one code.
    found = {cls.code: cls}
    for child in cls.__subclasses__():
        found |= _leaves(child)
    return found


def error_from_document(document: dict[str, Any]) -> MediaError:
    """Rebuild the error that :meth:`MediaError.to_document` wrote; an unknown code becomes :class:`InternalError`."""
    cls = _leaves(MediaError).get(str(document.get("code")), InternalError)
    return cls(str(document.get("message") or "No message was recorded."))
