"""When every frame of an output is due, which frames are keyframes and which start a segment, from the plan."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from include.ffmpeg_ops.models import Plan

__all__ = ["Timetable", "segment_starts"]

MOST_REORDERED = 16
"""Frames that H.264 and HEVC may decode before one that is shown earlier."""


@dataclass(frozen=True)
class Timetable:
    """The plan's frames on the output's timeline, whose zero is the first frame."""

    plan: Plan

    @cached_property
    def pts(self) -> list[int]:
        """PTS of every frame in 1/:attr:`OutputTiming.timescale` s."""
        step, scale = self.plan.timing.time_base.numerator, self.plan.timing.timescale
        found: list[int] = []
        start = Fraction(0)
        for chunk in self.plan.chunks:
            first = round(start * scale)
            found += [first + step * pts for pts in (range(chunk.frames) if chunk.pts is None else chunk.pts)]
            start += chunk.duration
        return found

    @cached_property
    def seconds(self) -> Fraction:
        """The end of the last frame."""
        return sum((chunk.duration for chunk in self.plan.chunks), Fraction(0))

    @cached_property
    def last_lengths(self) -> tuple[Fraction, ...]:
        """How many seconds each of the last frames is shown, as many as an encoder may reorder, the very last one among them."""
        scale = self.plan.timing.timescale
        ends = [*(Fraction(pts, scale) for pts in self.pts[-MOST_REORDERED - 1 :]), self.seconds]
        return tuple(later - earlier for earlier, later in pairwise(ends))

    @cached_property
    def keyframes(self) -> tuple[int, ...]:
        """Numbers of the keyframes."""
        return tuple(chunk.first_frame + number for chunk in self.plan.chunks for number in chunk.keyframes)

    @cached_property
    def segment_starts(self) -> tuple[int, ...]:
        """Numbers of the frames that start an HLS segment."""
        return segment_starts(self.pts, self.keyframes, self.plan.segment_seconds * self.plan.timing.timescale)

    def chunk_of(self, frame: int) -> int:
        """Return the index of the chunk that a frame belongs to; of the last, for frames beyond the end."""
        firsts = [chunk.first_frame for chunk in self.plan.chunks]
        return max(0, bisect_right(firsts, frame) - 1)

    def describe_loss(self, frames: int, first_wrong: int) -> str:
        """Say which chunk lost frames, where an output has ``frames`` and differs from ``first_wrong`` on."""
        number = self.chunk_of(first_wrong)
        chunk = self.plan.chunks[number]
        missing = len(self.pts) - frames
        if missing > 0 and first_wrong + missing == chunk.first_frame + chunk.frames:
            return f"chunk {number} lost its last {'frame' if missing == 1 else f'{missing} frames'}"
        return f"the first difference is at frame {first_wrong}, in chunk {number}"


def segment_starts(pts: Sequence[int], keyframes: Sequence[int], length: int) -> tuple[int, ...]:
    """Return the first keyframe at or after every multiple of ``length`` from the first frame, as HLS segmenters cut."""
    starts = list(keyframes[:1])
    for number in keyframes[1:]:
        if pts[number] - pts[0] >= length * len(starts):
            starts.append(number)
    return tuple(starts)
