"""What the stack's moto does better than moto itself."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep
from types import SimpleNamespace
from typing import Any

from moto.s3 import models
from moto.s3.responses import S3Response

from include.embedded.moto import lock_etags, lock_objects


def test_an_object_has_one_etag_whoever_else_reads_it(monkeypatch) -> None:
    monkeypatch.setattr(models.FakeKey, "etag", models.FakeKey.etag)
    lock_etags()
    content = os.urandom(40 * 2**20)
    key = models.FakeKey("name", content, "123456789012", "us-east-1")
    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(lambda n=n: key.etag if n % 2 else key.value and key.etag) for n in range(8)]
        assert {reader.result() for reader in readers} == {f'"{hashlib.md5(content).hexdigest()}"'}


def test_writes_on_a_condition_come_one_after_the_other_and_others_at_once(monkeypatch) -> None:
    inside: list[int] = []
    most: list[int] = []
    together = Barrier(2)

    def put(response: Any) -> None:
        inside.append(1)
        most.append(len(inside))
        if response.headers:
            sleep(0.02)
        else:
            together.wait(timeout=30)
        inside.pop()

    monkeypatch.setattr(S3Response, "put_object", put)
    lock_objects()
    with ThreadPoolExecutor(4) as pool:
        conditions = [{"If-None-Match": "*"}, {"If-Match": "x"}] * 4
        list(pool.map(lambda headers: S3Response.put_object(SimpleNamespace(headers=headers)), conditions))
        assert max(most) == 1
        list(pool.map(lambda headers: S3Response.put_object(SimpleNamespace(headers=headers)), [{}, {}]))
        assert max(most) == 2
