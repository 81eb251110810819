"""Writes an upload's parts with temporary credentials, as a client of the API does that has AWS's SDK."""

from __future__ import annotations

from io import RawIOBase
from typing import IO, cast

import boto3

from include.media_store.client import s3_client
from include.media_store.errors import translated
from include.media_store.models import object_uri

__all__ = ["PartWriter"]


class PartWriter:
    """Writes with credentials that were issued for one upload; may be used by several threads."""

    def __init__(self, *, access_key: str, secret_key: str, session_token: str, region: str, endpoint: str | None) -> None:
        session = boto3.session.Session(
            aws_access_key_id=access_key, aws_secret_access_key=secret_key, aws_session_token=session_token, region_name=region
        )
        self._client = s3_client(session, endpoint_url=endpoint)

    def put(self, bucket: str, key: str, body: RawIOBase, size: int) -> None:
        """Write ``size`` bytes of a seekable file; ``StorageDenied`` or ``StorageError`` where the credentials have expired."""
        with translated("write", object_uri(bucket, key)):
            self._client.put_object(Bucket=bucket, Key=key, Body=cast(IO[bytes], body), ContentLength=size)
