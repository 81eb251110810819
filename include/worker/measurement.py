"""The ``report.json`` of a run as a measurement: what was made, and how long its workers took."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, model_validator

from include.worker.estimate import Prices, Speed

__all__ = ["Report", "speed_of_report"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Stream(_Part):
    width: int
    height: int
    frame_rate: str | None = None


class _Probe(_Part):
    video: _Stream


class _Source(_Part):
    probe: _Probe


class _Request(_Part):
    scale: int | None = None
    model: str | None = None


class _Segment(_Part):
    frames: int


class _Costs(_Part):
    wall_seconds: float


class Report(_Part):
    """What of a report says how fast its run was; one of an upscale has ``segments``, one of a transcode ``frames``."""

    job_id: str
    source: _Source
    costs: _Costs
    request: _Request = _Request()
    segments: tuple[_Segment, ...] | None = None
    frames: int | None = None

    @model_validator(mode="after")
    def _some_frames(self) -> Report:
        if self.segments is None and self.frames is None:
            raise ValueError("a report wants either segments (an upscale) or frames (a transcode)")
        return self

    @property
    def stream(self) -> _Stream:
        """The source's video."""
        return self.source.probe.video


def speed_of_report(report: Report, instance: str, prices: Prices) -> Speed:
    """Return the speed of a run whose units had a machine of the kind ``instance`` each.

    All that its workers did counts: fetching, computing, verifying, uploading, merging. Raises ``KeyError`` where ``instance``
    has no price.
    """
    machine = prices.instances[instance]
    is_upscale = report.segments is not None
    return Speed(
        work="upscale" if is_upscale else "transcode",
        name=f"run {report.job_id}",
        status="measured",
        source="report.json of that run",
        kind=machine.kind,
        machine=instance,
        vcpus=machine.vcpus,
        instance=instance,
        model=report.request.model if is_upscale else None,
        scale=report.request.scale if is_upscale else None,
        width=report.stream.width,
        height=report.stream.height,
        frames=report.frames if report.segments is None else sum(segment.frames for segment in report.segments),
        seconds=report.costs.wall_seconds,
    )
