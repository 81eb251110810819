"""Reads an upscaled file of ours back: size, keyframe, and the PTS of every packet."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from include.errors import VerificationFailed
from include.sr_model.models import UpscaleTask
from include.sr_model.picture import Geometry

__all__ = ["verify"]


def verify(path: Path, task: UpscaleTask, geometry: Geometry) -> None:
    """Raise :class:`VerificationFailed` unless ``path`` holds ``task``'s frames, each at its time, the first a keyframe."""
    try:
        with av.open(str(path)) as container:
            video: Any = container.streams.video[0]
            size, time_base = (video.width, video.height), Fraction(video.time_base)
            packets = sorted((packet.pts, packet.is_keyframe) for packet in container.demux(video) if packet.pts is not None)
    except (av.error.FFmpegError, IndexError) as error:
        raise VerificationFailed(f"The upscaled video cannot be read back: {getattr(error, 'strerror', error)}.") from error
    if size != (geometry.width, geometry.height):
        raise VerificationFailed(f"The upscaled video is {size[0]}x{size[1]}, expected {geometry.width}x{geometry.height}.")
    if len(packets) != task.frames:
        raise VerificationFailed(f"The upscaled video has {len(packets)} frames, expected {task.frames}.")
    if not packets[0][1]:
        raise VerificationFailed("The upscaled video does not start with a keyframe.")
    for number, ((pts, _), tick) in enumerate(zip(packets, task.ticks, strict=True)):
        # Matroska counts in milliseconds; everywhere else the ticks are ours and the difference is none.
        if abs(pts * time_base - Fraction(tick, task.timescale)) > time_base / 2:
            raise VerificationFailed(
                f"Frame {number} of the upscaled video is at {float(pts * time_base):.6f} s, "
                f"expected {float(Fraction(tick, task.timescale)):.6f} s."
            )
