"""Decodes the source in a process of its own, whose pictures come through a pipe: planar 4:2:0, nothing turned or recoloured."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ffmpeg

from include.errors import InvalidInputData
from include.ffmpeg_ops import commands, filters, runner
from include.ffmpeg_ops.models import VideoStream
from include.ffmpeg_ops.runner import Command, Stream
from include.settings import Settings
from include.sr_model.description import whole_chroma
from include.sr_model.models import UpscaleTask
from include.sr_model.picture import Geometry, Picture

__all__ = ["Decoder", "decode", "decode_command", "geometry_of"]


def geometry_of(stream: VideoStream) -> Geometry:
    """Return the pictures that the network gets: as coded, 8 bit where the source has no more, else 10."""
    return Geometry(stream.width, stream.height, 8 if stream.bit_depth <= 8 else 10)


def decode_command(source: Path, task: UpscaleTask) -> Command:
    """Return the command that writes every frame of ``source``'s video stream to its standard output."""
    stream, geometry = task.stream, geometry_of(task.stream)
    # The rotation stays a tag; a size that changes midway is the scaler's work.
    video = ffmpeg.input(f"file:{source}", **commands.input_arguments(), noautorotate=None, reinit_filter=0)[str(stream.index)]
    video = filters.deinterlace(video, stream)
    if task.damage_policy == "salvage" and task.pts is None:
        # Where frames are missing the one before stands in, so that the segment keeps its length.
        rate = f"{task.frame_rate.numerator}/{task.frame_rate.denominator}"
        video = video.filter("setpts", f"PTS-({stream.start_pts})").filter("fps", fps=rate, start_time=0, round="near")
        video = video.filter("tpad", stop=-1, stop_mode="clone").filter("trim", end_frame=task.frames)
    video = _halve_chroma(video, stream, geometry.pix_fmt)
    output = ffmpeg.output(video, "pipe:1", f="rawvideo", fps_mode="passthrough", map_metadata="-1")
    return Command(("ffmpeg", "-copyts", "-max_error_rate", "1", *ffmpeg.get_args(output)), frames=task.frames)


def _halve_chroma(video: Any, stream: VideoStream, pix_fmt: str) -> Any:
    if not whole_chroma(stream):
        return filters.planar(video, stream, pix_fmt)
    # Left to itself the scaler puts halved chroma amid two samples of luma; the usual place is beside the left one.
    whole = filters.planar(video, stream, pix_fmt.replace("420", "444"))
    range_ = "tv" if filters.is_rgb(stream) else stream.color.range or "tv"
    return whole.filter("scale", flags="bicubic", in_range=range_, out_range=range_, out_h_chr_pos=0).filter("format", pix_fmt)


class Decoder:
    """The frames of a source, one after the other."""

    def __init__(self, stream: Stream, task: UpscaleTask) -> None:
        self.frames = 0
        self.seconds = 0.0
        self._stream = stream
        self._task = task

    def read(self, picture: Picture) -> bool:
        """Fill ``picture`` with the next frame, or return False after the last.

        Raises :class:`InvalidInputData` where the source holds another number of frames than the task or, under the policy
        ``strict``, is damaged; and what :func:`include.ffmpeg_ops.runner.run` raises.
        """
        started = time.monotonic()
        try:
            count = self._stream.readinto(picture.bytes)
        finally:
            self.seconds += time.monotonic() - started
        if count == len(picture.bytes):
            self.frames += 1
            if self.frames > self._task.frames:
                raise InvalidInputData(f"The source has more than the expected {self._task.frames} frames.")
            return True
        faults = self.damage
        if self._task.damage_policy == "strict" and faults:
            raise InvalidInputData(f"The source is damaged: {'; '.join(faults[:3])}.")
        if count or self.frames != self._task.frames:
            raise InvalidInputData(f"The source has {self.frames} frames that can be decoded, expected {self._task.frames}.")
        return False

    @property
    def damage(self) -> tuple[str, ...]:
        """What the decoder said of damage; known after the last frame."""
        return self._stream.completed.damage if self._stream.completed else ()

    @property
    def cpu_seconds(self) -> float:
        """Processor time that decoding took; known after the last frame."""
        return self._stream.completed.cpu_seconds if self._stream.completed else 0.0


@contextmanager
def decode(
    source: Path,
    task: UpscaleTask,
    *,
    cancelled: threading.Event | None = None,
    settings: Settings | None = None,
) -> Iterator[Decoder]:
    """Start decoding ``source``; its process is gone when the context is left."""
    with runner.stream(decode_command(source, task), cancelled=cancelled, settings=settings) as stream:
        yield Decoder(stream, task)
