"""The documents that pass between Airflow tasks and workers: request, work unit, result.

All live as JSON under ``<work_prefix>jobs/<job_id>/`` in the job's bucket, where ``job_id`` is derived from what is
produced (bucket and destination key), so that any run that produces the same thing shares finished units.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from include.ffmpeg_ops.models import AudioTask, DroppedStream, MediaInfo, VideoTask
from include.ffmpeg_ops.segments import Manifest, Segment
from include.media_store.models import ObjectRef
from include.sr_model.models import UpscaleTask
from include.worker.requests import Document, SuperResolutionRequest, TranscodeRequest, job_id_for
from include.worker.task_request import TaskReference

__all__ = [
    "AudioUnitTask",
    "FinishTask",
    "LiveState",
    "LiveTask",
    "MergeTask",
    "Outcome",
    "Output",
    "PlanTask",
    "SplitTask",
    "SuperResolutionPlan",
    "SuperResolutionRequest",
    "TranscodeRequest",
    "UnitResult",
    "UnitSummary",
    "UpscaleUnitTask",
    "VideoUnitTask",
    "WorkUnit",
    "job_id_for",
]

# Bumped whenever the same unit document would give other bytes; part of every done-marker.
CODE_VERSION = "1"


class Task(Document):
    """Base of what units do."""

    NOT_IDENTITY: ClassVar[dict[str, Any]] = {}
    """Fields, as pydantic's ``exclude`` has them, with other values of which the same comes out."""

    DECIDED_BY_DOCUMENT: ClassVar[bool] = True
    """Whether the unit's document says all that decides what comes out; the first and the last unit of a job read more."""


class PlanTask(Task):
    """Probe the source, cut its timeline, write the plan and the unit documents."""

    DECIDED_BY_DOCUMENT = False

    kind: Literal["plan"] = "plan"
    request: TranscodeRequest | TaskReference


class VideoUnitTask(Task):
    """Encode one chunk in all its rungs."""

    # How many threads encode depends on the machine, and what they make is as good.
    NOT_IDENTITY: ClassVar[dict[str, Any]] = {"video": {"threads"}}

    kind: Literal["video"] = "video"
    video: VideoTask


class AudioUnitTask(Task):
    """Encode all audio streams, whole."""

    kind: Literal["audio"] = "audio"
    audio: AudioTask


class FinishTask(Task):
    """Assemble, verify and publish; reads ``plan.json`` and the results of ``units``."""

    DECIDED_BY_DOCUMENT = False

    kind: Literal["finish"] = "finish"
    request: TranscodeRequest | TaskReference
    units: tuple[str, ...] = Field(description="ids of the video and audio units, in timeline order, audio first")


class SplitTask(Task):
    """Probe the source, split its video, write the manifest and the unit documents."""

    # The unit has a fingerprint of its own, in which the model is that chosen, named or not.
    NOT_IDENTITY: ClassVar[dict[str, Any]] = {"request": {"client", "ladder", "model"}}

    DECIDED_BY_DOCUMENT = False

    kind: Literal["split"] = "split"
    request: SuperResolutionRequest


class SuperResolutionPlan(Document):
    """What the split unit has found and decided; the merge unit goes by it."""

    info: MediaInfo
    manifest: Manifest
    kept: tuple[int, ...] = Field(description="streams of the source that are in the output, the video among them")
    dropped: tuple[DroppedStream, ...] = Field(description="those that its container does not take")


class UpscaleUnitTask(Task):
    """Upscale one segment."""

    # The same split may have been made twice, and any machine does the same.
    NOT_IDENTITY: ClassVar[dict[str, Any]] = {"file": True, "env": True}

    kind: Literal["upscale"] = "upscale"
    segment: Segment
    file: ObjectRef = Field(description="the segment's file, or the source where that is in one piece")
    upscale: UpscaleTask
    env: Literal["spot", "onDemand"] = Field("spot", description="kind of machine that a fleet runs it on")
    debug: bool = Field(False, description="the log is kept, too")


class MergeTask(Task):
    """Join the segments, copy the rest of the source, verify and publish; reads ``manifest.json`` and the units' results."""

    # What the segments are and which network they saw is told by their own units.
    NOT_IDENTITY: ClassVar[dict[str, Any]] = {"request": {"client", "ladder", "env", "model", "segment_time"}}

    DECIDED_BY_DOCUMENT = False

    kind: Literal["merge"] = "merge"
    request: SuperResolutionRequest
    units: tuple[str, ...] = Field(description="ids of the upscale units, in order")


class LiveTask(Task):
    """Bring a live stream to its targets until it ends; the job's ``request.json`` says which, with what must not be shown."""

    kind: Literal["live"] = "live"
    reference: TaskReference


class LiveState(Document):
    """How far a live task has come (``live.json``): another attempt goes on from there."""

    began_at: datetime = Field(description="of the first attempt: the deadline counts from there")
    seconds: float = Field(0.0, ge=0, description="length of the stream so far, some seconds old")


UnitTask = Annotated[
    PlanTask | VideoUnitTask | AudioUnitTask | FinishTask | SplitTask | UpscaleUnitTask | MergeTask | LiveTask,
    Field(discriminator="kind"),
]


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
            "task": self.task.model_dump(mode="json", exclude=self.task.NOT_IDENTITY),
        }
        text = json.dumps([CODE_VERSION, identity], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def is_of(self, result: UnitResult) -> bool:
        """Tell whether ``result`` is this unit's as far as its document tells, and not another plan's unit's of the same name."""
        return not self.task.DECIDED_BY_DOCUMENT or result.fingerprint == self.fingerprint


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
