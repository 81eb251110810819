"""Encodes upscaled pictures in this process: explicit PTS, the source's colour description, closed GOPs, one header for all.

Segments of one source are encoded with the same parameters, so that their parameter sets are the same and they can be joined
by stream copy. The file appears under its name when it is complete and has been read back.
"""

from __future__ import annotations

import contextlib
import errno
import time
from bisect import bisect_left
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np

from include.errors import InternalError, OutputNotSupported
from include.ffmpeg_ops import filters
from include.ffmpeg_ops.encoders import x264_zones
from include.ffmpeg_ops.models import Color
from include.sr_model.description import Description
from include.sr_model.models import UpscaleTask
from include.sr_model.picture import Geometry, Picture
from include.sr_model.readback import verify

__all__ = ["CONTAINERS", "Encoder"]

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".nut": "nut"}
GOP_SECONDS = 5

_ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9"}
_VP9_SPEEDS = {"ultrafast": 8, "superfast": 7, "veryfast": 6, "faster": 5, "fast": 4, "medium": 3, "slow": 2, "slower": 1}

# Numbers of ITU-T H.273 by ffmpeg's names.
_RANGES = {None: 0, "tv": 1, "pc": 2}
_MATRICES = {
    "bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "ycgco": 8, "bt2020nc": 9, "bt2020c": 10, "smpte2085": 11,
    "chroma-derived-nc": 12, "chroma-derived-c": 13, "ictcp": 14,
}  # fmt: skip
_PRIMARIES = {
    "bt709": 1, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "film": 8, "bt2020": 9, "smpte428": 10,
    "smpte431": 11, "smpte432": 12, "ebu3213": 22,
}  # fmt: skip
_TRANSFERS = {
    "bt709": 1, "bt470m": 4, "gamma22": 4, "bt470bg": 5, "gamma28": 5, "smpte170m": 6, "smpte240m": 7, "linear": 8, "log100": 9,
    "log316": 10, "iec61966-2-4": 11, "bt1361e": 12, "iec61966-2-1": 13, "bt2020-10": 14, "bt2020-12": 15, "smpte2084": 16,
    "smpte428": 17, "arib-std-b67": 18,
}  # fmt: skip
_UNSPECIFIED = 2
# x265 makes up times of decoding where there are fewer frames than it delays.
_FEW_FRAMES = 32
_SITINGS = {"left": 0, "center": 1, "topleft": 2, "top": 3, "bottomleft": 4, "bottom": 5}


class Encoder:
    """Writes pictures of ``geometry`` to ``path``; as a context manager it leaves nothing behind when something fails.

    Raises :class:`OutputNotSupported` for a container or codec that cannot be written, :class:`InternalError` for a full disk.
    """

    def __init__(self, path: Path, task: UpscaleTask, geometry: Geometry, description: Description) -> None:
        if path.suffix.lower() not in CONTAINERS:
            raise OutputNotSupported(f"{path.suffix or 'A name without a suffix'} is none of {', '.join(CONTAINERS)}.")
        self.frames = 0
        self.seconds = self.verify_seconds = 0.0
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._task = task
        self._geometry = geometry
        self._held: list[Any] = []
        self._pts = task.pts or range(task.frames)
        container = CONTAINERS[path.suffix.lower()]
        options = {"fflags": "+bitexact"}
        if container in ("mp4", "mov"):
            options["video_track_timescale"] = str(task.timescale)
        try:
            if geometry.pix_fmt not in {item.name for item in av.Codec(_ENCODERS[task.codec], "w").video_formats or ()}:
                raise OutputNotSupported(f"The encoder {_ENCODERS[task.codec]} takes no video of {geometry.depth} bits here.")
            self._container: Any = av.open(str(self._partial), "w", format=container, options=options)
            self._stream: Any = self._container.add_stream(
                _ENCODERS[task.codec], rate=task.frame_rate, options=_options(task, description)
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise _failure(error) from error
        _describe(self._stream.codec_context, task, geometry)

    def write(self, picture: Picture) -> None:
        """Encode the next frame; ``picture`` may be used again afterwards."""
        started = time.monotonic()
        frame = _frame(picture)
        frame.pts = self._pts[self.frames]
        frame.time_base = self._task.time_base
        try:
            self._mux(self._stream.encode(frame))
        except (av.error.FFmpegError, ValueError) as error:
            raise _failure(error) from error
        self.frames += 1
        self.seconds += time.monotonic() - started

    def finish(self) -> None:
        """Write what the encoder still holds, read the file back and give it its name.

        Raises :class:`include.errors.VerificationFailed` for a file that is not what the task asks for.
        """
        started = time.monotonic()
        try:
            self._mux(self._stream.encode(None), last=True)
            self._container.close()
        except (av.error.FFmpegError, ValueError) as error:
            raise _failure(error) from error
        self.seconds += time.monotonic() - started
        started = time.monotonic()
        verify(self._partial, self._task, self._geometry)
        self.verify_seconds = time.monotonic() - started
        self._partial.replace(self._path)

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # What failed before is what counts: the file is not kept.
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            self._container.close()
        self._partial.unlink(missing_ok=True)

    def _mux(self, packets: list[Any], *, last: bool = False) -> None:
        for packet in packets:
            packet.duration = self._duration(packet.pts)
        if self._task.codec == "hevc" and self._task.frames <= _FEW_FRAMES:
            self._held += packets
            packets = _order(self._held) if last else []
        for packet in packets:
            self._container.mux(packet)

    def _duration(self, pts: int) -> int:
        """Return how long the frame at ``pts`` is shown, in the task's time base."""
        number = bisect_left(self._pts, pts)
        if number + 1 < len(self._pts):
            return self._pts[number + 1] - pts
        return max(1, self._task.end_pts - pts if self._task.end_pts else round(1 / self._task.frame_rate / self._task.time_base))


def _order(packets: list[Any]) -> list[Any]:
    """Give packets that are all of a stream, in the order of decoding, the latest times of decoding that precede those shown."""
    shown = sorted(packet.pts for packet in packets)
    delay = max((pts - packet.pts for pts, packet in zip(shown, packets, strict=True)), default=0)
    for pts, packet in zip(shown, packets, strict=True):
        packet.dts = pts - delay
    return packets


def _frame(picture: Picture) -> Any:
    """Return ``picture`` as a frame of the encoder's library: the same memory where it can be, else a copy."""
    geometry = picture.geometry
    if geometry.depth == 8 and geometry.width % 2 == 0 and geometry.height % 4 == 0:
        rows = picture.buffer.reshape(geometry.height * 3 // 2, geometry.width)
        return av.VideoFrame.from_numpy_buffer(rows, "yuv420p")
    frame = av.VideoFrame(geometry.width, geometry.height, geometry.pix_fmt)
    for target, plane in zip(frame.planes, (picture.luma, *picture.chroma), strict=True):
        samples = np.frombuffer(memoryview(target), geometry.dtype)
        rows = samples.reshape(-1, target.line_size // geometry.dtype.itemsize)
        rows[: plane.shape[0], : plane.shape[1]] = plane
    return frame


def _describe(context: Any, task: UpscaleTask, geometry: Geometry) -> None:
    color = _color(task)
    context.width, context.height, context.pix_fmt = geometry.width, geometry.height, geometry.pix_fmt
    context.time_base, context.framerate = task.time_base, task.frame_rate
    context.sample_aspect_ratio = task.stream.sar
    context.color_range = _RANGES[color.range]
    context.colorspace = _MATRICES.get(color.matrix or "", _UNSPECIFIED)
    context.color_primaries = _PRIMARIES.get(color.primaries or "", _UNSPECIFIED)
    context.color_trc = _TRANSFERS.get(color.transfer or "", _UNSPECIFIED)
    if task.codec == "hevc":
        context.codec_tag = "hvc1"


def _color(task: UpscaleTask) -> Color:
    stream = task.stream
    if filters.is_rgb(stream):
        hdr = {"range": "tv", "matrix": "bt2020nc"}
        return stream.color.model_copy(update=hdr) if stream.color.hdr else filters.output_color(stream)
    return stream.color


def _options(task: UpscaleTask, description: Description) -> dict[str, str]:
    keyint = max(1, round(GOP_SECONDS * task.frame_rate))
    options = {"crf": f"{task.crf:g}", "g": str(keyint), "threads": "0", "flags": "+cgop+bitexact"}
    if task.codec == "vp9":
        speed = _VP9_SPEEDS.get(task.preset, 0)
        return options | {"b": "0", "deadline": "good", "cpu-used": str(speed), "row-mt": "1", "tile-columns": "2"}
    # The rate in the header must be the same in every segment.
    rate = f"fps={task.frame_rate.numerator}/{task.frame_rate.denominator}"
    location = f"chromaloc={_SITINGS[description.siting]}"
    if task.codec == "hevc":
        master = f":master-display={description.mastering}" if description.mastering else ""
        light = f":max-cll={description.light}" if description.light else ""
        params = f"log-level=error:open-gop=0:{rate}:{location}:info=0{master}{light}"
        return options | {"preset": task.preset, "x265-params": params}
    return options | {"preset": task.preset, "x264-params": f"{rate}:{location}:stitchable=1:zones={x264_zones(task.frames)}"}


def _failure(error: Exception) -> InternalError | OutputNotSupported:
    if getattr(error, "errno", None) == errno.ENOSPC:
        return InternalError("The disk is full.")
    if isinstance(error, (ValueError, av.error.EncoderNotFoundError)) and not isinstance(error, OSError):
        return OutputNotSupported(f"The upscaled video cannot be encoded so: {error}.")
    return InternalError(f"The upscaled video cannot be written: {getattr(error, 'strerror', None) or error}.")
