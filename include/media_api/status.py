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
from include.worker.groups import weights_of
from include.worker.job import Job
from include.worker.models import Outcome, TranscodeRequest
from include.worker.video_transcode import existing_keys

__all__ = ["NO_RUN", "REMOVED", "live_videos", "reason_of"]

_READS_AT_ONCE = 16
Value = TypeVar("Value")


NO_RUN = "It has not been started, or its run was deleted; post the request again."
REMOVED = "It was done, but its output has been removed since; post the request again."
_UNKNOWN = "The run {run_id} failed without a recorded reason; post the request again, or ask the administrator."


async def live_videos(services: Services, submission: Submission) -> list[Video]:
    """Return the submission's videos as they are now.

    Airflow tells which runs are still queued; every other video is done once its output exists.
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
    runs = await gateway.runs(TRANSCODE_DAG, [request.run_id for request in submission.pending])

    def in_state(*states: str | None) -> list[TranscodeRequest]:
        return [request for request in submission.pending if _state(runs.get(request.run_id)) in states]

    # Outputs are looked for after the runs: what a run that has ended by then published is there.
    perhaps = [request.destination_key for request in in_state("running", "success", "failed", None)]
    done = await run_sync(_published, services, submission.request.bucket, perhaps)
    submitting = False
    if submission.dag_id == FOLDER_DAG and any(
        request.destination_key not in done for request in in_state("success", "failed", None)
    ):
        # The dispatcher makes the runs: while it is at work, one that is missing is about to be there.
        dispatcher = (await gateway.runs(FOLDER_DAG, [submission.run_id])).get(submission.run_id)
        submitting = dispatcher is not None and not dispatcher.is_finished
    failed = [request for request in in_state("failed") if request.destination_key not in done]
    begun = [request for request in in_state("running") if request.destination_key not in done] + failed
    return _Snapshot(
        done=done,
        submitting=submitting,
        runs=runs,
        tasks=await gateway.tasks(TRANSCODE_DAG, [request.run_id for request in begun]),
        weights=await run_sync(_by_job, partial(_weights, services), begun),
        outcomes=await run_sync(_by_job, partial(_outcome, services), failed),
    )


def _state(run: Run | None) -> str | None:
    return run.state if run else None


def _published(services: Services, bucket: str, keys: list[str]) -> set[str]:
    """Return those of ``keys`` that exist; what was there a moment ago is believed, since a folder's list is asked for often."""
    seen = {key for _, key in services.published.of([(bucket, key) for key in keys])}
    found = existing_keys(services.store, bucket, [key for key in keys if key not in seen])
    for key in found:
        services.published.keep((bucket, key), True)
    return seen | found


def _live(video: Video, request: TranscodeRequest, snapshot: _Snapshot) -> Video:
    if request.destination_key in snapshot.done:
        return _changed(video, status="done", progress=100)
    run = snapshot.runs.get(request.run_id)
    # While the dispatcher is at work, a run that is missing or has failed is about to be started (again).
    if (run is None or run.is_finished) and snapshot.submitting:
        return _changed(video, progress=0)
    if run is None:
        return _changed(video, status="failed", progress=0, error=NO_RUN)
    if run.state == "success":
        return _changed(video, status="failed", progress=0, error=REMOVED)
    reached = percent(snapshot.tasks.get(request.run_id, ()), snapshot.weights.get(request.job_id, ()))
    if run.state == "failed":
        return _changed(video, status="failed", progress=reached, error=reason_of(snapshot.outcomes.get(request.job_id), run))
    return _changed(video, progress=reached)


def _changed(video: Video, **changes: Any) -> Video:
    return video.model_copy(update=changes)


def _weights(services: Services, request: TranscodeRequest) -> tuple[float, ...]:
    plan = Job.of(services.store, services.settings, request).read_result("plan")
    return weights_of(plan.units, services.settings) if plan else ()


def _outcome(services: Services, request: TranscodeRequest) -> Outcome | None:
    return Job.of(services.store, services.settings, request).read_outcome()


def _by_job(read: Callable[[TranscodeRequest], Value], requests: list[TranscodeRequest]) -> dict[str, Value]:
    if not requests:
        return {}
    with ThreadPoolExecutor(min(_READS_AT_ONCE, len(requests))) as pool:
        return {request.job_id: value for request, value in zip(requests, pool.map(read, requests), strict=True)}


def reason_of(outcome: Outcome | None, run: Run) -> str:
    """Return why a run has failed, in words."""
    # An earlier attempt's outcome says nothing of an attempt that was killed before it could write its own.
    started = run.start_date and run.start_date.replace(microsecond=0)
    if outcome and outcome.error and outcome.error.get("message") and (started is None or outcome.finished_at >= started):
        return str(outcome.error["message"])
    return _UNKNOWN.format(run_id=run.run_id)
