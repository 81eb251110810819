"""Reads ffprobe's JSON: which streams there are, which are kept, and what the picture is. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from include.errors import InputNotSupported, InvalidInputData
from include.ffmpeg_ops.models import Color, DroppedStream

__all__ = ["Picture", "Selection", "bit_depth", "color", "orientation", "picture", "rational", "select"]

Document = Mapping[str, Any]
Rotation = Literal[0, 90, 180, 270]

# Of one picture, or of films whose frames are whole pictures, which masters and animations are.
_PICTURE_CODECS = {
    "png",
    "apng",
    "bmp",
    "gif",
    "webp",
    "tiff",
    "jpeg2000",
    "jpegls",
    "jpegxl",
    "svg",
    "ansi",
    "pam",
    "ppm",
    "targa",
}
_UNKNOWN = {None, "", "unknown", "none", "unspecified", "reserved"}


def rational(value: object) -> Fraction | None:
    """Parse ``30000/1001`` or ``16:11``; None where it is absent, zero or has a zero denominator."""
    match = re.fullmatch(r"(\d+)[/:](\d+)", str(value))
    return Fraction(int(match[1]), int(match[2])) if match and int(match[1]) and int(match[2]) else None


@dataclass(frozen=True)
class Selection:
    """The streams of a source: the video that is transcoded, the audio that is kept, and the rest with reasons."""

    video: Document
    audio: tuple[Document, ...]
    dropped: tuple[DroppedStream, ...]


def select(
    streams: Sequence[Document],
    why_not: Callable[[Document], str | None] = lambda audio: None,
    programs: Sequence[Document] = (),
) -> Selection:
    """Choose the main video stream and the readable audio streams; ``why_not`` tells why one is none of these, where it is not.

    Of several ``programs``, as a transport stream may have, the sound is that of the video's.

    Covers, attached pictures, timed thumbnails and single pictures are no video. Of several videos the default one wins, then
    the largest.
    Raises :class:`InvalidInputData` without video, :class:`InputNotSupported` where there is audio but none that we can read.
    """
    dropped: list[DroppedStream] = []
    videos, audio = [], []
    for stream in streams:
        kind, reason = _judge(stream)
        if kind == "audio":
            reason = reason or why_not(stream)
        if reason:
            dropped.append(_dropped(stream, kind, reason))
        elif kind == "video":
            videos.append(stream)
        else:
            audio.append(stream)
    if not videos:
        raise InvalidInputData("The source has no video stream." + _found(dropped, audio))
    unreadable = [stream for stream in dropped if stream.kind == "audio"]
    if unreadable and not audio:
        raise InputNotSupported(f"The source's audio (stream {unreadable[0].index}) cannot be read: {unreadable[0].reason}.")
    main = max(videos, key=_rank)
    foreign = _of_other_programs(main["index"], programs)
    dropped += [
        _dropped(one, "audio", "it belongs to another program than the video") for one in audio if one["index"] in foreign
    ]
    audio = [stream for stream in audio if stream["index"] not in foreign]
    dropped += [_dropped(stream, "video", "another video stream is the main one") for stream in videos if stream is not main]
    return Selection(main, tuple(audio), tuple(sorted(dropped, key=lambda stream: stream.index)))


def _of_other_programs(video: int, programs: Sequence[Document]) -> set[int]:
    members = [{int(stream["index"]) for stream in program.get("streams", ())} for program in programs]
    own = {index for program in members if video in program for index in program}
    return {index for program in members for index in program} - own if own else set()


def _rank(stream: Document) -> tuple[bool, int, int]:
    # Not every container counts frames: what may be a single picture is the video only where there is no other.
    moves = stream.get("codec_name") not in _PICTURE_CODECS
    return moves, _disposition(stream, "default"), int(stream["width"]) * int(stream["height"])


def _judge(stream: Document) -> tuple[str, str | None]:
    """Return the kind of a stream, and why it is dropped or None."""
    kind = str(stream.get("codec_type") or "data")
    if kind == "video":
        return kind, _why_no_video(stream)
    if kind != "audio":
        return kind, "outputs carry video and audio only"
    if stream.get("codec_name") in _UNKNOWN:
        return kind, f"its codec ({stream.get('codec_tag_string', 'no tag')}) is unknown"
    readable = int(stream.get("channels") or 0) > 0 and int(stream.get("sample_rate") or 0) > 0
    return kind, None if readable else "its sample rate or channels are unknown"


def _why_no_video(stream: Document) -> str | None:
    codec = stream.get("codec_name")
    if any(_disposition(stream, name) for name in ("attached_pic", "timed_thumbnails", "still_image")):
        return "an attached picture, not video"
    if codec in {*_PICTURE_CODECS, "mjpeg"} and str(stream.get("nb_frames")) == "1":
        return "a still picture, not video"
    if codec in _UNKNOWN:
        return "its codec is unknown"
    return None if stream.get("width") and stream.get("height") else "its size is unknown"


def _disposition(stream: Document, name: str) -> int:
    return int(stream.get("disposition", {}).get(name, 0))


def _dropped(stream: Document, kind: str, reason: str) -> DroppedStream:
    return DroppedStream(index=stream["index"], kind=kind, codec=str(stream.get("codec_name") or "unknown"), reason=reason)


def _found(dropped: Sequence[DroppedStream], audio: Sequence[Document]) -> str:
    found = [f"stream {stream.index} is {stream.kind} ({stream.reason})" for stream in dropped]
    found += [f"stream {stream['index']} is audio" for stream in audio]
    return f" Found: {', '.join(found)}." if found else ""


@dataclass(frozen=True)
class Picture:
    """The picture as coded, and how it is to be shown."""

    width: int
    height: int
    sar: Fraction
    rotation: Rotation
    flipped: bool
    display_width: int
    display_height: int


def picture(stream: Document) -> Picture:
    """Work out the size in square pixels after rotation; as players do, the sample aspect ratio changes the width."""
    width, height = int(stream["width"]), int(stream["height"])
    sar = rational(stream.get("sample_aspect_ratio")) or Fraction(1)
    rotation, flipped = orientation(stream)
    shown = max(1, math.floor(width * sar + Fraction(1, 2))), height
    display_width, display_height = shown[::-1] if rotation in (90, 270) else shown
    return Picture(width, height, sar, rotation, flipped, display_width, display_height)


def orientation(stream: Document) -> tuple[Rotation, bool]:
    """Return the clockwise turn and whether the picture is mirrored (left to right, before the turn).

    Reads the display matrix (ISO/IEC 14496-12, 6.2.2), which maps (x, y) to (ax + cy, bx + dy), y pointing down.
    """
    for side_data in stream.get("side_data_list", ()):
        rows = re.findall(r":\s+(-?\d+)\s+(-?\d+)\s+-?\d+", str(side_data.get("displaymatrix", "")))
        if len(rows) < 2:
            continue
        (a, b), (c, d) = ((int(x), int(y)) for x, y in rows[:2])
        if not (a or b):
            return 0, False
        flipped = a * d - b * c < 0
        angle = math.degrees(math.atan2(-b, -a) if flipped else math.atan2(b, a)) % 360
        quarter = round(angle / 90) % 4
        if abs((angle - 90 * quarter + 180) % 360 - 180) > 5:
            raise InputNotSupported(f"The video is to be turned by {angle:.0f} degrees; only quarter turns are supported.")
        turns: tuple[Rotation, ...] = (0, 90, 180, 270)
        return turns[quarter], flipped
    return 0, False


def color(stream: Document) -> Color:
    """Return the colour tags, with None for every way in which ffprobe says that there is none."""

    def tag(name: str) -> str | None:
        value = stream.get(name)
        return None if value in _UNKNOWN else str(value)

    range_ = stream.get("color_range")
    if range_ not in ("tv", "pc"):
        # Grey has the full range unless it says otherwise, to ffmpeg's scaler and to those who write it.
        range_ = "pc" if str(stream.get("pix_fmt", "")).startswith(("yuvj", "gray", "ya8", "ya16")) else None
    return Color(range=range_, matrix=tag("color_space"), primaries=tag("color_primaries"), transfer=tag("color_transfer"))


_DEPTH = re.compile(r"^(?:p[024]|y[24]|nv[24]|x2rgb|x2bgr|xyz|gray|ya|\w*p)(9|1[0246])(?:le|be|$)")
_DEEP = {"nv20": 10, "xv30": 10, "xv36": 12, "xv48": 16, "rgb48": 16, "bgr48": 16, "rgba64": 16, "bgra64": 16, "ayuv64": 16}


def bit_depth(stream: Document) -> int:
    """Return the bits per component from the pixel format's name: 8 unless it says more."""
    pix_fmt = str(stream.get("pix_fmt", ""))
    match = _DEPTH.match(pix_fmt)
    return int(match[1]) if match else _DEEP.get(re.sub(r"(le|be)$", "", pix_fmt), 8)
