"""What contract 3 calls a profile: one or more encodings, each with a container, a video and an audio format. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from include.ffmpeg_ops.exact import Frozen, Rational

__all__ = ["Encoding", "TaskProfile"]


class Encoding(Frozen):
    """One output of a profile; what is left out is as in the source."""

    container: Literal["flv", "mp4", "m3u8", "mpegts", "copy"] = Field("mp4", description="`copy`: the source's own")
    format: Literal["mpeg2", "h264", "h265", "copy"] = Field("h264", description="video codec; `copy`: not encoded again")
    bitrate: int | None = Field(None, ge=32_000, le=200_000_000, description="of the video, bit/s; left out: constant quality")
    framerate: Rational | None = Field(None, gt=0, le=240, description='exact, e.g. "30000/1001"')
    width: int | None = Field(None, ge=64, le=4096)
    height: int | None = Field(None, ge=64, le=4096)
    gop_size: int | None = Field(None, ge=1, le=1000, description="frames from keyframe to keyframe; left out: two seconds")
    b_frame_size: int | None = Field(None, ge=0, le=16, description="most B-frames in a row; left out: the preset's")
    rc_mode: Literal["cbr", "vbr", "2passvbr"] = Field("vbr", description="how the bitrate is kept")
    preset: Literal["default", "highQuality", "highPerformance"] = "default"
    audio_format: Literal["aac", "aache2", "mp3", "ac3", "mp2", "copy"] = "aac"
    audio_bitrate: int | None = Field(None, ge=8_000, le=640_000, description="of each audio stream, bit/s")
    audio_samplerate: int | None = Field(None, ge=8_000, le=192_000, description="Hz")
    channels: int | None = Field(None, ge=1, le=8)


class TaskProfile(Frozen):
    """A profile by its name."""

    profile_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")
    encodings: tuple[Encoding, ...] = Field(min_length=1, max_length=10)
