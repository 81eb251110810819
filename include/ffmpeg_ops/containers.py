"""Containers of super-resolved videos: chosen by the source's file name, since the output has the same suffix. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from include.errors import InputNotSupported

__all__ = ["Container", "container_of"]


@dataclass(frozen=True)
class Container:
    """A container that can hold an upscaled video and everything else of its source."""

    muxer: str
    tick: Fraction | None = None
    """Times are rounded to this; None: to nothing, the track has the source's own time base."""
    codecs: tuple[Literal["h264", "hevc", "vp9"], ...] = ("h264", "hevc")
    """For pictures of 8 bits, and for deeper ones."""
    options: tuple[str, ...] = ()
    chapters: bool = True

    @property
    def is_mp4(self) -> bool:
        """Whether it is made of boxes (ISO/IEC 14496-12)."""
        return self.muxer in {"mp4", "mov", "3gp"}

    def codec(self, bit_depth: int) -> Literal["h264", "hevc", "vp9"]:
        """Return the codec for pictures of ``bit_depth``; raises :class:`InputNotSupported` where there is none."""
        number = int(bit_depth > 8)
        if number >= len(self.codecs):
            raise InputNotSupported(
                f"A file of this kind ({self.muxer}) cannot hold video of {bit_depth} bits; remux the source."
            )
        return self.codecs[number]


_MILLISECONDS, _MPEG_TICKS = Fraction(1, 1000), Fraction(1, 90_000)
_TS = ("-mpegts_copyts", "1", "-muxdelay", "0", "-muxpreload", "0")
# Sound may begin before zero: its first samples are not heard, and these containers tell of that by another way.
_MATROSKA = ("-default_mode", "passthrough", "-avoid_negative_ts", "disabled")
# Older versions of ffmpeg write FLAC and TrueHD to these only when they are told that it is meant.
_BOXES = ("-strict", "experimental")
_MP4 = Container("mp4", options=_BOXES)
_BY_SUFFIX = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container("mov", options=_BOXES),
    ".3gp": Container("3gp", options=_BOXES),
    ".mkv": Container("matroska", _MILLISECONDS, options=_MATROSKA),
    ".webm": Container("webm", _MILLISECONDS, ("vp9",), options=_MATROSKA),
    ".ts": Container("mpegts", _MPEG_TICKS, options=_TS, chapters=False),
    ".m2ts": Container("mpegts", _MPEG_TICKS, options=(*_TS, "-mpegts_m2ts_mode", "1"), chapters=False),
    ".mts": Container("mpegts", _MPEG_TICKS, options=(*_TS, "-mpegts_m2ts_mode", "1"), chapters=False),
    ".flv": Container("flv", _MILLISECONDS, ("h264",), chapters=False),
}
# What does not say when a frame is shown cannot be made, or proved, to show it at its time.
_AVI = ", where frames have a number and no time"
_PROGRAM_STREAM = ", where only some frames have a time"
_ASF = ", where frames have the time at which they are decoded"
_WITHOUT_TIMES = {
    ".avi": _AVI,
    ".divx": _AVI,
    ".mpg": _PROGRAM_STREAM,
    ".mpeg": _PROGRAM_STREAM,
    ".vob": _PROGRAM_STREAM,
    ".wmv": _ASF,
    ".asf": _ASF,
}


def container_of(suffix: str) -> Container:
    """Return the container for files that end with ``suffix``; :class:`InputNotSupported` where an output cannot have it."""
    found = _BY_SUFFIX.get(suffix.lower())
    if found is not None:
        return found
    why = _WITHOUT_TIMES.get(suffix.lower(), "")
    raise InputNotSupported(
        f"A video named *{suffix or ' (without an extension)'} cannot be upscaled to a file of the same kind{why}; remux it to "
        f"one of {', '.join(_BY_SUFFIX)} first (ffmpeg -fflags +genpts -i in{suffix} -map 0 -c copy out.mkv)."
    )
