"""How runs go: state, progress and the reason of a failure, from Airflow's tasks and the work documents."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from math import isfinite
from typing import Any

from anyio.to_thread import run_sync
from cachetools import LRUCache

from include.errors import Cancelled, NotFound, StorageDenied, StorageError
from include.ffmpeg_ops.parallel import in_parallel
from include.ffmpeg_ops.redaction import redacted
from include.ingest.claims import Claims
from include.media_api.gateway import Run, TaskState
from include.media_api.progress import SUPER_RESOLUTION, TRANSCODE, percent
from include.media_api.remembered import Remembered
from include.media_api.services import Services
from include.media_api.task_status import LIVE_DAG, LIVE_UNIT, settled, was_stopped
from include.media_api.upload_service import UploadService
from include.media_pages.documents import job_of
from include.media_pages.models import JobState, Live
from include.media_pages.steps import AT_WORK
from include.uploads.models import Destination, Upload
from include.worker.groups import weights_of
from include.worker.subjects import Subject, kind_of, subject_of

__all__ = ["Row", "Rows"]

logger = logging.getLogger(__name__)

_STATES: Mapping[str, JobState] = {"queued": "queued", "running": "running", "success": "done", "failed": "failed"}
_READS_AT_ONCE = 8
_WEIGHTS_SECONDS = 30.0
_NO_REASON = "The run failed without saying why; the logs of its tasks may tell."


@dataclass(frozen=True)
class Row:
    """A run as anybody may see it who may see it at all."""

    run: Run
    subject: Subject
    state: JobState
    progress: int | None = None
    fps: float | None = None
    live: Live | None = None
    error: str | None = None
    is_retryable: bool = False


@dataclass(frozen=True)
class _End:
    """How a run has failed."""

    is_cancelled: bool = False
    error: str | None = None
    is_final: bool = False  # nothing is left that could be tried again


class Rows:
    """Makes rows of runs; keeps what it has found out about those that have ended."""

    def __init__(self, services: Services, uploads: UploadService) -> None:
        self._services = services
        self._uploads = uploads.uploads
        self._claims = Claims(services)
        # A run that is cleared and ends again has another end.
        self._ends: LRUCache[tuple[str, str, datetime | None], _End] = LRUCache(20_000)
        self._weights: Remembered[str, tuple[float, ...]] = Remembered(1000, _WEIGHTS_SECONDS)
        self._lock = threading.Lock()

    async def of(self, runs: Sequence[Run]) -> list[Row]:
        """Return a row for each of the runs, all of DAGs of ours, in their order."""
        ids: dict[str, list[str]] = {}
        for run in filter(self._is_open, runs):
            ids.setdefault(run.dag_id, []).append(run.run_id)
        tasks: dict[tuple[str, str], tuple[TaskState, ...]] = {}
        for dag_id, run_ids in ids.items():
            states = await self._services.gateway.tasks(dag_id, run_ids)
            tasks |= {(dag_id, run_id): found for run_id, found in states.items()}
        if not ids:
            return [self._row((), run) for run in runs]
        return await run_sync(
            partial(
                in_parallel, lambda run: self._row(tasks.get((run.dag_id, run.run_id), ()), run), runs, at_once=_READS_AT_ONCE
            )
        )

    async def one(self, run: Run, tasks: Sequence[TaskState]) -> Row:
        """Return the row of a run with these tasks."""
        return await run_sync(self._row, tasks, run) if self._is_open(run) else self._row(tasks, run)

    def _is_open(self, run: Run) -> bool:
        """Tell whether tasks and documents are needed to make its row."""
        return run.state == "running" or (run.state == "failed" and _key(run) not in self._ends)

    def _row(self, tasks: Sequence[TaskState], run: Run) -> Row:
        kind = kind_of(run.dag_id, run.conf) or "transcode"
        state = _STATES.get(run.state, "queued")
        row = Row(run, subject_of(kind, run.run_id, run.conf), state)
        try:
            if state == "failed":
                return self._failed(row, tasks)
            if state == "running":
                return self._at_work(row, tasks)
        except (StorageError, StorageDenied) as error:
            # The list is of use without the documents, too.
            logger.warning("The run %s is shown without what its documents tell: %s", run.run_id, error)
            return replace(row, is_retryable=state == "failed")
        return replace(row, progress=100) if state == "done" and run.dag_id != LIVE_DAG else row

    def _failed(self, row: Row, tasks: Sequence[TaskState]) -> Row:
        with self._lock:
            end = self._ends.get(_key(row.run))
        if end is None:
            end = self._end(row, tasks)
            with self._lock:
                self._ends[_key(row.run)] = end
        if end.is_cancelled:
            return replace(row, state="cancelled", is_retryable=not end.is_final)
        return replace(row, error=end.error, is_retryable=True)

    def _end(self, row: Row, tasks: Sequence[TaskState]) -> _End:
        run, kind = row.run, row.subject.kind
        error: str | None = None
        if kind == "upload":
            upload = self._upload(run)
            if upload and upload.outcome.state == "aborted":
                return _End(is_cancelled=True, is_final=True)
            error = _upload_error(upload) if upload else None
        elif kind == "ingest":
            claim = self._claims.find(str(run.conf.get("claim_id")))
            error = str((claim.error or {}).get("message") or "") if claim else None
        elif job := job_of(self._services.store, self._services.settings, run.dag_id, run.conf):
            outcome = settled(job, run)
            said = (outcome.error if outcome else None) or {}
            error = str(said.get("message") or "")
            if said.get("code") == Cancelled.code or (kind == "task" and job.is_cancelled(run.start_date)):
                return _End(is_cancelled=True)
        if not error and was_stopped(tasks):
            return _End(is_cancelled=True)
        return _End(error=redacted(error or _NO_REASON))

    def _at_work(self, row: Row, tasks: Sequence[TaskState]) -> Row:
        run, kind = row.run, row.subject.kind
        events = [task.event for task in tasks if task.state in AT_WORK]
        fps = sum(_number(event, "fps") or 0.0 for event in events)
        row = replace(row, fps=round(fps, 1) if fps else None)
        if run.dag_id == LIVE_DAG:
            job = job_of(self._services.store, self._services.settings, run.dag_id, run.conf)
            # From the moment on that it was stopped; to close its recordings takes it a while.
            if job is not None and job.is_cancelled(run.start_date):
                return replace(row, state="cancelled", fps=None)
            told: Mapping[str, Any] = next((task.event for task in tasks if task.task_id == LIVE_UNIT), {})
            return replace(row, live=_live(told) if told else None)
        if kind == "upload":
            upload = self._upload(run)
            return replace(row, progress=_upload_percent(upload) if upload else 0)
        if kind in {"folder", "ingest"}:
            return row
        steps = SUPER_RESOLUTION if kind == "super_resolution" else TRANSCODE
        return replace(row, progress=percent(tasks, self._weights_of(run, steps.first), steps))

    def _weights_of(self, run: Run, unit_id: str) -> tuple[float, ...]:
        def read() -> tuple[float, ...] | None:
            job = job_of(self._services.store, self._services.settings, run.dag_id, run.conf)
            plan = job.read_result(unit_id) if job else None
            return (plan and weights_of(plan.units, self._services.settings)) or None

        return self._weights.get(f"{run.dag_id} {run.run_id}", read) or ()

    def _upload(self, run: Run) -> Upload | None:
        try:
            return self._uploads.read(str(run.conf.get("atom_id")), str(run.conf.get("upload_id")), consistent=False)
        except NotFound:
            return None


def _key(run: Run) -> tuple[str, str, datetime | None]:
    return run.dag_id, run.run_id, run.end_date


def _upload_error(upload: Upload) -> str | None:
    if upload.outcome.problem:
        return upload.outcome.problem.message
    return next((at.error for at in upload.at.values() if at.error), None)


def _upload_percent(upload: Upload) -> int:
    """Return how far an upload has come: half of it are its parts, the other half what becomes of them."""
    landed = 1.0 if upload.joined.done else sum(part.size for part in upload.parts if part.complete) / upload.size
    shares = [_share(upload.at[kind]) for kind in upload.destinations]
    return min(99, int(50 * landed + 50 * sum(shares) / len(shares)))


def _share(at: Destination) -> float:
    if at.is_over:
        return 1.0
    # Of YouTube's two statuses each is half; the other destination has one.
    done = {"upload": at.progress / 2, "transcoding": 50 + at.progress / 2 if at.type == "youtube" else at.progress}
    return done.get(at.status, 0.0) / 100


def _live(told: Mapping[str, Any]) -> Live:
    targets = told.get("targets")
    dropped = [_number(one, "dropped") or 0.0 for one in targets if isinstance(one, dict)] if isinstance(targets, list) else []
    rate = _number(told, "bit_rate")
    return Live(
        seconds=_number(told, "seconds") or _number(told, "done") or 0.0,
        bit_rate=None if rate is None else int(rate),
        dropped=int(sum(dropped)) if dropped else None,
    )


def _number(told: Mapping[str, Any], name: str) -> float | None:
    value = told.get(name)
    return max(0.0, float(value)) if isinstance(value, (int, float)) and isfinite(value) else None
