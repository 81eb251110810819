from __future__ import annotations

from pathlib import Path

import pytest

from include.settings import Settings


@pytest.fixture
def settings(bucket: str, tmp_path: Path) -> Settings:
    return Settings(bucket=bucket, cache_dir=tmp_path / "cache", unit_slots=2, chunk_seconds=2, x264_preset="ultrafast")
