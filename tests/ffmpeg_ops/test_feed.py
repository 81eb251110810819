"""Processes that are fed, with the real ffmpeg."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from include.errors import Cancelled, InvalidInputData, TimedOut
from include.ffmpeg_ops.feed import Feed, feed
from include.ffmpeg_ops.live import commands
from include.ffmpeg_ops.live.commands import Opened
from include.ffmpeg_ops.process import Progress
from include.ffmpeg_ops.runner import Command
from tests.conftest import Clips
from tests.media import read_frame_numbers
from tests.processes import watch_children
from tests.servers import free_port


def pour(feeding: Feed, data: bytes, timeout: float) -> None:
    """Write more than any pipe holds."""
    for _ in range(100):
        feeding.write(data, timeout)


def test_what_is_written_arrives_and_progress_is_told(clip: Clips, tmp_path: Path) -> None:
    told: list[Progress] = []
    path = tmp_path / "out.mp4"
    with feed(commands.remux("mp4", path), on_progress=told.append) as feeding:
        feeding.write(clip("mpegts").read_bytes(), 10)
        completed = feeding.finish(10)
    assert read_frame_numbers(path) == list(range(100))
    assert completed.frames == told[-1].frames == 100


def test_a_process_that_fails_raises_its_error_where_more_is_written() -> None:
    started = watch_children()
    command = Command(("ffmpeg", "-f", "matroska", "-i", "pipe:0", "-f", "null", "-"))
    with feed(command) as feeding, pytest.raises(InvalidInputData):
        pour(feeding, bytes(1 << 16), 10)
    assert not started()


def test_one_that_takes_nothing_is_told_of_and_ended(clip: Clips) -> None:
    started = watch_children()
    # A target where nobody answers.
    command = commands.relay(Opened(f"tcp://127.0.0.1:{free_port()}?listen=1", "udp", (), "tcp"))
    with feed(command) as feeding, pytest.raises(TimedOut, match="took no data"):
        pour(feeding, clip("mpegts").read_bytes(), 0.5)
    assert not started()


def test_cancelling_ends_a_write_that_waits(clip: Clips) -> None:
    started = watch_children()
    cancelled = threading.Event()
    command = commands.relay(Opened(f"tcp://127.0.0.1:{free_port()}?listen=1", "udp", (), "tcp"))
    threading.Timer(0.5, cancelled.set).start()
    began = time.monotonic()
    with feed(command, cancelled=cancelled) as feeding, pytest.raises(Cancelled):
        pour(feeding, clip("mpegts").read_bytes(), 30)
    assert time.monotonic() - began < 10
    assert not started()
