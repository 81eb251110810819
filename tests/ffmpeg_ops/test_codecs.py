"""What a profile's video comes to: whole lists of encoder options."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from include.errors import OutputNotSupported
from include.ffmpeg_ops.codecs import gop_frames, video_options
from include.ffmpeg_ops.encodings import Encoding

PAL = Fraction(25)
X265 = "open-gop=0:scenecut=0:frame-threads=1:info=0:log-level=error"
CBR = "-b:v 800000 -minrate 800000 -maxrate 800000 -bufsize 800000"
VBR = "-b:v 800000 -maxrate 1200000 -bufsize 2400000"
GRID = "-g 50 -keyint_min 50 -forced-idr 1 -sc_threshold 0"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, f"libx264 -preset medium {GRID} -profile:v high -flags:v +bitexact+cgop -crf 21"),
        (
            {"bitrate": 800_000, "preset": "highQuality"},
            f"libx264 -preset slow {GRID} -profile:v high -flags:v +bitexact+cgop {VBR}",
        ),
        (
            {"bitrate": 800_000, "rc_mode": "2passvbr", "preset": "highPerformance", "b_frame_size": 0},
            f"libx264 -preset veryfast {GRID} -bf 0 -profile:v high -flags:v +bitexact+cgop {VBR}",
        ),
        (
            {"bitrate": 800_000, "rc_mode": "cbr", "gop_size": 12, "b_frame_size": 2},
            "libx264 -preset medium -g 12 -keyint_min 12 -forced-idr 1 -sc_threshold 0 -bf 2 -profile:v high "
            f"-x264-params nal-hrd=cbr:repeat-headers=1 -flags:v +bitexact+cgop {CBR}",
        ),
        ({"format": "h265"}, f"libx265 -preset medium {GRID} -x265-params {X265} -flags:v +bitexact+cgop -crf 24"),
        (
            {"format": "h265", "bitrate": 800_000, "preset": "highPerformance"},
            f"libx265 -preset superfast {GRID} -x265-params {X265} -flags:v +bitexact+cgop {VBR}",
        ),
        (
            {"format": "h265", "bitrate": 800_000, "rc_mode": "cbr", "b_frame_size": 3},
            f"libx265 -preset medium {GRID} -bf 3 -x265-params {X265}:strict-cbr=1 -flags:v +bitexact+cgop {CBR}",
        ),
        (
            {"format": "mpeg2"},
            "mpeg2video -mbd rd -trellis 1 -g 50 -sc_threshold 1000000000 -mpv_flags +strict_gop -bf 2 "
            "-flags:v +bitexact+cgop -q:v 4",
        ),
        (
            {"format": "mpeg2", "bitrate": 800_000, "rc_mode": "cbr", "preset": "highPerformance", "b_frame_size": 0},
            f"mpeg2video -g 50 -sc_threshold 1000000000 -mpv_flags +strict_gop -bf 0 -flags:v +bitexact+cgop {CBR}",
        ),
    ],
    ids=lambda value: "-".join(map(str, value.values())) or "default" if isinstance(value, dict) else "",
)
def test_an_encoding_comes_to_these_options(fields: dict[str, Any], expected: str) -> None:
    assert " ".join(video_options(Encoding(**fields), frame_rate=PAL)) == f"-c:v {expected}"


def test_where_the_caller_forces_keyframes_the_encoder_places_none_of_its_own() -> None:
    for format, longest in (("h264", "1000000"), ("h265", "1000000"), ("mpeg2", "600")):
        options = video_options(Encoding(format=format, gop_size=5), frame_rate=PAL, forced_keyframes=True)
        assert options[options.index("-g") + 1] == longest


def test_a_preset_of_the_settings_is_x264s_alone() -> None:
    assert "ultrafast" in video_options(Encoding(), frame_rate=PAL, preset="ultrafast")
    assert "ultrafast" not in video_options(Encoding(format="h265"), frame_rate=PAL, preset="ultrafast")


def test_parameters_are_escaped_as_ffmpeg_reads_them() -> None:
    options = video_options(Encoding(format="h265"), frame_rate=PAL, threads=2, parameters={"stats": "/a:b/it's"})
    assert options[options.index("-x265-params") + 1].startswith("stats=/a\\:b/it\\'s:")
    assert options[-2:] == ("-threads", "2")


@pytest.mark.parametrize(("rate", "frames"), [("25", 50), ("30000/1001", 60), ("24000/1001", 48), ("1/3", 1)])
def test_keyframes_lie_two_seconds_apart_unless_the_profile_says_otherwise(rate: str, frames: int) -> None:
    assert gop_frames(Encoding(), Fraction(rate)) == frames
    assert gop_frames(Encoding(gop_size=7), Fraction(rate)) == 7


def test_mpeg2_has_the_frame_rates_of_its_standard() -> None:
    with pytest.raises(OutputNotSupported, match="no frame rate of 10; name one of 24000/1001, 24, 25"):
        video_options(Encoding(format="mpeg2"), frame_rate=Fraction(10))
