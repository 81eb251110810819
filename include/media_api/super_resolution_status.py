"""What a client has asked to be upscaled, kept beside the work documents, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Literal

from anyio.to_thread import run_sync
from pydantic import BaseModel, ConfigDict, Field

from include.media_api.gateway import Run, TaskState
from include.media_api.progress import SUPER_RESOLUTION, percent
from include.media_api.services import Services
from include.media_api.status import NO_RUN, REMOVED, reason_of
from include.media_api.submission import TRANSCODE_DAG, read_request, request_key
from include.media_store.models import ObjectRef
from include.worker.groups import grouped
from include.worker.job import Job
from include.worker.models import SuperResolutionRequest, TranscodeRequest, UnitSummary

__all__ = ["SUPER_RESOLUTION_DAG", "SuperResolutionStatus", "SuperResolutionSubmission", "is_done", "live", "load", "save"]

SUPER_RESOLUTION_DAG = "super_resolution"
OTHER = "Its output was made for another request, or of another version of the source; post the request again."
_STATES = {"success": "done", "failed": "failed", "upstream_failed": "failed"} | dict.fromkeys(
    ("running", "restarting", "deferred"), "running"
)


class SuperResolutionSubmission(BaseModel):
    """A request of one client, and as they were then: the model for requests that name none, and the source."""

    model_config = ConfigDict(frozen=True)

    client: str
    request: SuperResolutionRequest
    model: str
    etag: str
    segments: int
    submitted_at: datetime

    @classmethod
    def of(
        cls, client: str, request: SuperResolutionRequest, source: ObjectRef, segments: int, *, model: str
    ) -> SuperResolutionSubmission:
        """Return what ``client`` submits now."""
        now = datetime.now(timezone.utc).replace(microsecond=0)
        return cls(client=client, request=request, model=model, etag=source.etag, segments=segments, submitted_at=now)


class SegmentStatus(BaseModel):
    """One segment."""

    index: int
    label: str = Field(description="Its number and its place in the video.")
    status: Literal["waiting", "running", "done", "failed"]
    frames: int = Field(description="Frames of the segment.")
    done: int = Field(description="Frames that are upscaled.")
    fps: float | None = Field(None, description="Frames a second, while it runs.")


class LadderStatus(BaseModel):
    """The transcode of the result."""

    run_id: str
    output_key: str
    status: Literal["waiting", "running", "done", "failed"]
    progress: int = Field(ge=0, le=100)


class SuperResolutionStatus(BaseModel):
    """How far a run has come."""

    key: str
    output_key: str
    run_id: str
    status: Literal["queued", "running", "done", "failed"]
    progress: int = Field(ge=0, le=100, description="Percent.")
    frames: int = Field(description="Frames of all segments; 0 until the source has been split.")
    frames_done: int
    fps: float | None = Field(None, description="Frames a second of all segments at work.")
    segments: list[SegmentStatus] = Field(description="Empty until the source has been split.")
    error: str | None = Field(None, description="What went wrong, in words.")
    ladder: LadderStatus | None = Field(None, description="The transcode of the result, where one was asked for.")


def save(services: Services, submission: SuperResolutionSubmission) -> None:
    """Keep ``submission`` for :func:`load`."""
    request = submission.request
    key = request_key(services.settings, submission.client, request.run_id)
    services.store.put_bytes(request.bucket, key, submission.model_dump_json().encode())


def load(services: Services, client: str, run_id: str) -> SuperResolutionSubmission:
    """Return what ``client`` submitted as ``run_id``; :class:`NotFound` where that was nobody, or another client."""
    document = read_request(services.store, services.settings, client, run_id, (SUPER_RESOLUTION_DAG,))
    return SuperResolutionSubmission.model_validate(document)


async def is_done(services: Services, submission: SuperResolutionSubmission) -> bool:
    """Tell whether all that is wanted was made of the source as it is now, and is there, or is being made."""
    if await run_sync(_lack, services, submission):
        return False
    ladder = submission.request.ladder_request
    return ladder is None or (await _ladder(services, ladder)).status in {"running", "done"}


async def live(services: Services, submission: SuperResolutionSubmission) -> SuperResolutionStatus:
    """Return the state of a submission's run as it is now."""
    request = submission.request
    run = (await services.gateway.runs(SUPER_RESOLUTION_DAG, [request.run_id])).get(request.run_id)
    tasks = (await services.gateway.tasks(SUPER_RESOLUTION_DAG, [request.run_id])).get(request.run_id, ()) if run else ()
    job = Job.of(services.store, services.settings, request)
    has_split = any(task.task_id == "split" and task.state == "success" for task in tasks)
    split = await run_sync(job.read_result, "split") if has_split else None
    groups = grouped(split.units if split else (), services.settings)
    segments = _segments(groups, tasks)
    lack = await run_sync(_lack, services, submission) if run is None or run.is_finished else None
    state, error = _state(run, lack)
    if run is not None and run.state == "failed" and lack:
        error = reason_of(await run_sync(job.read_outcome), run)
    rates = [segment.fps for segment in segments if segment.fps]
    ladder = request.ladder_request
    return SuperResolutionStatus(
        key=request.key,
        output_key=request.destination_key,
        run_id=request.run_id,
        status=state,
        progress=100
        if state == "done"
        else percent(tasks, [sum(unit.weight for unit in group) for group in groups], SUPER_RESOLUTION),
        frames=sum(segment.frames for segment in segments),
        frames_done=sum(segment.done for segment in segments),
        fps=round(sum(rates), 1) if rates else None,
        segments=segments,
        error=error,
        ladder=await _ladder(services, ladder, waits=state in {"queued", "running"}) if ladder else None,
    )


def _state(run: Run | None, lack: str | None) -> tuple[Literal["queued", "running", "done", "failed"], str | None]:
    if run is not None and not run.is_finished:
        return ("queued" if run.state == "queued" else "running"), None
    if lack is None:
        return "done", None
    return "failed", NO_RUN if run is None and lack == REMOVED else lack


def _segments(groups: Sequence[Sequence[UnitSummary]], tasks: Sequence[TaskState]) -> list[SegmentStatus]:
    by_index = {task.map_index: task for task in tasks if task.task_id == "upscale"}
    return [
        _segment(number, unit, by_index.get(index), group)
        for number, (index, group, unit) in enumerate((i, group, unit) for i, group in enumerate(groups) for unit in group)
    ]


def _segment(number: int, unit: UnitSummary, task: TaskState | None, group: Sequence[UnitSummary]) -> SegmentStatus:
    frames = int(unit.weight)
    state: Any = _STATES.get(str(task.state), "waiting") if task else "waiting"
    told = task.event if task and state == "running" else {}
    # An array job tells how far its units have come together.
    done = frames * task.progress if task and told.get("phase") == "array" else told.get("done", 0) if _upscales(told) else 0
    fps = told.get("fps") if unit is group[0] and (_upscales(told) or told.get("phase") == "array") else None
    return SegmentStatus(
        index=number,
        label=unit.label,
        status=state,
        frames=frames,
        done=frames if state == "done" else min(frames, int(done or 0)),
        fps=float(fps) if isinstance(fps, (int, float)) else None,
    )


def _upscales(told: Mapping[str, Any]) -> bool:
    return told.get("phase") == "upscale"


def _lack(services: Services, submission: SuperResolutionSubmission) -> str | None:
    """Return what is wrong with the output; ``None`` where it is complete, of this version of the source and as is wanted."""
    request = submission.request
    job = Job.of(services.store, services.settings, request)
    merge = job.read_result("merge")
    if merge is None or merge.status != "done" or not job.outputs_exist(merge.outputs):
        return REMOVED
    made = merge.metrics.get("wanted", {})
    is_as_wanted = made.get("model") == submission.model and (request.task != "debug" or made.get("debug"))
    return None if is_as_wanted and merge.metrics.get("source_etag") == submission.etag else OTHER


async def _ladder(services: Services, request: TranscodeRequest, *, waits: bool = False) -> LadderStatus:
    run = (await services.gateway.runs(TRANSCODE_DAG, [request.run_id])).get(request.run_id)
    state: Literal["waiting", "running", "done", "failed"]
    if waits:
        state, progress = "waiting", 0
    elif run is not None and not run.is_finished:
        tasks = (await services.gateway.tasks(TRANSCODE_DAG, [request.run_id])).get(request.run_id, ())
        state, progress = "running", percent(tasks)
    else:
        # Runs are removed after a while; the output tells as much.
        output = await run_sync(services.store.head, request.bucket, request.destination_key)
        state, progress = ("done", 100) if output and (run is None or run.state == "success") else ("failed", 0)
    return LadderStatus(run_id=request.run_id, output_key=request.destination_key, status=state, progress=progress)
