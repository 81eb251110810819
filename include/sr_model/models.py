"""The documents of super-resolution: what is asked for and what came of it."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import Field, model_validator

from include.ffmpeg_ops.exact import Frozen, Rational
from include.ffmpeg_ops.models import VideoStream

__all__ = ["Codec", "ModelName", "Scale", "Seconds", "Siting", "UpscaleTask", "Upscaled"]

Scale = Literal[2, 4]
ModelName = Literal["fast", "balanced", "quality"]
Codec = Literal["h264", "hevc", "vp9"]
Siting = Literal["left", "center", "topleft", "top", "bottomleft", "bottom"]
"""Where chroma samples lie among luma samples, with ffmpeg's names (chroma_location)."""


class UpscaleTask(Frozen):
    """All that is needed, beside the source file, to upscale one segment (or a whole video)."""

    stream: VideoStream = Field(description="the video stream of the file that is read")
    frames: int = Field(gt=0)
    pts: tuple[int, ...] | None = Field(None, description="output PTS in time_base, from 0; None: frame n at n (constant rate)")
    end_pts: int | None = Field(None, description="where the last frame ends, in time_base; None: one frame after it")
    time_base: Rational
    frame_rate: Rational = Field(description="rate of a constant-rate stream, else the average")
    scale: Scale = 2
    model: ModelName = "fast"
    crf: float = Field(18, ge=0, le=63)
    preset: str = Field("veryfast", pattern=r"^[a-z]+$")
    codec: Codec = "h264"
    siting: Siting | None = Field(None, description="chroma location of the source; None: as its first frame says, else left")
    damage_policy: Literal["strict", "salvage"] = "strict"

    @model_validator(mode="after")
    def _check(self) -> UpscaleTask:
        if self.pts is not None:
            if len(self.pts) != self.frames:
                raise ValueError(f"{len(self.pts)} PTS for {self.frames} frames")
            if any(later <= earlier for earlier, later in zip(self.pts, self.pts[1:], strict=False)):
                raise ValueError("PTS must increase")
        if self.codec == "h264" and self.stream.bit_depth > 8:
            raise ValueError("10-bit H.264 plays almost nowhere: HEVC is for these")
        return self

    @property
    def timescale(self) -> int:
        """The MP4 track timescale in which every PTS is a whole number."""
        return self.time_base.denominator

    @property
    def ticks(self) -> tuple[int, ...]:
        """PTS of every frame in 1/:attr:`timescale` seconds."""
        step = self.time_base.numerator
        return tuple(pts * step for pts in (range(self.frames) if self.pts is None else self.pts))

    @property
    def end_tick(self) -> int:
        """Where the last frame ends, in 1/:attr:`timescale` seconds."""
        if self.end_pts is not None:
            return self.end_pts * self.time_base.numerator
        return self.ticks[-1] + max(1, round(Fraction(self.timescale) / self.frame_rate))


class Seconds(Frozen):
    """Seconds that each stage was at work; stages overlap, so they add up to more than the wall's."""

    wall: float
    start: float = Field(0.0, description="until the first picture can be decoded: loading libraries, compiling the network")
    decode: float = Field(description="reading pictures, the wait for the decoder included")
    network: float = Field(description="the encoder's wait for upscaled pictures")
    encode: float
    decoder_cpu: float = Field(description="processor time of the decoder's process")
    verify: float = 0.0


class Upscaled(Frozen):
    """What an upscaling made."""

    frames: int
    reused: int = Field(description="frames identical to the one before, which the network did not see again")
    width: int
    height: int
    backend: str = Field(description="e.g. openvino")
    precision: str = Field(description="e.g. int8")
    fps: float
    seconds: Seconds
    damage: tuple[str, ...] = ()
