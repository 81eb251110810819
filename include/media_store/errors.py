"""Translate what the AWS SDK raises into the project's error tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError, S3UploadFailedError

from include.errors import MediaError, NotFound, ObjectExists, StorageDenied, StorageError

__all__ = ["error_code", "is_lost_answer", "translated"]

_ABSENT = {"404", "NoSuchKey", "NotFound", "NoSuchBucket", "NoSuchVersion"}
_DENIED = {
    "401",
    "403",
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
}
_PRESENT = {"409", "412", "ConditionalRequestConflict", "PreconditionFailed"}


def error_code(error: ClientError) -> str:
    """Return S3's error code, or the HTTP status as text where the answer had no body (HEAD)."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_lost_answer(error: BaseException) -> bool:
    """Tell whether the request may have arrived, and only its answer has not."""
    return isinstance(error, (ConnectionClosedError, ReadTimeoutError))


@contextmanager
def translated(action: str, uri: str) -> Iterator[None]:
    """Raise ``NotFound``, ``StorageDenied``, ``ObjectExists`` or ``StorageError`` for what the SDK raises inside.

    ``action`` is an English verb ("read") and ``uri`` names the object. The SDK's own text stays out of the message:
    it may hold host names and request ids.
    """
    try:
        yield
    except ClientError as error:
        raise _translate(error, action, uri) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StorageDenied(f"Cannot {action} {uri}: no complete AWS credentials are configured.") from error
    except (
        BotoCoreError,
        Boto3Error,
        RetriesExceededError,
        S3DownloadFailedError,
        S3UploadFailedError,
    ) as error:
        raise StorageError(f"Cannot {action} {uri}: the object store did not answer ({type(error).__name__}).") from error


def _translate(error: ClientError, action: str, uri: str) -> MediaError:
    code = error_code(error)
    if code == "NoSuchBucket":
        return NotFound(f"Cannot {action} {uri}: the bucket does not exist.")
    if code in _ABSENT:
        return NotFound(f"Cannot {action} {uri}: it does not exist.")
    if code in _DENIED:
        return StorageDenied(f"Cannot {action} {uri}: the object store refuses our credentials ({code}).")
    if code in _PRESENT:
        return ObjectExists(f"Cannot {action} {uri}: it exists already.")
    return StorageError(f"Cannot {action} {uri}: the object store answered {code or 'an error without a code'}.")
