"""Splitting by stream copy: every frame in exactly one file, each of which decodes alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.ffmpeg_ops import probe, split
from include.ffmpeg_ops.segments import SOURCE_FILE
from include.settings import Settings
from tests.conftest import Clips
from tests.media import read_frame_numbers


@pytest.mark.sampled("vfr", "start_offset", "open_gop_264_ts", "edit_list", "half_open_gop_265", "one_frame")
@pytest.mark.parametrize(
    ("name", "container", "segments"),
    [
        ("plain", "nut", 5),
        ("mkv", "nut", 6),
        ("mpegts", "nut", 2),
        ("start_offset", "nut", 5),
        ("vfr", "nut", 4),
        ("long_gop", "nut", 3),
        ("open_gop_264_ts", "nut", 3),
        ("fragmented", "nut", 2),
        ("vp9", "nut", 2),
        ("vp8", "nut", 2),
        ("edit_list", "mov", 4),
        ("single_keyframe", "source", 1),
        ("open_gop_265", "source", 1),
        ("half_open_gop_265", "nut", 3),
        ("closed_gop_265", "nut", 5),
        ("avi", "source", 1),
        ("one_frame", "source", 1),
    ],
)
def test_the_files_hold_every_frame_once(name: str, container: str, segments: int, clip: Clips, tmp_path: Path) -> None:
    source, settings = clip(name), Settings(_env_file=None)  # type: ignore[call-arg]
    info, index = probe.probe(source, settings=settings)
    manifest = split.split(source, info, index, tmp_path, segment_time=1.5, most=200, settings=settings)
    assert (manifest.container, len(manifest.segments)) == (container, segments)
    assert [pts for segment in manifest.segments for pts in segment.source_pts] == list(index.pts)
    if container == "source":
        assert (manifest.segments[0].file, list(tmp_path.iterdir())) == (SOURCE_FILE, [])
        return
    seen = [read_frame_numbers(tmp_path / segment.file) for segment in manifest.segments]
    assert [len(numbers) for numbers in seen] == [segment.frames for segment in manifest.segments]
    assert [number for numbers in seen for number in numbers] == read_frame_numbers(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == [segment.file for segment in manifest.segments]


def test_one_segment_is_written_where_it_is_asked_for(clip: Clips, tmp_path: Path) -> None:
    source, settings = clip("single_keyframe"), Settings(_env_file=None)  # type: ignore[call-arg]
    info, index = probe.probe(source, settings=settings)
    manifest = split.split(source, info, index, tmp_path, segment_time=60, most=200, always=True, settings=settings)
    assert [segment.file for segment in manifest.segments] == ["segment-00000.nut"]
    assert read_frame_numbers(tmp_path / "segment-00000.nut") == list(range(250))


@pytest.mark.parametrize(("name", "always"), [("plain", False), ("edit_list", False), ("single_keyframe", True), ("vp8", False)])
def test_the_source_is_read_by_the_probe_alone_and_by_the_split_itself(
    name: str, always: bool, clip: Clips, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, settings = clip(name), Settings(_env_file=None)  # type: ignore[call-arg]
    info, index = probe.probe(source, settings=settings)
    caplog.clear()
    with caplog.at_level("INFO", logger="include.ffmpeg_ops.runner"):
        split.split(source, info, index, tmp_path, segment_time=1.5, most=200, always=always, settings=settings)
    reading = [Path(message.split()[0]).name for message in caplog.messages if str(source) in message]
    # NUT cannot leave out what an edit list does: there it takes a second split.
    assert len(reading) == (2 if name == "edit_list" else 1)
    assert not any(program.startswith("ffprobe") for program in reading)


@pytest.mark.parametrize("name", ["single_keyframe", "open_gop_265", "one_frame"])
def test_nothing_is_asked_of_a_source_that_stays_whole(
    name: str, clip: Clips, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, settings = clip(name), Settings(_env_file=None)  # type: ignore[call-arg]
    info, index = probe.probe(source, settings=settings)
    caplog.clear()
    with caplog.at_level("INFO", logger="include.ffmpeg_ops.runner"):
        split.split(source, info, index, tmp_path, segment_time=1.5, most=200, settings=settings)
    assert caplog.messages == []
