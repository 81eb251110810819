"""What decoders say after a seek: of pictures that were not read, or of pictures that the source lacks."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from include.errors import InvalidInputData
from include.ffmpeg_ops import encode, seeking
from include.ffmpeg_ops.models import VideoTask
from tests.conftest import Clips
from tests.ffmpeg_ops.tasks import LOW, probe_video, video_tasks
from tests.media import ffmpeg

# Chunk 2 starts at a keyframe, chunk 3 between two.
STARTS = (0, 50, 100, 170)
# Each with the number of a packet in chunk 2 whose loss decoders notice: ffmpeg's of H.264 does not notice each.
SOURCES = [
    pytest.param("closed_gop_264", ".mp4", 153, id="closed-gop-x264"),
    pytest.param("closed_gop_264", ".ts", 153, id="closed-gop-x264-mpegts"),
    pytest.param("open_gop_264", ".mkv", 151, id="open-gop-x264-matroska"),
    pytest.param("open_gop_264", ".ts", 151, id="open-gop-x264-mpegts"),
    pytest.param("closed_gop_265", ".mp4", 151, id="closed-gop-x265"),
    pytest.param("closed_gop_265", ".ts", 151, id="closed-gop-x265-mpegts"),
    pytest.param("open_gop_265", ".mp4", 151, id="open-gop-x265"),
]


def copied(source: Path, target: Path, *options: str) -> Path:
    argv = [ffmpeg(), "-v", "error", "-y", "-i", str(source), "-map", "0:v", "-c", "copy", *options, str(target)]
    subprocess.run(argv, check=True)
    return target


def tasks_of(source: Path) -> list[VideoTask]:
    """As probing finds a source that lacks a frame: its rate varies."""
    return video_tasks(source, probe_video(source, rate=Fraction(0)), STARTS, rungs=(LOW,))


@pytest.mark.sampled("open-gop-x264-matroska", "closed-gop-x265-mpegts")
@pytest.mark.parametrize(("name", "suffix", "lost"), SOURCES)
def test_no_chunk_of_a_sound_source_is_decoded_twice(clip: Clips, tmp_path: Path, name: str, suffix: str, lost: int) -> None:
    source = copied(clip(name), tmp_path / f"sound{suffix}")
    for task in tasks_of(source)[1:]:
        told: list[str] = []
        encode.run_chunk(source, task, tmp_path, on_restart=told.extend)
        assert told == []


@pytest.mark.sampled("closed-gop-x264", "open-gop-x264-matroska", "closed-gop-x265-mpegts")
@pytest.mark.parametrize(("name", "suffix", "lost"), SOURCES)
def test_a_chunk_that_lacks_what_others_refer_to_is_damaged_though_it_is_reached_by_a_seek(
    clip: Clips, tmp_path: Path, name: str, suffix: str, lost: int
) -> None:
    source = copied(clip(name), tmp_path / f"spoiled{suffix}", "-bsf:v", rf"noise=drop=eq(n\,{lost})")
    _, before, chunk, _ = tasks_of(source)
    encode.run_chunk(source, before, tmp_path)
    with pytest.raises(InvalidInputData, match="damaged in or before chunk 2"):
        encode.run_chunk(source, chunk, tmp_path)


def test_a_seek_explains_what_is_said_before_the_chunk_and_nothing_else(clip: Clips, tmp_path: Path) -> None:
    sound = copied(clip("closed_gop_265"), tmp_path / "sound.ts")
    spoiled = copied(sound, tmp_path / "spoiled.ts", "-bsf:v", r"noise=drop=eq(n\,151)")
    assert seeking.explains(sound, tasks_of(sound)[2])
    assert not seeking.explains(spoiled, tasks_of(spoiled)[2])


def test_decoding_begins_long_before_the_chunk_and_ends_with_its_last_packet(clip: Clips) -> None:
    source = clip("long_gop")
    chunk = video_tasks(source, probe_video(source), (0, 500, 600))[1]
    before, through = (command.argv for command in seeking.commands(source, chunk))
    # It seeks to 12 s for what starts at 20 s and ends at 24 s; a packet of it lies at most 16 frames further on.
    assert before[before.index("-read_intervals") + 1] == "2.000000%19.980000"
    assert through[through.index("-read_intervals") + 1] == "2.000000%24.640000"


def test_near_the_start_of_a_source_decoding_begins_with_it(clip: Clips) -> None:
    source = clip("plain")
    chunk = video_tasks(source, probe_video(source), (0, 50, 100))[1]
    before, _ = seeking.commands(source, chunk)
    assert "%1.980000" in before.argv
