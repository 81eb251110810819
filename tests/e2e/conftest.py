"""One stack for all end-to-end tests of a session."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import RunningStack, running_stack
from tests.media import ffmpeg, ffprobe
from tests.youtube_server import YouTube, youtube_server

# Real ffmpeg, which notes every encode and, while the file `slow` exists, waits before it: there is time to kill something.
WRAPPER = """#!/bin/sh
case "$*" in *libx264*)
  echo "$*" >> "{folder}/encodes"
  [ -e "{folder}/slow" ] && sleep 4
esac
exec "{ffmpeg}" "$@"
"""


@pytest.fixture(scope="session")
def ffmpeg_notes(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the ffmpeg that notes its encodes."""
    folder = tmp_path_factory.mktemp("ffmpeg")
    wrapper = folder / "ffmpeg"
    wrapper.write_text(WRAPPER.format(folder=folder, ffmpeg=shutil.which(ffmpeg())))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture(scope="session")
def youtube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YouTube]:
    """The YouTube that the stack publishes to."""
    with youtube_server(tmp_path_factory.mktemp("youtube")) as server:
        yield server


@pytest.fixture(scope="session")
def stack(ffmpeg_notes: Path, youtube: YouTube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with units so short that a clip of seconds has several, two at a time."""
    settings = {
        "MEDIA_API_KEYS": "ours:e2e-key-of-ours-0123456789,other:e2e-key-of-the-other-0123456789",
        "MEDIA_SIGNING_KEYS": "ours:e2e-public:e2e-private-0123456789,other:e2e-other:e2e-private-9876543210",
        "MEDIA_WEBHOOK_SECRETS": "ours:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "MEDIA_WEBHOOK_SECONDS": "1",
        "MEDIA_WEBHOOK_ATTEMPTS": "2",
        # Targets and receivers of the tests themselves.
        "MEDIA_ALLOWED_NETWORKS": "127.0.0.1/32",
        "MEDIA_CHUNK_SECONDS": "2",
        "MEDIA_UNIT_SLOTS": "2",
        "MEDIA_UPLOAD_PART_SIZE": str(5 * 2**20),
        "MEDIA_UPLOAD_POLL_SECONDS": "0.5",
        "MEDIA_INGEST_SETTLE_SECONDS": "2",
        "MEDIA_INGEST_POLL_SECONDS": "1",
        "MEDIA_UPLOAD_PART_TIMEOUT_SECONDS": "45",
        "MEDIA_YOUTUBE_URL": youtube.url,
        "AIRFLOW_CONN_YOUTUBE_DEFAULT": json.dumps(youtube.connection),
        "MEDIA_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "MEDIA_FFMPEG": str(ffmpeg_notes / "ffmpeg"),
        "MEDIA_FFPROBE": str(shutil.which(ffprobe())),
    }
    state_dir = Path(os.environ.get("REELFLOW_TEST_STATE") or tmp_path_factory.mktemp("stack") / "state")
    with running_stack(state_dir, settings) as running:
        yield running
