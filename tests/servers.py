"""Servers that tests talk to: moto's S3 on loopback, or the one that ``REELFLOW_TEST_S3`` names."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import boto3


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


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def moto() -> Iterator[str]:
    """Run moto in a process of its own: in this one, every ``mock_aws`` of another test would empty it."""
    port = free_port()
    # As in the embedded stack, with the locks that moto lacks.
    locks = "moto.lock_etags(); moto.lock_objects(); moto.lock_tables()"
    serve = f"from include.embedded import moto; from moto.server import main; {locks}; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", serve, "-H", "127.0.0.1", "-p", str(port)], cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                break
            assert child.poll() is None, "moto has ended"
            assert time.monotonic() < deadline, "moto does not answer"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(20)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run moto on a free loopback port, or use ``REELFLOW_TEST_S3`` (with ``REELFLOW_TEST_S3_KEY`` and ``_SECRET``).

    Sets the SDK's environment variables and makes the bucket; both are undone at the end.
    """
    with ExitStack() as stack:
        external = os.environ.get("REELFLOW_TEST_S3")
        server = S3Server(external or stack.enter_context(moto()))
        yield from _with_bucket(server)


def _with_bucket(server: S3Server) -> Iterator[S3Server]:
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
