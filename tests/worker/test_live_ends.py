"""How live tasks end whose source is pretended: a file that is read again at every connection."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from include.errors import LimitExceeded
from include.ffmpeg_ops.live.recording import Entry, read, render
from include.media_store.objects import S3ObjectStore
from include.net.relay import Guarded
from include.settings import Settings
from include.worker.media import MediaTools
from include.worker.models import LiveState
from tests.media import ffmpeg, numbers, read_frame_numbers
from tests.servers import free_port
from tests.worker.live import LiveTask, settings_for_live

SOURCE = "rtmp://127.0.0.1/live/in"


@pytest.fixture
def media(tools: tuple[str, str], tmp_path: Path) -> Callable[[int], MediaTools]:
    """Tools whose source brings 50 pictures so many times, and then is one that is not taken."""
    path = tmp_path / "source.flv"
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"]
    subprocess.run([ffmpeg(), "-nostdin", "-v", "error", *numbers(50), *coding, str(path)], check=True)

    def media(times: int) -> MediaTools:
        left = [Guarded(f"file:{path}", (), "file")] * times

        @contextmanager
        def source(*_: Any) -> Iterator[Guarded]:
            if not left:
                raise LimitExceeded("The source is too large.")
            yield left.pop()

        return MediaTools(guarded_source=source)

    return media


def task_of(store: S3ObjectStore, settings: Settings, source: str, name: str, **changes: Any) -> LiveTask:
    task = LiveTask(store, settings_for_live(settings, **changes), source, ())
    task.targets = (f"s3://{settings.bucket}/{task.folder}/{name}",)
    return task


def test_what_was_recorded_is_kept_when_the_source_comes_back_as_one_that_is_not_taken(
    store: S3ObjectStore, settings: Settings, media: Callable[[int], MediaTools], tmp_path: Path
) -> None:
    task = task_of(store, settings, SOURCE, "x.mp4")
    task.media = media(1)
    error = task.run().error
    assert error is not None
    assert error["code"] == "LimitExceeded"
    ref = store.head(settings.bucket, f"{task.folder}/x.mp4")
    assert ref is not None
    store.download(ref, tmp_path / "x.mp4")
    assert read_frame_numbers(tmp_path / "x.mp4") == list(range(50))


def test_the_deadline_does_not_hide_a_target_that_has_failed(
    store: S3ObjectStore, settings: Settings, media: Callable[[int], MediaTools]
) -> None:
    task = task_of(store, settings, SOURCE, "x.m3u8", live_seconds=4, live_reconnect_seconds=1)
    task.targets += (f"rtmp://127.0.0.1:{free_port()}/kept/key",)
    task.media = media(1000)
    error = task.run().error
    assert error is not None
    assert error["code"] == "TimeOut"
    assert "/kept/*** failed" in error["message"]


@pytest.mark.parametrize("when", ["before it began", "while it fetched"])
def test_a_task_that_was_stopped_before_its_stream_touches_no_recording(
    when: str, store: S3ObjectStore, settings: Settings
) -> None:
    task = task_of(store, settings, "http://127.0.0.1/source.mp4", "x.m3u8")
    task.targets += ("rtmp://127.0.0.1/kept/key",)
    key, fetched = f"{task.folder}/x.m3u8", []

    def stop() -> None:
        store.put_bytes(settings.bucket, task.job.cancelled_key, b"{}")

    def download(*_: Any, **__: Any) -> None:
        fetched.append(when)
        stop()

    store.put_bytes(settings.bucket, key, b"#EXTM3U")
    if when == "before it began":
        stop()
    task.media = MediaTools(download=download)
    error = task.run().error
    assert error is not None
    assert error["code"] == "Cancelled"
    assert store.get_bytes(settings.bucket, key) == b"#EXTM3U"
    assert bool(fetched) == (when == "while it fetched")


def test_another_attempt_of_a_stopped_task_closes_the_recording(
    store: S3ObjectStore, settings: Settings, media: Callable[[int], MediaTools]
) -> None:
    task = task_of(store, settings, SOURCE, "x.m3u8")
    key = f"{task.folder}/x.m3u8"
    store.put_bytes(settings.bucket, key, render([Entry("x-00000.ts", 6)], ended=False).encode())
    task.job.write_live(LiveState(began_at=datetime.now(timezone.utc), seconds=6))
    store.put_bytes(settings.bucket, task.job.cancelled_key, b"{}")
    task.media = media(1)
    error = task.run().error
    assert error is not None
    assert error["code"] == "Cancelled"
    text = store.get_bytes(settings.bucket, key).decode()
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert read(text)[0] == Entry("x-00000.ts", 6)
