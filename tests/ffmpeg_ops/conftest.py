"""Encoded and packaged clips, each made once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Clips
from tests.ffmpeg_ops.jobs import Jobs


@pytest.fixture(scope="session")
def jobs(clip: Clips, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """``jobs.encode("ntsc")`` and ``jobs.package("ntsc", "fmp4")``; the results are shared, so copy what is to be changed."""
    return Jobs(clip, Path(tmp_path_factory.mktemp("jobs")))
