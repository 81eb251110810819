"""The timeline of a transcoding task that is made in one piece: at another frame rate, or copied. Pure."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from include.ffmpeg_ops.models import Chunk, FrameIndex, MediaInfo, OutputTiming
from include.ffmpeg_ops.timeline import cut

__all__ = ["as_it_is", "frames_at", "resampled"]


def frames_at(frame_rate: Fraction, duration: Fraction) -> int:
    """Return how many frames show ``duration`` seconds at ``frame_rate``: the nearest whole number, at least one."""
    return max(1, floor(duration * frame_rate + Fraction(1, 2)))


def resampled(
    index: FrameIndex, info: MediaInfo, frame_rate: Fraction, *, gop_seconds: Fraction, segment_seconds: int
) -> tuple[OutputTiming, tuple[Chunk, ...]]:
    """Return the timeline of all frames in one chunk, at another rate: frame n shows what is seen nearest to n / rate."""
    time_base = 1 / frame_rate
    count = frames_at(frame_rate, (index.end_pts - index.pts[0]) * index.time_base)
    grid = FrameIndex(time_base=time_base, pts=tuple(range(count)), end_pts=count, keyframes=())
    rate = {"frame_rate": frame_rate, "constant_frame_rate": True, "time_base": time_base}
    timing, (chunk,) = cut(
        grid,
        info.model_copy(update={"video": info.video.model_copy(update=rate)}),
        chunk_seconds=1,
        max_chunks=1,
        slots=1,
        gop_seconds=gop_seconds,
        segment_seconds=segment_seconds,
        thumbnail_seconds=None,
    )
    return timing, (chunk.model_copy(update={"start_pts": index.pts[0], "end_pts": index.end_pts, "seek_pts": None}),)


def as_it_is(index: FrameIndex, info: MediaInfo) -> tuple[OutputTiming, tuple[Chunk, ...]]:
    """Return the timeline of a copy: one chunk, every frame at its own tick, keyframes where the source has them."""
    first, step = index.pts[0], index.time_base
    timing = OutputTiming(time_base=step, frame_rate=info.video.frame_rate, constant=False)
    chunk = Chunk(
        index=0,
        first_frame=0,
        frames=len(index.pts),
        start_pts=first,
        end_pts=index.end_pts,
        seek_pts=None,
        pts=tuple(pts - first for pts in index.pts),
        duration=(index.end_pts - first) * step,
        keyframes=tuple(keyframe.frame for keyframe in index.keyframes),
        force_times=(),
    )
    return timing, (chunk,)
