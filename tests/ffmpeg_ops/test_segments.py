"""Where a source is split for super-resolution."""

from __future__ import annotations

from fractions import Fraction

import pytest

from include.ffmpeg_ops.models import FrameIndex, Keyframe
from include.ffmpeg_ops.segments import Manifest, cut_segments, planned_segments


def index(frames: int = 100, every: int = 25, step: int = 1, unclean: tuple[int, ...] = ()) -> FrameIndex:
    pts = tuple(7 + n * step for n in range(frames))
    keys = tuple(Keyframe(frame=n, pts=pts[n], clean=n not in unclean) for n in range(0, frames, every))
    return FrameIndex(time_base=Fraction(1, 25 * step), pts=pts, end_pts=pts[-1] + step, keyframes=keys)


def starts(found: FrameIndex, seconds: float, most: int = 200) -> list[int]:
    return [segment.first_frame for segment in cut_segments(found, seconds, most, suffix=".nut")]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.1, [0, 25, 50, 75]), (1, [0, 25, 50, 75]), (1.1, [0, 50]), (2, [0, 50]), (3, [0, 75]), (4, [0]), (60, [0])],
)
def test_a_segment_starts_at_the_first_keyframe_after_the_wanted_length(seconds: float, expected: list[int]) -> None:
    assert starts(index(), seconds) == expected


def test_decoding_can_start_at_every_segment_so_unclean_keyframes_are_passed_over() -> None:
    assert starts(index(unclean=(25, 75)), 1) == [0, 50]


def test_a_single_keyframe_is_a_single_segment() -> None:
    assert starts(index(every=1000), 1) == [0]


def test_long_films_get_longer_segments_rather_than_more_of_them() -> None:
    assert starts(index(1000, every=1), 0.04, most=10) == list(range(0, 1000, 100))


def test_every_frame_is_in_exactly_one_segment_at_its_time() -> None:
    found = index(step=512)
    segments = cut_segments(found, 1, 200, suffix=".nut")
    assert [pts for segment in segments for pts in segment.source_pts] == list(found.pts)
    assert [segment.end_pts for segment in segments] == [segment.start_pts for segment in segments[1:]] + [found.end_pts]
    assert {segment.step for segment in segments} == {512}
    assert all(segment.keyframe for segment in segments)


def test_a_varying_rate_keeps_the_time_of_every_frame() -> None:
    pts = (0, 3, 4, 10, 12, 19)
    found = FrameIndex(time_base=Fraction(1, 10), pts=pts, end_pts=25, keyframes=(Keyframe(frame=0, pts=0, clean=True),))
    (segment,) = cut_segments(found, 60, 200, suffix="")
    assert (segment.step, segment.pts, segment.end_pts) == (None, pts, 25)


def test_all_segments_have_one_time_base_though_some_of_them_are_even() -> None:
    pts = (0, 2, 4, 6, 7, 10, 20, 25)
    keys = tuple(Keyframe(frame=frame, pts=pts[frame], clean=True) for frame in (0, 3, 6))
    found = FrameIndex(time_base=Fraction(1, 10), pts=pts, end_pts=30, keyframes=keys)
    segments = cut_segments(found, 0.5, 200, suffix=".nut")
    assert [segment.step for segment in segments] == [2, None, 5]
    timings = [
        Manifest(time_base=found.time_base, frames=8, container="nut", segments=segments).timing(segment) for segment in segments
    ]
    assert timings == [
        {"time_base": Fraction(1, 10), "pts": (0, 2, 4), "end_pts": 6},
        {"time_base": Fraction(1, 10), "pts": (0, 1, 4), "end_pts": 14},
        {"time_base": Fraction(1, 10), "pts": (0, 5), "end_pts": 10},
    ]


def test_one_frame_lasts_as_long_as_the_source_says() -> None:
    found = FrameIndex(time_base=Fraction(1, 10), pts=(4,), end_pts=9, keyframes=(Keyframe(frame=0, pts=4, clean=True),))
    (segment,) = cut_segments(found, 60, 200, suffix="")
    assert (segment.step, segment.source_pts) == (5, (4,))


@pytest.mark.parametrize(
    ("duration", "seconds", "most", "planned"),
    [("125", 60, 200, 3), ("120", 60, 200, 2), ("0.04", 60, 200, 1), ("0", 60, 200, 1), ("7200", 1, 200, 200)],
)
def test_planning_counts_as_if_there_were_keyframes_everywhere(duration: str, seconds: float, most: int, planned: int) -> None:
    assert planned_segments(Fraction(duration), seconds, most) == planned
