"""Encoded and packaged clips, each made once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Clips
from tests.ffmpeg_ops.jobs import Jobs


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests of one encoded clip in one of several test processes, each of which would else encode it again."""
    for item in items:
        if "jobs" in getattr(item, "fixturenames", ()) and hasattr(item, "callspec") and "name" in item.callspec.params:
            item.add_marker(pytest.mark.xdist_group(f"jobs-{item.callspec.params['name']}"))


@pytest.fixture(scope="session")
def jobs(clip: Clips, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """``jobs.encode("ntsc")`` and ``jobs.package("ntsc", "fmp4")``; the results are shared, so copy what is to be changed."""
    return Jobs(clip, Path(tmp_path_factory.mktemp("jobs")))
