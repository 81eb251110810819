"""Two ways to send a part: a URL for each, or temporary credentials for all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import Any, Protocol

import httpx

from include.errors import AccessDenied, StorageDenied, StorageError
from include.media_store.part_writer import PartWriter
from include.uploads.api_client import UploadApi
from include.uploads.file_range import FileRange

__all__ = ["CredentialWriter", "UrlWriter", "Writer"]

# Credentials are renewed this long before they end.
_SPARE_SECONDS = 60.0


class Writer(Protocol):
    """Sends parts of one upload; may be used by several threads."""

    def put(self, n: int, body: FileRange) -> None:
        """Send part ``n`` whole; any :class:`~include.errors.MediaError` means that it may be tried again."""
        ...


class UrlWriter:
    """Fetches a URL for each part and each attempt, so that none has expired; the SDK is not needed, nor a right clock."""

    def __init__(self, api: UploadApi, atom_id: str, upload_id: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._api, self._atom_id, self._upload_id = api, atom_id, upload_id
        self._http = httpx.Client(timeout=httpx.Timeout(60.0, connect=10.0), transport=transport)

    def put(self, n: int, body: FileRange) -> None:
        """See :meth:`Writer.put`; what has arrived is compared by its MD5 where S3 tells that."""
        url = self._api.part_url(self._atom_id, self._upload_id, n)
        digest = hashlib.md5(usedforsecurity=False)
        try:
            response = self._http.put(url, content=body.blocks(digest), headers={"Content-Length": str(len(body))})
        except httpx.TransportError as error:
            # Neither httpx' text nor the error itself is shown: they may hold the URL.
            raise StorageError(f"Part {n} was not sent: the connection failed ({type(error).__name__}).") from None
        if response.status_code in (401, 403):
            raise AccessDenied(f"Part {n} was not taken: its URL has expired or is not valid.")
        if not response.is_success:
            raise StorageError(f"Part {n} was not taken: the object store answers {response.status_code}.")
        # With a key of the customer's an ETag is no MD5.
        etag = response.headers.get("ETag", "").strip('"')
        plain = response.headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
        if plain and len(etag) == 32 and etag != digest.hexdigest():
            raise StorageError(f"Part {n} arrived as something else; it is sent again.")


class CredentialWriter:
    """Writes as AWS's SDK does, with credentials that are renewed before they expire."""

    def __init__(self, api: UploadApi, atom_id: str, upload: Mapping[str, Any]) -> None:
        self._api, self._atom_id, self._upload = api, atom_id, upload
        self._lock = threading.Lock()
        self._writer: PartWriter | None = None
        self._expiry = 0.0
        if "credentials" in upload:
            self._use(upload["credentials"])

    def put(self, n: int, body: FileRange) -> None:
        """See :meth:`Writer.put`."""
        writer = self._fresh()
        try:
            writer.put(self._upload["bucket"], self._upload["parts"][n]["key"], body, len(body))
        except (StorageDenied, StorageError):
            self._forget(writer)
            raise

    def _fresh(self) -> PartWriter:
        with self._lock:
            if self._writer is None or self._api.now() > self._expiry - _SPARE_SECONDS:
                self._use(self._api.credentials(self._atom_id, self._upload["id"]))
            assert self._writer is not None  # noqa: S101  for the type checker
            return self._writer

    def _forget(self, writer: PartWriter) -> None:
        with self._lock:
            if self._writer is writer:
                self._writer = None

    def _use(self, credentials: Mapping[str, Any]) -> None:
        self._expiry = float(credentials["expiry"])
        self._writer = PartWriter(
            access_key=credentials["temporaryAccessId"],
            secret_key=credentials["temporarySecretKey"],
            session_token=credentials["sessionToken"],
            region=self._upload["region"],
            endpoint=self._upload.get("endpoint"),
        )
