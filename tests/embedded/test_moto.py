"""What the stack's moto does better than moto itself."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from moto.s3 import models

from include.embedded.moto import lock_etags


def test_an_object_has_one_etag_whoever_else_reads_it(monkeypatch) -> None:
    monkeypatch.setattr(models.FakeKey, "etag", models.FakeKey.etag)
    lock_etags()
    content = os.urandom(40 * 2**20)
    key = models.FakeKey("name", content, "123456789012", "us-east-1")
    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(lambda n=n: key.etag if n % 2 else key.value and key.etag) for n in range(8)]
        assert {reader.result() for reader in readers} == {f'"{hashlib.md5(content).hexdigest()}"'}
