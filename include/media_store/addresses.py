"""Addresses at which a browser reads objects for a while, the same ones as long as they last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote, urlsplit

import boto3
from cachetools import TTLCache

from include.media_store.client import s3_client
from include.media_store.errors import translated
from include.media_store.models import object_uri
from include.settings import Settings

__all__ = ["Addresses", "origins"]

_MOST = 100_000
_Known = tuple[str, str, str, bool, str]


class Addresses:
    """Presigned addresses at S3 as browsers reach it (``MEDIA_UPLOAD_ENDPOINT_URL``), each a secret.

    An address is given out again for half of ``MEDIA_PAGES_ADDRESS_SECONDS``, so that a page that asks every second does not load
    its pictures anew, and what it plays lasts for at least the other half. Where credentials are temporary, addresses end with
    them: new credentials make new addresses. Methods may be called from several threads.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = settings.pages_address_seconds
        self._session = boto3.session.Session()
        # Signatures of version 4 name the host, so it must be the one that browsers use.
        self._signer = s3_client(self._session, endpoint_url=settings.upload_endpoint_url or None, signature_version="s3v4")
        self._known: TTLCache[_Known, str] = TTLCache(_MOST, ttl=self._seconds / 2, timer=clock)
        self._lock = threading.Lock()

    def of(self, bucket: str, key: str, etag: str = "", *, download: bool = False) -> str:
        """Return an object's address; another version (``etag``) has another one; ``download``: browsers save it as a file."""
        known = (bucket, key, etag, download, self._holder())
        with self._lock:
            found = self._known.get(known)
        if found is None:
            found = self._signed(bucket, key, download)
            with self._lock:
                # Of two that were signed at once, one is given out.
                found = self._known.setdefault(known, found)
        return found

    def _holder(self) -> str:
        credentials = self._session.get_credentials()
        return credentials.get_frozen_credentials().access_key or "" if credentials else ""

    def _signed(self, bucket: str, key: str, download: bool) -> str:
        where = {"Bucket": bucket, "Key": key}
        if download:
            where["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(key.rpartition('/')[2], safe='')}"
        with translated("read", object_uri(bucket, key)):
            return str(self._signer.generate_presigned_url("get_object", Params=where, ExpiresIn=self._seconds))


def origins(settings: Settings) -> tuple[str, ...]:
    """Return scheme, host and port of all addresses of objects in our buckets: what a page's policy must allow."""
    buckets = dict.fromkeys((*(settings.buckets or (settings.bucket,)), settings.upload_bucket or settings.bucket))
    return _origins(settings.upload_endpoint_url, tuple(buckets))


@lru_cache(maxsize=8)
def _origins(endpoint_url: str, buckets: tuple[str, ...]) -> tuple[str, ...]:
    # The host depends on region, endpoint and bucket: credentials, which may be late, are not needed to find it.
    session = boto3.session.Session(aws_access_key_id="unused", aws_secret_access_key="unused")  # noqa: S106
    signer = s3_client(session, endpoint_url=endpoint_url or None, signature_version="s3v4")
    addresses = (signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"}) for bucket in buckets)
    parts = [urlsplit(address) for address in addresses]
    return tuple(dict.fromkeys(f"{one.scheme}://{one.netloc}" for one in parts))
