"""What a minute of video costs: pure arithmetic over a table of prices and a list of speeds.

A figure is ``measured``, ``given`` or rests on assumptions that it names; where there is no speed there is no figure.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Estimate", "Instance", "Option", "Prices", "Speed", "Storage", "Video", "estimate"]

Work = Literal["upscale", "transcode"]
PART_BYTES = 16 * 2**20  # of a multipart upload
# Requests of one unit: its document, plan and marker are read, its source too; its files and its marker are written.
UNIT_READS, UNIT_WRITES = 6, 2
PROGRESS_SECONDS = 5  # a worker in a container writes its progress that often


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Instance(_Data):
    """A kind of machine; prices per hour."""

    kind: Literal["cpu", "inf1", "inf2", "gpu"]
    vcpus: int = Field(gt=0)
    on_demand: float = Field(gt=0)
    spot: float | None = Field(None, gt=0)


class StoragePrices(_Data):
    """Prices of object storage."""

    gb_month: float = Field(ge=0)
    thousand_writes: float = Field(ge=0)
    thousand_reads: float = Field(ge=0)


class Prices(_Data):
    """A table of prices, with its date."""

    date: datetime.date
    region: str
    currency: str
    source: str
    assumed_spot_share: float = Field(gt=0, le=1)
    instances: dict[str, Instance]
    storage: StoragePrices


class Speed(_Data):
    """How long a machine takes: ``frames`` of ``width`` x ``height`` in ``seconds``, or seconds per source pixel and frame."""

    work: Work
    name: str
    status: Literal["measured", "given"]
    source: str
    kind: Literal["cpu", "inf1", "inf2", "gpu"]
    machine: str
    vcpus: int = Field(gt=0)
    instance: str | None = None
    model: str | None = None
    scale: int | None = None
    width: int | None = Field(None, gt=0)
    height: int | None = Field(None, gt=0)
    frames: int | None = Field(None, gt=0)
    seconds: float | None = Field(None, gt=0)
    seconds_per_pixel: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_figure(self) -> Speed:
        measured = [self.width, self.height, self.frames, self.seconds]
        if (self.seconds_per_pixel is None) == (None in measured):
            raise ValueError("a speed wants either seconds_per_pixel or all of width, height, frames and seconds")
        return self

    @property
    def per_pixel(self) -> float:
        """Machine seconds per source pixel and frame."""
        if self.seconds_per_pixel is not None:
            return self.seconds_per_pixel
        return (self.seconds or 0) / ((self.frames or 1) * (self.width or 1) * (self.height or 1))


class Video(_Data):
    """What is to be made, a minute of it."""

    work: Work = "upscale"
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    fps: float = Field(gt=0)
    scale: Literal[2, 4] = 2
    model: str = "fast"
    segment_seconds: float = Field(60.0, gt=0)
    overhead_seconds: float = Field(0.0, ge=0, description="of a machine, per unit, beside its work: starting, pulling images")
    output_bit_rate: float = Field(gt=0, description="bits a second of what is kept")

    @property
    def frames(self) -> float:
        """Frames of a minute."""
        return self.fps * 60

    @property
    def units(self) -> float:
        """Work units of a minute."""
        return 60 / self.segment_seconds


class Option(_Data):
    """A minute's work on one kind of machine; ``spot_assumed`` where that price is a share of the other one."""

    name: str
    instance: str
    status: Literal["measured", "given", "assumed"]
    machine_seconds: float
    on_demand: float
    spot: float
    spot_assumed: bool
    source: str
    assumptions: tuple[str, ...]


class Storage(_Data):
    """Roughly what S3 takes for a minute of video."""

    gigabytes: float
    per_month: float
    reads: float
    writes: float
    requests: float


class Estimate(_Data):
    """All options, cheapest first, and the instances that no speed is known for."""

    video: Video
    options: tuple[Option, ...]
    unmeasured: tuple[str, ...]
    storage: Storage


def estimate(video: Video, prices: Prices, speeds: Sequence[Speed]) -> Estimate:
    """Return what a minute of ``video`` costs on every instance that a speed is known for."""
    fitting = [speed for speed in speeds if _fits(speed, video)]
    options = [
        _option(video, prices, speed, name, instance)
        for speed in fitting
        for name, instance in prices.instances.items()
        if (speed.instance or name) == name and speed.kind == instance.kind
    ]
    known = {option.instance for option in options}
    seconds = min((option.machine_seconds for option in options), default=0.0)
    return Estimate(
        video=video,
        options=tuple(sorted(options, key=lambda option: option.on_demand)),
        unmeasured=tuple(name for name in prices.instances if name not in known),
        storage=_storage(video, prices.storage, seconds),
    )


def _fits(speed: Speed, video: Video) -> bool:
    if speed.work != video.work:
        return False
    return video.work == "transcode" or (speed.scale in (None, video.scale) and speed.model in (None, video.model))


def _option(video: Video, prices: Prices, speed: Speed, name: str, instance: Instance) -> Option:
    seconds = speed.per_pixel * video.width * video.height * video.frames
    assumptions = list(_assumptions(video, speed))
    if speed.instance is None:
        seconds *= speed.vcpus / instance.vcpus
    seconds += video.units * video.overhead_seconds
    spot = instance.spot or instance.on_demand * prices.assumed_spot_share
    if instance.spot is None:
        assumptions.append(f"spot costs {prices.assumed_spot_share:.0%} of the price on demand")
    return Option(
        name=speed.name,
        instance=name,
        status=speed.status if speed.instance == name else "assumed",
        machine_seconds=seconds,
        on_demand=seconds * instance.on_demand / 3600,
        spot=seconds * spot / 3600,
        spot_assumed=instance.spot is None,
        source=speed.source,
        assumptions=tuple(assumptions),
    )


def _assumptions(video: Video, speed: Speed) -> Iterable[str]:
    if speed.instance is None:
        yield f"a processor of the instance is as fast as one of the machine measured: {speed.machine}"
    if speed.width is not None and (speed.width, speed.height) != (video.width, video.height):
        yield f"time grows with the pixels of the source; measured at {speed.width}x{speed.height}"
    if not video.overhead_seconds:
        yield "machines start in no time and wait for nothing (--overhead-seconds adds what they take per unit)"


def _storage(video: Video, prices: StoragePrices, seconds: float) -> Storage:
    size = video.output_bit_rate / 8 * 60
    units = video.units + 2 / 60  # the first and the last unit of a film of an hour
    reads = units * UNIT_READS
    writes = units * UNIT_WRITES + size / PART_BYTES + seconds / PROGRESS_SECONDS
    return Storage(
        gigabytes=size / 1e9,
        per_month=size / 1e9 * prices.gb_month,
        reads=reads,
        writes=writes,
        requests=(reads * prices.thousand_reads + writes * prices.thousand_writes) / 1000,
    )
