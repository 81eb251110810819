"""Copies between objects inside S3: no byte passes through this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from include.errors import StorageError
from include.media_store.client import s3_client
from include.media_store.errors import error_code, translated
from include.media_store.models import ObjectRef, object_uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["S3Copies"]

_MIB = 2**20
_GONE = {"NoSuchUpload", "NoSuchKey", "404"}  # Ceph says that there is no such key


class S3Copies:
    """Server-side copies, whole or of many objects into one; errors as :class:`~include.media_store.objects.ObjectStore`'s.

    Every copy names the version that is to be copied: one that was replaced meanwhile raises ``StorageError``.
    """

    def __init__(self, *, client: S3Client | None = None) -> None:
        self._client = client or s3_client()

    def copy(self, source: ObjectRef, bucket: str, key: str) -> None:
        """Copy an object of at most 5 GiB."""
        with translated("copy", source.uri), _pinned(source):
            self._client.copy_object(Bucket=bucket, Key=key, CopySource=_source(source), CopySourceIfMatch=f'"{source.etag}"')

    def begin(self, bucket: str, key: str) -> str:
        """Begin an object that is to be made of others and return the id of that."""
        with translated("write", object_uri(bucket, key)):
            return self._client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]

    def copied(self, bucket: str, key: str, multipart_id: str) -> dict[int, str] | None:
        """Return the ETags of what was copied so far by number, from 1; ``None`` where nothing of this id is at work."""
        found: dict[int, str] = {}
        with translated("read", object_uri(bucket, key)):
            try:
                # S3 lists a thousand at a time.
                pages = self._client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=multipart_id)
                for page in pages:
                    found |= {part["PartNumber"]: part["ETag"].strip('"') for part in page.get("Parts", ())}
            except ClientError as error:
                if error_code(error) in _GONE:
                    return None
                raise
        return found

    def copy_part(self, source: ObjectRef, bucket: str, key: str, multipart_id: str, number: int) -> str:
        """Copy an object as one of the ten thousand and return the copy's ETag."""
        with translated("copy", source.uri), _pinned(source):
            answer = self._client.upload_part_copy(
                Bucket=bucket,
                Key=key,
                UploadId=multipart_id,
                PartNumber=number,
                CopySource=_source(source),
                CopySourceIfMatch=f'"{source.etag}"',
            )
        return answer["CopyPartResult"]["ETag"].strip('"')

    def complete(self, bucket: str, key: str, multipart_id: str, parts: Mapping[int, str]) -> bool:
        """Make the object of its parts unless there is one; ``False`` where nothing of this id is at work."""
        numbered: Any = [{"PartNumber": number, "ETag": f'"{etag}"'} for number, etag in sorted(parts.items())]
        with translated("write", object_uri(bucket, key)):
            try:
                self._client.complete_multipart_upload(
                    Bucket=bucket, Key=key, UploadId=multipart_id, MultipartUpload={"Parts": numbered}, IfNoneMatch="*"
                )
            except ClientError as error:
                if error_code(error) in _GONE:
                    return False
                raise
        return True

    def abort(self, bucket: str, key: str, multipart_id: str) -> None:
        """Throw away what was copied; it is no error where there is nothing."""
        with translated("write", object_uri(bucket, key)):
            try:
                self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=multipart_id)
            except ClientError as error:
                if error_code(error) not in _GONE:
                    raise

    def sha256(self, ref: ObjectRef, on_bytes: Callable[[int], None]) -> str:
        """Read an object once, a MiB at a time, and return its SHA-256 in hexadecimal; what ``on_bytes`` raises ends it."""
        digest = hashlib.sha256()
        with translated("read", ref.uri), _pinned(ref):
            answer = self._client.get_object(Bucket=ref.bucket, Key=ref.key, IfMatch=f'"{ref.etag}"')
            for data in answer["Body"].iter_chunks(_MIB):
                digest.update(data)
                on_bytes(len(data))
        return digest.hexdigest()


def _source(ref: ObjectRef) -> Any:
    return {"Bucket": ref.bucket, "Key": ref.key}


@contextmanager
def _pinned(ref: ObjectRef) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error_code(error) not in {"412", "PreconditionFailed"}:
            raise
        raise StorageError(f"{ref.uri} was replaced while it was in use; try again.") from error
