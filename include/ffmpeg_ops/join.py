"""Input options that put chunks and audio, whose files all start at zero, on one timeline for a stream copy.

The offsets between chunks are given to the concat demuxer from exact sums, so nothing drifts. What one output's streams are
shifted by together is told by :func:`shift`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from include.ffmpeg_ops import runner
from include.ffmpeg_ops.models import AudioTarget, Plan

__all__ = ["CLEAN", "audio_input", "seconds", "shift", "tag", "video_input"]

# Nothing of the parts comes along but their packets.
CLEAN = ("-c", "copy", "-map_metadata", "-1", "-map_chapters", "-1")


def video_input(plan: Plan, parts: Sequence[Path], scratch: Path) -> tuple[str, ...]:
    """Return the options that read all chunks of a rung as one stream; their list is written into ``scratch``."""
    if plan.copied:
        # What the concat demuxer leaves out of a stream, how it is to be turned, matters here.
        return ("-itsoffset", seconds(Fraction(_lead(plan))), *runner.input_options(), "-i", f"file:{parts[0].resolve()}")
    lines = ["ffconcat version 1.0"]
    start = Fraction(0)
    for chunk, path in zip(plan.chunks, parts, strict=True):
        end = start + chunk.duration
        quoted = str(path.resolve()).replace("'", r"'\''")
        # The demuxer counts in microseconds: rounding the sums, not the terms, keeps every chunk within half of one.
        lines += [f"file 'file:{quoted}'", f"duration {_microseconds(end) - _microseconds(start)}us"]
        start = end
    path = scratch / "chunks.ffconcat"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # auto_convert would put parameter sets into every keyframe.
    options = (*runner.input_options("concat"), "-auto_convert", "0", "-i", f"file:{path}")
    return ("-itsoffset", seconds(Fraction(_lead(plan))), *options)


def audio_input(plan: Plan, target: AudioTarget, path: Path) -> tuple[str, ...]:
    """Return the options that read an audio file, as much before or after the video as in the source."""
    offset = _lead(plan) + target.stream.start_time - plan.info.video.start_time
    return ("-itsoffset", seconds(offset), *runner.input_options(), "-i", f"file:{path.resolve()}")


def tag(codec: str) -> tuple[str, ...]:
    """Return the option that names a codec in an MP4 as all players know it."""
    return ("-tag:v", "hvc1") if codec == "hevc" else ()


def shift(plan: Plan) -> Fraction:
    """Return by what ``-output_ts_offset`` puts :attr:`MediaInfo.epoch` at zero."""
    return plan.info.video.start_time - plan.info.epoch - _lead(plan)


def seconds(value: Fraction) -> str:
    """Return ``value`` as ffmpeg reads it, to the microsecond."""
    return f"{_microseconds(value)}us"


def _lead(plan: Plan) -> int:
    # ffmpeg rounds -itsoffset to the stream's ticks, and a chunk's are as coarse as a frame: so the video is moved by whole
    # seconds, far enough for no audio to become negative, and the rest is left to the muxer.
    return math.ceil(plan.info.video.start_time - plan.info.epoch)


def _microseconds(value: Fraction) -> int:
    return round(value * 1_000_000)
