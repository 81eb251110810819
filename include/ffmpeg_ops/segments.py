"""Where a source is split for super-resolution, and the manifest of the files that the split made. Pure.

Segments hold whole groups of pictures: they start at keyframes from which decoding is clean, so that each decodes alone.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from pydantic import Field

from include.ffmpeg_ops.exact import Frozen, Rational
from include.ffmpeg_ops.models import FrameIndex

__all__ = ["SOURCE_FILE", "Manifest", "Segment", "cut_segments", "planned_segments", "unsplit"]

SOURCE_FILE = "source"


class Segment(Frozen):
    """A run of frames, ``first_frame <= n < first_frame + frames``; PTS are the source's, in the manifest's time base."""

    index: int
    file: str = Field(description="name of the segment's file")
    first_frame: int
    frames: int = Field(gt=0)
    start_pts: int
    end_pts: int = Field(description="PTS of the next segment's first frame, or the end of the stream; exclusive")
    keyframe: bool = Field(description="the first frame is a keyframe")
    step: int | None = Field(description="ticks from each frame to the next, where they are all the same")
    pts: tuple[int, ...] | None = Field(description="where they are not: ticks of every frame since the first")

    @property
    def ticks(self) -> tuple[int, ...]:
        """Ticks of every frame since the first."""
        return self.pts if self.pts is not None else tuple(n * (self.step or 0) for n in range(self.frames))

    @property
    def source_pts(self) -> tuple[int, ...]:
        """PTS of every frame in the source."""
        return tuple(self.start_pts + tick for tick in self.ticks)


class Manifest(Frozen):
    """What the split made: files that hold every frame of the source's video exactly once, in order."""

    time_base: Rational
    frames: int
    container: Literal["nut", "mov", "source"] = Field(description="of the files; source: the only segment is the source itself")
    segments: tuple[Segment, ...]

    def timing(self, segment: Segment) -> dict[str, Any]:
        """Return the fields of a task that keeps the frames' times, from zero.

        The time base of a stream is in its parameter sets, which all segments share: it is a frame's length only where that is
        the same in the whole film, and not in a part of it that happens to be even.
        """
        (step, *others) = {one.step for one in self.segments}
        if step and not others:
            return {"time_base": step * self.time_base}
        return {"time_base": self.time_base, "pts": segment.ticks, "end_pts": segment.end_pts - segment.start_pts}


def planned_segments(duration: Fraction, segment_time: float, most: int) -> int:
    """Return how many segments a source of ``duration`` seconds has at the most, before its keyframes are known."""
    length = max(Fraction(segment_time), duration / most)
    return max(1, -(-duration // length))


def cut_segments(index: FrameIndex, segment_time: float, most: int, *, suffix: str) -> tuple[Segment, ...]:
    """Cut at the first clean keyframe ``segment_time`` seconds or more after the segment's start; at most ``most`` segments."""
    duration = (index.end_pts - index.pts[0]) * index.time_base
    length = max(Fraction(segment_time), duration / most) / index.time_base
    starts = [0]
    for keyframe in index.keyframes:
        if keyframe.clean and keyframe.pts - index.pts[starts[-1]] >= length:
            starts.append(keyframe.frame)
    keys = {keyframe.frame for keyframe in index.keyframes}
    ends = [*starts[1:], len(index.pts)]
    return tuple(
        _segment(index, number, first, end, keyframe=first in keys, suffix=suffix)
        for number, (first, end) in enumerate(zip(starts, ends, strict=True))
    )


def unsplit(index: FrameIndex) -> Manifest:
    """Return the manifest of a source that stays in one piece: its only segment's file is the source itself."""
    whole = _segment(index, 0, 0, len(index.pts), keyframe=any(key.frame == 0 for key in index.keyframes), suffix="")
    segments = (whole.model_copy(update={"file": SOURCE_FILE}),)
    return Manifest(time_base=index.time_base, frames=len(index.pts), container="source", segments=segments)


def _segment(index: FrameIndex, number: int, first: int, end: int, *, keyframe: bool, suffix: str) -> Segment:
    start = index.pts[first]
    end_pts = index.pts[end] if end < len(index.pts) else index.end_pts
    ticks = tuple(pts - start for pts in index.pts[first:end])
    step = ticks[1] if len(ticks) > 1 else end_pts - start
    even = all(tick == step * n for n, tick in enumerate(ticks))
    return Segment(
        index=number,
        file=f"segment-{number:05d}{suffix}",
        first_frame=first,
        frames=end - first,
        start_pts=start,
        end_pts=end_pts,
        keyframe=keyframe,
        step=step if even else None,
        pts=None if even else ticks,
    )
