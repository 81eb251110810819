"""The list of a submission, live: outputs from S3, runs and progress from Airflow, reasons from the work documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from anyio.to_thread import run_sync

from include.errors import NotFound
from include.media_api.gateway import Run, TaskState
from include.media_api.progress import percent
from include.media_api.services import Services
from include.media_api.submission import FOLDER_DAG, TRANSCODE_DAG, Submission, Video
from include.worker.models import TranscodeRequest
from include.worker.video_transcode import existing_keys

__all__ = ["live_videos"]

_READS_AT_ONCE = 16
Value = TypeVar("Value")


async def live_videos(services: Services, submission: Submission) -> list[Video]:
    """Return the submission's videos as they are now.

    A done video is known by its output alone, all of them by one listing; only the others are asked of Airflow.
    """
    gateway, bucket = services.gateway, submission.request.bucket
    exists = partial(existing_keys, services.store, bucket)
    done = await run_sync(exists, [request.destination_key for request in submission.pending])
    rest = [request for request in submission.pending if request.destination_key not in done]
    submitting, runs, tasks, documents = False, dict[str, Run](), dict[str, tuple[TaskState, ...]](), _Documents({}, {})
    if rest:
        # The dispatcher first: once it has finished, every run that it makes is there.
        if submission.dag_id == FOLDER_DAG:
            dispatcher = (await gateway.runs(FOLDER_DAG, [submission.run_id])).get(submission.run_id)
            submitting = dispatcher is not None and not dispatcher.is_finished
        runs = await gateway.runs(TRANSCODE_DAG, [request.run_id for request in rest])
        by_state = _by_state(rest, runs)
        done |= await run_sync(exists, [request.destination_key for request in by_state.get("success", ())])
        at_work = [*by_state.get("running", ()), *by_state.get("failed", ())]
        tasks = await gateway.tasks(TRANSCODE_DAG, [request.run_id for request in at_work])
        documents = await run_sync(_read_documents, services, by_state)

    def live(video: Video, request: TranscodeRequest) -> Video:
        if request.destination_key in done:
            return _changed(video, status="done", progress=100)
        run = runs.get(request.run_id)
        # While the dispatcher is at work, a run that is missing or has failed is about to be started (again).
        if (run is None or run.is_finished) and submitting:
            return _changed(video, progress=0)
        if run is None:
            return _changed(video, status="failed", progress=0, error=_NO_RUN)
        reached = percent(tasks.get(request.run_id, ()), documents.weights.get(request.job_id, ()))
        if run.state == "failed":
            reason = _reason(documents.outcomes.get(request.job_id), run)
            return _changed(video, status="failed", progress=reached, error=reason)
        if run.state == "success":
            return _changed(video, status="failed", progress=0, error=_REMOVED)
        return _changed(video, progress=reached)

    return [
        live(one.video, one.request)
        if one.request and one.video.status == "transcode"
        else _changed(one.video, progress=100 if one.video.status == "exist" else None)
        for one in submission.videos
    ]


_NO_RUN = "It has not been started, or its run was deleted; post the request again."
_REMOVED = "It was done, but its output has been removed since; post the request again."
_UNKNOWN = "The run {run_id} failed without a recorded reason; post the request again, or ask the administrator."


class _Documents:
    """Work documents by job id: weights of the units of running and failed jobs, outcomes of failed ones."""

    def __init__(self, weights: Mapping[str, tuple[float, ...]], outcomes: Mapping[str, dict[str, Any]]) -> None:
        self.weights = weights
        self.outcomes = outcomes


def _by_state(requests: Iterable[TranscodeRequest], runs: Mapping[str, Run]) -> dict[str, list[TranscodeRequest]]:
    found: dict[str, list[TranscodeRequest]] = {}
    for request in requests:
        if request.run_id in runs:
            found.setdefault(runs[request.run_id].state, []).append(request)
    return found


def _changed(video: Video, **changes: Any) -> Video:
    return video.model_copy(update=changes)


def _read_documents(services: Services, by_state: Mapping[str, list[TranscodeRequest]]) -> _Documents:
    failed = by_state.get("failed", [])

    def read(name: str, request: TranscodeRequest) -> dict[str, Any]:
        key = f"{services.settings.work_prefix}jobs/{request.job_id}/{name}"
        try:
            document = json.loads(services.store.get_bytes(request.bucket, key))
        except (NotFound, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def read_all(name: str, requests: list[TranscodeRequest]) -> dict[str, dict[str, Any]]:
        documents = _in_threads(partial(read, name), requests)
        return {request.job_id: document for request, document in zip(requests, documents, strict=True)}

    plans = read_all("results/result-plan.json", [*by_state.get("running", []), *failed])
    weights = {job: tuple(float(unit["weight"]) for unit in plan.get("units", ())) for job, plan in plans.items()}
    return _Documents(weights, read_all("outcome.json", failed))


def _in_threads(function: Callable[[TranscodeRequest], Value], items: list[TranscodeRequest]) -> list[Value]:
    if not items:
        return []
    with ThreadPoolExecutor(min(_READS_AT_ONCE, len(items))) as pool:
        return list(pool.map(function, items))


def _reason(outcome: Mapping[str, Any] | None, run: Run) -> str:
    error = (outcome or {}).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return str(message) if message else _UNKNOWN.format(run_id=run.run_id)
