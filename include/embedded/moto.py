"""Starts the moto server with its buckets and tables, and with queues for ingest and for AWS Batch where those are used.

It keeps objects until it ends: a restart begins with empty buckets.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from include.settings import get_settings

__all__ = ["lock_etags", "lock_objects", "lock_tables", "main"]

SWEEP_SECONDS = 600


def main() -> None:
    """Serve on the address in ``AWS_ENDPOINT_URL``; a thread makes buckets and tables as soon as the server answers."""
    url = os.environ["AWS_ENDPOINT_URL"]
    address = urlsplit(url)
    settings = get_settings()
    buckets = sorted({settings.bucket, *settings.buckets, settings.upload_bucket or settings.bucket})
    threading.Thread(target=_make, args=(url, buckets, bool(settings.batch_units)), daemon=True).start()
    from moto.server import main as serve  # noqa: PLC0415  takes a second, in which the thread above waits

    lock_etags()
    lock_objects()
    lock_tables()
    serve(["-H", str(address.hostname), "-p", str(address.port)])


def lock_etags() -> None:
    """Have an object's ETag computed by one thread at a time.

    moto reads the object's file for it when it is first asked for, and without the lock that it reads contents with: several
    requests at once share the file's position, and a large object gets a wrong ETag for good.
    """
    from moto.s3.models import FakeKey  # noqa: PLC0415

    compute = FakeKey.etag.fget

    def etag(key: Any) -> str:
        with key.lock:
            return str(compute(key))

    FakeKey.etag = property(etag)


def lock_objects() -> None:
    """Have objects be written on a condition by one thread at a time.

    moto looks whether the condition holds and writes without a lock between the two: two writers that want the object not to be
    there yet are both told that it was not.
    """
    from moto.s3.responses import S3Response  # noqa: PLC0415

    lock, put = threading.Lock(), S3Response.put_object

    @functools.wraps(put)
    def put_object(response: Any) -> Any:
        if response.headers.get("If-None-Match") or response.headers.get("If-Match"):
            with lock:
                return put(response)
        return put(response)

    S3Response.put_object = put_object


def lock_tables() -> None:
    """Have items of DynamoDB written by one thread at a time.

    moto looks whether a write's condition holds and writes without a lock between the two: of two conditional writes at the same
    moment both succeed, and one is lost.
    """
    from moto.dynamodb.models import DynamoDBBackend  # noqa: PLC0415

    lock = threading.RLock()

    def locked(write: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(write)
        def call(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return write(*args, **kwargs)

        return call

    for name in ("put_item", "update_item", "delete_item", "transact_write_items"):
        setattr(DynamoDBBackend, name, locked(getattr(DynamoDBBackend, name)))


def _make(url: str, buckets: list[str], batch: bool) -> None:
    _make_buckets(url, buckets)
    # These take a while to import, and nobody needs them before the buckets.
    from include.embedded.queues import make_told_queues  # noqa: PLC0415
    from include.media_store.tables import make_tables, sweep_nonces  # noqa: PLC0415
    from include.media_store.uploads_table import make_uploads_table  # noqa: PLC0415

    make_tables(get_settings())
    make_uploads_table(get_settings())
    make_told_queues(get_settings())
    if batch:
        from include.embedded.batch import image_name, job_environment, make_resources  # noqa: PLC0415

        make_resources(image=image_name(), sr_image=image_name(), environment=job_environment(os.environ))
    # What is imported stays. Looked through again at each full collection, it would make all who ask wait.
    gc.collect()
    gc.freeze()
    while True:
        # moto knows of no expiry, and every signed request leaves a nonce.
        time.sleep(SWEEP_SECONDS)
        with contextlib.suppress(Exception):
            sweep_nonces(get_settings())


def _make_buckets(url: str, buckets: list[str]) -> None:
    for bucket in buckets:
        # moto checks no signature; `test` is the account that the stack's credentials name.
        headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request"}
        request = urllib.request.Request(f"{url}/{bucket}", method="PUT", headers=headers)  # noqa: S310
        for _ in range(300):
            try:
                urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
                break
            except urllib.error.HTTPError as error:
                sys.exit(f"cannot make bucket {bucket}: HTTP {error.code}")
            except OSError:
                time.sleep(0.1)


if __name__ == "__main__":
    main()
