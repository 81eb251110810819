"""Decides where a source is cut and where its outputs have keyframes. Pure.

Output time zero is the first frame. Keyframes lie on one grid: the first frame at or after every multiple of the GOP length.
Chunks start on that grid (where it can be, on the HLS segments' coarser one), so the grid is the same however a source is cut.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from include.errors import InputNotSupported
from include.ffmpeg_ops.models import Chunk, FrameIndex, Keyframe, MediaInfo, OutputTiming

__all__ = ["cut", "timing_of"]

FINEST_TIME_BASE = Fraction(1, 90_000)
# A shorter chunk spends more on starting than is won by one more of them.
SHORTEST_CHUNK = 8
# Decoding is several times cheaper than encoding: that much of a second that one unit takes longer than the others.
WARM_UP_WEIGHT = 0.25
# Decoders complain at an unclean keyframe of the pictures shown before it: a clean one is worth so many seconds of decoding.
CLEAN_WORTH = 10
# How far from its ideal place a border may be, in chunks: on the segment grid (nice to have), on the GOP grid (needed).
REACHES = (Fraction(1, 10), Fraction(1, 4))


def timing_of(info: MediaInfo) -> OutputTiming:
    """Return how the outputs are timed: on an exact grid at a constant rate, else in the source's ticks, if not too fine."""
    video = info.video
    time_base = 1 / video.frame_rate if video.constant_frame_rate else max(video.time_base, FINEST_TIME_BASE)
    return OutputTiming(time_base=time_base, frame_rate=video.frame_rate, constant=video.constant_frame_rate)


@dataclass(frozen=True)
class _Clock:
    """Output times of frames, as whole ticks of ``time_base`` since the first; ``ticks[-1]`` is the end of the last frame."""

    time_base: Fraction
    ticks: Sequence[int]

    @property
    def frames(self) -> int:
        return len(self.ticks) - 1

    def time(self, frame: int) -> Fraction:
        return self.ticks[frame] * self.time_base

    def before(self, frame: int) -> Fraction:
        """Return the time midway between the frame before and this one."""
        return (self.time(frame - 1) + self.time(frame)) / 2

    def at_or_after(self, seconds: Fraction) -> int:
        """Return the first frame with ``time >= seconds``; ``frames`` where there is none."""
        return min(bisect_left(self.ticks, ceil(seconds / self.time_base)), self.frames)

    def grid(self, step: Fraction) -> list[int]:
        """Return the first frames at or after each multiple of ``step``; a frame longer than a step stands for several."""
        found = [0]
        while True:
            frame = self.at_or_after((floor(self.time(found[-1]) / step) + 1) * step)
            if frame >= self.frames:
                return found
            found.append(frame)


def _clock(index: FrameIndex, timing: OutputTiming) -> _Clock:
    if timing.constant:
        return _Clock(timing.time_base, range(len(index.pts) + 1))
    if index.time_base == timing.time_base:
        return _Clock(timing.time_base, [pts - index.pts[0] for pts in (*index.pts, index.end_pts)])
    scale = index.time_base / timing.time_base
    ticks = [_round((pts - index.pts[0]) * scale) for pts in (*index.pts, index.end_pts)]
    for number, (before, after) in enumerate(pairwise(ticks)):
        if after <= before:
            raise InputNotSupported(
                f"Frames {number} and {number + 1} of the source are closer together than {timing.time_base} s."
            )
    return _Clock(timing.time_base, ticks)


def _round(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def cut(
    index: FrameIndex,
    info: MediaInfo,
    *,
    chunk_seconds: float,
    max_chunks: int,
    slots: int,
    gop_seconds: Fraction,
    segment_seconds: int | Fraction,
    thumbnail_seconds: int | None,
) -> tuple[OutputTiming, tuple[Chunk, ...]]:
    """Cut a source into chunks of about ``chunk_seconds``, at most ``max_chunks``, evenly long for ``slots`` parallel units.

    ``segment_seconds`` is a multiple of ``gop_seconds``. Each border is the grid frame that costs least: near its ideal place,
    and with little to decode before it. Every frame is in exactly one chunk, and durations add up to the whole exactly. Raises
    :class:`InputNotSupported` where frames of a variable rate lie closer together than output time stamps can tell.
    """
    timing = timing_of(info)
    clock = _clock(index, timing)
    grid = clock.grid(Fraction(gop_seconds))
    duration = clock.time(clock.frames)
    seeks = _Seeks(index.keyframes if info.seekable else (), clock)
    count = _chunk_count(duration, chunk_seconds, max_chunks, slots)
    borders = _borders(clock, seeks, (clock.grid(Fraction(segment_seconds)), grid), count)
    thumbnails = _thumbnails(clock, thumbnail_seconds)
    chunks = [
        Chunk(
            index=number,
            first_frame=first,
            frames=end - first,
            start_pts=index.pts[first],
            end_pts=index.pts[end] if end < clock.frames else index.end_pts,
            seek_pts=seeks.pts(first),
            pts=None if timing.constant else tuple(tick - clock.ticks[first] for tick in clock.ticks[first:end]),
            duration=clock.time(end) - clock.time(first),
            keyframes=tuple(frame - first for frame in _within(grid, first, end)),
            force_times=tuple(clock.before(frame) - clock.time(first) for frame in _within(grid, first + 1, end)),
            thumbnails=tuple(index.pts[frame] for frame in _within(thumbnails, first, end)),
        )
        for number, (first, end) in enumerate(pairwise([*borders, clock.frames]))
    ]
    return timing, tuple(chunks)


def _chunk_count(duration: Fraction, chunk_seconds: float, max_chunks: int, slots: int) -> int:
    wanted = max(1, round(float(duration) / chunk_seconds))
    # A number that the slots divide lets all of them finish together, but not at the price of tiny chunks.
    even = -(-wanted // slots) * slots
    count = max(wanted, min(even, floor(duration / SHORTEST_CHUNK)))
    if count > max_chunks:
        count = max_chunks - max_chunks % slots or max_chunks
    return count


def _borders(clock: _Clock, seeks: _Seeks, grids: Sequence[Sequence[int]], count: int) -> list[int]:
    """Return the first frames of the chunks; fewer than ``count`` where the grid is too coarse for so many."""
    length = clock.time(clock.frames) / count
    borders = [0]
    for number in range(1, count):
        ideal = number * length
        for grid, reach in zip(grids, REACHES, strict=True):
            low, high = clock.at_or_after(ideal - reach * length), clock.at_or_after(ideal + reach * length)
            near = _within(grid, max(low, borders[-1] + 1), high + 1)
            if near:
                borders.append(min(near, key=lambda frame: _cost(clock, seeks, frame, ideal)))
                break
    return borders


def _cost(clock: _Clock, seeks: _Seeks, frame: int, ideal: Fraction) -> float:
    return float(abs(clock.time(frame) - ideal)) + WARM_UP_WEIGHT * seeks.warm_up(frame)


class _Seeks:
    """Where decoding starts for a chunk."""

    def __init__(self, keyframes: Sequence[Keyframe], clock: _Clock) -> None:
        self._clock = clock
        self._all = keyframes
        self._clean = [keyframe for keyframe in keyframes if keyframe.clean]

    def keyframe(self, frame: int) -> Keyframe | None:
        """Return the keyframe to seek to for a chunk that starts with ``frame``; None: start with the file."""
        clean, nearest = _last(self._clean, frame), _last(self._all, frame)
        chosen = clean or nearest
        if nearest and self._time(nearest) - self._time(chosen) > CLEAN_WORTH:
            chosen = nearest
        return chosen if chosen and chosen.frame > 0 else None

    def pts(self, frame: int) -> int | None:
        """Return the PTS of that keyframe."""
        keyframe = self.keyframe(frame) if frame else None
        return keyframe.pts if keyframe else None

    def warm_up(self, frame: int) -> float:
        """Return the seconds that are decoded to be thrown away; zero in files without seeking, where no border is better."""
        if not self._all:
            return 0.0
        return float(self._clock.time(frame) - self._time(self.keyframe(frame)))

    def _time(self, keyframe: Keyframe | None) -> Fraction:
        return self._clock.time(keyframe.frame) if keyframe else Fraction(0)


def _last(keyframes: Sequence[Keyframe], frame: int) -> Keyframe | None:
    position = bisect_right(keyframes, frame, key=lambda keyframe: keyframe.frame)
    return keyframes[position - 1] if position else None


def _within(frames: Sequence[int], first: int, end: int) -> Sequence[int]:
    return frames[bisect_left(frames, first) : bisect_left(frames, end)]


def _thumbnails(clock: _Clock, every: int | None) -> list[int]:
    """Return the first frame at or after each multiple of ``every`` seconds; the last where a multiple falls within it."""
    if every is None:
        return []
    times = (Fraction(number * every) for number in range(ceil(clock.time(clock.frames) / every)))
    return sorted({min(clock.at_or_after(time), clock.frames - 1) for time in times})
