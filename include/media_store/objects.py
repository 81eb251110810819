"""Objects in S3: the protocol that the other rooms use, and its implementation."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from boto3.s3.transfer import ProgressCallbackInvoker
from botocore.exceptions import ClientError
from s3transfer.manager import TransferConfig, TransferManager

from include.errors import InvalidInputData, NotFound, StorageError
from include.media_store.client import s3_client
from include.media_store.content_types import content_type_for
from include.media_store.errors import error_code, translated
from include.media_store.models import ObjectRef, object_uri
from include.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["ObjectStore", "S3ObjectStore"]

_MIB = 2**20
# Below the threshold one request is fastest; above it four parts in flight fill a 10 Gbit/s line from one host.
_TRANSFER = TransferConfig(multipart_threshold=32 * _MIB, multipart_chunksize=16 * _MIB, max_request_concurrency=4)
_DELETE_BATCH = 1000  # DeleteObjects takes no more


class ObjectStore(Protocol):
    """What is asked of an object store.

    Every method raises ``NotFound``, ``StorageDenied`` or ``StorageError`` (which may be retried); keys are as S3 keeps
    them, never URL-encoded. Methods may be called from several threads.
    """

    @property
    def bytes_read(self) -> int:
        """Bytes of object content received so far."""
        ...

    @property
    def bytes_written(self) -> int:
        """Bytes of object content sent so far."""
        ...

    def bucket_exists(self, bucket: str) -> bool:
        """Tell whether the bucket exists and may be used."""
        ...

    def head(self, bucket: str, key: str) -> ObjectRef | None:
        """Return the object's current version, or ``None`` where there is none."""
        ...

    def get_bytes(self, bucket: str, key: str) -> bytes:
        """Return the content of a small object."""
        ...

    def put_bytes(
        self, bucket: str, key: str, data: bytes, content_type: str | None = None, if_none_match: bool = False
    ) -> ObjectRef:
        """Write a small object; with ``if_none_match`` raise ``ObjectExists`` rather than replace one."""
        ...

    def download(self, ref: ObjectRef, path: Path, on_bytes: Callable[[int], None] | None = None) -> None:
        """Write exactly the version ``ref`` to ``path``, whole or not at all; ``InvalidInputData`` if it was replaced.

        ``on_bytes`` is told, from any thread, how many bytes more have come; what it raises ends the transfer.
        """
        ...

    def upload(self, path: Path, bucket: str, key: str, content_type: str | None = None) -> ObjectRef:
        """Write a file of any size and return the version that was made."""
        ...

    def address(self, ref: ObjectRef, seconds: int) -> str:
        """Return a URL at which anyone may read the object for that long: a secret."""
        ...

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
        """Yield every object whose key starts with ``prefix``, in the order of the keys' UTF-8 bytes."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Remove one object; it is no error when there is none."""
        ...

    def delete_prefix(self, bucket: str, prefix: str) -> int:
        """Remove every object under a prefix that ends with a slash; return how many there were."""
        ...


class S3ObjectStore:
    """An :class:`ObjectStore` in S3 or in any server that speaks its protocol."""

    def __init__(self, settings: Settings | None = None, *, client: S3Client | None = None) -> None:
        # No setting concerns S3 so far (the SDK's own variables do); the argument keeps stores alike for callers.
        self._client = client or s3_client()
        self._lock = threading.Lock()
        self._read = self._written = 0

    @property
    def bytes_read(self) -> int:
        """Bytes of object content received so far."""
        return self._read

    @property
    def bytes_written(self) -> int:
        """Bytes of object content sent so far."""
        return self._written

    def bucket_exists(self, bucket: str) -> bool:
        """Tell whether the bucket exists; ``StorageDenied`` where it does but is not ours."""
        try:
            with translated("use", f"s3://{bucket}"):
                self._client.head_bucket(Bucket=bucket)
        except NotFound:
            return False
        return True

    def head(self, bucket: str, key: str) -> ObjectRef | None:
        """Return the object's current version, or ``None`` where there is none."""
        try:
            with translated("read", object_uri(bucket, key)):
                answer = self._client.head_object(Bucket=bucket, Key=key)
        except NotFound:
            return None
        return _ref(bucket, key, answer["ETag"], answer["ContentLength"])

    def get_bytes(self, bucket: str, key: str) -> bytes:
        """Return the content of a small object."""
        with translated("read", object_uri(bucket, key)):
            data = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        self._count(read=len(data))
        return data

    def put_bytes(
        self, bucket: str, key: str, data: bytes, content_type: str | None = None, if_none_match: bool = False
    ) -> ObjectRef:
        """Write a small object; with ``if_none_match`` raise ``ObjectExists`` rather than replace one."""
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_none_match else {}
        with translated("write", object_uri(bucket, key)):
            answer = self._client.put_object(
                Bucket=bucket, Key=key, Body=data, ContentType=content_type or content_type_for(key), **condition
            )
        self._count(written=len(data))
        return _ref(bucket, key, answer["ETag"], len(data))

    def download(self, ref: ObjectRef, path: Path, on_bytes: Callable[[int], None] | None = None) -> None:
        """Write exactly the version ``ref`` to ``path``, whole or not at all; ``InvalidInputData`` if it was replaced."""
        subscribers = [ProgressCallbackInvoker(on_bytes)] if on_bytes else None
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.parent / f".{uuid.uuid4().hex}.part"
        try:
            client: Any = _VersionedClient(self._client, ref)
            with translated("read", ref.uri), TransferManager(client, _TRANSFER) as transfer:
                transfer.download(ref.bucket, ref.key, str(part), subscribers=subscribers).result()
            size = part.stat().st_size
            if size != ref.size:
                raise StorageError(f"{ref.uri} has {ref.size} bytes, but {size} were received; try again.")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self._count(read=ref.size)

    def upload(self, path: Path, bucket: str, key: str, content_type: str | None = None) -> ObjectRef:
        """Write a file of any size and return the version that was made."""
        size = path.stat().st_size
        client: Any = _VersionedClient(self._client)
        extra = {"ContentType": content_type or content_type_for(key)}
        with translated("write", object_uri(bucket, key)), TransferManager(client, _TRANSFER) as transfer:
            transfer.upload(str(path), bucket, key, extra_args=extra).result()
        self._count(written=size)
        if client.etag.strip('"'):
            return _ref(bucket, key, client.etag, size)
        # Ceph answers the end of a multipart upload with an empty ETag.
        ref = self.head(bucket, key)
        if ref is None or ref.size != size:
            raise StorageError(f"{object_uri(bucket, key)} was written by somebody else at the same time; try again.")
        return ref

    def address(self, ref: ObjectRef, seconds: int) -> str:
        """Return a URL at which anyone may read the object for that long: a secret."""
        with translated("read", ref.uri):
            where = {"Bucket": ref.bucket, "Key": ref.key}
            return self._client.generate_presigned_url("get_object", Params=where, ExpiresIn=seconds)

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
        """Yield every object whose key starts with ``prefix``, in the order of the keys' UTF-8 bytes."""
        with translated("list", object_uri(bucket, prefix)):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield _ref(bucket, item["Key"], item["ETag"], item["Size"])

    def delete(self, bucket: str, key: str) -> None:
        """Remove one object; it is no error when there is none."""
        with translated("delete", object_uri(bucket, key)):
            self._client.delete_object(Bucket=bucket, Key=key)

    def delete_prefix(self, bucket: str, prefix: str) -> int:
        """Remove every object under a prefix that ends with a slash; return how many there were."""
        if not prefix.strip("/") or not prefix.endswith("/"):
            raise ValueError(f"refusing to delete everything under {prefix!r}: name a folder")
        deleted = 0
        for batch in _batches(self.list(bucket, prefix), _DELETE_BATCH):
            with translated("delete", object_uri(bucket, prefix)):
                answer = self._client.delete_objects(
                    Bucket=bucket, Delete={"Objects": [{"Key": ref.key} for ref in batch], "Quiet": True}
                )
            if errors := answer.get("Errors"):
                first = object_uri(bucket, errors[0].get("Key", prefix))
                raise StorageError(f"Cannot delete {first} and {len(errors) - 1} others: {errors[0].get('Code')}.")
            deleted += len(batch)
        return deleted

    def _count(self, *, read: int = 0, written: int = 0) -> None:
        with self._lock:
            self._read += read
            self._written += written


class _VersionedClient:
    """A client for one transfer that reads only the version ``ref`` and keeps the ETag of what it wrote.

    s3transfer neither pins the first request of a download to a version nor hands out the ETag of an upload.
    """

    def __init__(self, client: S3Client, ref: ObjectRef | None = None) -> None:
        self._client = client
        self._ref = ref
        self.etag = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_object(self, **arguments: Any) -> Any:
        if self._ref is None:
            return self._client.get_object(**arguments)
        arguments["IfMatch"] = f'"{self._ref.etag}"'
        try:
            return self._client.get_object(**arguments)
        except ClientError as error:
            if error_code(error) not in {"412", "PreconditionFailed"}:
                raise
            raise InvalidInputData(
                f"{self._ref.uri} was replaced while it was in use: its version {self._ref.etag} is gone. Start again."
            ) from error

    def put_object(self, **arguments: Any) -> Any:
        answer = self._client.put_object(**arguments)
        self.etag = answer["ETag"]
        return answer

    def complete_multipart_upload(self, **arguments: Any) -> Any:
        answer = self._client.complete_multipart_upload(**arguments)
        self.etag = answer["ETag"]
        return answer


def _ref(bucket: str, key: str, etag: str, size: int) -> ObjectRef:
    return ObjectRef(bucket=bucket, key=key, etag=etag.strip('"'), size=size)


def _batches(items: Iterable[ObjectRef], size: int) -> Iterator[tuple[ObjectRef, ...]]:
    # Listed in full first: deleting under a paginator's feet is not defined for every server.
    remaining = iter(tuple(items))
    while batch := tuple(islice(remaining, size)):
        yield batch
