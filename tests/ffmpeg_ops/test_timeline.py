"""Where sources are cut: properties that hold of every source and every way to cut it, and the choices made."""

from __future__ import annotations

import random
from bisect import bisect_left
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from include.errors import InputNotSupported
from include.ffmpeg_ops.models import Chunk, FrameIndex, Keyframe, MediaInfo, OutputTiming, VideoStream
from include.ffmpeg_ops.timeline import cut

GOP = Fraction(2)


def source(
    pts: list[int],
    end_pts: int,
    time_base: Fraction,
    *,
    rate: Fraction | None = None,
    keyframes: list[int] | None = None,
    unclean: set[int] = frozenset(),  # type: ignore[assignment]
    seekable: bool = True,
) -> tuple[FrameIndex, MediaInfo]:
    keys = tuple(Keyframe(frame=n, pts=pts[n], clean=n not in unclean) for n in (keyframes or [0]))
    span = (end_pts - pts[0]) * time_base
    duration = len(pts) / rate if rate else span
    video = VideoStream(
        index=0, codec="h264", width=64, height=36, display_width=64, display_height=36, pix_fmt="yuv420p", bit_depth=8,
        time_base=time_base, frame_rate=rate or (len(pts) / span).limit_denominator(1001), constant_frame_rate=rate is not None,
        start_pts=pts[0], frames=len(pts), duration=duration,
    )  # fmt: skip
    info = MediaInfo(format="mov", size=1, duration=duration, bit_rate=1, video=video, seekable=seekable)
    return FrameIndex(time_base=time_base, pts=tuple(pts), end_pts=end_pts, keyframes=keys), info


def constant(
    frames: int, rate: Fraction = Fraction(25), time_base: Fraction | None = None, **more: Any
) -> tuple[FrameIndex, MediaInfo]:
    time_base = time_base or 1 / rate
    pts = [1000 + round(n / rate / time_base) for n in range(frames)]
    return source(pts, 1000 + round(frames / rate / time_base), time_base, rate=rate, **more)


def phone(frames: int, time_base: Fraction = Fraction(1, 90000), seed: int = 3) -> tuple[FrameIndex, MediaInfo]:
    """10 to 61 frames a second, at random."""
    dice = random.Random(seed)
    pts = [500]
    for _ in range(frames):
        pts.append(pts[-1] + max(1, round(Fraction(1) / dice.randint(10, 61) / time_base)))
    return source(pts[:-1], pts[-1], time_base, keyframes=list(range(0, frames, 47)))


def cut_up(pair: tuple[FrameIndex, MediaInfo], **more: Any) -> tuple[OutputTiming, tuple[Chunk, ...]]:
    options: dict[str, Any] = {
        "chunk_seconds": 30.0, "max_chunks": 200, "slots": 2, "gop_seconds": GOP, "segment_seconds": 6, "thumbnail_seconds": 10,
    }  # fmt: skip
    return cut(*pair, **(options | more))


def output_times(pair: tuple[FrameIndex, MediaInfo], timing: OutputTiming, chunks: tuple[Chunk, ...]) -> list[Fraction]:
    """Output time of each frame, put together from the chunks as packaging does."""
    times, start = [], Fraction(0)
    for chunk in chunks:
        ticks = chunk.pts if chunk.pts is not None else range(chunk.frames)
        times += [start + tick * timing.time_base for tick in ticks]
        start += chunk.duration
    return times


SOURCES = {
    "one frame": constant(1),
    "two frames": constant(2),
    "0.04 s": constant(1, Fraction(25)),
    "exactly one GOP": constant(50),
    "one GOP and a frame": constant(51),
    "exactly ten segments": constant(1500),
    "ten segments and a frame": constant(1501),
    "29.97 in ticks": constant(2000, Fraction(30000, 1001), keyframes=list(range(0, 2000, 250))),
    "29.97 in milliseconds": constant(2000, Fraction(30000, 1001), Fraction(1, 1000), keyframes=list(range(0, 2000, 250))),
    "23.976 in milliseconds": constant(1201, Fraction(24000, 1001), Fraction(1, 1000)),
    "59.94": constant(3000, Fraction(60000, 1001), Fraction(1, 90000), keyframes=list(range(0, 3000, 33))),
    "0.2 fps": constant(40, Fraction(1, 5)),
    "single keyframe": constant(1750),
    "12 s GOPs": constant(1750, keyframes=list(range(0, 1750, 300))),
    "open GOP": constant(1750, keyframes=list(range(0, 1750, 48)), unclean=set(range(48, 1750, 48))),
    "not seekable": constant(1750, keyframes=list(range(0, 1750, 48)), seekable=False),
    "keyframe not first": constant(1750, keyframes=list(range(35, 1750, 50))),
    "phone": phone(1500),
    "phone in milliseconds": phone(1000, Fraction(1, 1000)),
    "phone in nanoseconds": phone(1000, Fraction(1, 10**9)),
    "long still frames": source([0, 1, 2, 500, 501, 1700], 1800, Fraction(1, 25), keyframes=[0, 3]),
}
CUTS = {
    "default": {},
    "5 s": {"chunk_seconds": 5.0},
    "10 s for 16 slots": {"chunk_seconds": 10.0, "slots": 16},
    "at most 3": {"chunk_seconds": 2.0, "max_chunks": 3},
    "one": {"max_chunks": 1},
    "1 s GOPs": {"gop_seconds": Fraction(1), "chunk_seconds": 7.0},
}


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", SOURCES)
def test_every_frame_is_in_exactly_one_chunk_and_nothing_is_lost_at_borders(name: str, how: str) -> None:
    pair = index, info = SOURCES[name]
    _, chunks = cut_up(pair, **CUTS[how])

    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert len(chunks) <= CUTS[how].get("max_chunks", 200)
    covered = [n for chunk in chunks for n in range(chunk.first_frame, chunk.first_frame + chunk.frames)]
    assert covered == list(range(info.video.frames))
    for chunk in chunks:
        selected = index.pts[bisect_left(index.pts, chunk.start_pts) : bisect_left(index.pts, chunk.end_pts)]
        assert len(selected) == chunk.frames
        assert selected[0] == chunk.start_pts
        assert chunk.pts is None or (len(chunk.pts) == chunk.frames and chunk.pts[0] == 0)
    assert chunks[-1].end_pts == index.end_pts


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", SOURCES)
def test_durations_add_up_and_output_times_are_the_sources(name: str, how: str) -> None:
    pair = index, info = SOURCES[name]
    timing, chunks = cut_up(pair, **CUTS[how])
    times = output_times(pair, timing, chunks)
    total = sum((chunk.duration for chunk in chunks), Fraction(0))

    assert all(before < after for before, after in pairwise(times))
    if index.time_base >= Fraction(1, 90000):
        assert total == info.video.duration
    # A millisecond where the container rounded to that, half an output tick where its ticks are finer than ours.
    allowed = max(Fraction(1, 1000), timing.time_base / 2) if timing.constant else Fraction(1, 180_000)
    wanted = [(pts - index.pts[0]) * index.time_base for pts in index.pts]
    assert max(abs(time - want) for time, want in zip(times, wanted, strict=True)) <= allowed
    assert abs(total - info.video.duration) <= Fraction(1, 180_000)


@pytest.mark.parametrize("name", SOURCES)
def test_keyframes_lie_on_one_grid_however_the_source_is_cut(name: str) -> None:
    pair = SOURCES[name]
    grids = []
    for more in CUTS.values():
        if "gop_seconds" in more:
            continue
        timing, chunks = cut_up(pair, **more)
        times = output_times(pair, timing, chunks)
        found = [chunk.first_frame + frame for chunk in chunks for frame in chunk.keyframes]
        wanted = {bisect_left(times, k * GOP) for k in range(int(times[-1] / GOP) + 1)}
        assert found == sorted(wanted)
        grids.append(found)
    assert all(grid == grids[0] for grid in grids)


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", SOURCES)
def test_forced_times_lie_between_the_frame_before_and_the_keyframe(name: str, how: str) -> None:
    timing, chunks = cut_up(SOURCES[name], **CUTS[how])
    for chunk in chunks:
        ticks = chunk.pts if chunk.pts is not None else range(chunk.frames)
        assert chunk.keyframes[0] == 0
        assert len(chunk.force_times) == len(chunk.keyframes) - 1
        for time, frame in zip(chunk.force_times, chunk.keyframes[1:], strict=True):
            assert ticks[frame - 1] * timing.time_base < time < ticks[frame] * timing.time_base


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", SOURCES)
def test_decoding_starts_at_a_keyframe_at_or_before_the_chunk(name: str, how: str) -> None:
    index, info = SOURCES[name]
    _, chunks = cut_up((index, info), **CUTS[how])
    keys = {keyframe.pts for keyframe in index.keyframes}
    assert chunks[0].seek_pts is None
    for chunk in chunks:
        assert chunk.seek_pts is None or (info.seekable and chunk.seek_pts in keys and chunk.seek_pts <= chunk.start_pts)


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", SOURCES)
def test_thumbnails_are_the_first_frames_at_or_after_each_ten_seconds(name: str, how: str) -> None:
    pair = index, _ = SOURCES[name]
    timing, chunks = cut_up(pair, **CUTS[how])
    times = output_times(pair, timing, chunks)
    total = sum((chunk.duration for chunk in chunks), Fraction(0))
    wanted, number = [], 0
    while number * 10 < total:
        frame = min(bisect_left(times, number * 10), len(times) - 1)
        if index.pts[frame] not in wanted:
            wanted.append(index.pts[frame])
        number += 1
    assert [pts for chunk in chunks for pts in chunk.thumbnails] == wanted
    assert all(chunk.start_pts <= pts < chunk.end_pts for chunk in chunks for pts in chunk.thumbnails)


def test_no_thumbnails_where_none_are_wanted() -> None:
    _, chunks = cut_up(constant(1000), thumbnail_seconds=None)
    assert all(chunk.thumbnails == () for chunk in chunks)


@pytest.mark.parametrize(
    ("seconds", "more", "lengths"),
    [
        (4, {}, [4]),
        (15, {}, [15]),
        (20, {}, [10, 10]),
        (24, {}, [12, 12]),
        (60, {}, [30, 30]),
        (96, {}, [24, 24, 24, 24]),
        (120, {"slots": 16}, [8] * 15),
        (600, {"max_chunks": 7, "slots": 4}, [150, 150, 150, 150]),
        (600, {"max_chunks": 3, "slots": 4}, [198, 204, 198]),
        (60, {"slots": 1}, [30, 30]),
        (30, {"chunk_seconds": 5.0}, [4, 6, 4, 6, 4, 6]),
    ],
    ids=["short", "too short for two", "two of ten", "two of twelve", "even", "a multiple of slots", "many slots", "capped",
         "capped below slots", "one slot", "tiny chunks"],
)  # fmt: skip
def test_chunks_are_even_and_as_many_as_slots_can_use(seconds: int, more: dict[str, Any], lengths: list[int]) -> None:
    frames = seconds * 25
    _, chunks = cut_up(constant(frames, keyframes=list(range(0, frames, 25))), **more)
    assert [int(chunk.duration) for chunk in chunks] == lengths


def test_borders_of_long_chunks_lie_on_the_segment_grid() -> None:
    _, chunks = cut_up(constant(25 * 3600, keyframes=list(range(0, 25 * 3600, 37))))
    assert all(chunk.first_frame % 150 == 0 for chunk in chunks)
    assert len(chunks) == 120


def test_a_border_where_the_source_has_a_keyframe_is_preferred() -> None:
    _, chunks = cut_up(constant(2250, keyframes=[0, 500, 1200]), chunk_seconds=45.0)
    assert [chunk.first_frame for chunk in chunks] == [0, 1200]
    assert chunks[1].seek_pts == chunks[1].start_pts


def test_cutting_is_not_bound_to_the_sources_keyframes() -> None:
    _, chunks = cut_up(constant(750, keyframes=[0, 300, 600]), chunk_seconds=5.0, slots=1)
    assert len(chunks) == 6
    assert {chunk.seek_pts for chunk in chunks[1:]} <= {None, 1300, 1600}


def test_a_clean_keyframe_is_sought_unless_it_is_far_away() -> None:
    near = constant(1500, keyframes=[0, 600, 700], unclean={700})
    far = constant(1500, keyframes=[0, 300, 700], unclean={700})
    assert cut_up(near)[1][1].seek_pts == 1600
    assert cut_up(far)[1][1].seek_pts == 1700


def test_an_unclean_keyframe_is_better_than_none() -> None:
    _, chunks = cut_up(constant(3000, keyframes=[700, 1400], unclean={700, 1400}))
    assert chunks[1].seek_pts == 1000 + 700


def test_a_constant_rate_is_put_on_the_exact_grid() -> None:
    timing, chunks = cut_up(SOURCES["29.97 in milliseconds"])
    assert timing.time_base == Fraction(1001, 30000)
    assert timing.timescale == 30000
    assert all(chunk.pts is None for chunk in chunks)
    assert chunks[0].keyframes[:4] == (0, 60, 120, 180)


@pytest.mark.parametrize(
    ("time_base", "expected"),
    [(Fraction(1, 1000), Fraction(1, 1000)), (Fraction(1, 90000), Fraction(1, 90000)), (Fraction(1, 10**9), Fraction(1, 90000))],
    ids=str,
)
def test_a_variable_rate_keeps_the_sources_ticks_unless_they_are_too_fine(time_base: Fraction, expected: Fraction) -> None:
    assert cut_up(phone(300, time_base))[0].time_base == expected


def test_frames_closer_than_output_ticks_can_tell_are_refused() -> None:
    pair = source([0, 1_000, 2_000_000_000], 3_000_000_000, Fraction(1, 10**9))
    with pytest.raises(InputNotSupported, match="Frames 0 and 1"):
        cut_up(pair)
