"""Objects that others drop: looked at with their tags, metadata and times, and put away when they are done with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from include.errors import LimitExceeded, NotFound
from include.media_store.client import s3_client
from include.media_store.errors import error_code, translated
from include.media_store.models import ObjectRef, object_uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["COPY", "Listed", "Looked", "S3Inbox"]

_MIB = 2**20
# One request copies 5 GiB at the most, and a server may take its time for that: larger objects are copied in parts, side by side.
COPY = TransferConfig(multipart_threshold=1024 * _MIB, multipart_chunksize=256 * _MIB, max_concurrency=8)
_MOST_TAGS = 10  # of an object, says S3


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it."""

    ref: ObjectRef
    modified_at: datetime
    age: float  # seconds since then, by the server's clock


@dataclass(frozen=True)
class Looked(Listed):
    """An object as it shows itself: with its user metadata (names in lower case) and its tags."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class S3Inbox:
    """Folders of S3 that others write to; errors as :class:`~include.media_store.objects.ObjectStore`'s.

    What changes an object names its version, and leaves another version alone.
    """

    def __init__(self, *, client: S3Client | None = None, copy: TransferConfig = COPY) -> None:
        self._client = client or s3_client()
        self._transfer = copy

    def list(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """Yield every object whose key starts with ``prefix``, in the order of the keys' UTF-8 bytes."""
        with translated("list", object_uri(bucket, prefix)):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                now = _server_time(page)
                for item in page.get("Contents", ()):
                    ref = ObjectRef(bucket=bucket, key=item["Key"], etag=item["ETag"].strip('"'), size=item["Size"])
                    # Some servers list fractions of a second, which the object itself does not show.
                    modified_at = item["LastModified"].replace(microsecond=0)
                    yield Listed(ref, modified_at, (now - modified_at).total_seconds())

    def head(self, bucket: str, key: str) -> Looked | None:
        """Return the object as it is now, without its tags; ``None`` where there is none."""
        try:
            with translated("read", object_uri(bucket, key)):
                head = self._client.head_object(Bucket=bucket, Key=key)
        except NotFound:
            return None
        ref = ObjectRef(bucket=bucket, key=key, etag=head["ETag"].strip('"'), size=head["ContentLength"])
        metadata = {name.lower(): value for name, value in head.get("Metadata", {}).items()}
        return Looked(ref, head["LastModified"], (_server_time(head) - head["LastModified"]).total_seconds(), metadata)

    def look(self, bucket: str, key: str) -> Looked | None:
        """Return the object as it is now, or ``None`` where there is none."""
        looked = self.head(bucket, key)
        if looked is None:
            return None
        try:
            with translated("read", object_uri(bucket, key)):
                return replace(looked, tags=self._tags(bucket, key))
        except NotFound:
            return None

    def tag(self, ref: ObjectRef, tags: Mapping[str, str]) -> bool:
        """Add tags to the object's own; ``False`` where this version is not there any more."""
        with translated("tag", ref.uri):
            if not self._is_current(ref):
                return False
            both = self._tags(ref.bucket, ref.key) | dict(tags)
            if len(both) > _MOST_TAGS:
                raise LimitExceeded(f"{ref.uri} has too many tags for {', '.join(tags)} among them: S3 allows {_MOST_TAGS}.")
            tag_set: Any = [{"Key": name, "Value": value} for name, value in both.items()]
            self._client.put_object_tagging(Bucket=ref.bucket, Key=ref.key, Tagging={"TagSet": tag_set})
        return True

    def move(self, ref: ObjectRef, key: str) -> bool:
        """Move the object to ``key`` of its bucket, with metadata and tags; ``False`` where this version is not there any more.

        It is copied inside S3 and then deleted: where that is interrupted there are two, and the next call goes on.
        """
        with translated("move", ref.uri):
            try:
                head = self._client.head_object(Bucket=ref.bucket, Key=ref.key, IfMatch=f'"{ref.etag}"')
                self._copy(ref, key, head)
                if not self._is_current(ref):
                    return False
                # The condition closes the moment between the look and the deletion where the server knows conditions.
                self._client.delete_object(Bucket=ref.bucket, Key=ref.key, IfMatch=f'"{ref.etag}"')
            except ClientError as error:
                if error_code(error) not in {"404", "NoSuchKey", "NotFound", "412", "PreconditionFailed"}:
                    raise
                return False
        return True

    def _copy(self, ref: ObjectRef, key: str, head: Any) -> None:
        source: Any = {"Bucket": ref.bucket, "Key": ref.key}
        extra: dict[str, Any] = {"CopySourceIfMatch": f'"{ref.etag}"'}
        if ref.size >= self._transfer.multipart_threshold:
            # Made of parts, the copy is an object of its own: it has what it is given.
            extra |= {"Metadata": head.get("Metadata", {}), "ContentType": head.get("ContentType", "binary/octet-stream")}
        self._client.copy(source, ref.bucket, key, ExtraArgs=extra, Config=self._transfer)
        tags = self._tags(ref.bucket, ref.key)
        if tags and ref.size >= self._transfer.multipart_threshold:
            tag_set: Any = [{"Key": name, "Value": value} for name, value in tags.items()]
            self._client.put_object_tagging(Bucket=ref.bucket, Key=key, Tagging={"TagSet": tag_set})

    def _is_current(self, ref: ObjectRef) -> bool:
        try:
            head = self._client.head_object(Bucket=ref.bucket, Key=ref.key)
        except ClientError as error:
            if error_code(error) not in {"404", "NoSuchKey", "NotFound"}:
                raise
            return False
        return head["ETag"].strip('"') == ref.etag

    def _tags(self, bucket: str, key: str) -> dict[str, str]:
        answer = self._client.get_object_tagging(Bucket=bucket, Key=key)
        return {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", ())}


def _server_time(answer: Any) -> datetime:
    # This machine's clock need not agree with the one that the times of objects are of.
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(timezone.utc)
