"""What the stack's moto does better than moto itself."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

from botocore.exceptions import ClientError
from moto.s3 import models

from include.embedded.moto import lock_etags
from include.media_store.client import s3_client
from tests.servers import S3Server


def test_an_object_has_one_etag_whoever_else_reads_it(monkeypatch) -> None:
    monkeypatch.setattr(models.FakeKey, "etag", models.FakeKey.etag)
    lock_etags()
    content = os.urandom(40 * 2**20)
    key = models.FakeKey("name", content, "123456789012", "us-east-1")
    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(lambda n=n: key.etag if n % 2 else key.value and key.etag) for n in range(8)]
        assert {reader.result() for reader in readers} == {f'"{hashlib.md5(content).hexdigest()}"'}


def test_of_many_who_want_an_object_not_to_be_there_yet_one_makes_it(s3: S3Server, bucket: str) -> None:
    clients = [s3_client() for _ in range(8)]
    for number in range(5):
        ready = Barrier(len(clients))

        def make(client: Any, key: str = f"claims/{number}", ready: Barrier = ready) -> bool:
            ready.wait()
            with suppress(ClientError):
                client.put_object(Bucket=bucket, Key=key, Body=b"{}", IfNoneMatch="*")
                return True
            return False

        with ThreadPoolExecutor(len(clients)) as pool:
            assert sum(pool.map(make, clients)) == 1
