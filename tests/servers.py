"""Servers that tests talk to: moto's S3 on loopback, or the one that ``REELFLOW_TEST_S3`` names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import boto3
from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class S3Server:
    """An S3 endpoint with a fresh bucket; ``environ`` is what the SDK needs to reach it."""

    endpoint: str
    bucket: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": os.environ.get("REELFLOW_TEST_S3_KEY", "test"),
            "AWS_SECRET_ACCESS_KEY": os.environ.get("REELFLOW_TEST_S3_SECRET", "test"),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run moto on a free loopback port, or use ``REELFLOW_TEST_S3`` (with ``REELFLOW_TEST_S3_KEY`` and ``_SECRET``).

    Sets the SDK's environment variables and makes the bucket; both are undone at the end.
    """
    external = os.environ.get("REELFLOW_TEST_S3")
    moto = None if external else ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    if moto:
        moto.start()
        host, port = moto.get_host_and_port()
    server = S3Server(external or f"http://{host}:{port}")
    before = {name: os.environ.get(name) for name in server.environ}
    os.environ.update(server.environ)
    bucket = boto3.session.Session().resource("s3").Bucket(server.bucket)
    try:
        bucket.create()
        yield server
        bucket.objects.all().delete()
        bucket.delete()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if moto:
            moto.stop()
