"""The timeline of a transcoding task: in chunks, or in one piece where it is copied, or shown at another frame rate. Pure."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from include.errors import OutputNotSupported
from include.ffmpeg_ops.codecs import GOP_SECONDS, check_frame_rate, gop_frames
from include.ffmpeg_ops.encodings import TaskProfile
from include.ffmpeg_ops.models import Chunk, FrameIndex, MediaInfo, OutputTiming
from include.ffmpeg_ops.timeline import cut

__all__ = ["as_it_is", "frames_at", "resampled", "task_timeline"]

# A list of times goes to ffmpeg as one argument, of which Linux takes 128 KiB; a time has some ten digits and a comma.
MOST_LISTED_KEYFRAMES = 9_000
# A border may be a quarter of a chunk from its ideal place; what is left is long enough to be held to its bitrate.
SHORTEST_RATED_CHUNK = 12


def task_timeline(
    profile: TaskProfile,
    index: FrameIndex,
    info: MediaInfo,
    *,
    chunk_seconds: float,
    max_chunks: int,
    slots: int,
) -> tuple[OutputTiming, tuple[Chunk, ...]]:
    """Return timing and chunks of a task's outputs; the other arguments are :func:`include.ffmpeg_ops.timeline.cut`'s.

    Raises :class:`OutputNotSupported` for a frame rate that the format does not have.
    """
    first, video = profile.encodings[0], info.video
    if first.format == "copy":
        return as_it_is(index, info)
    rate = first.framerate or video.frame_rate
    if first.format == "mpeg2" and first.framerate is None and not video.constant_frame_rate:
        raise OutputNotSupported("The source's frame rate varies, which MPEG-2 cannot have; name a framerate in the profile.")
    check_frame_rate(first, rate)
    # Where the rate varies, the time that so many frames take on the average.
    even = video.constant_frame_rate or first.framerate is not None or first.gop_size is not None
    gop_seconds = gop_frames(first, rate) / rate if even else Fraction(GOP_SECONDS)
    if first.framerate and not (video.constant_frame_rate and video.frame_rate == rate):
        return resampled(index, info, rate, gop_seconds=gop_seconds)
    if any(encoding.bitrate for encoding in profile.encodings):
        # Each chunk keeps the bitrate by itself, for which it needs some length.
        chunk_seconds = max(chunk_seconds, SHORTEST_RATED_CHUNK)
        slots = max(1, min(slots, floor(video.duration / SHORTEST_RATED_CHUNK)))
    # A constant rate, and one spread over the film, are kept by one encoder from end to end.
    whole = any(encoding.rc_mode != "vbr" for encoding in profile.encodings)
    timing, chunks = cut(
        index,
        info,
        chunk_seconds=chunk_seconds,
        max_chunks=1 if whole else max_chunks,
        slots=slots,
        gop_seconds=gop_seconds,
        # Keyframes, not HLS segments, say where chunks may begin: a task's may be of any length.
        segment_seconds=gop_seconds,
        thumbnail_seconds=None,
    )
    if not timing.constant and max(len(chunk.force_times) for chunk in chunks) > MOST_LISTED_KEYFRAMES:
        raise OutputNotSupported("Keyframes lie too close together for a film of this length; name a framerate in the profile.")
    return timing, chunks


def frames_at(frame_rate: Fraction, duration: Fraction) -> int:
    """Return how many frames show ``duration`` seconds at ``frame_rate``: the nearest whole number, at least one."""
    return max(1, floor(duration * frame_rate + Fraction(1, 2)))


def resampled(
    index: FrameIndex, info: MediaInfo, frame_rate: Fraction, *, gop_seconds: Fraction
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
        segment_seconds=gop_seconds,
        thumbnail_seconds=None,
    )
    last = floor((index.pts[-1] - index.pts[0]) * index.time_base * frame_rate + Fraction(1, 2))
    whole = {"start_pts": index.pts[0], "end_pts": index.end_pts, "seek_pts": None, "held": max(0, count - 1 - last)}
    return timing, (chunk.model_copy(update=whole),)


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
