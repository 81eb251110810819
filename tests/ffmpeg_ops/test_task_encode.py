"""Chunks of tasks, encoded for real: passes, their parameter sets and their progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.errors import OutputNotSupported
from include.ffmpeg_ops import boxes, encode, rates
from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.models import TaskRung, VideoTask
from tests.conftest import Clips
from tests.ffmpeg_ops.tasks import probe_video, video_tasks


def task(clip: Clips, name: str = "short", **fields: Any) -> VideoTask:
    encoding = Encoding(**{"bitrate": 200_000, "gop_size": 10, "preset": "highPerformance"} | fields)
    codec = {"h264": "h264", "h265": "hevc", "mpeg2": "mpeg2video"}[encoding.format]
    rung = TaskRung(name="out", width=128, height=72, codec=codec, encoding=encoding)
    path = clip(name)
    return video_tasks(path, probe_video(path), [0])[0].model_copy(update={"rungs": (rung,)})


@pytest.mark.parametrize("format", ["h264", "h265"])
def test_a_chunk_of_two_passes_fits_beside_one_of_a_single_pass(format: str, clip: Clips, tmp_path: Path) -> None:
    once = task(clip, format=format)
    twice = rates.in_two_passes(once)
    assert twice is not None
    read = boxes.avc_configuration if format == "h264" else boxes.hevc_configuration
    configurations = []
    for number, wanted in enumerate((once, twice)):
        folder = tmp_path / str(number)
        folder.mkdir()
        configurations.append(read(encode.run_chunk(clip("short"), wanted, folder)["out"]))
        # What passes leave for one another is gone.
        assert [path.name for path in folder.iterdir()] == ["out.mp4"]
    assert configurations[0] == configurations[1]


def test_the_progress_of_two_passes_rises_to_the_number_of_frames(clip: Clips, tmp_path: Path) -> None:
    told: list[int] = []
    encode.run_chunk(
        clip("short"), task(clip, rc_mode="2passvbr"), tmp_path, on_progress=lambda progress: told.append(progress.frames)
    )
    assert told == sorted(told)
    assert told[-1] == 50


def test_a_bitrate_that_even_two_passes_cannot_keep_is_refused(clip: Clips, tmp_path: Path) -> None:
    pictures = task(clip, "content_long", format="mpeg2", bitrate=32_000, gop_size=1)
    large = pictures.rungs[0].model_copy(update={"width": 320, "height": 180})
    # Nothing but keyframes.
    chunk = pictures.chunk.model_copy(update={"keyframes": tuple(range(pictures.chunk.frames))})
    with pytest.raises(OutputNotSupported, match="ask for more bits or fewer pixels"):
        encode.run_chunk(clip("content_long"), pictures.model_copy(update={"chunk": chunk, "rungs": (large,)}), tmp_path)
