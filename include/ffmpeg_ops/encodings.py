"""What contract 3 calls a profile: one or more encodings, each with a container, a video and an audio format. Pure."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from include.ffmpeg_ops.exact import Frozen

__all__ = ["Encoding", "FrameRate", "TaskProfile"]

_RATE = re.compile(r"[0-9]{1,6}(/[1-9][0-9]{0,5}|\.[0-9]{1,6})?")


def _to_rate(value: Any) -> Any:
    if isinstance(value, Fraction):
        return value
    # 29.97 is what was written, and not the binary number next to it. Strangers write this: nothing long is computed with.
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not _RATE.fullmatch(str(value)):
        raise ValueError('wants a number, or a rational one as text: "30000/1001"')
    return Fraction(str(value))


FrameRate = Annotated[
    Fraction,
    BeforeValidator(_to_rate),
    Field(gt=0, le=240),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 240},
                {"type": "string", "pattern": f"^{_RATE.pattern}$"},
            ]
        }
    ),
]
"""Frames a second, more than 0 and up to 240: 25, 29.97 or, exact, ``"30000/1001"``."""


class Encoding(Frozen):
    """One output of a profile; what is left out is as in the source."""

    container: Literal["flv", "mp4", "m3u8", "mpegts", "copy"] = Field(
        "mp4", description="Of files; a live target's protocol decides for itself. `copy`: the source's own.", examples=["mp4"]
    )
    format: Literal["mpeg2", "h264", "h265", "copy"] = Field(
        "h264", description="Video codec; `copy`: not encoded again.", examples=["h264"]
    )
    bitrate: int | None = Field(
        None, ge=32_000, le=200_000_000, description="Of the video, bit/s; left out: constant quality.", examples=[1_728_000]
    )
    framerate: FrameRate | None = Field(None, description='Frames a second, exact: "30000/1001".', examples=["30000/1001"])
    width: int | None = Field(
        None, ge=64, le=4096, description="Pixels, even. With `height` exactly that size; alone, never larger.", examples=[1280]
    )
    height: int | None = Field(
        None, ge=64, le=4096, description="Pixels, even. With `width` exactly that size; alone, never larger.", examples=[720]
    )
    gop_size: int | None = Field(
        None, ge=1, le=1000, description="Frames from keyframe to keyframe; left out: two seconds.", examples=[50]
    )
    b_frame_size: int | None = Field(
        None, ge=0, le=16, description="Most B-frames in a row; left out: the preset's.", examples=[3]
    )
    rc_mode: Literal["cbr", "vbr", "2passvbr"] = Field("vbr", description="How the bitrate is kept.", examples=["2passvbr"])
    preset: Literal["default", "highQuality", "highPerformance"] = Field(
        "default", description="What is given for what: quality or time.", examples=["default"]
    )
    audio_format: Literal["aac", "aache2", "mp3", "ac3", "mp2", "copy"] = Field(
        "aac", description="Audio codec; `copy`: not encoded again.", examples=["aac"]
    )
    audio_bitrate: int | None = Field(
        None,
        ge=8_000,
        le=640_000,
        description="Of each audio stream, bit/s; left out: the codec's usual one.",
        examples=[128_000],
    )
    audio_samplerate: int | None = Field(None, ge=8_000, le=192_000, description="Hz.", examples=[48_000])
    channels: int | None = Field(None, ge=1, le=8, description="Of each audio stream.", examples=[2])


class TaskProfile(Frozen):
    """A profile by its name."""

    profile_name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$",
        description="Letters, digits, dots, hyphens and underscores.",
        examples=["news_720p"],
    )
    encodings: tuple[Encoding, ...] = Field(
        min_length=1, max_length=10, description="One; or, with container `m3u8`, the renditions of a ladder."
    )
