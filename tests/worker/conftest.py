from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from tests.servers import S3Server, s3_server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def store(s3: S3Server) -> S3ObjectStore:
    return S3ObjectStore()


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.bucket


@pytest.fixture
def settings(bucket: str, tmp_path: Path) -> Settings:
    return Settings(bucket=bucket, cache_dir=tmp_path / "cache", unit_slots=2, chunk_seconds=2, x264_preset="ultrafast")
