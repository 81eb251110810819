"""Splits a source's video into files by stream copy, and proves that they hold every frame.

A file has its own time base and may begin anywhere; what counts is each frame's distance from the first. A split that cannot be
proved right is not used: containers that seek badly, or whose packets are not frames, leave the source in one piece.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from include.errors import Cancelled, InputError, InternalError, MediaError, TimedOut
from include.ffmpeg_ops import probe, runner
from include.ffmpeg_ops.ffprobe import Source
from include.ffmpeg_ops.models import FrameIndex, MediaInfo
from include.ffmpeg_ops.runner import Command
from include.ffmpeg_ops.segments import Manifest, Segment, cut_segments, unsplit
from include.settings import get_settings

__all__ = ["split"]

logger = logging.getLogger(__name__)

# NUT keeps any time base exactly. What edit lists leave out of a source, only QuickTime files can leave out, too.
_CONTAINERS: tuple[Literal["nut", "mov"], ...] = ("nut", "mov")
_FILES = "segment-*"


def split(
    source: Path,
    info: MediaInfo,
    index: FrameIndex,
    out_dir: Path,
    *,
    segment_time: float,
    most: int,
    always: bool = False,
    **run_kwargs: Any,
) -> Manifest:
    """Write the segments' files into ``out_dir`` and return their manifest; ``run_kwargs`` go to the runner.

    Where there is one segment only, it is the source itself (container ``source``, nothing is written), unless ``always``.
    """
    for container in _CONTAINERS:
        segments = cut_segments(index, segment_time, most, suffix=f".{container}")
        if len(segments) == 1 and not always:
            break
        try:
            numbers = _packet_numbers(index, segments)
            _write(source, info, numbers, out_dir / f"segment-%05d.{container}", **run_kwargs)
            _check(info, index, segments, out_dir, run_kwargs)
        except (Cancelled, TimedOut):
            raise
        except MediaError as error:
            if type(error) is InternalError and "disk" in error.message:
                raise
            logger.warning("The source cannot be split into %s files: %s", container, error)
            for path in out_dir.glob(_FILES):
                path.unlink()
        else:
            return Manifest(time_base=index.time_base, frames=len(index.pts), container=container, segments=segments)
    return unsplit(index)


def _write(source: Path, info: MediaInfo, numbers: Sequence[int], pattern: Path, **run_kwargs: Any) -> None:
    container = pattern.suffix.removeprefix(".")
    # NUT has no negative times. Whole seconds, so that nothing is rounded.
    lead = max(0, math.ceil(-info.epoch) + 10) if container == "nut" else 0
    argv = ["ffmpeg", "-copyts", "-itsoffset", str(lead), *runner.input_options(), "-i", f"file:{source.resolve()}"]
    argv += ["-map", f"0:{info.video.index}", "-c", "copy", "-copyinkf", "-map_metadata", "-1", "-map_chapters", "-1"]
    argv += ["-fflags", "+bitexact", "-avoid_negative_ts", "disabled", "-f", "segment", "-segment_format", container]
    # Not by time: what that is relative to differs between versions of ffmpeg.
    argv += ["-segment_frames", ",".join(map(str, numbers))] if numbers else ["-segment_time", "100000000"]
    argv.append(f"file:{pattern.resolve()}")
    runner.run(Command(tuple(argv)), **run_kwargs)


def _packet_numbers(index: FrameIndex, segments: Sequence[Segment]) -> list[int]:
    """Return how many packets of the video lie before each segment but the first: not all of them are frames that are shown."""
    place = {keyframe.frame: keyframe.packet for keyframe in index.keyframes}
    numbers = [place.get(segment.first_frame) for segment in segments[1:]]
    if None in numbers:
        raise InternalError("A keyframe of the index is not among the packets.")
    return [number for number in numbers if number is not None]


def _check(info: MediaInfo, index: FrameIndex, segments: tuple[Segment, ...], out_dir: Path, run_kwargs: dict[str, Any]) -> None:
    """Raise :class:`InternalError` unless every file has exactly the frames, at the distances, that its segment has."""
    files = sorted(path.name for path in out_dir.glob(_FILES))
    if files != [segment.file for segment in segments]:
        raise InternalError(f"{len(files)} files were made of {len(segments)} segments.")
    cancelled = run_kwargs.get("cancelled")
    for segment in segments:
        if cancelled is not None and cancelled.is_set():
            raise Cancelled("The work was cancelled.")
        found = _frames(out_dir / segment.file, info, segment, run_kwargs)
        start = index.pts[segment.first_frame]
        expected = [
            (pts - start) * index.time_base for pts in index.pts[segment.first_frame : segment.first_frame + segment.frames]
        ]
        if found != expected:
            raise InternalError(f"{segment.file} has {len(found)} frames, expected {len(expected)}, or at other times.")


def _frames(path: Path, info: MediaInfo, segment: Segment, run_kwargs: dict[str, Any]) -> list[Fraction]:
    """Return the distance of every frame of a file from the first one, in seconds."""
    file = Source(path, run_kwargs.get("settings") or get_settings())
    try:
        time_base = Fraction(file.document()["streams"][0]["time_base"])
        own = file.packets().get(0)
        if not own:
            return []
        made = probe.frame_index(file, 0, own, codec=info.video.codec, interlaced=info.video.interlaced, time_base=time_base)
        if segment.index and not file.starts_with_intra_picture(0):
            raise InternalError(f"{segment.file} cannot be decoded from its start.")
    except InputError as error:
        raise InternalError(f"{segment.file} cannot be read back: {error.message}") from error
    return [(pts - made.pts[0]) * time_base for pts in made.pts]
