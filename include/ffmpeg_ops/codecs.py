"""Video of a profile: which encoder, and the options that its format, rate control and preset come to. Pure.

What the rate controls mean:

* no bitrate: constant quality, as :data:`QUALITY` has it.
* ``vbr``: the mean over the film; for seconds up to half as much again, over a buffer of two seconds.
* ``2passvbr``: the same mean and peaks, after a first pass over the whole film that finds out where bits are needed.
* ``cbr``: the same rate in every second (VBV buffer of one second). H.264 says so in its stream (NAL HRD) and fills up with
  filler data, MPEG-2 with stuffing; H.265, whose encoder has no filler, never takes more and takes less of still pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor
from typing import Any

from include.errors import OutputNotSupported
from include.ffmpeg_ops.encodings import Encoding

__all__ = [
    "CODECS",
    "ENCODERS",
    "GOP_SECONDS",
    "MPEG2_LONGEST_GOP",
    "check_frame_rate",
    "check_size",
    "gop_frames",
    "video_options",
]

ENCODERS = {"h264": "libx264", "h265": "libx265", "mpeg2": "mpeg2video"}
CODECS = {"h264": "h264", "h265": "hevc", "mpeg2": "mpeg2video"}
"""ffprobe's names of what the encoders make."""

PRESETS = {
    "h264": {"default": "medium", "highQuality": "slow", "highPerformance": "veryfast"},
    "h265": {"default": "medium", "highQuality": "slow", "highPerformance": "superfast"},
}
# The encoder has no presets: how it decides between modes, and how it quantises.
_MPEG2_PRESETS: Mapping[str, tuple[str, ...]] = {
    "default": ("-mbd", "rd", "-trellis", "1"),
    "highQuality": ("-mbd", "rd", "-trellis", "2", "-cmp", "satd", "-subcmp", "satd", "-bidir_refine", "1"),
    "highPerformance": (),
}
QUALITY = {"h264": ("-crf", "21"), "h265": ("-crf", "24"), "mpeg2": ("-q:v", "4")}
# ISO/IEC 13818-2, table 6-4.
MPEG2_RATES = tuple(Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60"))
MPEG2_LONGEST_GOP = 600
GOP_SECONDS = 2
# So far apart that no encoder places a keyframe of its own where the plan forces them.
_NEVER = 1_000_000
_MPEG2_B_FRAMES = 2
# Closed groups of pictures where the grid wants them, the same bytes however many processors there are, and no talk.
_X265 = {"open-gop": 0, "scenecut": 0, "frame-threads": 1, "info": 0, "log-level": "error"}


def gop_frames(encoding: Encoding, frame_rate: Fraction) -> int:
    """Return the frames from keyframe to keyframe."""
    return encoding.gop_size or max(1, floor(GOP_SECONDS * frame_rate + Fraction(1, 2)))


def check_frame_rate(encoding: Encoding, frame_rate: Fraction) -> None:
    """Raise :class:`OutputNotSupported` for a frame rate that the format does not have."""
    if encoding.format == "mpeg2" and frame_rate not in MPEG2_RATES:
        raise OutputNotSupported(
            f"MPEG-2 has no frame rate of {frame_rate}; name one of {', '.join(map(str, MPEG2_RATES))} as framerate."
        )


def check_size(encoding: Encoding, width: int, height: int) -> None:
    """Raise :class:`OutputNotSupported` for a size that the format cannot tell."""
    # ISO/IEC 13818-2, 6.3.3: the lower twelve bits are not zero.
    if encoding.format == "mpeg2" and not (width % 4096 and height % 4096):
        raise OutputNotSupported("MPEG-2 cannot tell a width or a height of 4096.")


def video_options(
    encoding: Encoding,
    *,
    frame_rate: Fraction,
    forced_keyframes: bool = False,
    threads: int | None = None,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Return ffmpeg's output options that encode video as ``encoding`` says; its format is not ``copy``.

    Keyframes lie every :func:`gop_frames`, closed, or only where the caller forces them. ``preset`` takes the place of x264's,
    ``parameters`` are further ones of x264 and x265. Raises :class:`OutputNotSupported` as :func:`check_frame_rate` does.
    """
    check_frame_rate(encoding, frame_rate)
    gop = gop_frames(encoding, frame_rate)
    own = dict(parameters or {})
    if encoding.format == "mpeg2":
        options = [*_MPEG2_PRESETS[encoding.preset], "-g", str(MPEG2_LONGEST_GOP if forced_keyframes else gop)]
        options += ["-sc_threshold", "1000000000", "-mpv_flags", "+strict_gop"]
        options += ["-bf", str(_MPEG2_B_FRAMES if encoding.b_frame_size is None else encoding.b_frame_size)]
    else:
        grid = ("-g", str(_NEVER)) if forced_keyframes else ("-g", str(gop), "-keyint_min", str(gop))
        options = ["-preset", preset if preset and encoding.format == "h264" else PRESETS[encoding.format][encoding.preset]]
        options += [*grid, "-forced-idr", "1", "-sc_threshold", "0"]
        if encoding.b_frame_size is not None:
            options += ["-bf", str(encoding.b_frame_size)]
        constant = encoding.rc_mode == "cbr" and encoding.bitrate is not None
        if encoding.format == "h264":
            options += ["-profile:v", "high"]
            # In a transport stream the parameter sets come before the buffering periods that refer to them only so.
            own |= {"nal-hrd": "cbr", "repeat-headers": 1} if constant else {}
        else:
            own |= _X265 | ({"strict-cbr": 1} if constant else {}) | ({"pools": threads} if threads else {})
        if own:
            options += [f"-{ENCODERS[encoding.format].removeprefix('lib')}-params", _joined(own)]
    options += ["-flags:v", "+bitexact+cgop", *_rate(encoding)]
    return ("-c:v", ENCODERS[encoding.format], *options, *(("-threads", str(threads)) if threads else ()))


def _rate(encoding: Encoding) -> tuple[str, ...]:
    rate = encoding.bitrate
    if rate is None:
        return QUALITY[encoding.format]
    if encoding.rc_mode == "cbr":
        return ("-b:v", str(rate), "-minrate", str(rate), "-maxrate", str(rate), "-bufsize", str(rate))
    return ("-b:v", str(rate), "-maxrate", str(rate * 3 // 2), "-bufsize", str(rate * 3))


def _joined(parameters: Mapping[str, Any]) -> str:
    return ":".join(f"{name}={_escaped(str(value))}" for name, value in parameters.items())


def _escaped(value: str) -> str:
    # As ffmpeg's dictionaries have it (av_get_token).
    return "".join(f"\\{character}" if character in "\\':" else character for character in value)
