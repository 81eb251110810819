"""What every test may use, made once per session: real clips, an S3 server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.media_store.client import s3_client
from include.media_store.objects import S3ObjectStore
from tests.containers.engine import engine_missing
from tests.media import CLIPS, MediaCache, ffmpeg, ffprobe
from tests.servers import S3Server, s3_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what takes long and most of many cases, unless all are asked for; and what needs a Docker engine where none is."""
    if not os.environ.get("REELFLOW_TEST_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes a minute or more; REELFLOW_TEST_LONG=1 runs it"))
            elif (sampled := item.get_closest_marker("sampled")) and not _is_sample(item, sampled.args):
                item.add_marker(pytest.mark.skip(reason="one of many cases; REELFLOW_TEST_LONG=1 runs them all"))
    wanting = [item for item in items if item.get_closest_marker("docker")]
    if wanting and (reason := engine_missing()):
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=reason))


def _is_sample(item: pytest.Item, samples: tuple[str, ...]) -> bool:
    case = item.callspec.id  # type: ignore[attr-defined]
    return any(part in samples for part in (case, *case.split("-")))


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server with a bucket, of which the SDK's environment speaks."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_connection(s3: S3Server) -> Any:
    """A client of that server: making one reads the SDK's description of S3, which takes longer than most tests."""
    return s3_client()


@pytest.fixture
def store(s3_connection: Any) -> S3ObjectStore:
    """The store on that server, which has counted no bytes yet."""
    return S3ObjectStore(client=s3_connection)


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """Its bucket."""
    return s3.bucket


@pytest.fixture(scope="session")
def tools() -> tuple[str, str]:
    """The ffmpeg and ffprobe in use; skips where there is none."""
    for program in (ffmpeg(), ffprobe()):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    return ffmpeg(), ffprobe()


class Clips(MediaCache):
    """The clips of :mod:`tests.media` as a fixture: ``clip("vfr")`` is a path, or a skip where ffmpeg cannot make it."""

    def __call__(self, name: str) -> Path:
        if encoder := self.missing_encoder(name):
            pytest.skip(f"clip {name} needs the encoder {encoder}")
        return super().__call__(name)

    def frames(self, name: str) -> int:
        """Frames that clip ``name`` was made with."""
        return CLIPS[name].frames


@pytest.fixture(scope="session")
def clip(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Path of a clip by its name; ``REELFLOW_TEST_MEDIA`` names a folder that keeps clips between sessions."""
    if kept := os.environ.get("REELFLOW_TEST_MEDIA"):
        return Clips(Path(kept))
    # Parallel test processes have a folder each below a common one.
    base = tmp_path_factory.getbasetemp()
    return Clips((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "media")
