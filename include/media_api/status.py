"""The list of a submission, live: outputs from S3, runs and progress from Airflow, reasons from the work documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from anyio.to_thread import run_sync

from include.media_api.gateway import Run, TaskState
from include.media_api.progress import percent
from include.media_api.services import Services
from include.media_api.submission import FOLDER_DAG, TRANSCODE_DAG, Submission, Video
from include.worker.job import Job
from include.worker.models import Outcome, TranscodeRequest
from include.worker.video_transcode import existing_keys

__all__ = ["live_videos"]

_READS_AT_ONCE = 16
Value = TypeVar("Value")


_NO_RUN = "It has not been started, or its run was deleted; post the request again."
_REMOVED = "It was done, but its output has been removed since; post the request again."
_UNKNOWN = "The run {run_id} failed without a recorded reason; post the request again, or ask the administrator."


async def live_videos(services: Services, submission: Submission) -> list[Video]:
    """Return the submission's videos as they are now.

    A done video is known by its output alone, all of them by one listing; only the others are asked of Airflow.
    """
    snapshot = await _look(services, submission)
    return [
        _live(one.video, one.request, snapshot)
        if one.request and one.video.status == "transcode"
        else _changed(one.video, progress=100 if one.video.status == "exist" else None)
        for one in submission.videos
    ]


@dataclass(frozen=True)
class _Snapshot:
    """What is known of the pending videos: destinations that exist, runs and tasks by run id, documents by job id."""

    done: set[str]
    submitting: bool = False
    runs: Mapping[str, Run] = field(default_factory=dict)
    tasks: Mapping[str, tuple[TaskState, ...]] = field(default_factory=dict)
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome | None] = field(default_factory=dict)


async def _look(services: Services, submission: Submission) -> _Snapshot:
    gateway = services.gateway
    exists = partial(existing_keys, services.store, submission.request.bucket)
    done = await run_sync(exists, [request.destination_key for request in submission.pending])
    rest = [request for request in submission.pending if request.destination_key not in done]
    if not rest:
        return _Snapshot(done)
    submitting = False
    if submission.dag_id == FOLDER_DAG:
        # The dispatcher before its runs: once it has finished, every run that it makes is there.
        dispatcher = (await gateway.runs(FOLDER_DAG, [submission.run_id])).get(submission.run_id)
        submitting = dispatcher is not None and not dispatcher.is_finished
    runs = await gateway.runs(TRANSCODE_DAG, [request.run_id for request in rest])

    def in_state(state: str) -> list[TranscodeRequest]:
        return [request for request in rest if request.run_id in runs and runs[request.run_id].state == state]

    # A run may have ended since the outputs were looked for.
    done |= await run_sync(exists, [request.destination_key for request in in_state("success")])
    failed = in_state("failed")
    begun = in_state("running") + failed
    return _Snapshot(
        done=done,
        submitting=submitting,
        runs=runs,
        tasks=await gateway.tasks(TRANSCODE_DAG, [request.run_id for request in begun]),
        weights=await run_sync(_by_job, partial(_weights, services), begun),
        outcomes=await run_sync(_by_job, partial(_outcome, services), failed),
    )


def _live(video: Video, request: TranscodeRequest, snapshot: _Snapshot) -> Video:
    if request.destination_key in snapshot.done:
        return _changed(video, status="done", progress=100)
    run = snapshot.runs.get(request.run_id)
    # While the dispatcher is at work, a run that is missing or has failed is about to be started (again).
    if (run is None or run.is_finished) and snapshot.submitting:
        return _changed(video, progress=0)
    if run is None:
        return _changed(video, status="failed", progress=0, error=_NO_RUN)
    if run.state == "success":
        return _changed(video, status="failed", progress=0, error=_REMOVED)
    reached = percent(snapshot.tasks.get(request.run_id, ()), snapshot.weights.get(request.job_id, ()))
    if run.state == "failed":
        return _changed(video, status="failed", progress=reached, error=_reason(snapshot.outcomes.get(request.job_id), run))
    return _changed(video, progress=reached)


def _changed(video: Video, **changes: Any) -> Video:
    return video.model_copy(update=changes)


def _weights(services: Services, request: TranscodeRequest) -> tuple[float, ...]:
    plan = Job.of(services.store, services.settings, request).read_result("plan")
    return tuple(unit.weight for unit in plan.units) if plan else ()


def _outcome(services: Services, request: TranscodeRequest) -> Outcome | None:
    return Job.of(services.store, services.settings, request).read_outcome()


def _by_job(read: Callable[[TranscodeRequest], Value], requests: list[TranscodeRequest]) -> dict[str, Value]:
    if not requests:
        return {}
    with ThreadPoolExecutor(min(_READS_AT_ONCE, len(requests))) as pool:
        return {request.job_id: value for request, value in zip(requests, pool.map(read, requests), strict=True)}


def _reason(outcome: Outcome | None, run: Run) -> str:
    # An earlier attempt's outcome says nothing of an attempt that was killed before it could write its own.
    started = run.start_date and run.start_date.replace(microsecond=0)
    if outcome and outcome.error and outcome.error.get("message") and (started is None or outcome.finished_at >= started):
        return str(outcome.error["message"])
    return _UNKNOWN.format(run_id=run.run_id)
