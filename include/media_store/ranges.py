"""Ranges of objects, for what is read piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from include.errors import InvalidInputData, StorageError
from include.media_store.client import s3_client
from include.media_store.errors import error_code, translated
from include.media_store.models import object_uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["RangeReader"]


class RangeReader:
    """Reads ranges of objects in S3."""

    def __init__(self, client: S3Client | None = None) -> None:
        self._client = client or s3_client()

    def read(self, bucket: str, key: str, *, first: int, length: int, etag: str = "") -> tuple[bytes, str]:
        """Return exactly ``length`` bytes from byte ``first`` on, and the ETag of the version that they are of.

        With ``etag`` only that version is read: ``InvalidInputData`` where the object was replaced. ``NotFound`` where there is
        none, ``StorageError`` (which may be retried) where fewer bytes come.
        """
        version: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
        uri = object_uri(bucket, key)
        with translated("read", uri):
            try:
                answer = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{first + length - 1}", **version)
            except ClientError as error:
                if error_code(error) not in {"412", "PreconditionFailed", "416", "InvalidRange"}:
                    raise
                raise InvalidInputData(f"{uri} was replaced by another version while it was read.") from error
            data = answer["Body"].read()
        if len(data) != length:
            raise StorageError(f"{uri}: {len(data)} bytes came instead of {length}; try again.")
        return data, answer["ETag"].strip('"')
