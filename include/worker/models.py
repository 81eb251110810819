"""The documents that pass between Airflow tasks and workers: request, work unit, result.

All live as JSON under ``<work_prefix>jobs/<job_id>/`` in the job's bucket, where ``job_id`` is derived from what is
produced (bucket and destination key), so that any run that produces the same thing shares finished units.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from include.ffmpeg_ops.models import AudioTask, VideoTask
from include.media_store.models import ObjectRef

__all__ = [
    "AudioUnitTask",
    "FinishTask",
    "Outcome",
    "Output",
    "PlanTask",
    "TranscodeRequest",
    "UnitResult",
    "UnitSummary",
    "VideoUnitTask",
    "WorkUnit",
    "job_id_for",
]

# Bumped whenever the same unit document would give other bytes; part of every done-marker.
CODE_VERSION = "1"


class Document(BaseModel):
    """Base of the documents: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def job_id_for(bucket: str, destination_key: str) -> str:
    """Return the id of the job that produces ``destination_key``: 20 hex digits, the same for every request for it."""
    return hashlib.sha256(f"{bucket}\n{destination_key}".encode()).hexdigest()[:20]


class TranscodeRequest(Document):
    """One video to one output: what every contract compiles to, and the conf of the DAG ``transcode``."""

    bucket: str = Field(description="Bucket of source and destination.", examples=["media"], min_length=3, max_length=63)
    source_key: str = Field(description="Object key of the source video.", min_length=1, max_length=1024)
    folder: str = Field(
        description="Output folder, ends with a slash.", pattern=r"^[^/].*/$", max_length=900, examples=["dst/clip_1/"]
    )
    name: str = Field(description="Base name of the outputs in the folder.", pattern=r"^[^/]+$", max_length=255)
    container: Literal["hls", "mp4"] = Field("hls", description="HLS ladder, or one faststart MP4.")
    profile: str | None = Field(
        None,
        description="Encoding profile; default `hls_ladder` or `mp4_single` by container.",
        pattern=r"^[a-z0-9_]+$",
    )
    source_bit_rate: int | None = Field(None, gt=0, description="Source bit/s, where the client knows it; else probed.")
    source_height: int | None = Field(None, gt=0, description="Source height, where the client knows it; else probed.")
    content_provider: str | None = Field(None, max_length=200, description="Shown on the run, usable as a filter.")
    client: str | None = Field(None, max_length=200, description="Client that asked; set by the APIs.")
    damage_policy: Literal["strict", "salvage"] | None = Field(None, description="Overrides `MEDIA_DAMAGE_POLICY`.")

    @property
    def destination_key(self) -> str:
        """The object that clients look for; written last."""
        return f"{self.folder}{self.name}.{'m3u8' if self.container == 'hls' else 'mp4'}"

    @property
    def job_id(self) -> str:
        """See :func:`job_id_for`."""
        return job_id_for(self.bucket, self.destination_key)

    @property
    def run_id(self) -> str:
        """The Airflow run id of this job in the DAG ``transcode``."""
        return f"transcode__{self.job_id}"


class PlanTask(Document):
    """Probe the source, cut its timeline, write the plan and the unit documents."""

    kind: Literal["plan"] = "plan"
    request: TranscodeRequest


class VideoUnitTask(Document):
    """Encode one chunk in all its rungs."""

    kind: Literal["video"] = "video"
    video: VideoTask


class AudioUnitTask(Document):
    """Encode all audio streams, whole."""

    kind: Literal["audio"] = "audio"
    audio: AudioTask


class FinishTask(Document):
    """Assemble, verify and publish; reads ``plan.json`` and the results of ``units``."""

    kind: Literal["finish"] = "finish"
    request: TranscodeRequest
    units: tuple[str, ...] = Field(description="ids of the video and audio units, in timeline order, audio first")


UnitTask = Annotated[PlanTask | VideoUnitTask | AudioUnitTask | FinishTask, Field(discriminator="kind")]


class WorkUnit(Document):
    """One piece of work that runs in one process, anywhere; `python -m include.worker run s3://…/unit-….json`."""

    id: str = Field(pattern=r"^[a-z]+(-\d{5})?$", examples=["video-00007"])
    job_id: str
    bucket: str = Field(description="bucket of the job's work documents")
    source: ObjectRef | None = Field(None, description="None: the unit looks the source up itself (plan)")
    task: UnitTask
    label: str = Field("", description="for people: chunk and time range, shown as the mapped task's name")
    weight: float = Field(1.0, gt=0, description="share of the job's work, for progress")

    @property
    def fingerprint(self) -> str:
        """Identity of the work: source version, parameters and code. A done-marker that bears it is still good."""
        identity = {
            "source": self.source and self.source.model_dump(mode="json"),
            # How many threads encode depends on the machine, and what they make is as good.
            "task": self.task.model_dump(mode="json", exclude={"video": {"threads"}}),
        }
        text = json.dumps([CODE_VERSION, identity], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Output(Document):
    """One object that a unit wrote."""

    name: str = Field(description="role, unique in the unit: hls0800k, audio-0, thumbnail-00003, plan, …")
    ref: ObjectRef


class UnitSummary(Document):
    """A planned unit as Airflow sees it (XCom of the plan task, one mapped task each)."""

    id: str
    key: str = Field(description="object key of the WorkUnit document, in the job's bucket")
    label: str
    weight: float


class UnitResult(Document):
    """What became of a unit; with ``status`` done it is the unit's done-marker, written after outputs were verified."""

    unit_id: str
    status: Literal["done", "failed"]
    fingerprint: str
    outputs: tuple[Output, ...] = Field((), description="of a failed unit: what its last success made")
    units: tuple[UnitSummary, ...] = Field((), description="plan only: what to fan out, audio first")
    error: dict[str, Any] | None = Field(None, description="MediaError.to_document()")
    metrics: dict[str, Any] = Field(
        default_factory=dict,
        description="frames, fps, wall_seconds, cpu_seconds, bytes_read and bytes_written (S3), quality, …",
    )
    started_at: datetime
    finished_at: datetime
    reused: bool = Field(False, description="in the answer of a run that found the marker; never stored")


class Outcome(Document):
    """What became of a job (``outcome.json``), written when its run ends either way."""

    state: Literal["done", "failed"]
    error: dict[str, Any] | None = Field(None, description="MediaError.to_document() of the first failure")
    run_id: str
    finished_at: datetime
    metrics: dict[str, Any] = Field(default_factory=dict)
