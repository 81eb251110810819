from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from include.ffmpeg_ops import storyboard
from tests.ffmpeg_ops.jobs import Encoded, Jobs
from tests.ffmpeg_ops.tasks import probe_json

CUE = re.compile(
    r"(\d\d):(\d\d):(\d\d\.\d{3}) --> (\d\d):(\d\d):(\d\d\.\d{3})\n(storyboard_\d{3}\.jpg)#xywh=(\d+),(\d+),(\d+),(\d+)\n"
)


def read_cues(text: str) -> list[tuple[Fraction, Fraction, str, tuple[int, ...]]]:
    assert text.startswith("WEBVTT\n\n")
    found = []
    for fields in CUE.findall(text):
        times = [int(hour) * 3600 + int(minute) * 60 + Fraction(second) for hour, minute, second in (fields[:3], fields[3:6])]
        found.append((times[0], times[1], fields[6], tuple(map(int, fields[7:]))))
    return found


def size(path: Path) -> tuple[int, int]:
    stream = probe_json(path, "-show_streams")["streams"][0]
    return stream["width"], stream["height"]


@pytest.mark.parametrize("name", ["plain", "video_late", "vfr", "one_frame"])
def test_the_cues_cover_the_whole_duration_without_gaps(jobs: Jobs, name: str) -> None:
    made = jobs.encode(name)
    cues = read_cues(storyboard.cues(made.plan, len(made.thumbnails)))
    assert len(cues) == len(made.thumbnails) == sum(len(chunk.thumbnails) for chunk in made.plan.chunks)
    assert cues[0][0] == 0
    assert abs(cues[-1][1] - made.plan.info.duration) <= Fraction(1, 1000)
    assert all(before[1] == after[0] for before, after in pairwise(cues))
    assert all(start < end for start, end, _, _ in cues)


def test_a_thumbnail_is_shown_from_its_own_frame_on(jobs: Jobs) -> None:
    made = jobs.encode("video_late")
    cues = read_cues(storyboard.cues(made.plan, len(made.thumbnails)))
    # The video starts half a second after the sound; its pictures are taken every two seconds.
    late = made.plan.info.video.start_time
    assert late > Fraction(4, 10)
    assert [start for start, _, _, _ in cues] == [0, 2 + late]


def test_every_cue_points_into_its_sheet(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.encode("plain")
    files = storyboard.write(made.plan, made.thumbnails * 6, tmp_path)
    assert files[:2] == ("00001.jpg", "00002.jpg")
    assert files[-3:] == ("storyboard_001.jpg", "storyboard_002.jpg", "storyboard.vtt")
    assert sorted(files) == sorted(path.name for path in tmp_path.iterdir())
    cues = read_cues((tmp_path / "storyboard.vtt").read_text())
    assert len(cues) == 30
    assert cues[7][2:] == ("storyboard_001.jpg", (320, 90, 160, 90))
    assert cues[25][2:] == ("storyboard_002.jpg", (0, 0, 160, 90))
    for _, _, sheet, (left, top, width, height) in cues:
        across, down = size(tmp_path / sheet)
        assert left + width <= across
        assert top + height <= down


def test_few_thumbnails_make_a_small_sheet(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.encode("plain")
    storyboard.write(made.plan, made.thumbnails[:3], tmp_path)
    assert size(tmp_path / "storyboard_001.jpg") == (480, 90)


def test_a_portrait_video_has_portrait_tiles(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.encode("rotated_90")
    video = made.plan.info.video
    storyboard.write(made.plan, made.thumbnails, tmp_path)
    width, height = read_cues((tmp_path / "storyboard.vtt").read_text())[0][3][2:]
    assert abs(Fraction(height, width) - Fraction(video.display_height, video.display_width)) < Fraction(1, 50)


def test_without_thumbnails_there_is_no_storyboard(jobs: Jobs, tmp_path: Path) -> None:
    assert storyboard.write(jobs.encode("plain").plan, [], tmp_path) == ()
    assert not list(tmp_path.iterdir())


def test_a_folder_with_a_percent_sign_is_no_pattern(jobs: Jobs, tmp_path: Path) -> None:
    made: Encoded = jobs.encode("plain")
    folder = tmp_path / "100%d off"
    folder.mkdir()
    files = storyboard.write(made.plan, made.thumbnails, folder)
    assert sorted(files) == sorted(path.name for path in folder.iterdir())


def test_cues_of_salvaged_thumbnails_are_spread_evenly(jobs: Jobs) -> None:
    made = jobs.encode("plain")
    cues = read_cues(storyboard.cues(made.plan, 2))
    assert [start for start, _, _, _ in cues] == [0, 2]
    assert cues[-1][1] == made.plan.info.duration
